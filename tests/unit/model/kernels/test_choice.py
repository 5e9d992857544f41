"""Which convolution is used, what is said of it, and that both agree."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_convolution import Case, computed, reference, relative_error
from torch.utils._python_dispatch import TorchDispatchMode

from isthmus.model.convolution import SameConv3d
from isthmus.model.families import FusionModel
from isthmus.model.kernels import choice
from isthmus.model.kernels.choice import FEW_CHANNELS, LONGEST_EDGE, why_torch

ROOT = Path(__file__).resolve().parents[4]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class _Called(TorchDispatchMode):
    """Keeps the names of all operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(func.name())
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what was said before."""
    monkeypatch.setattr(choice, "_said", set())


def _called(case: Case, kernels: str) -> set[str]:
    with _Called() as called:
        computed(case, kernels=kernels)
    return called.names


@pytest.mark.parametrize("case", [Case(1, 1, 2, 3), Case(1, 3, 1, 1), Case(1, 2, 2, 2, stride=2)])
def test_the_setting_chooses(case: Case) -> None:
    ours = {f"isthmus::convolution{part}" for part in ("", "_input", "_weight")}
    auto, own = _called(case, "auto"), _called(case, "torch")
    assert ours <= auto
    assert not any("aten::convolution" in name for name in auto)
    assert not any(name.startswith("isthmus::") for name in own)
    assert any("aten::convolution" in name for name in own)


def test_many_channels_are_pytorchs_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    few = FEW_CHANNELS - 1
    with caplog.at_level(logging.INFO, "isthmus.model"):
        for n_in, n_out in ((few, 40), (40, few)):
            assert "isthmus::convolution" in _called(Case(2, 1, n_in, n_out, (2, 2, 2)), "auto")
        names = _called(Case(2, 1, few + 1, few + 1, (2, 2, 2)), "auto")
    assert not any(name.startswith("isthmus::") for name in names)
    assert caplog.messages == []


def test_a_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    wide = Case(1, 1, 1, 1, (3, 3, 40), (1, 1, LONGEST_EDGE + 2), (0, 0, 7), (0, 0, 9))
    with caplog.at_level(logging.INFO, "isthmus.model"):
        for _ in range(3):
            found = computed(wide, kernels="auto")
        x = torch.randn(1, 2, 4, 4, 4, dtype=torch.complex64)
        weight = torch.randn(2, 2, 3, 3, 3, dtype=torch.complex64)
        for _ in range(2):
            y = choice.convolve(x, weight, None, (1, 1, 1), (1, 1, 1))
    assert caplog.messages == [
        "convolutions are left to PyTorch: a kernel's edge of 17 is beyond 15",
        "convolutions are left to PyTorch: there are none for torch.complex64",
    ]
    expected = reference(wide).tensors()
    for name, tensor in found.tensors().items():
        assert relative_error(tensor, expected[name]) <= 1e-6
    torch.testing.assert_close(y, torch.nn.functional.conv3d(x, weight, padding=1))


def test_a_description_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "isthmus.model"), torch.device("meta"):
        x, weight = torch.empty(2, 4, 6, 6, 6, requires_grad=True), torch.empty(4, 4, 3, 4, 3)
        y = choice.convolve(x, weight, None, (1, 1, 1), (1, 2, 1))
    assert y.grad_fn is not None
    assert (y.shape, y.device.type) == ((2, 4, 6, 6, 6), "meta")
    assert "convolution_default" in y.grad_fn.name(), "as on the CPU: no padded copy is kept"
    assert caplog.messages == []


@pytest.mark.parametrize("edge", [1, 2, 7, 8, LONGEST_EDGE])
def test_every_edge_up_to_the_longest_has_kernels(edge: int) -> None:
    case = Case(1, 1, 2, 3, (4, 4, 20), (1, 2, edge), (0, 1, edge - 1), (0, 0, edge // 2))
    assert "isthmus::convolution" in _called(case, "auto")
    found, expected = computed(case, kernels="auto").tensors(), reference(case).tensors()
    for name, tensor in found.items():
        assert relative_error(tensor, expected[name]) <= 1e-6


DEPTHWISE, DENSE = (8, 1, 3, 3, 3), (8, 8, 3, 3, 3)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((CPU, torch.float32, DENSE, 1, 1), None),
        ((CPU, torch.float16, DEPTHWISE, 8, 3), None),
        ((CPU, torch.int64, DENSE, 1, 1), "there are none for torch.int64"),
        ((torch.device("mps"), torch.float32, DENSE, 1, 1), "there are none for devices of type"),
        ((CUDA, torch.float32, DENSE, 1, 1), ""),
        ((CUDA, torch.float32, (8, 1, 1, 1, 1), 8, 1), ""),
        ((CUDA, torch.float32, (8, 1, 9, 3, 3), 8, 1), "edge 9 and stride 1 is beyond"),
        ((CUDA, torch.float32, DEPTHWISE, 8, 3), "edge 3 and stride 3 is beyond"),
        ((CUDA, torch.float64, DEPTHWISE, 8, 1), "none in Triton for float64"),
    ],
)
def test_reasons(given: Any, reason: str | None) -> None:
    found = why_torch(*given)
    assert found == reason if not reason else found is not None and reason in found


def test_a_gpu_without_triton_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (CUDA, torch.float32, DEPTHWISE, 8, 1)
    monkeypatch.setattr(choice, "unavailable", lambda device: "Triton is not installed")
    assert why_torch(*given) == "Triton is not installed"
    monkeypatch.setattr(choice, "unavailable", lambda device: None)
    assert why_torch(*given) is None


def test_a_processor_that_does_not_multiply_and_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "MULTIPLIES_AND_ADDS", False)
    names = _called(Case(1, 1, 2, 3), "auto")
    assert not any(name.startswith("isthmus::") for name in names)


SCRIPT = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
import torch
from isthmus.model.kernels.choice import convolve
x, weight = torch.ones(1, 1, 3, 3, 3), torch.ones(1, 1, 3, 3, 3)
print("middle", convolve(x, weight, None, (1, 1, 1), (1, 1, 1))[0, 0, 1, 1, 1].item())
"""


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NUMBA_DISABLE_JIT": "1"}, "numba's compiler is switched off (NUMBA_DISABLE_JIT)"),
        (
            {"NUMBA_CPU_NAME": "generic"},
            "this processor has no instruction that multiplies and adds",
        ),
    ],
)
def test_without_a_compiler_for_it(variables: dict[str, str], said: str) -> None:
    if "NUMBA_CPU_NAME" in variables and not torch.backends.cpu.get_cpu_capability().startswith(
        "AVX"
    ):
        pytest.skip("needs an x86 processor with AVX2")
    environment = os.environ | variables | {"PYTHONPATH": str(ROOT / "platform")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert f"convolutions are left to PyTorch: {said}" in done.stdout
    assert "middle 27.0" in done.stdout


@pytest.mark.parametrize("kernels", ["auto", "torch"])
@pytest.mark.parametrize(
    "settings",
    [
        {"convolution": "standard"},
        {"convolution": "separable"},
        *(
            {"fusion": {"operation": name}}
            for name in ("gated", "attention", "tensor", "calibration")
        ),
    ],
    ids=str,
)
def test_the_setting_reaches_every_convolution_of_a_model(
    settings: dict[str, Any],
    kernels: str,
    build: Callable[..., FusionModel],
    images: Callable[..., torch.Tensor],
) -> None:
    model = build(kernels=kernels, **settings)
    layers = [module for module in model.modules() if isinstance(module, SameConv3d)]
    assert len(layers) == sum(isinstance(m, torch.nn.Conv3d) for m in model.modules()) > 4
    assert {layer.kernels for layer in layers} == {kernels}
    with _Called() as called:
        model(images(2, 2, 8, 8, 8)).y_BMDHW.sum().backward()
    assert any(name.startswith("isthmus::conv") for name in called.names) == (kernels == "auto")
    assert any("aten::convolution" in name for name in called.names) == (kernels == "torch")


def test_a_model_computes_the_same_with_either(
    build: Callable[..., FusionModel], images: Callable[..., torch.Tensor]
) -> None:
    x, found = images(2, 2, 8, 8, 8), []
    for kernels in ("auto", "torch"):
        model = build(kernels=kernels).eval()
        y = model(x).logits_BMDHW
        y.square().mean().backward()
        found.append([y.detach(), *(p.grad for p in model.parameters())])
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm() + 1e-6
