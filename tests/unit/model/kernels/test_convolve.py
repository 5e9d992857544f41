"""Values and gradients against PyTorch's in float64, in memory that is full of NaN."""

from dataclasses import replace

import pytest
import torch
from exact_convolution import (
    LAYOUTS,
    Case,
    cases,
    check,
    computed,
    laid_out,
    poisoned,
    reference,
    relative_error,
    tensors_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.model.kernels.choice import convolve

PAPER = Case(2, 3, 1, 2, (9, 10, 11), (5, 6, 5), (2, 2, 2), (2, 3, 2))
NAMED = {
    "a voxel": Case(grid=(1, 1, 1), kernel=(1, 1, 1), before=(0, 0, 0), after=(0, 0, 0)),
    "grid below the kernel": Case(2, 1, 3, 5, (2, 1, 3), (7, 6, 5), (3, 5, 2), (3, 5, 4)),
    "no padding": Case(1, 1, 2, 3, (7, 6, 9), (3, 2, 4), (0, 0, 0), (0, 0, 0)),
    "padding after alone": Case(1, 2, 1, 1, (5, 4, 3), (3, 4, 2), (0, 0, 0), (2, 3, 1)),
    "the paper's": PAPER,
    "many channels": Case(1, 1, 33, 65, (3, 4, 5)),
    "long rows": Case(1, 1, 2, 4, (2, 3, 70), (2, 3, 5), (0, 1, 2), (1, 1, 2)),
    "no subject": Case(0, 1, 2, 3),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("name", NAMED)
def test_named_shapes(name: str, stride: int, dtype: torch.dtype) -> None:
    check(replace(NAMED[name], stride=stride, dtype=dtype))


@settings(max_examples=100)
@given(case=cases(), seed=st.integers(0, 2**31))
def test_any_shape(case: Case, seed: int) -> None:
    check(case, seed)


@pytest.mark.parametrize("dy_layout", LAYOUTS)
@pytest.mark.parametrize("x_layout", LAYOUTS)
@pytest.mark.parametrize("case", [PAPER, Case(2, 1, 5, 18, (4, 5, 6))])
def test_layouts(case: Case, x_layout: str, dy_layout: str) -> None:
    case = replace(case, x_layout=x_layout, dy_layout=dy_layout)
    found = check(case)
    last = torch.channels_last_3d
    for tensor in (found.y, found.dx):
        assert tensor.is_contiguous(
            memory_format=last if x_layout == "channels last" else torch.contiguous_format
        )


@pytest.mark.parametrize("layout", ["channels last", "turned"])
def test_a_kernel_may_be_laid_out_in_any_way(layout: str) -> None:
    x, weight, bias, dy = tensors_of(PAPER)
    weight = laid_out(weight, layout).requires_grad_()
    y = convolve(x, weight, bias, PAPER.before, PAPER.after, 1, PAPER.groups)
    (d_weight,) = torch.autograd.grad(y, weight, dy)
    expected = reference(PAPER)
    assert relative_error(y.detach(), expected.y) <= 1e-6
    assert relative_error(d_weight, expected.d_weight) <= 1e-6


def test_sums_of_many_terms_round_little() -> None:
    # 64 channels of 343 voxels: 21,952 terms to an output, and 64,000 voxels to a kernel's.
    check(Case(1, 1, 64, 2, (8, 8, 8), (7, 7, 7), (3, 3, 3), (3, 3, 3)))
    check(Case(1, 1, 2, 64, (8, 8, 8), (7, 7, 7), (3, 3, 3), (3, 3, 3)))
    check(Case(1, 1, 2, 2, (40, 40, 40), (1, 2, 1), (0, 0, 0), (0, 1, 0)))
    check(Case(3, 2, 1, 1, (40, 40, 40), (1, 2, 2), (0, 0, 0), (0, 1, 1)))


def test_sums_of_one_sign_round_little() -> None:
    # Where nothing cancels, errors of one sign would add up.
    x, weight = torch.rand(1, 32, 9, 9, 9), torch.rand(4, 32, 7, 7, 7)
    x.requires_grad_(), weight.requires_grad_()
    y = convolve(x, weight, None, (3, 3, 3), (3, 3, 3))
    found = (y, *torch.autograd.grad(y, (x, weight), torch.ones_like(y)))
    x_64, weight_64 = (tensor.detach().double().requires_grad_() for tensor in (x, weight))
    y = torch.nn.functional.conv3d(x_64, weight_64, padding=3)
    expected = (y, *torch.autograd.grad(y, (x_64, weight_64), torch.ones_like(y)))
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one.detach(), other.detach()) <= 1e-6


@pytest.mark.parametrize("wanted", range(3))
def test_only_the_gradients_that_are_wanted(wanted: int) -> None:
    case = replace(PAPER, stride=2)
    leaves = tensors_of(case)[:3]
    assert leaves[2] is not None
    with poisoned():
        leaves[wanted].requires_grad_()
        y = convolve(*leaves, case.before, case.after, 2, case.groups)
        y.backward(tensors_of(case)[3])
    for i, name in enumerate(("dx", "d_weight", "d_bias")):
        if i == wanted:
            expected = reference(case).tensors()[name]
            assert relative_error(leaves[i].grad, expected) <= 1e-6
        else:
            assert leaves[i].grad is None


def test_lazily_negated_images() -> None:
    x = torch.randn(1, 2, 5, 5, 5, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    weight = torch.randn(2, 2, 3, 3, 3)
    y = convolve(x, weight, None, (1, 1, 1), (1, 1, 1))
    expected = convolve(x.resolve_neg(), weight, None, (1, 1, 1), (1, 1, 1))
    assert torch.equal(y, expected)


@pytest.mark.parametrize("kernels", ["auto", "torch"])
def test_what_the_setting_chooses_agrees(kernels: str) -> None:
    for name, case in NAMED.items():
        found, expected = computed(case, kernels=kernels), reference(case)
        for key, tensor in found.tensors().items():
            assert relative_error(tensor, expected.tensors()[key]) <= 1e-6, name
