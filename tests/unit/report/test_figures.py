"""Figures show the numbers they are given."""

import numpy as np
import pytest

from isthmus.report.figures import controls_figure, learning_curves
from isthmus.report.pictures import reconstruction_figure, save_png
from isthmus.report.summary import CONTROL_LABELS
from isthmus.training.history import read_history
from isthmus.trial.panels import load_panels


@pytest.fixture
def panel(ran):
    return load_panels(ran.directory / "fold-0" / "panels.npz")[0]


def test_a_picture_has_three_planes_of_three_images_for_each_modality(panel):
    figure = reconstruction_figure(panel)
    images = [image for axis in figure.axes for image in axis.get_images()]
    assert len(images) == 2 * 9
    shown, made, difference = (np.asarray(image.get_array()) for image in images[:3])
    np.testing.assert_allclose(difference, made - shown, atol=1e-6)
    assert panel.participant_id in figure.get_suptitle()
    assert "LEAKY" in reconstruction_figure(panel, leaky=True).get_suptitle()


def test_a_picture_is_written_as_png(panel, tmp_path):
    save_png(reconstruction_figure(panel), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_curves_are_the_history(ran):
    history = read_history(ran.directory / "fold-0")
    (axis,) = learning_curves({0: history}).axes
    assert list(axis.lines[0].get_ydata()) == [record["train_loss"] for record in history]


def test_controls_have_a_point_for_each_fold(ran):
    (axis,) = controls_figure(ran.result).axes
    drawn = [points.get_offsets()[:, 0].tolist() for points in axis.collections]
    expected = [[fold.metrics[name] for fold in ran.result.folds] for name in CONTROL_LABELS]
    np.testing.assert_allclose(drawn, expected)
