import copy

import pytest
import torch
from torch import nn

from isthmus.core.errors import ConfigError
from isthmus.model import finish as finish_module
from isthmus.model.dropout import SubjectKeyedDropout
from isthmus.model.finish import finish
from isthmus.model.kernels.unit import finish_unit
from isthmus.model.norm import WorkerBatchNorm

NORMS = {
    "batch": lambda: WorkerBatchNorm(4, momentum=0.9),
    "group": lambda: nn.GroupNorm(2, 4, eps=1e-3),
    "instance": lambda: nn.GroupNorm(4, 4, eps=1e-3),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Shapes of the maps that the one operation took; it still does its work."""
    heard: list[torch.Size] = []

    def listen(x: torch.Tensor, *others: object) -> object:
        heard.append(x.shape)
        return finish_unit(x, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(finish_module, "finish_unit", listen)
    return heard


def _dropout(share: float) -> SubjectKeyedDropout:
    layer = SubjectKeyedDropout(share)
    layer.keys = torch.tensor([3, 8])
    return layer


@pytest.mark.parametrize("activation", [nn.ELU(inplace=True), nn.ReLU(), nn.LeakyReLU(0.2)])
@pytest.mark.parametrize("share", [None, 0.0, 0.3])
@pytest.mark.parametrize("norm", sorted(NORMS))
def test_one_operation_or_three(
    norm: str, share: float | None, activation: nn.Module, calls: list[torch.Size]
) -> None:
    x = torch.randn(2, 4, 5, 6, 7, generator=torch.Generator().manual_seed(1))
    one, three = NORMS[norm](), NORMS[norm]()
    dropout = None if share is None else _dropout(share)
    results = []
    for module, kernels in ((one, "auto"), (three, "torch")):
        leaf = x.clone().requires_grad_()
        y = finish(leaf, module.train(), activation, dropout, kernels)
        y.square().sum().backward()
        gradients = [parameter.grad for parameter in module.parameters()]
        results.append([y.detach(), leaf.grad, *gradients, *module.buffers()])
    assert calls == [x.shape]
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("evaluation", lambda x, norm: (x, norm.eval(), nn.ELU())),
        ("an activation of another kind", lambda x, norm: (x, norm, nn.GELU())),
        ("a half type", lambda x, norm: (x.bfloat16(), norm.bfloat16(), nn.ELU())),
        ("double precision", lambda x, norm: (x.double(), norm.double(), nn.ELU())),
        (
            "channels last",
            lambda x, norm: (x.to(memory_format=torch.channels_last_3d), norm, nn.ELU()),
        ),
    ],
)
def test_where_there_is_none(case: str, change: object, calls: list[torch.Size]) -> None:
    x, norm, activation = change(  # type: ignore[operator]
        torch.randn(2, 4, 3, 3, 3),
        nn.GroupNorm(2, 4),
    )
    expected = activation(copy.deepcopy(norm)(x))
    torch.testing.assert_close(finish(x, norm, activation, None, "auto"), expected)
    assert not calls


def test_a_single_value_is_still_refused() -> None:
    norm = WorkerBatchNorm(4).train()
    with pytest.raises(ConfigError, match="more than one value a channel"):
        finish(torch.randn(1, 4, 1, 1, 1), norm, nn.ELU(), None, "auto")


def test_nobody_leaves_the_running_statistics(calls: list[torch.Size]) -> None:
    norm = WorkerBatchNorm(4).train()
    before = [buffer.clone() for buffer in norm.buffers()]
    y = finish(torch.empty(0, 4, 3, 3, 3), norm, nn.ELU(), None, "auto")
    assert y.shape == (0, 4, 3, 3, 3)
    assert all(torch.equal(a, b) for a, b in zip(before, norm.buffers(), strict=True))
    assert not calls
