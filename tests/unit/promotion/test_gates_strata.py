"""Gates on the strata: adjusted p, robust factors, stability above chance."""

from dataclasses import replace

import pytest
from example_evidence import make_evidence, with_strata

from isthmus.config.promotion.thresholds import StabilityGate, StrataGate
from isthmus.promotion.evidence.record import SelectionEvidence
from isthmus.promotion.gates.strata import judge_stability, judge_strata


def test_robust_strata_pass_with_the_adjusted_p() -> None:
    verdict = judge_strata(make_evidence(), StrataGate())
    assert (verdict.passed, verdict.found, verdict.threshold) == (True, 0.01, 0.05)
    assert "p = 0.01 adjusted for 12 trials (0.001 as if it were the only one)" in verdict.words
    assert verdict.evidence["n_robust"] == 1


def test_a_naive_p_that_selection_explains_is_refused() -> None:
    evidence = make_evidence(selection=SelectionEvidence("factor_1", 0.001, 0.2, 40, True))
    verdict = judge_strata(evidence, StrataGate())
    assert (verdict.passed, verdict.found) == (False, 0.2)
    assert "The p-value is 0.15 above 0.05." in verdict.words


def test_a_trial_by_itself_says_that_its_p_is_not_adjusted() -> None:
    evidence = make_evidence(selection=SelectionEvidence("factor_1", 0.01, 0.01, 1, False))
    verdict = judge_strata(evidence, StrataGate())
    assert verdict.passed
    assert "the naive p is the adjusted one, and too small if the trial was picked" in verdict.words


def test_factors_must_be_robust_in_enough_folds() -> None:
    evidence = with_strata(make_evidence(), 3, robust=("factor_2",))
    verdict = judge_strata(evidence, StrataGate(min_robust=2))
    assert (verdict.passed, verdict.found, verdict.threshold) == (False, 1, 2)
    assert "Robust in at least 50% of 5 folds: factor_2; 2 asked for. 1 too few." in verdict.words
    assert judge_strata(evidence, StrataGate(min_robust=2, min_share_of_folds=0.4)).passed
    assert judge_strata(evidence, StrataGate(min_robust=0, min_share_of_folds=1.0)).passed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"selection": None}, "No adjusted p-value was computed."),
        (
            {"selection": None, "missing": {"selection": "The study has none."}},
            "The study has none.",
        ),
        (
            {"selection": SelectionEvidence(None, None, None, 3, True)},
            "Of no fold could a stratification be tested.",
        ),
        ({"folds": ()}, "The trial has no finished fold."),
    ],
)
def test_without_a_p_value_the_gate_stays_shut(changes: dict[str, object], words: str) -> None:
    verdict = judge_strata(make_evidence(**changes), StrataGate(min_robust=0, alpha=1.0))
    assert (verdict.passed, verdict.found) == (False, None)
    assert verdict.words == f"It could not be judged. {words}"


def test_stable_strata_pass() -> None:
    verdict = judge_stability(make_evidence(), StabilityGate(min_excess=0.2))
    assert (verdict.passed, verdict.found) == (True, 1.0)
    assert "5 of 5 folds have strata at least 0.2 more stable" in verdict.words


@pytest.mark.parametrize("changes", [{"excess": -0.1}, {"p_value": 0.4}, {"excess": None}])
def test_strata_that_noise_would_give_too_are_refused(changes: dict[str, float]) -> None:
    evidence = with_strata(make_evidence(), 3, **changes)
    verdict = judge_stability(evidence, StabilityGate())
    assert not verdict.passed
    assert verdict.found == pytest.approx(0.4)
    assert verdict.words.endswith("The share is 0.1 below 0.5.")
    assert judge_stability(evidence, StabilityGate(min_share_of_folds=0.4)).passed


def test_without_a_partition_the_gate_stays_shut() -> None:
    none = {"outcome": "non_convergence", "excess": None, "p_value": None}
    verdict = judge_stability(with_strata(make_evidence(), 5, **none), StabilityGate())
    assert (verdict.passed, verdict.found) == (False, None)
    assert verdict.words.endswith("(no convergence).")
    evidence = with_strata(make_evidence(), 5, p_value=None)
    assert "too few matched nulls" in judge_stability(evidence, StabilityGate()).words


def test_a_factor_and_a_phenotype_of_one_name_are_not_added_up() -> None:
    evidence = with_strata(make_evidence(), 2, kind="phenotype")
    folds = [replace(f, strata=replace(f.strata, robust=("x",))) for f in evidence.folds]
    verdict = judge_strata(replace(evidence, folds=tuple(folds)), StrataGate(min_share_of_folds=1))
    assert not verdict.passed
