"""Every plan that there is, forced on problems it suits, sums what PyTorch sums."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from exact_convolution import Case, check, tensors_of

from isthmus.model.kernels import cpu, gradient_plans, lanes, plans
from isthmus.model.kernels.blocks import CHANNEL_BLOCKS, N_OFFSETS, VOXEL_BLOCKS
from isthmus.model.kernels.gradient_plans import ChannelGradientPlan, GradientPlan, plan_gradient
from isthmus.model.kernels.operator import problem_of
from isthmus.model.kernels.plans import halves, plan_convolution
from isthmus.model.kernels.problem import Problem

ROOT = Path(__file__).resolve().parents[4]

CASES = {
    "depthwise": Case(2, 3, 1, 1, (7, 9, 21), (3, 4, 5), (1, 1, 2), (1, 2, 2)),
    "depthwise, doubled": Case(1, 3, 1, 2, (5, 6, 7), (2, 3, 3), (0, 1, 1), (1, 1, 1)),
    "depthwise, rows of whole blocks": Case(1, 2, 1, 1, (3, 8, 128)),
    "few channels": Case(2, 1, 3, 5, (7, 9, 21), (5, 6, 5), (2, 2, 2), (2, 3, 2)),
    "many channels": Case(2, 1, 5, 19, (4, 5, 6), (3, 2, 3), (1, 0, 1), (1, 1, 1)),
    "groups of many": Case(1, 2, 4, 18, (3, 4, 5)),
    "wider than a block": Case(1, 1, 6, 70, (2, 3, 4)),
    "shallow": Case(1, 1, 4, 16, (1, 2, 3), (3, 5, 7), (2, 2, 3), (0, 2, 3)),
}
TILES = {"whole": plans.TILE_BYTES, "cut": 6000}  # bytes; what is cut is cut along H, too


def _problem(case: Case) -> Problem:
    """Describe a case as the planners read it."""
    x, weight, _bias, _dy = tensors_of(case)
    return problem_of(x, weight, (case.before, case.after, 1, case.groups))


def _forget() -> None:
    """Have plans made anew."""
    plan_convolution.cache_clear()
    plan_gradient.cache_clear()


@pytest.fixture(autouse=True)
def _own_plans() -> Iterator[None]:
    """Keep no plan made here."""
    _forget()
    yield
    _forget()


def _force(
    patch: pytest.MonkeyPatch,
    tile_bytes: int,
    shape: plans.Shape | None = None,
    voxels: tuple[int, bool] | None = None,
    channels: tuple[int, int] | None = None,
) -> None:
    """Leave the planners one shape each to choose from, and so much room for a tile."""
    for module in (plans, gradient_plans):
        patch.setattr(module, "TILE_BYTES", tile_bytes)
        if tile_bytes == TILES["cut"]:
            patch.setattr(module, "halves", lambda edge, least: halves(edge, least)[-1:])
    if shape is not None:
        patch.setattr(plans, "_shapes", lambda problem: [shape])
    if voxels is not None:
        patch.setattr(gradient_plans, "_voxel_shapes", lambda problem: [voxels])
        patch.setattr(gradient_plans, "_channel_shapes", lambda problem: [])
    if channels is not None:
        patch.setattr(gradient_plans, "_channel_shapes", lambda problem: [channels])
        patch.setattr(gradient_plans, "_voxel_cost", lambda *given: float("inf"))
    _forget()


def _forward_shapes() -> list[tuple[str, plans.Shape]]:
    """List every shape that values or input gradients of a case may be computed with."""
    found = []
    for name, case in CASES.items():
        problem = _problem(case)
        shapes = {*plans._shapes(problem), *plans._shapes(problem.mirrored())}
        found += [(name, shape) for shape in sorted(shapes)]
    return found


def _gradient_shapes() -> list[tuple[str, str, tuple[int, int]]]:
    """List every shape that kernel gradients of a case may be computed with."""
    found: list[tuple[str, str, tuple[int, int]]] = []
    for name, case in CASES.items():
        problem = _problem(case)
        found += [(name, "voxels", shape) for shape in gradient_plans._voxel_shapes(problem)]
        found += [(name, "channels", shape) for shape in gradient_plans._channel_shapes(problem)]
    return found


def test_the_cases_suit_every_shape() -> None:
    met = {shape for _name, shape in _forward_shapes()}
    voxels = {(*block, False, False) for block in VOXEL_BLOCKS}
    shared = {(*block, True, False) for block in VOXEL_BLOCKS if block[0] in (2, 4)}
    channels = {(*block, False, True) for block in CHANNEL_BLOCKS}
    assert met == voxels | shared | channels
    met_gradients = {(kind, shape) for _name, kind, shape in _gradient_shapes()}
    assert met_gradients == {
        *(("voxels", (rows, False)) for rows in N_OFFSETS),
        *(("voxels", (rows, True)) for rows in N_OFFSETS if rows > 1),
        *(("channels", block) for block in CHANNEL_BLOCKS),
    }


@pytest.mark.parametrize("tiles", TILES)
@pytest.mark.parametrize(("name", "shape"), _forward_shapes())
def test_every_shape(
    name: str, shape: plans.Shape, tiles: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _force(monkeypatch, TILES[tiles], shape)
    case = CASES[name]
    check(case)
    check(replace(case, dy_layout="channels last", x_layout="cropped", bias=False))
    tiling = plan_convolution(_problem(case), 1).tiling
    assert (tiling.rows, tiling.vectors) == shape[:2]


@pytest.mark.parametrize("tiles", TILES)
@pytest.mark.parametrize(("name", "kind", "shape"), _gradient_shapes())
def test_every_shape_of_gradients(
    name: str, kind: str, shape: tuple[int, int], tiles: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force = partial(_force, monkeypatch, TILES[tiles])
    force(**{kind: shape})
    case = CASES[name]
    check(case)
    found = check(replace(case, x_layout="channels last", dy_layout="expanded"))
    assert found.d_weight.is_contiguous(), "as torch.compile is told"
    plan = plan_gradient(_problem(case))
    assert isinstance(plan, GradientPlan if kind == "voxels" else ChannelGradientPlan)


def test_several_tiles_along_both_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(2, 1, 2, 3, (13, 23, 17), (5, 6, 5), (2, 2, 2), (2, 3, 2))
    _force(monkeypatch, 30_000)
    tiling = plan_convolution(_problem(case), 1).tiling
    of_gradient = plan_gradient(_problem(case)).tiling
    assert isinstance(of_gradient, gradient_plans.GradientTiling)
    for p in (tiling, of_gradient):
        assert min(p.d_tiles, p.h_tiles) > 1
        assert p.h_tiles * p.tile_rows > 23, "the last tile is cut"
    assert of_gradient.parts < of_gradient.batch * of_gradient.d_tiles * of_gradient.h_tiles
    check(case)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_plans_of_real_models(dtype: torch.dtype) -> None:
    # The first levels' shapes, at grids that are several tiles as they come.
    check(Case(1, 1, 2, 2, (24, 40, 40), (5, 6, 5), (2, 2, 2), (2, 3, 2), dtype=dtype))
    check(Case(1, 4, 1, 1, (24, 40, 40), (5, 6, 5), (2, 2, 2), (2, 3, 2), dtype=dtype))
    check(Case(1, 1, 16, 16, (8, 12, 8), (3, 3, 3), dtype=dtype))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_within_reach(  # of the kernel, but for rows of one block
    name: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = replace(CASES[name], bias=False)
    x, weight, _bias, dy = tensors_of(case)
    problem = _problem(case)

    def reached(given: torch.Tensor, sizes: Problem) -> tuple[slice, ...]:
        """Find the outputs that one voxel is summed into."""
        middle = [edge // 2 for edge in sizes.in_grid]
        given[0, 0, middle[0], middle[1], middle[2]] = value
        axes = zip(middle, sizes.before, sizes.kernel, strict=True)
        ends = [(max(0, place + b - k + 1), place + b + 1) for place, b, k in axes]
        return (slice(0, 1), slice(0, sizes.n_out), *(slice(low, high) for low, high in ends))

    of_y, of_dx = reached(x, problem), reached(dy, problem.mirrored())
    for shape in {*plans._shapes(problem), *plans._shapes(problem.mirrored())}:
        _force(monkeypatch, TILES["whole"], shape)
        y = cpu.convolve(x, weight, None, problem)
        dx = cpu.input_gradient(dy, weight, problem)
        for found, within in ((y, of_y), (dx, of_dx)):
            spoilt = ~found.isfinite()
            assert spoilt[within].all()
            # Rows that are summed together read all of each other's rows, if only times zero.
            more = shape.rows - 1 if shape.shared else 0
            rows = slice(max(0, within[3].start - more), within[3].stop + more)
            spoilt[(*within[:3], rows, within[4])] = False
            assert not spoilt.any(), f"{shape}: {spoilt.nonzero().tolist()}"


@pytest.mark.parametrize(
    ("vector_bytes", "features"),
    [(32, "+avx2,+fma,+avx,+sse4.2"), (16, "+fma,+avx,+sse4.2")],
)
def test_other_processors(vector_bytes: int, features: str) -> None:
    """Run this file as a script, compiled for a processor of smaller vectors."""
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        pytest.skip("needs an x86 processor with AVX2")
    added = {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": features,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join((str(ROOT / "platform"), str(ROOT / "tests"))),
    }
    done = subprocess.run(
        [sys.executable, __file__, str(vector_bytes)], env=os.environ | added,
        capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "all shapes agree" in done.stdout


def _check_all(vector_bytes: int) -> None:
    """Check all shapes with the vectors that this process compiles for."""
    assert vector_bytes == lanes.VECTOR_BYTES
    assert not lanes.MANY_REGISTERS
    test_the_cases_suit_every_shape()
    for name, shape in _forward_shapes():
        with pytest.MonkeyPatch.context() as patch:
            _force(patch, TILES["cut"], shape)
            check(CASES[name])
    for name, kind, block in _gradient_shapes():
        with pytest.MonkeyPatch.context() as patch:
            _force(patch, TILES["cut"], **{kind: block})
            check(CASES[name])
    print("all shapes agree")


if __name__ == "__main__":
    torch.set_num_threads(1)
    _check_all(int(sys.argv[1]))
