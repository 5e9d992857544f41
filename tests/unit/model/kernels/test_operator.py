"""The operator as PyTorch's own: checks of `torch.library`, gradients, autocast, compilation."""

import copy
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from exact_convolution import Case, tensors_of

from isthmus.model.convolution import SameConv3d
from isthmus.model.kernels import operator
from isthmus.model.kernels.choice import convolve

CASES = {
    "few channels": Case(2, 1, 2, 3, (4, 3, 5), (3, 2, 3), (1, 0, 1), (1, 1, 1)),
    "strided": Case(2, 1, 2, 3, (4, 3, 5), (3, 2, 3), (1, 0, 1), (1, 1, 1), stride=2),
    "groups": Case(1, 2, 2, 2, (3, 4, 4)),
    "depthwise": Case(2, 3, 1, 2, (3, 4, 4)),
    "many channels": Case(1, 1, 4, 17, (2, 2, 2)),
    "channels last": Case(2, 1, 2, 3, (4, 3, 5), x_layout="channels last"),
}


def _arguments(case: Case) -> tuple[list[torch.Tensor | None], tuple[Any, ...]]:
    """Make the operator's tensors, gradients wanted, and its sizes."""
    x, weight, bias, _dy = tensors_of(case)
    tensors = [t if t is None else t.requires_grad_() for t in (x, weight, bias)]
    return tensors, (case.before, case.after, case.stride, case.groups)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_opcheck(name: str, bias: bool, dtype: torch.dtype) -> None:
    case = replace(CASES[name], bias=bias, dtype=dtype)
    (x, weight, added), sizes = _arguments(case)
    operators = torch.ops.isthmus
    torch.library.opcheck(operators.convolution, (x, weight, added, *sizes))
    dy = tensors_of(case)[3]
    assert x is not None
    assert weight is not None
    given = (dy, x.detach(), weight.detach(), *sizes)
    torch.library.opcheck(operators.convolution_input, given)
    torch.library.opcheck(operators.convolution_weight, given)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    case = replace(CASES[name], dtype=torch.float64)
    if name == "many channels":
        case = replace(case, n_in=2, n_out=5, kernel=(2, 1, 2), before=(0, 0, 0), after=(1, 0, 1))
    tensors, sizes = _arguments(case)
    assert torch.autograd.gradcheck(lambda *given: convolve(*given, *sizes), tensors)


def test_gradients_of_gradients_are_refused() -> None:
    (x, weight, bias), sizes = _arguments(CASES["few channels"])
    assert x is not None
    assert weight is not None
    y = convolve(x, weight, bias, *sizes)
    for leaf in (x, weight):
        (gradient,) = torch.autograd.grad(y.square().sum(), leaf, create_graph=True)
        with pytest.raises(RuntimeError, match=r"first order only.*model\.kernels: torch"):
            gradient.square().sum().backward()


@pytest.mark.parametrize("given", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("groups", [1, 4])
def test_autocast_gives_the_type_that_pytorch_gives(
    groups: int, cast: torch.dtype, given: torch.dtype
) -> None:
    layer = SameConv3d(4, 4, (3, 3, 3), groups=groups).to(given)
    x = torch.randn(1, 4, 5, 5, 5, dtype=given, requires_grad=True)
    with torch.autocast("cpu", dtype=cast):
        y = layer(x)
        expected = F.conv3d(x, layer.weight, layer.bias, padding=1, groups=groups)
    assert y.dtype == expected.dtype == (torch.float64 if given == torch.float64 else cast)
    torch.testing.assert_close(y, expected)
    y.double().square().sum().backward()
    assert [t.grad.dtype for t in (x, layer.weight, layer.bias)] == [given] * 3


@pytest.mark.parametrize("groups", [1, 4])
def test_autocast_computes_gradients(groups: int) -> None:
    layer = SameConv3d(4, 4, (3, 4, 3), groups=groups)
    x = torch.rand(1, 4, 5, 5, 5, requires_grad=True)
    leaves = (x, layer.weight, layer.bias)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    sixteen = torch.autograd.grad(y.float().square().sum(), leaves)
    for one, other in zip(
        sixteen, torch.autograd.grad(layer(x).square().sum(), leaves), strict=True
    ):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.02 * other.norm()


@pytest.mark.parametrize(
    "types",
    [
        (torch.float64, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float32),
        (torch.float32, torch.float32, torch.float64),
        (torch.bfloat16, torch.float32, torch.float32),
    ],
)
def test_several_types_are_refused(types: Sequence[torch.dtype]) -> None:
    (x, weight, bias), sizes = _arguments(CASES["few channels"])
    mixed = [t.to(dtype) for t, dtype in zip((x, weight, bias), types, strict=True)]
    with pytest.raises(TypeError, match=r"must be of one type, got torch\..* and torch\."):
        convolve(*mixed, *sizes)


@pytest.mark.parametrize(
    ("case", "kernel"),
    [
        (Case(), (1, 2, 3, 3, 3)),  # channels
        (Case(before=(3, 1, 1)), (1, 1, 3, 3, 3)),  # more zeros than the kernel reaches
        (Case(after=(1, -1, 1)), (1, 1, 3, 3, 3)),
        (Case(grid=(1, 5, 6), before=(0, 1, 1)), (1, 1, 3, 3, 3)),  # no room
    ],
)
def test_sizes_that_do_not_fit_are_refused(case: Case, kernel: tuple[int, ...]) -> None:
    x = torch.zeros(1, 1, *case.grid)
    with pytest.raises(ValueError, match=r"must have the kernel's channels.*got input") as refusal:
        convolve(x, torch.zeros(kernel), None, case.before, case.after)
    assert str(kernel) in str(refusal.value)


def test_no_grad_and_inference() -> None:
    layer, x = SameConv3d(2, 3, (3, 4, 3)).eval(), torch.randn(1, 2, 5, 5, 5)
    y = layer(x)
    assert y.requires_grad
    with torch.no_grad():
        assert not layer(x).requires_grad
        assert torch.equal(layer(x), y)
    with torch.inference_mode():
        assert torch.equal(layer(x), y)


@pytest.mark.parametrize("kernels", ["auto", "torch"])
def test_copies_and_state(kernels: Any) -> None:
    layer, x = SameConv3d(2, 3, (3, 4, 3), kernels=kernels), torch.randn(1, 2, 5, 5, 5)
    twin = copy.deepcopy(layer)
    assert twin.kernels == kernels
    assert torch.equal(twin(x), layer(x))
    other = SameConv3d(2, 3, (3, 4, 3))
    other.load_state_dict(layer.state_dict())
    assert set(layer.state_dict()) == {"weight", "bias"}
    torch.testing.assert_close(other(x), layer(x))


class _Two(torch.nn.Module):
    """A depthwise convolution of even edges, then one of channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = SameConv3d(channels, channels, (3, 4, 3), groups=channels)
        self.second = SameConv3d(channels, 17, (3, 3, 3), bias=False)  # few to many

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.elu(self.second(F.elu(self.first(x))))


@pytest.fixture
def compiler(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The name of a compiler of PyTorch's that works here."""
    if request.param == "inductor":
        if shutil.which("g++") is None and shutil.which("clang++") is None:
            pytest.skip("needs a C++ compiler: install g++")
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    return str(request.param)


@pytest.mark.parametrize(
    ("compiler", "channels", "last"),
    [
        ("aot_eager", 2, False),
        ("aot_eager", 2, True),
        ("aot_eager", 4, False),
        ("inductor", 4, True),
    ],
    indirect=["compiler"],
)
# Said by PyTorch of its own code.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_by_pytorch(compiler: str, channels: int, last: bool) -> None:
    model = _Two(channels)
    compiled = torch.compile(model, fullgraph=True, backend=compiler)
    # The second time, with any number of them.
    for n_subjects in (2,) if compiler == "inductor" else (2, 3):
        x = torch.randn(n_subjects, channels, 5, 6, 7)
        if last:
            x = x.to(memory_format=torch.channels_last_3d)
        x.requires_grad_()
        leaves = (x, *model.parameters())
        y, expected = compiled(x), model(x)
        torch.testing.assert_close(y, expected)
        found = torch.autograd.grad(y.square().sum(), leaves)
        expected = torch.autograd.grad(expected.square().sum(), leaves)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "groups", "stride"),
    [((4, 2, 3, 3, 3), 1, 1), ((2, 1, 3, 9, 3), 2, 1), ((2, 1, 3, 3, 3), 2, 3)],
)
def test_what_there_is_no_program_for_on_a_gpu_is_refused(
    shape: tuple[int, ...], groups: int, stride: int
) -> None:
    x, weight = torch.zeros(1, 2, 9, 9, 9), torch.zeros(shape)
    sizes = ((1, 1, 1), (1, 1, 1), stride, groups)
    for call in (
        lambda: operator._on_gpu(x, weight, None, *sizes),
        lambda: operator._input_on_gpu(x, x, weight, *sizes),
        lambda: operator._weight_on_gpu(x, x, weight, *sizes),
    ):
        with pytest.raises(ValueError, match="On a GPU a convolution must be depthwise"):
            call()
