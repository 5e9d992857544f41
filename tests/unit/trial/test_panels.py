"""Panels: the right slices, kept without pickled objects."""

import numpy as np

from isthmus.trial.panels import cut_panel, load_panels, save_panels

MODALITIES = ("T1w", "FA")


def volumes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.random((2, 6, 7, 8), dtype=np.float32)
    y = generator.random((2, 6, 7, 8), dtype=np.float32)
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[2:5, 1:4, 3:6] = True
    return x, y, mask


def test_planes_go_through_the_middle_of_the_mask():
    x, y, mask = volumes()
    panel = cut_panel("sub-1", "median error", MODALITIES, x, y, mask)
    np.testing.assert_array_equal(panel.inputs[1][0], (x[1] * mask)[3])
    np.testing.assert_array_equal(panel.inputs[0][1], (x[0] * mask)[:, 2])
    np.testing.assert_array_equal(panel.reconstructions[1][2], (y[1] * mask)[:, :, 4])


def test_panels_come_back_as_they_were_written(tmp_path):
    x, y, mask = volumes()
    panels = [
        cut_panel("sub-1", "median error", MODALITIES, x, y, mask),
        cut_panel("sub-2", "largest error", MODALITIES, y, x, mask),
    ]
    save_panels(panels, tmp_path / "panels.npz")
    back = load_panels(tmp_path / "panels.npz")
    assert [panel.participant_id for panel in back] == ["sub-1", "sub-2"]
    assert [panel.why for panel in back] == ["median error", "largest error"]
    for before, after in zip(panels, back, strict=True):
        assert after.modalities == MODALITIES
        for row_before, row_after in zip(before.inputs, after.inputs, strict=True):
            for plane_before, plane_after in zip(row_before, row_after, strict=True):
                np.testing.assert_array_equal(plane_before, plane_after)
