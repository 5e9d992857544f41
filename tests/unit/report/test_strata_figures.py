"""Figures of strata and targets show the record's numbers; failures are said, not drawn."""

from dataclasses import replace

import numpy as np
import pytest
from example_report import make_report, without_partition
from matplotlib.collections import PathCollection

from isthmus.report.strata_figures import (
    jaccard_figure,
    plane_figure,
    stability_figure,
    sweep_figure,
)
from isthmus.report.strata_palette import stratum_mark
from isthmus.report.target_figures import cloud_figure, loadings_figure, profiles_figure

FIGURES = (
    stability_figure,
    jaccard_figure,
    sweep_figure,
    plane_figure,
    cloud_figure,
    loadings_figure,
    profiles_figure,
)


@pytest.fixture(scope="module")
def report():
    return make_report()


def words(figure):
    said = [text.get_text() for axis in figure.axes for text in axis.texts]
    said += [axis.get_title(where) for axis in figure.axes for where in ("left", "center")]
    return " ".join(said).replace("\n", " ")


def vertical_lines(axis):
    return [line.get_xdata()[0] for line in axis.lines if len(set(line.get_xdata())) == 1]


def test_stability_is_a_histogram_of_each_with_the_observed(report):
    above, below = stability_figure(report).axes
    stability, null = report.robustness.stability, report.robustness.matched_null
    assert sum(bar.get_height() for bar in above.patches) == stability.n_draws
    assert sum(bar.get_height() for bar in below.patches) == len(null.null)
    assert stability.ari_mean in vertical_lines(above)
    assert null.observed in vertical_lines(below)
    assert "p 0.026" in below.get_legend().get_texts()[0].get_text()
    assert "1 without a partition" in words(stability_figure(report))


def test_a_null_too_small_for_a_p_says_so():
    (_, below) = stability_figure(make_report(n_nulls=5)).axes
    assert "no p" in below.get_legend().get_texts()[0].get_text()
    assert stability_figure(make_report(n_nulls=0)).axes


def test_jaccard_has_a_row_for_each_stratum_and_the_limits(report):
    (axis,) = jaccard_figure(report).axes
    drawn = [line.get_xdata()[0] for line in axis.lines if len(line.get_xdata()) == 1]
    assert drawn == [one.jaccard for one in report.robustness.stability.strata]
    assert {0.6, 0.75} <= set(vertical_lines(axis))


def test_the_sweep_rings_what_was_taken(report):
    (axis,) = sweep_figure(report).axes
    points, ring = (marks.get_offsets() for marks in axis.collections)
    placed = [p for p in report.strata.sweep if p.silhouette is not None]
    assert sorted(points[:, 0].tolist()) == sorted(p.n_strata for p in placed)
    assert ring.tolist() == [[5.0, report.strata.silhouette]]
    assert "2 of 7 candidates not drawn" in axis.get_xlabel()


def test_everybody_is_in_the_plane(report):
    (axis,) = plane_figure(report).axes
    drawn = np.concatenate([marks.get_offsets() for marks in axis.collections])
    assert len(axis.collections) == 5
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(report.plane.coordinates, axis=0))
    assert [text.get_text() for text in axis.texts] == ["0", "1", "2", "3", "4"]
    at = report.participant_ids.index(report.strata.exemplar_ids[2])
    assert axis.texts[2].get_position() == report.plane.coordinates[at]
    assert "31.0%" in axis.get_xlabel()


def test_a_row_of_p_values_for_each_target_with_its_rates(report):
    left, right = cloud_figure(report).axes
    found = report.robustness.replications
    points = [marks for marks in left.collections if len(marks.get_offsets()) > 1]
    assert len(points) == len(found) == 9
    for marks, again in zip(points, found, strict=True):
        assert marks.get_offsets()[:, 0].tolist() == [p for p in again.p_values if p is not None]
    assert report.config.alpha in vertical_lines(left)
    assert left.get_xscale() == "log"
    bars = [bar.get_width() for bar in right.patches]
    assert bars == [again.null_rate_high for again in found]
    said = words(cloud_figure(report))
    assert all(f"{again.rate:.0%} (p {again.p_rate:.2g})" in said for again in found)


def test_a_target_without_any_p_value_says_so(report):
    first = report.robustness.replications[0]
    mute = replace(
        first,
        p_values=(None,) * 3,
        effect_sizes=(None,) * 3,
        **dict.fromkeys(("p_median", "p_low", "p_high"), None),
    )
    robustness = replace(
        report.robustness, replications=(mute, *report.robustness.replications[1:])
    )
    assert "no p-value in any draw" in words(cloud_figure(replace(report, robustness=robustness)))


def test_loadings_are_the_table(report):
    axis = loadings_figure(report).axes[0]
    (image,) = axis.get_images()
    np.testing.assert_allclose(image.get_array(), report.factors.loadings)
    assert len(axis.texts) == 15


def test_a_panel_of_means_for_each_target(report):
    figure = profiles_figure(report)
    panels = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert next(iter(panels)) == "factor_1"
    assert len(panels) == 3 + 5 + 2 * 2
    drawn = np.concatenate(
        [m.get_offsets() for m in panels["grip_kg"].collections if isinstance(m, PathCollection)]
    )
    expected = [(p.stratum, p.mean) for p in report.profiles if p.target == "grip_kg"]
    np.testing.assert_allclose(drawn, expected)
    z_limits = {panels[name].get_ylim() for name in ("factor_1", "grip_kg")}
    assert len(z_limits) == 1
    assert panels["group_1=right"].get_ylim() not in z_limits


@pytest.mark.parametrize("kind", ["degenerate", "non_convergence", "nothing"])
def test_what_failed_is_said_not_drawn(kind):
    failed = without_partition(kind)
    for figure in FIGURES:
        said = words(figure(failed))
        if figure is loadings_figure and kind != "nothing":
            assert len(figure(failed).axes[0].get_images()) == 1
        elif figure is plane_figure and kind != "nothing":
            assert failed.strata.reason[:20] in said
            drawn = [len(m.get_offsets()) for m in figure(failed).axes[0].collections]
            assert sum(drawn) == failed.n_subjects
        else:
            assert said.startswith("Not drawn.")


def test_leaky_is_the_title_of_every_figure(report):
    for figure in FIGURES:
        assert "LEAKY" in figure(report, leaky=True).get_suptitle()
        assert not figure(report).get_suptitle()


def test_forty_strata_stay_apart_by_colour_and_shape():
    assert len({stratum_mark(k) for k in range(40)}) == 40
    large = make_report(200, 40, 2, 3, 1, 5, 19)
    (axis,) = plane_figure(large).axes
    assert len(axis.collections) == 40
    assert len(jaccard_figure(large).axes[0].get_yticks()) == 40


def test_the_smallest_report_can_be_drawn():
    smallest = make_report(12, 2, 0, 1, 0, 2, 3)
    assert all(figure(smallest).axes for figure in FIGURES)
