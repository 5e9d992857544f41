import numpy as np
import pytest
from nibabel.affines import apply_affine

from isthmus.core.errors import ConfigError
from isthmus.volumes.space import Space, derive_space, mismatch, resample


def space(grid=(8, 10, 12), edge=2.0, shift=0.0):
    affine = np.diag([edge, edge, edge, 1.0])
    affine[:3, 3] = shift
    return Space(grid, affine)


def test_rounding_is_no_mismatch_but_a_shift_is():
    assert mismatch(space(shift=1e-5), space()) is None
    assert "lie 0.17" in str(mismatch(space(shift=0.1), space()))


def test_an_error_of_scale_shows_at_the_corners():
    # 0.1 % of a voxel's edge is nothing at one voxel and much across the grid.
    assert mismatch(space((100, 100, 100), 2.002), space((100, 100, 100))) is not None


def test_other_grids_and_orientations_are_named():
    assert mismatch(space((9, 10, 12)), space()) == "grid must be 8x10x12, got 9x10x12"
    flipped = Space((8, 10, 12), np.diag([-2.0, 2, 2, 1]))
    assert "axes must be RAS, got LAS" in str(mismatch(flipped, space()))


def test_derived_space_keeps_the_centre_and_the_field_of_view():
    source = Space(
        (8, 10, 12), np.array([[-1.0, 0, 0, 90], [0, 1, 0, -9], [0, 0, 1, 3], [0] * 3 + [1]])
    )
    for grid, edges in [((4, 5, 6), None), (None, (2.0, 2.0, 2.0)), ((7, 7, 7), (1.5, 1.5, 1.5))]:
        target = derive_space(source, grid, edges)
        middles = [
            apply_affine(one.affine, (np.array(one.grid) - 1) / 2) for one in (source, target)
        ]
        np.testing.assert_allclose(*middles)
        assert target.orientation == "LAS"
    assert derive_space(source, None, (2.0, 2.0, 2.0)).grid == (4, 5, 6)
    assert derive_space(source, (4, 5, 6), None).voxel_size_mm == (2, 2, 2)
    assert derive_space(source, None, None) is source


def test_impossible_voxel_sizes_are_refused():
    with pytest.raises(ConfigError, match="voxel_size_mm must be positive"):
        derive_space(space(), None, (2.0, 0.0, 2.0))
    with pytest.raises(ConfigError, match=r"grid of 4 to 1024 .* makes 1x1x1"):
        derive_space(space(), None, (50.0, 50.0, 50.0))


def test_resampling_puts_values_where_they_belong():
    source = space((20, 20, 20), 1.0)
    points = np.stack(np.meshgrid(*[np.arange(20.0)] * 3, indexing="ij"), -1)
    ramp = (points @ [1.0, 2.0, 3.0]).astype(np.float32)
    target = Space(
        (5, 5, 5), np.array([[-2.0, 0, 0, 14.5], [0, 2, 0, 5], [0, 0, 2, 5], [0, 0, 0, 1]])
    )
    moved = resample(ramp, source, target)
    places = np.stack(np.meshgrid(*[np.arange(5.0)] * 3, indexing="ij"), -1)
    np.testing.assert_allclose(moved, apply_affine(target.affine, places) @ [1, 2, 3], rtol=1e-4)


def test_coarser_grids_are_smoothed_against_aliasing():
    source, target = (
        space((24, 24, 24), 1.0),
        derive_space(space((24, 24, 24), 1.0), None, (3.0,) * 3),
    )
    noise = np.random.default_rng(0).normal(size=source.grid).astype(np.float32)
    plain = noise[1::3, 1::3, 1::3]
    smooth = resample(noise, source, target)
    assert smooth.shape == plain.shape
    assert smooth[1:-1, 1:-1, 1:-1].std() < 0.4 * plain.std()
    labels = resample((noise > 0).astype(np.float32), source, target, order=0)
    assert set(np.unique(labels)) == {0.0, 1.0}
