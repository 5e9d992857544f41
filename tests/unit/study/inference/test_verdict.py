"""Verdicts, one by one, and what correction over the family makes of them."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from isthmus.study.inference.multiplicity import Correction, adjust, level_at_worst
from isthmus.study.inference.resampled_t import (
    Constant,
    Identical,
    Outcome,
    ResampledT,
    TooFewBlocks,
)
from isthmus.study.inference.verdict import Direction, Judgement, Rule, judge


def outcome(mean: float, error: float = 1.0) -> ResampledT:
    return ResampledT(10, mean, 2 * error, error)


def one(found: Outcome, margin: float | None = None, direction: Direction = "minimize"):
    (judgement,) = judge([found], [margin], Rule(direction))
    return judgement


@pytest.mark.parametrize(
    ("direction", "below", "above"),
    [
        ("minimize", "better", "worse"),
        ("maximize", "worse", "better"),
        ("either", "lower", "higher"),
    ],
)
def test_a_significant_difference_has_a_side(direction: Direction, below: str, above: str) -> None:
    assert one(outcome(-9.0), None, direction).decision == below
    assert one(outcome(9.0), None, direction).decision == above


def test_what_is_not_significant_is_not_resolvable_and_says_what_would_have_been() -> None:
    found = one(outcome(1.0))
    assert found.decision == "not_resolvable"
    assert found.smallest_resolvable == pytest.approx(3.1496, abs=1e-3)
    assert found.equivalence_p_value is None


def test_equivalence_needs_a_margin_and_enough_certainty() -> None:
    assert one(outcome(0.0), 5.0).decision == "equivalent"
    assert one(outcome(0.0), 1.5).decision == "not_resolvable"
    assert one(outcome(0.0)).decision == "not_resolvable"


def test_a_difference_too_small_to_matter_is_equivalent_though_it_is_significant() -> None:
    found = one(outcome(-3.0), 9.0)
    assert found.p_value < 0.05
    assert found.decision == "equivalent"


def test_a_difference_beyond_the_margin_is_better() -> None:
    assert one(outcome(-9.0), 5.0).decision == "better"


def test_significance_and_equivalence_are_corrected_over_the_family() -> None:
    alone = one(outcome(-2.5), 5.0)
    assert alone.decision == "equivalent"
    assert alone.p_value < 0.05
    family = judge([outcome(-2.5)] * 20, [None] * 20, Rule("minimize"))
    assert {judgement.decision for judgement in family} == {"not_resolvable"}
    assert family[0].p_value_adjusted == pytest.approx(min(1.0, 20 * alone.p_value))
    margins = judge([outcome(0.0)] * 20, [2.5] * 20, Rule("minimize"))
    assert one(outcome(0.0), 2.5).decision == "equivalent"
    assert {judgement.decision for judgement in margins} == {"not_resolvable"}
    assert family[0].smallest_resolvable > alone.smallest_resolvable


def test_equivalence_is_corrected_over_those_with_a_margin() -> None:
    outcomes, margins = [outcome(0.0), outcome(0.5), outcome(1.0)], [4.0, None, 4.0]
    found = judge(outcomes, margins, Rule("minimize"))
    p = [outcomes[0].equivalence_p_value(4.0), outcomes[2].equivalence_p_value(4.0)]
    assert [found[0].equivalence_p_value_adjusted, found[2].equivalence_p_value_adjusted] == (
        pytest.approx(list(adjust(p, "holm")))
    )
    assert found[1].equivalence_p_value is None


def test_no_spread_is_no_verdict() -> None:
    few, constant, identical = judge(
        [TooFewBlocks(1), Constant(4, 0.25), Identical(4)], [None] * 3, Rule("minimize")
    )
    assert (few.decision, constant.decision) == ("undefined", "undefined")
    assert "two paired differences" in few.reason
    assert "0.25 in each of 4 blocks" in constant.reason
    assert constant.p_value is None
    assert identical == Judgement(
        "not_resolvable",
        note="The scores are equal in each of 4 blocks.",
        p_value=1.0,
        p_value_adjusted=1.0,
    )


def test_equal_scores_are_not_called_equivalent() -> None:
    assert one(Identical(2), 0.5).decision == "not_resolvable"


def test_those_without_spread_count_in_the_family() -> None:
    alone = one(outcome(-2.5))
    both = judge([outcome(-2.5), Identical(10)], [None, None], Rule("minimize"))
    assert both[0].p_value_adjusted == pytest.approx(2 * alone.p_value)


def test_an_empty_family_is_empty() -> None:
    assert judge([], [], Rule("minimize")) == ()


@pytest.mark.parametrize("correction", ["holm", "bonferroni", "fdr_by"])
def test_corrections_are_those_of_statsmodels(correction: Correction) -> None:
    p = np.random.default_rng(0).uniform(size=12) ** 3
    assert adjust(list(p), correction) == pytest.approx(multipletests(p, method=correction)[1])


@pytest.mark.parametrize("correction", ["holm", "bonferroni", "fdr_by"])
def test_the_level_at_worst_is_where_a_lone_p_value_becomes_significant(
    correction: Correction,
) -> None:
    level = level_at_worst(0.05, 8, correction)
    assert adjust([level, *[1.0] * 7], correction)[0] == pytest.approx(0.05)
