"""Loosening a threshold never closes a gate, and worse evidence never opens one."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from example_evidence import (
    make_evidence,
    make_fold,
    make_lockbox,
    make_pair,
    make_replication,
)
from hypothesis import given
from hypothesis import strategies as st

from isthmus.config.promotion import thresholds as config
from isthmus.config.promotion.gates import PromotionConfig, TrialGates
from isthmus.promotion.evidence.record import (
    GroupsEvidence,
    LatencyEvidence,
    SelectionEvidence,
    StrataEvidence,
    TrialEvidence,
)
from isthmus.promotion.gates import fidelity, strata
from isthmus.promotion.gates.champion import judge_champion
from isthmus.promotion.gates.cost import judge_latency, judge_size
from isthmus.promotion.gates.groups import judge_equal_performance
from isthmus.promotion.gates.judge import judge
from isthmus.promotion.gates.lockbox import judge_lockbox
from isthmus.promotion.gates.training import judge_convergence
from isthmus.promotion.verdict import GateVerdict, verdicts_from_json, verdicts_to_json

POSITIVE = st.floats(1e-3, 1e3)
SHARES = st.floats(0.0, 1.0)
BY = st.sampled_from(["interval", "mean"])
PAIRS = st.tuples(POSITIVE, POSITIVE).map(sorted)
COUNTS = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted)


@st.composite
def trials(draw: Callable[[Any], Any]) -> TrialEvidence:
    """Trials of any quality, with evidence that may be missing."""
    folds = []
    for number in range(draw(st.integers(0, 4))):
        fold = make_fold(number)
        names = st.sampled_from(sorted(fold.metrics))
        gone = draw(st.sets(names, max_size=1))
        metrics = {name: draw(POSITIVE) for name in fold.metrics if name not in gone}
        found = StrataEvidence(
            draw(st.sampled_from(["partition", "degenerate_partition", "non_convergence"])),
            "factor",
            2,
            tuple(sorted(draw(st.sets(st.sampled_from(["factor_1", "factor_2"]))))),
            draw(st.none() | st.floats(-1.0, 1.0)),
            draw(st.none() | SHARES),
        )
        losses = tuple(draw(st.lists(st.floats(0.0, 10.0), max_size=12)))
        folds.append(
            replace(
                fold,
                metrics=metrics,
                strata=found,
                losses=losses,
                monitored=draw(st.booleans()),
                n_train=draw(st.integers(1, 300)),
                n_validation=draw(st.integers(1, 100)),
                n_parameters=draw(st.integers(1, 10**7)),
            )
        )
    p_value = draw(st.none() | SHARES)
    ratio, error = draw(st.none() | st.floats(-3.0, 3.0)), draw(st.floats(1e-3, 2.0))
    pair = make_pair(ratio, error if ratio is not None else None)
    return make_evidence(
        folds=tuple(folds),
        embedding_size=draw(st.integers(1, 5000)),
        selection=draw(st.just(None) | st.just(SelectionEvidence("f", p_value, p_value, 3, True))),
        groups=(GroupsEvidence("sex", (pair,)),) if draw(st.booleans()) else (),
        latency=LatencyEvidence((1.0,), draw(POSITIVE), "cpu", "m")
        if draw(st.booleans())
        else None,
        failures=("fold 4: X: y",) if draw(st.integers(0, 9)) == 0 else (),
    )


def _follows(strict: GateVerdict, loose: GateVerdict) -> None:
    """What passes the stricter threshold passes the looser one; without evidence nothing does."""
    assert loose.passed or not strict.passed
    for verdict in (strict, loose):
        assert verdict.words
        assert verdict.found is None or math.isfinite(verdict.found)
    assert verdicts_from_json(verdicts_to_json([strict, loose])) == (strict, loose)


@given(trials(), PAIRS, BY, st.booleans())
def test_fidelity(evidence: TrialEvidence, limits: list[float], by: str, each: bool) -> None:
    low, high = limits
    how = {"by": by, "each_modality": each}
    for ask in (fidelity.judge_mean_image, fidelity.judge_pca):
        gates = (config.ControlGate(max_ratio=limit, **how) for limit in (low, high))
        _follows(*(ask(evidence, gate) for gate in gates))
    rises = (config.ShuffleGate(min_increase=limit, **how) for limit in (high, low))
    _follows(*(fidelity.judge_embedding_shuffle(evidence, gate) for gate in rises))
    contrasts = (config.ContrastGate(min_ratio=limit, **how) for limit in (high, low))
    _follows(*(fidelity.judge_cnr_ratio(evidence, gate) for gate in contrasts))
    upper = (config.ContrastGate(min_ratio=0, max_ratio=limit, **how) for limit in (low, high))
    _follows(*(fidelity.judge_cnr_ratio(evidence, gate) for gate in upper))


@given(trials(), st.floats(0.001, 0.49), st.floats(0.001, 0.49), POSITIVE)
def test_a_wider_interval_is_no_easier(
    evidence: TrialEvidence, one: float, other: float, limit: float
) -> None:
    low, high = sorted((one, other))
    gates = (config.ControlGate(max_ratio=limit, alpha=alpha) for alpha in (low, high))
    _follows(*(fidelity.judge_mean_image(evidence, gate) for gate in gates))


@given(trials(), st.floats(0.01, 1.0), st.floats(0.01, 1.0), COUNTS, st.floats(-1.0, 1.0))
def test_strata(
    evidence: TrialEvidence, one: float, other: float, counts: list[int], excess: float
) -> None:
    low, high = sorted((one, other))
    alphas = (config.StrataGate(alpha=alpha, min_robust=counts[0]) for alpha in (low, high))
    _follows(*(strata.judge_strata(evidence, gate) for gate in alphas))
    robust = (config.StrataGate(alpha=1.0, min_robust=n) for n in reversed(counts))
    _follows(*(strata.judge_strata(evidence, gate) for gate in robust))
    shares = (config.StrataGate(alpha=1.0, min_share_of_folds=share) for share in (high, low))
    _follows(*(strata.judge_strata(evidence, gate) for gate in shares))
    stable = (config.StabilityGate(min_excess=excess, alpha=alpha) for alpha in (low, high))
    _follows(*(strata.judge_stability(evidence, gate) for gate in stable))
    shares_of = (
        config.StabilityGate(min_excess=-1.0, alpha=high, min_share_of_folds=share)
        for share in (high, low)
    )
    _follows(*(strata.judge_stability(evidence, gate) for gate in shares_of))


@given(trials(), PAIRS, st.sampled_from(["refuse", "allow"]))
def test_groups_training_and_cost(
    evidence: TrialEvidence, limits: list[float], unresolved: str
) -> None:
    low, high = limits
    margins = (
        config.EqualGate(columns=("sex",), margin=margin, unresolved=unresolved)
        for margin in (low, high)
    )
    _follows(*(judge_equal_performance(evidence, gate) for gate in margins))
    how = (
        config.EqualGate(columns=("sex",), margin=low, unresolved=what)
        for what in ("refuse", "allow")
    )
    _follows(*(judge_equal_performance(evidence, gate) for gate in how))
    changes = (config.ConvergenceGate(max_change=limit) for limit in (low, high))
    _follows(*(judge_convergence(evidence, gate) for gate in changes))
    seconds = (config.LatencyGate(max_seconds=limit) for limit in (low, high))
    _follows(*(judge_latency(evidence, gate) for gate in seconds))
    sizes = (config.SizeGate(max_parameters=math.ceil(limit * 1e4)) for limit in (low, high))
    _follows(*(judge_size(evidence, gate) for gate in sizes))
    limits_of = (config.SizeGate(max_embedding_size=math.ceil(limit)) for limit in (low, high))
    _follows(*(judge_size(evidence, gate) for gate in limits_of))


@given(trials(), trials(), PAIRS, BY)
def test_champions(
    challenger: TrialEvidence, champion: TrialEvidence, limits: list[float], by: str
) -> None:
    champion = replace(champion, digest="c" * 64)
    gates = (config.ChampionGate(margin=limit, by=by) for limit in limits)
    _follows(*(judge_champion(challenger, champion, gate) for gate in gates))


@given(PAIRS, COUNTS, BY, st.lists(st.sampled_from(["replicated", "untestable", "not_replicated"])))
def test_lockboxes(limits: list[float], counts: list[int], by: str, verdicts: list[str]) -> None:
    report = make_lockbox(replications=tuple(map(make_replication, verdicts)))
    low, high = limits
    few, many = counts
    strict = {
        "mean_image": {"max_ratio": low, "by": by},
        "error_ratio": {"max_ratio": low},
        "replication": {"min_replicated": many},
        "looks": {"max_looks": few + 1},
    }
    loose = {
        "mean_image": {"max_ratio": high, "by": by},
        "error_ratio": {"max_ratio": high},
        "replication": {"min_replicated": few},
        "looks": {"max_looks": many + 1},
    }
    asked = [
        PromotionConfig.model_validate(
            {"name": "x", "gates": {"integrity": True}, "lockbox": lockbox}
        )
        for lockbox in (strict, loose)
    ]
    for pair in zip(*(judge_lockbox(report, one) for one in asked), strict=True):
        _follows(*pair)


@given(trials())
def test_without_a_fold_no_gate_on_what_was_trained_opens(evidence: TrialEvidence) -> None:
    content = {name: True for name in TrialGates.model_fields if name != "size"}
    gates = PromotionConfig.model_validate({"name": "x", "gates": content})
    verdicts = judge(replace(evidence, folds=(), integrity=(), latency=None), gates)
    assert [verdict.gate for verdict in verdicts if verdict.passed] == []
