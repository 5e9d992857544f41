"""Gates on convergence, cost and the records themselves."""

from dataclasses import replace

import pytest
from example_evidence import make_evidence, make_fold

from isthmus.config.promotion.load import load_gates
from isthmus.config.promotion.thresholds import (
    ConvergenceGate,
    IntegrityGate,
    LatencyGate,
    NotLeakyGate,
    SizeGate,
)
from isthmus.promotion.evidence.record import Check, TrialEvidence
from isthmus.promotion.gates.cost import judge_latency, judge_size
from isthmus.promotion.gates.integrity import judge_integrity, judge_not_leaky
from isthmus.promotion.gates.judge import JUDGES, judge
from isthmus.promotion.gates.training import judge_convergence
from isthmus.promotion.verdict import failed, refusal, verdicts_from_json, verdicts_to_json


def _losses(*losses: float, monitored: bool = False) -> TrialEvidence:
    fold = make_fold(1, losses=losses, monitored=monitored)
    return make_evidence(folds=(make_fold(0), fold))


def test_every_gate_of_the_language_has_a_judge() -> None:
    standard = load_gates()
    verdicts = judge(make_evidence(), standard)
    assert [verdict.gate for verdict in verdicts] == list(JUDGES)
    assert list(JUDGES) == [name for name, _ in standard.gates.asked()]
    assert failed(verdicts) == ()


def test_a_gate_that_is_left_out_is_not_asked() -> None:
    gates = load_gates("standard", ["gates.size=false", "gates.latency=false"])
    asked = [verdict.gate for verdict in judge(make_evidence(), gates)]
    assert asked == [name for name in JUDGES if name not in ("size", "latency")]


def test_verdicts_and_evidence_are_read_back_as_they_were_written() -> None:
    evidence = make_evidence(latency=None, missing={"latency": "no"}, selection=None)
    assert TrialEvidence.from_json(evidence.to_json()) == evidence
    verdicts = judge(evidence, load_gates())
    assert verdicts_from_json(verdicts_to_json(verdicts)) == verdicts


def test_a_refusal_names_the_gates_that_failed_alone() -> None:
    verdicts = judge(make_evidence(embedding_size=5000), load_gates())
    lines = refusal("trial 3", verdicts).splitlines()
    assert lines[0] == "trial 3 does not pass 1 of 12 gates:"
    assert lines[1].startswith("  size: 1,000,000 trainable parameters; at most 20,000,000")
    assert lines[1].endswith("904 embedding values too many (22%).")
    assert len(lines) == 2


def test_a_loss_that_came_to_rest_passes() -> None:
    verdict = judge_convergence(make_evidence(), ConvergenceGate())
    assert (verdict.passed, verdict.found) == (True, 0.0)
    assert "In the last 2 epochs of 20 the training loss fell by the share 0" in verdict.words


def test_a_loss_that_still_falls_is_refused_by_how_much() -> None:
    verdict = judge_convergence(_losses(1.0, 0.5, 0.4), ConvergenceGate())
    assert verdict.found == pytest.approx(0.2)
    assert verdict.words.endswith("It is 0.15 above 0.05. Train for longer.")
    assert "(fold 1, the largest change)" in verdict.words


def test_a_rise_counts_where_nothing_watched() -> None:
    rising = (1.0, 0.5, 0.6)
    verdict = judge_convergence(_losses(*rising), ConvergenceGate())
    assert not verdict.passed
    assert "the training loss rose by the share 0.2" in verdict.words
    assert judge_convergence(_losses(*rising, monitored=True), ConvergenceGate()).passed


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (_losses(), "Fold 1 has a history of 0 epochs"),
        (_losses(0.5), "Fold 1 has a history of 1 epochs"),
        (_losses(0.0, 0.0), "The loss of fold 1 is 0 before the last 1 epochs"),
        (make_evidence(failures=("fold 1: TrainingDiverged: nan",)), "1 of 6 folds failed"),
        (make_evidence(folds=()), "The trial has no finished fold."),
    ],
)
def test_without_a_history_the_gate_stays_shut(evidence: TrialEvidence, words: str) -> None:
    verdict = judge_convergence(evidence, ConvergenceGate())
    assert (verdict.passed, verdict.found) == (False, None)
    assert words in verdict.words


def test_size_names_the_limit_that_is_nearest() -> None:
    verdict = judge_size(make_evidence(), SizeGate(max_parameters=1_000_000))
    assert (verdict.passed, verdict.found, verdict.threshold) == (True, 1_000_000, 1_000_000)
    verdict = judge_size(make_evidence(), SizeGate(max_parameters=999_999, max_embedding_size=32))
    assert (verdict.passed, verdict.found, verdict.threshold) == (False, 64, 32)
    assert "1 trainable parameters too many" in verdict.words
    assert "32 embedding values too many (100%)." in verdict.words
    assert not judge_size(make_evidence(folds=()), SizeGate(max_parameters=5)).passed


def test_latency_is_of_a_machine() -> None:
    verdict = judge_latency(make_evidence(), LatencyGate(max_seconds=0.2))
    assert (verdict.passed, verdict.found) == (True, 0.2)
    assert "(median of 3, cpu, a machine)" in verdict.words
    verdict = judge_latency(make_evidence(), LatencyGate(max_seconds=0.15))
    assert not verdict.passed
    assert verdict.words.endswith("It is 0.05 above 0.15.")


def test_latency_that_was_not_measured_keeps_the_gate_shut() -> None:
    verdict = judge_latency(make_evidence(latency=None), LatencyGate())
    assert (verdict.passed, verdict.found, verdict.threshold) == (False, None, 10.0)
    assert verdict.words == "It could not be judged. It was not measured."


def test_files_that_agree_pass_and_a_tampered_one_is_named() -> None:
    assert judge_integrity(make_evidence(), IntegrityGate()).passed
    wrong = Check("fold-0/model.safetensors", "its digest", False, "Must be a, is b.")
    verdict = judge_integrity(
        make_evidence(integrity=(*make_evidence().integrity, wrong)), IntegrityGate()
    )
    assert (verdict.passed, verdict.found, verdict.threshold) == (False, 1, 0)
    assert verdict.words.startswith(
        "1 of 2 checks do not agree. fold-0/model.safetensors: its digest: Must be a, is b."
    )
    assert verdict.evidence["files"] == "fold-0/model.safetensors"
    many = tuple(replace(wrong, file=f"file-{i}") for i in range(9))
    assert "And 4 more." in judge_integrity(make_evidence(integrity=many), IntegrityGate()).words


def test_files_that_nobody_compared_keep_the_gate_shut() -> None:
    verdict = judge_integrity(make_evidence(integrity=()), IntegrityGate())
    assert (verdict.passed, verdict.found) == (False, None)
    assert verdict.words == "It could not be judged. No file was compared with its record."


def test_one_leaky_record_is_enough() -> None:
    assert judge_not_leaky(make_evidence(), NotLeakyGate()).passed
    folds = (make_fold(0), make_fold(1, leaky=True))
    verdict = judge_not_leaky(make_evidence(folds=folds), NotLeakyGate())
    assert (verdict.passed, verdict.found) == (False, 1)
    assert "by the records of fold 1: every number of theirs is too good" in verdict.words
    verdict = judge_not_leaky(make_evidence(leaky=True, folds=folds), NotLeakyGate())
    assert "by the records of the trial, fold 1:" in verdict.words
    assert not judge_not_leaky(make_evidence(folds=()), NotLeakyGate()).passed
