"""Figures across encoders and trials show the record's numbers."""

from dataclasses import replace

import numpy as np
import pytest
from example_report import make_across, make_selection

from isthmus.report.across_figures import agreement_figure, curve_figure, selection_figure
from isthmus.report.across_views import curve_view


@pytest.mark.parametrize("target", [0, 1])
def test_the_curve_rises_and_fills_what_is_significant(target):
    across = make_across()
    above, below = curve_figure(across, target).axes
    found = sorted(
        (s.effect_sizes[target], s.q_values[target] < 0.05)
        for s in across.specifications
        if s.effect_sizes[target] is not None
    )
    drawn = np.concatenate([marks.get_offsets() for marks in above.collections])
    np.testing.assert_allclose(drawn[np.argsort(drawn[:, 0]), 1], [effect for effect, _ in found])
    counts = {m.get_label(): len(m.get_offsets()) for m in above.collections}
    n_significant = sum(significant for _, significant in found)
    assert counts.get("q <= 0.05", 0) == n_significant
    assert counts.get("not significant", 0) == len(found) - n_significant
    assert "1 without a partition not drawn" in above.get_title("left")
    assert len(below.get_yticks()) == 3 + 2 + 5


def test_every_specification_has_one_choice_of_each_kind():
    across = make_across()
    view = curve_view(across, 0)
    for group in ("clusterer", "components", "encoder"):
        at = sorted(i for choice in view.choices if choice.group == group for i in choice.at)
        assert at == list(range(29))
    ward = next(choice for choice in view.choices if choice.label == "ward")
    assert {view.specifications[i].clusterer for i in ward.at} == {"ward"}


def test_a_target_that_nothing_could_test_is_said():
    across = make_across()
    none = (None,) * 3
    failed = tuple(
        replace(s, outcome="non_convergence", effect_sizes=none, p_values=none, q_values=none)
        for s in across.specifications
    )
    (axis,) = curve_figure(replace(across, specifications=failed), 2).axes
    assert axis.texts[0].get_text().startswith("Not drawn. No specification gave a partition")


def test_agreement_is_a_symmetric_square_with_gaps():
    across = make_across(4)
    across = replace(across, agreements=across.agreements[1:])
    axis = agreement_figure(across, leaky=True).axes[0]
    shown = axis.get_images()[0].get_array()
    np.testing.assert_array_equal(shown.filled(-1), shown.filled(-1).T)
    assert shown.mask.sum() == 4 + 2
    assert shown[0, 2] == across.agreements[0].ari
    assert [label.get_text() for label in axis.get_yticklabels()] == [f"fold{i}" for i in range(4)]
    assert agreement_figure(make_across(1)).axes[0].texts[0].get_text().startswith("Not drawn.")


def test_sixty_encoders_can_be_drawn():
    across = make_across(60, 1)
    assert len(curve_figure(across, 0).axes[1].get_yticks()) == 65
    assert len(agreement_figure(across).axes[0].get_yticks()) == 60


def test_selection_shows_both_p_values():
    selection = make_selection(4)
    (axis,) = selection_figure(selection).axes
    naive, adjusted = (line.get_xdata() for line in axis.lines)
    assert list(naive) == [t.p_naive for t in selection.trials[:3]]
    assert list(adjusted) == [t.p_adjusted for t in selection.trials[:3]]
    nothing = replace(selection, trials=selection.trials[3:])
    assert "No trial" in selection_figure(nothing).axes[0].texts[0].get_text()
