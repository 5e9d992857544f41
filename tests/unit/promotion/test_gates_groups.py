"""The gate on equal performance: equivalent, different, and what nobody can tell."""

import math

import pytest
from example_evidence import make_evidence, make_pair
from scipy import stats

from isthmus.config.promotion.thresholds import EqualGate
from isthmus.promotion.evidence.record import GroupsEvidence, TrialEvidence
from isthmus.promotion.gates.groups import judge_equal_performance

SEX = EqualGate(columns=("sex",))


def _sex(*pairs, **more) -> TrialEvidence:
    return make_evidence(groups=(GroupsEvidence("sex", pairs, **more),))


def test_equivalent_groups_pass() -> None:
    verdict = judge_equal_performance(make_evidence(), EqualGate())
    assert (verdict.passed, verdict.threshold) == (True, 0.25)
    upper = math.exp(0.02 + stats.t(40).ppf(0.95) * 0.05)
    assert verdict.found == pytest.approx(upper - 1)
    assert verdict.evidence["sex/F/M/state"] == "equivalent"
    assert "sex: 1 pair of groups, 1 equivalent; F (50 subjects of 41 families)" in verdict.words


def test_a_group_that_fares_worse_is_named_whatever_is_allowed() -> None:
    for unresolved in ("refuse", "allow"):
        settings = EqualGate(columns=("sex",), unresolved=unresolved)
        verdict = judge_equal_performance(_sex(make_pair(0.6)), settings)
        assert not verdict.passed
        assert verdict.evidence["sex/F/M/state"] == "different"
        assert "ratio of errors 1.82 (90 % interval 1.67 to 1.98), 0.73 beyond" in verdict.words


def test_the_other_group_may_be_the_worse_one() -> None:
    verdict = judge_equal_performance(_sex(make_pair(-0.6)), SEX)
    assert verdict.evidence["sex/F/M/state"] == "different"
    assert verdict.found == pytest.approx(math.exp(0.6 + stats.t(40).ppf(0.95) * 0.05) - 1)


def test_not_resolvable_is_no_pass_unless_the_file_says_so() -> None:
    evidence = _sex(make_pair(0.0, 0.3))
    verdict = judge_equal_performance(evidence, SEX)
    assert not verdict.passed
    margin = math.expm1((stats.t(40).ppf(0.95) + stats.t(40).ppf(0.9)) * 0.3)
    assert f"would resolve a margin of {margin:.2g} with a power of 80%" in verdict.words
    assert verdict.words.endswith("Not resolvable is no evidence of equality, and is refused.")
    verdict = judge_equal_performance(evidence, EqualGate(columns=("sex",), unresolved="allow"))
    assert verdict.passed
    assert verdict.words.endswith("Not resolvable is no evidence of equality; it is allowed here.")


def test_the_margin_that_is_said_to_be_resolvable_is() -> None:
    error = 0.1
    margin = judge_equal_performance(_sex(make_pair(0.0, error)), SEX).evidence[
        "sex/F/M/smallest_margin"
    ]
    # power of the two one-sided tests where the ratio is 1, by the noncentral t's own rival: draws
    draws = stats.t(40).rvs(200_000, random_state=0) * error
    room = math.log1p(float(margin)) - stats.t(40).ppf(0.95) * error
    assert (abs(draws) < room).mean() == pytest.approx(0.8, abs=0.01)


def test_groups_too_small_to_compare_are_not_resolvable() -> None:
    verdict = judge_equal_performance(_sex(make_pair(None, None)), SEX)
    assert (verdict.passed, verdict.found) == (False, None)
    assert "too few to compare within folds. No margin is resolvable" in verdict.words
    assert judge_equal_performance(
        _sex(make_pair(None, None)), EqualGate(columns=("sex",), unresolved="allow")
    ).passed


def test_all_pairs_count_and_the_worst_is_named() -> None:
    pairs = (make_pair(0.0), make_pair(0.0, 0.3), make_pair(0.1))
    verdict = judge_equal_performance(_sex(*pairs, n_unknown=4), SEX)
    assert not verdict.passed
    assert "sex: 3 pairs of groups, 2 equivalent, 1 not resolvable;" in verdict.words
    assert "4 subjects without a value are left out." in verdict.words


def test_a_column_that_makes_no_groups_could_not_be_judged() -> None:
    evidence = _sex(reason="The participants have no column 'sex'.")
    verdict = judge_equal_performance(evidence, SEX)
    assert (verdict.passed, verdict.found) == (False, None)
    assert verdict.words == "sex: it could not be judged. The participants have no column 'sex'."
    verdict = judge_equal_performance(evidence, EqualGate(columns=("sex",), unresolved="allow"))
    assert verdict.passed
    assert verdict.words.endswith("That is allowed here.")


def test_a_column_that_was_not_gathered_keeps_the_gate_shut_whatever_is_allowed() -> None:
    settings = EqualGate(columns=("sex", "scanner"), unresolved="allow")
    verdict = judge_equal_performance(make_evidence(), settings)
    assert (verdict.passed, verdict.found) == (False, None)
    assert "Column scanner: No groups were compared by it." in verdict.words
    verdict = judge_equal_performance(
        make_evidence(groups=(), missing={"groups": "There are no participants."}), SEX
    )
    assert verdict.words == "It could not be judged. Column sex: There are no participants."
    assert not judge_equal_performance(make_evidence(failures=("fold 1",)), SEX).passed
