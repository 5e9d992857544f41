"""Pictures of a study show the record's numbers."""

from dataclasses import replace

import numpy as np
import pytest
from example_study import MSE, SCORE, SSIM, make_study, study_of

from isthmus.config.search_space import SchedulerConfig
from isthmus.report.study_figures import (
    front_figure,
    history_figure,
    hypervolume_figure,
    importance_figure,
    parallel_figure,
)
from isthmus.report.study_parallel import parallel_view, scale_of
from isthmus.report.study_views import history_view
from isthmus.study.outcome import stopped

ALL = (front_figure, history_figure, hypervolume_figure, importance_figure, parallel_figure)


def drawn(axis, label):
    """The points of one kind, by their first coordinate."""
    marks = next(m for m in axis.collections if m.get_label() == label)
    return sorted(map(tuple, np.asarray(marks.get_offsets()).tolist()))


def line(axis, label):
    return next(one for one in axis.lines if one.get_label() == label)


def test_the_front_is_filled_and_joined_in_steps():
    study = make_study(24)
    (axis,) = front_figure(study).axes
    front = sorted(study.trials[n].values for n in study.front)
    assert len(front) > 1
    assert drawn(axis, "no other beats it in all") == front
    others = [
        o.values for o in study.trials if o.state == "finished" and o.number not in study.front
    ]
    assert drawn(axis, "finished") == sorted(others)
    joined = next(one for one in axis.lines if one.get_drawstyle() == "steps-post")
    assert list(zip(*joined.get_data(), strict=True)) == front
    assert {text.get_text() for text in axis.texts} == {str(n) for n in study.front}


def test_more_objectives_have_a_panel_for_each_two():
    figure = front_figure(make_study(24, (MSE, SCORE, SSIM)))
    labels = [(axis.get_xlabel(), axis.get_ylabel()) for axis in figure.axes]
    assert labels == [
        ("validation_mse (less is better)", "robustness_score (more is better)"),
        ("validation_mse (less is better)", "validation_ssim (more is better)"),
        ("robustness_score (more is better)", "validation_ssim (more is better)"),
    ]
    # a step through a plane would be of two objectives, the front is of three
    assert not any(o.get_drawstyle() == "steps-post" for axis in figure.axes for o in axis.lines)


def test_history_shows_every_trial_once():
    study = make_study(24)
    above, below = history_figure(study).axes
    finished = [one for one in study.trials if one.state == "finished"]
    for i, axis in enumerate((above, below)):
        expected = [(float(one.number), one.values[i]) for one in finished]
        assert drawn(axis, "finished") == expected
    best = list(line(above, "best so far").get_ydata())
    assert best == list(np.minimum.accumulate([one.values[0] for one in finished]))
    best = list(line(below, "best so far").get_ydata())
    assert best == list(np.maximum.accumulate([one.values[1] for one in finished]))
    assert drawn(above, "stopped early") == [
        (float(one.number), one.reports[-1][1]) for one in study.trials if one.state == "stopped"
    ]
    for state, label in (
        ("failed", "failed"),
        ("infeasible", "infeasible"),
        ("running", "not over"),
    ):
        numbers = [one.number for one in study.trials if one.state == state]
        assert list(line(above, label).get_xdata()) == numbers
    # the second objective is not what the scheduler compared
    assert list(line(below, "stopped early").get_xdata()) == [3, 23]


def test_a_trial_stopped_at_an_epoch_is_not_drawn_among_values():
    study = make_study(24)
    record = stopped(study.trials[3], SchedulerConfig(kind="asha", unit="epoch"))
    (history, _) = history_view(
        replace(study, trials=(*study.trials[:3], record, *study.trials[4:]))
    )
    assert [number for number, _ in history.stopped] == [23]
    assert dict(history.without_value)["stopped"] == (3,)


def test_hypervolume_and_importance_are_those_of_the_record():
    study = make_study(24)
    (axis,) = hypervolume_figure(study).axes
    assert tuple(zip(*axis.lines[0].get_data(), strict=True)) == study.hypervolume
    panels = importance_figure(study).axes
    assert len(panels) == len(study.importance) == 4
    widths = [bar.get_width() for bar in panels[1].patches]
    paths = list(study.importance[0].shares)
    assert widths == [study.importance[1].shares[path] for path in paths]


def test_axes_side_by_side():
    scale = scale_of("rate", [1e-5, 1e-3, 1e-4])
    assert scale.positions == pytest.approx((-5, -3, -4))
    assert [words for _, words in scale.ticks] == ["1e-05", "0.0001", "0.001"]
    scale = scale_of("kernel", ["b", True, None, "b"])
    assert [words for _, words in scale.ticks] == ["b", "null", "true"]
    assert scale.positions == (0.0, 2.0, 1.0, 0.0)
    scale = scale_of("depth", [4, ..., 2, ...])
    assert scale.positions == pytest.approx((4, 1.6, 2, 1.6))
    assert scale.ticks[0][1] == "not asked"
    assert (scale.height(1.6), scale.height(4)) == (0.0, 1.0)
    one = scale_of("same", [3, 3])
    assert [one.height(p) for p in one.positions] == [0.5, 0.5]
    many = scale_of("many", list(range(100, 200)))
    assert [words for _, words in many.ticks] == ["100", "125", "150", "174", "199"]


def test_a_line_a_trial_crosses_its_values():
    study = make_study(24)
    view = parallel_view(study)
    assert view.trials[0].number == study.best
    labels = [scale.label for scale in view.scales]
    assert labels[-2:] == ["validation_mse", "robustness_score"]
    assert view.scales[-2].positions == tuple(one.values[0] for one in view.trials)
    asked = list(view.scales[labels.index("multiplier")].positions)
    n_missing = sum("model.multiplier" not in one.point for one in view.trials)
    assert asked.count(min(asked)) == n_missing > 0
    (axis,) = parallel_figure(study).axes
    lines = [one for one in axis.lines if len(one.get_xdata()) == len(labels)]
    assert len(lines) == len(view.trials)
    assert lines[-1].get_linewidth() > lines[0].get_linewidth()


@pytest.mark.parametrize("draw", ALL)
def test_nothing_to_draw_is_said(draw):
    for study in (make_study(0), make_study(4, (MSE, SCORE), only="infeasible")):
        (axis,) = draw(study).axes
        assert axis.texts[0].get_text().startswith("Not drawn.")


@pytest.mark.parametrize("draw", ALL)
def test_leaky_trials_label_every_picture(draw):
    assert "LEAKY" in draw(make_study(24, leaky=True)).get_suptitle()
    assert draw(make_study(24)).get_suptitle() == ""


def test_a_thousand_trials_and_a_dollar_can_be_drawn(tmp_path):
    from isthmus.report.pictures import save_png

    study = make_study(1000)
    trials = [replace(o, point={**o.point, "$x_{": "$\\frac{"}) for o in study.trials]
    study = study_of(trials, (MSE, SCORE))
    for draw in ALL:
        save_png(draw(study), tmp_path / "a.png", 40)
