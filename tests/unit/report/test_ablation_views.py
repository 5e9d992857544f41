"""What an ablation's figures show is what was found."""

import html
import statistics
from dataclasses import replace

import numpy as np
import pytest
from example_ablation import INFEASIBLE, PEOPLE, SUBSETS, skips_ablation, subsets_ablation

from isthmus.report.ablation.captions import KEYS, caption_of
from isthmus.report.ablation.charts import effects_chart, matrix_chart, ranks_chart, scores_chart
from isthmus.report.ablation.figures import effects_figure, ranks_figure, scores_figure
from isthmus.report.ablation.learning import learning_view
from isthmus.report.ablation.looks import VERDICT_MARKS
from isthmus.report.ablation.ranks import ranks_view
from isthmus.report.ablation.sections import parts_of
from isthmus.report.ablation.side_by_side import (
    MOST_ARMS,
    side_by_side_figure,
    side_by_side_view,
)
from isthmus.report.ablation.views import agreement_view, effects_view, matrix_view, scores_view
from isthmus.report.strata_views import Absent
from isthmus.trial.panels import load_panels, save_panels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def skips(folder):
    return skips_ablation(folder / "skips")


@pytest.fixture(scope="module")
def subsets(folder):
    return subsets_ablation(folder / "subsets")


def test_effects_are_the_contrasts(subsets):
    rows, contrasts = effects_view(subsets), subsets.findings[0].contrasts
    assert [row.difference for row in rows] == [one.difference for one in contrasts]
    assert {row.verdict for row in rows} == {"worse", "unpaired"}
    figure = effects_figure(rows, "validation_mse")
    (axis,) = figure.axes
    drawn = {line.get_xdata()[0] for line in axis.lines if line.get_marker() == "s"}
    assert drawn == {row.difference for row in rows if row.difference is not None}
    assert [text.get_text().strip() for text in axis.texts] == ["not compared"]


def test_the_chart_says_each_verdict_under_the_pointer_and_shades_the_margin(skips):
    rows = effects_view(skips)
    chart = effects_chart(rows, "validation_mse")
    said = {html.unescape(t.replace("<br>", " ")) for trace in chart.data for t in trace.text}
    assert said == {row.said for row in rows}
    assert [shape.x1 for shape in chart.layout.shapes if shape.type == "rect"] == [0.0006] * 2
    worse = next(trace for trace in chart.data if trace.name == "worse")
    row = next(row for row in rows if row.verdict == "worse")
    assert worse.x[0] + worse.error_x.array[0] == pytest.approx(row.high)
    assert worse.x[0] - worse.error_x.arrayminus[0] == pytest.approx(row.low)


def test_no_two_verdicts_look_the_same_but_those_without_a_number():
    looks = [mark for verdict, mark in VERDICT_MARKS.items() if verdict != "unpaired"]
    assert len(set(looks)) == len(looks)
    assert len({shape for _, shape in looks}) == len(looks)


def test_arms_of_the_same_modalities_are_joined_block_by_block(skips):
    view = scores_view(skips)
    assert view.joined == ((0, 1, 2),)
    (axis,) = scores_figure(view).axes
    joined = [line for line in axis.lines if len(line.get_xdata()) == 3]
    assert len(joined) == len(view.blocks) == 10
    assert list(joined[4].get_ydata()) == [arm.values[4] for arm in view.arms]


def test_arms_of_other_modalities_are_not_joined_by_a_mean_over_modalities(subsets):
    view = scores_view(subsets)
    names = [arm.label for arm in view.arms]
    assert INFEASIBLE not in names
    joined = {tuple(names[k] for k in group) for group in view.joined if len(group) > 1}
    assert joined == {("FA+NDI", "NDI+FA")}
    assert "cannot be compared here" in caption_of(subsets, "scores").reads
    probe = scores_view(subsets, subsets.findings[2])
    assert len(probe.joined) == 1


def test_a_missing_fold_breaks_the_line(subsets):
    line = scores_chart(scores_view(subsets, subsets.findings[2])).data[0]
    values = subsets.findings[2].arms[2].values
    assert None in values
    # six arms and a gap for each of ten blocks
    assert [line.y[7 * block + 2] for block in range(10)] == list(values)
    assert all(line.x[7 * block + 6] is None for block in range(10))


def test_ranks_and_bars_are_those_of_the_ranking(skips):
    view, ranking = ranks_view(skips), skips.findings[0].ranking
    assert [arm.label for arm in view.arms] == list(ranking.arms)
    assert [arm.rank for arm in view.arms] == list(ranking.average_ranks)
    assert len(view.bars) == len(ranking.groups) == 1
    low, high = view.bars[0]
    assert {arm.label for arm in view.arms if low <= arm.rank <= high} == {"all", "additive"}
    assert view.arms[0].on_left
    assert not view.arms[-1].on_left
    texts = [text.get_text() for text in ranks_figure(view).axes[0].texts]
    labels = [note.text for note in ranks_chart(view).layout.annotations]
    assert texts == labels == [f"{arm.label} ({arm.rank:.2f})" for arm in view.arms]


@pytest.mark.parametrize("n", [3, 4, 7, 15])
def test_names_of_ranked_arms_do_not_lie_on_each_other(skips, n):
    arms = tuple(f"arm {k}" for k in range(n))
    ranks = tuple(float(k + 1) for k in range(n))
    ranking = replace(skips.findings[0].ranking, arms=arms, average_ranks=ranks, groups=())
    finding = replace(skips.findings[0], ranking=ranking)
    view = ranks_view(replace(skips, findings=(finding,)))
    places = {(arm.on_left, arm.height) for arm in view.arms}
    assert len(places) == n
    # towards the middle names stand lower, so that no line crosses a name
    left = [arm.height for arm in view.arms if arm.on_left]
    right = [arm.height for arm in view.arms if not arm.on_left]
    assert (left, right) == (sorted(left), sorted(right, reverse=True))


def test_without_a_ranking_the_reason_stands_in_its_place(skips):
    finding = replace(skips.findings[0], ranking=None, why_not_ranked="Two arms make no ranking.")
    view = ranks_view(replace(skips, findings=(finding,)))
    assert view == Absent("Two arms make no ranking.")


def test_the_matrix_has_every_verdict_of_every_metric(subsets):
    view = matrix_view(subsets)
    assert view.metrics[0] == "validation_mse (primary)"
    assert view.comparisons == ("T1w+FA", "T1w+NDI", "FA+NDI", "FA")
    assert view.against == "single arms: against T1w+FA+NDI"
    for row, finding in zip(view.cells, subsets.findings, strict=True):
        assert [cell.verdict for cell in row] == [one.verdict for one in finding.contrasts]
    words = [note.text for note in matrix_chart(view).layout.annotations]
    assert len(words) == 16
    assert words[0].startswith("worse<br>+0.001")


def test_a_metric_that_is_compared_less_often_keeps_its_columns(subsets):
    last = subsets.findings[-1]
    less = replace(
        subsets, findings=(*subsets.findings[:-1], replace(last, contrasts=last.contrasts[1:]))
    )
    view = matrix_view(less)
    assert view.cells[-1][0] is None
    assert [cell.verdict for cell in view.cells[-1][1:]] == [o.verdict for o in last.contrasts[1:]]
    assert matrix_chart(view).data[0].z[-1][0] is None


def test_curves_are_median_and_range_over_the_blocks_that_came_so_far(skips):
    view = learning_view(skips)
    band = view.train[2]
    curves = [curve for curve in skips.curves if curve.arm == "none"]
    for k, epoch in enumerate(band.epochs):
        values = [c.train_loss[epoch - 1] for c in curves if len(c.epochs) >= epoch]
        assert band.n_blocks[k] == len(values)
        assert band.middle[k] == statistics.median(values)
        assert (band.low[k], band.high[k]) == (min(values), max(values))
    assert band.n_blocks[0] == 10 > band.n_blocks[-1]
    assert len(view.monitor) == 3


def test_curves_without_a_monitor_part_leave_one_panel(skips):
    curves = tuple(replace(c, monitor_mse=(None,) * len(c.epochs)) for c in skips.curves)
    assert learning_view(replace(skips, curves=curves)).monitor == ()


def test_captions_warn_of_losses_that_cannot_be_compared(skips, subsets):
    assert "Careful" in caption_of(subsets, "learning").reads
    assert "Careful" not in caption_of(skips, "learning").reads


def test_every_arm_shows_the_same_person(subsets, folder):
    view = side_by_side_view(subsets, folder / "subsets")
    assert view.participant_id == PEOPLE[3]
    assert view.modalities == ("T1w", "FA", "NDI")
    assert [c.label for c in view.columns] == ["T1w+FA+NDI", "T1w+FA", "T1w+NDI", "FA+NDI", "FA"]
    assert view.left_out == (INFEASIBLE,)
    for column in view.columns:
        made = [image is not None for image in column.images]
        assert made == [name in SUBSETS[column.label] for name in view.modalities]
    # a difference is taken from the arm's own input
    path = folder / "subsets" / subsets.panels["FA"]
    (panel,) = [one for one in load_panels(path) if one.why == "compared"]
    expected = panel.reconstructions[0][2] - panel.inputs[0][2]
    np.testing.assert_array_equal(view.columns[-1].differences[1], expected)
    figure = side_by_side_figure(view)
    images = [image for axis in figure.axes for image in axis.get_images()]
    # originals, and image and difference for each of 3 + 2 + 2 + 2 + 1 reconstructions
    assert len(images) == 3 + 2 * 10


def test_an_image_that_the_subject_lacks_is_called_missing(subsets, folder, tmp_path):
    panels = {}
    for arm, file in subsets.panels.items():
        kept = load_panels(folder / "subsets" / file)
        lacking = [
            replace(
                one,
                inputs=tuple(
                    tuple(np.full_like(x, np.nan) for x in own) if name == "FA" else own
                    for name, own in zip(one.modalities, one.inputs, strict=True)
                ),
            )
            for one in kept
        ]
        save_panels(lacking, tmp_path / f"{arm}.npz")
        panels[arm] = f"{arm}.npz"
    view = side_by_side_view(replace(subsets, panels=panels), tmp_path)
    assert "lacks FA, so that is synthesised" in view.in_words
    assert view.columns[0].images[1] is not None
    assert view.columns[0].differences[1] is None
    figure = side_by_side_figure(view)
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert words.count("missing") == 1
    images = [np.asarray(i.get_array()) for axis in figure.axes for i in axis.get_images()]
    # without the original of FA, and the differences of its 4 reconstructions
    assert len(images) == 3 + 2 * 10 - 1 - 4
    assert all(np.isfinite(image).all() for image in images)


def test_arms_without_the_compared_subject_are_named(skips, folder, tmp_path):
    panels = {}
    for arm, file in skips.panels.items():
        kept = load_panels(folder / "skips" / file)
        old = arm == "none"
        save_panels(
            [one for one in kept if one.why != "compared" or not old], tmp_path / f"{arm}.npz"
        )
        panels[arm] = f"{arm}.npz"
    view = side_by_side_view(replace(skips, panels=panels), tmp_path)
    assert view.left_out == ("none",)
    assert view.in_words.endswith("Not shown: none.")
    assert isinstance(
        side_by_side_view(replace(skips, panels={"all": "gone.npz"}), tmp_path), Absent
    )


def test_arms_that_show_other_people_are_not_put_side_by_side(skips, folder, tmp_path):
    kept = load_panels(folder / "skips" / skips.panels["all"])
    for k in range(2):
        save_panels([replace(one, participant_id=f"p{k}") for one in kept], tmp_path / f"{k}.npz")
    view = side_by_side_view(replace(skips, panels={"all": "0.npz", "none": "1.npz"}), tmp_path)
    assert view == Absent("Arms show different subjects (p0, p1).")


def test_more_arms_than_fit_are_named(skips, folder):
    arms = tuple(replace(skips.plan.arms[0], name=f"arm {k}") for k in range(MOST_ARMS + 2))
    panels = dict.fromkeys((arm.name for arm in arms), skips.panels["all"])
    many = replace(skips, plan=replace(skips.plan, arms=arms), panels=panels)
    view = side_by_side_view(many, folder / "skips")
    assert len(view.columns) == MOST_ARMS
    assert view.left_out == ("arm 16", "arm 17")


def test_agreement_is_shown_where_it_was_asked_for(skips):
    view = agreement_view(skips)
    assert view.metric == "strata_agreement"
    assert [arm.label for arm in view.arms] == ["all", "additive", "none"]
    without = agreement_view(replace(skips, findings=skips.findings[:1]))
    assert "was not asked for" in without.reason


def test_before_the_first_fold_every_figure_says_why_there_is_none(tmp_path):
    parts = parts_of(skips_ablation(tmp_path, finished=0), tmp_path)
    assert tuple(sorted(part.key for part in parts)) == tuple(sorted(KEYS))
    assert all(isinstance(part.view, Absent) and part.view.reason for part in parts)
