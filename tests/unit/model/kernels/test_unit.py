from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.model.kernels import unit_loops
from isthmus.model.kernels.unit import UnitRecipe, finish_unit
from isthmus.model.norm import EPSILON

Tensors = tuple[torch.Tensor, ...]
ACTIVATIONS: dict[str, tuple[int, float, Callable[[torch.Tensor], torch.Tensor]]] = {
    "elu": (unit_loops.ELU, 0.0, F.elu),
    "relu": (unit_loops.LEAKY_RELU, 0.0, F.relu),
    "leaky_relu": (unit_loops.LEAKY_RELU, 0.01, F.leaky_relu),
}


def _expected(
    leaves: Tensors, kept: torch.Tensor | None, groups: int, activation: str, factor: float
) -> torch.Tensor:
    x, weight, bias = leaves
    if groups:
        normal = F.group_norm(x, groups, weight, bias, EPSILON)
    else:
        normal = F.batch_norm(x, None, None, weight, bias, True, 0.1, EPSILON)
    active = ACTIVATIONS[activation][2](normal)
    return active if kept is None else active * kept * factor


def _error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


@given(
    shape=st.tuples(
        st.integers(1, 3),
        st.sampled_from([1, 2, 4, 6]),
        st.integers(1, 9),
        st.integers(1, 9),
        st.integers(1, 40),
    ),
    groups=st.sampled_from([0, 1, 2]),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    drops=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_one_operation_is_three(
    shape: tuple[int, ...], groups: int, activation: str, drops: bool, seed: int
) -> None:
    batch, n_channels, *grid = shape
    groups = groups if groups and n_channels % groups == 0 else 0
    if batch * grid[0] * grid[1] * grid[2] < 4:
        grid = [2, 2, 2]
    stream = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, n_channels, *grid, generator=stream) * 3.0 + 1.0
    weight, bias, dy = (
        torch.rand(size, generator=stream) + 0.2 for size in (n_channels, n_channels, x.shape)
    )
    dy = dy - 0.7
    kept = torch.rand(x.shape, generator=stream) > 0.2 if drops else None
    kind, slope, _ = ACTIVATIONS[activation]
    factor = 1.25 if drops else 1.0

    exact = tuple(t.double().requires_grad_() for t in (x, weight, bias))
    expected = _expected(exact, kept, groups, activation, factor)
    expected_gradients = torch.autograd.grad(expected, exact, dy.double())
    leaves = tuple(t.clone().requires_grad_() for t in (x, weight, bias))
    recipe = UnitRecipe(kind, slope, groups, EPSILON, factor)
    y, mean_R, variance_R = finish_unit(*leaves, kept, recipe)
    found_gradients = torch.autograd.grad(y, leaves, dy)

    assert _error(y.detach(), expected.detach()) < 1e-6
    if activation == "elu":  # the others' slopes jump where rounding decides the side
        for found, wanted in zip(found_gradients, expected_gradients, strict=True):
            # Gradients that cancel leave rounding: it is measured by what is added up.
            scale = max(float(wanted.abs().max()), float(dy.abs().sum()) / x.numel())
            assert float((found.double() - wanted).abs().max()) < 1e-5 * scale + 1e-9
    if groups == 0:
        values = x.double().transpose(0, 1).flatten(1)
        torch.testing.assert_close(mean_R[:n_channels], values.mean(dim=1))
        torch.testing.assert_close(variance_R[:n_channels], values.var(dim=1, correction=0))


@pytest.mark.parametrize("groups", [0, 2])
def test_threads_change_no_bit(groups: int) -> None:
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 9, 33, 70, generator=stream)
    kept = torch.rand(x.shape, generator=stream) > 0.1
    recipe = UnitRecipe(unit_loops.ELU, 0.0, groups, EPSILON, 1.1)

    def run(n_threads: int) -> Tensors:
        before = torch.get_num_threads()
        torch.set_num_threads(n_threads)
        try:
            leaves = [
                t.clone().requires_grad_() for t in (x, torch.full((4,), 1.5), torch.zeros(4))
            ]
            y = finish_unit(*leaves, kept, recipe)[0]
            return (y.detach(), *torch.autograd.grad(y, leaves, x.cos()))
        finally:
            torch.set_num_threads(before)

    for one, many in zip(run(1), run(3), strict=True):
        assert torch.equal(one, many)


def test_the_exponential_below_zero() -> None:
    # Normalised by itself, a map of two values is that map: mean 0, deviation 1 but for epsilon.
    u = -torch.logspace(-6, 2, 4001)
    x = torch.cat([u, -u]).view(1, 1, 1, 1, -1)
    scale = torch.sqrt(x.double().square().mean() + EPSILON).float()
    recipe = UnitRecipe(unit_loops.ELU, 0.0, 0, EPSILON, 1.0)
    y = finish_unit(x, scale.view(1), torch.zeros(1), None, recipe)[0].flatten()
    expected = torch.expm1(u.double())
    assert float(((y[: len(u)].double() - expected) / expected).abs().max()) < 2e-6


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_not_hidden(activation: str, broken: float) -> None:
    kind, slope, _ = ACTIVATIONS[activation]
    x = torch.randn(1, 2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    x[0, 1, 2, 2, 2] = broken
    y = finish_unit(
        x, torch.ones(2), torch.zeros(2), None, UnitRecipe(kind, slope, 0, EPSILON, 1.0)
    )[0]
    assert torch.isfinite(y[0, 0]).all()
    assert not torch.isfinite(y[0, 1]).any()
