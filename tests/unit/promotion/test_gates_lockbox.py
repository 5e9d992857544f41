"""Gates on the lockbox, and between a challenger and the champion."""

import math
from dataclasses import replace

import numpy as np
import pytest
from example_evidence import (
    make_evidence,
    make_fold,
    make_lockbox,
    make_replication,
    with_metric,
)
from scipy import stats

from isthmus.cohort.lockbox import Look
from isthmus.config.promotion.gates import PromotionConfig
from isthmus.config.promotion.load import load_gates
from isthmus.config.promotion.thresholds import ChampionGate
from isthmus.promotion.gates.champion import judge_champion
from isthmus.promotion.gates.lockbox import judge_lockbox
from isthmus.promotion.lockbox.record import LockboxReport
from isthmus.promotion.verdict import GateVerdict


def _ask(report: LockboxReport, **gates: object) -> GateVerdict:
    content = {"name": "x", "gates": {"integrity": True}, "lockbox": gates}
    (verdict,) = judge_lockbox(report, PromotionConfig.model_validate(content))
    return verdict


def _with_model(factor: float) -> LockboxReport:
    report = make_lockbox()
    subjects = (
        replace(one, mse={**one.mse, "model": one.mse["model"] * factor})  # type: ignore[operator]
        for one in report.subjects
    )
    return replace(report, subjects=tuple(subjects))


def test_a_good_model_passes_every_gate_of_the_lockbox() -> None:
    verdicts = judge_lockbox(make_lockbox(), load_gates())
    assert [verdict.gate for verdict in verdicts] == [
        f"lockbox.{name}" for name in ("mean_image", "pca", "error_ratio", "replication", "looks")
    ]
    assert all(verdict.passed for verdict in verdicts)
    assert judge_lockbox(make_lockbox(), load_gates("demo"))[0].gate == "lockbox.mean_image"


def test_relatives_count_as_their_family() -> None:
    verdict = _ask(make_lockbox(), mean_image=True)
    logs = np.log([0.25 * (1 + 0.01 * i) for i in range(20)])
    upper = logs.mean() + stats.t(9).ppf(0.975) * logs.std(ddof=1) / math.sqrt(10)
    assert verdict.found == pytest.approx(math.exp(upper))
    assert "On lockbox subjects (20 of 10 families)" in verdict.words
    one_family = _ask(make_lockbox(n_families=1), mean_image=True)
    assert not one_family.passed
    assert "two lockbox families or more and there is one" in one_family.words
    assert _ask(make_lockbox(n_families=1), mean_image={"by": "mean"}).passed


def test_a_model_that_fails_on_the_lockbox_is_refused() -> None:
    verdict = _ask(_with_model(4.0), mean_image=True)
    assert not verdict.passed
    assert "The interval's upper end is 0.14 above 1." in verdict.words
    assert not _ask(_with_model(2.0), pca={"by": "mean"}).passed


def test_a_subject_without_an_error_keeps_the_gate_shut() -> None:
    report = make_lockbox()
    first = replace(report.subjects[0], mse={"model": 0.1, "mean_image": None})
    verdict = _ask(replace(report, subjects=(first, *report.subjects[1:])), mean_image=True)
    assert (verdict.passed, verdict.found) == (False, None)
    assert "of the model and of mean_image, and one has not." in verdict.words
    assert "No lockbox subject" in _ask(make_lockbox(subjects=()), mean_image=True).words


def test_the_error_may_not_grow_too_much() -> None:
    verdict = _ask(make_lockbox(), error_ratio={"max_ratio": 1.2})
    assert (verdict.passed, verdict.found) == (True, 1.1)
    verdict = _ask(make_lockbox(), error_ratio={"max_ratio": 1.05})
    assert not verdict.passed
    assert verdict.words.endswith("It is 0.05 above 1.05.")
    verdict = _ask(make_lockbox(ratios=()), error_ratio=True)
    assert verdict.found is None
    assert "No development subject was held out from this encoder." in verdict.words


def test_associations_must_come_back() -> None:
    verdict = _ask(make_lockbox(), replication={"min_replicated": 1})
    assert (verdict.passed, verdict.found) == (True, 1)
    assert "1 of 2 associations" in verdict.words
    assert "(factor factor_1), 1 did not, 0 could not be tested" in verdict.words
    verdict = _ask(make_lockbox(), replication={"min_replicated": 2})
    assert not verdict.passed
    assert verdict.words.endswith("1 too few.")


@pytest.mark.parametrize("replications", [(), (make_replication("untestable"),)])
def test_nothing_to_test_is_no_replication_unless_the_file_says_so(
    replications: tuple[object, ...],
) -> None:
    report = make_lockbox(replications=replications)
    verdict = _ask(report, replication=True)
    assert not verdict.passed
    assert verdict.words.endswith("no replication, and is refused.")
    assert _ask(report, replication={"unresolved": "allow"}).passed
    # what was tested and did not come back is resolved, and refused
    tested = make_lockbox(replications=(make_replication("not_replicated"),))
    assert not _ask(tested, replication={"unresolved": "allow"}).passed


def test_every_look_counts() -> None:
    assert _ask(make_lockbox(), looks=True).words.startswith("The lockbox was opened once;")
    looks = tuple(Look(f"2024-01-0{i}T00:00:00+00:00", "again") for i in (1, 2, 3))
    verdict = _ask(make_lockbox(looks=looks), looks={"max_looks": 2})
    assert (verdict.passed, verdict.found, verdict.threshold) == (False, 3, 2)
    assert "1 too many: what was chosen after a look" in verdict.words


CHAMPION = make_evidence(digest="c" * 64, name="champion")


def test_a_challenger_that_is_better_takes_over() -> None:
    verdict = judge_champion(
        make_evidence(), with_metric(CHAMPION, "validation_mse", 2.0), ChampionGate(by="mean")
    )
    assert verdict.passed
    assert verdict.found == pytest.approx(-0.5)


def test_a_challenger_that_is_worse_is_told_by_how_much() -> None:
    settings = ChampionGate(margin=0.05, by="mean")
    verdict = judge_champion(
        with_metric(make_evidence(), "validation_mse", 1.2), CHAMPION, settings
    )
    assert not verdict.passed
    assert verdict.found == pytest.approx(0.2)
    assert verdict.words.endswith("The mean is 0.15 above 1.05.")
    assert "(champion cccccccccccc)" in verdict.words


def test_folds_are_paired_by_the_corrected_interval() -> None:
    factors = (1.0, 1.01, 0.99, 1.02, 0.98)
    folds = tuple(
        replace(f, metrics={**f.metrics, "validation_mse": f.metrics["validation_mse"] * factor})
        for f, factor in zip(CHAMPION.folds, factors, strict=True)
    )
    verdict = judge_champion(make_evidence(folds=folds), CHAMPION, ChampionGate())
    logs = np.log(factors)
    upper = logs.mean() + stats.t(4).ppf(0.975) * logs.std(ddof=1) * math.sqrt(1 / 5 + 20 / 80)
    assert verdict.found == pytest.approx(math.exp(upper) - 1)
    assert verdict.passed


def test_a_trial_is_not_worse_than_itself() -> None:
    verdict = judge_champion(CHAMPION, CHAMPION, ChampionGate(margin=0.0))
    assert (verdict.passed, verdict.found) == (True, 0.0)


@pytest.mark.parametrize(
    ("champion", "words"),
    [
        (None, "Nothing is recorded of what the champion did."),
        (
            replace(CHAMPION, identity={**CHAMPION.identity, "images": "other"}),
            "their images differ: neither error says anything of the other.",
        ),
        (
            replace(CHAMPION, identity={**CHAMPION.identity, "split": "other"}),
            "Ask for the mean (by: mean) to compare other folds.",
        ),
        (replace(CHAMPION, modalities=("T1w",)), "their modalities differ"),
        (replace(CHAMPION, failures=("fold 1",)), "a failed fold is not averaged away"),
        (with_metric(CHAMPION, "validation_mse", None), "has no `validation_mse`"),
        (with_metric(CHAMPION, "validation_mse", 0.0), "An error of champion is not above 0."),
        (replace(CHAMPION, folds=(make_fold(1),)), "Their folds are [0, 1, 2, 3, 4] and [1]."),
    ],
)
def test_what_cannot_be_compared_does_not_take_over(champion: object, words: str) -> None:
    verdict = judge_champion(make_evidence(), champion, ChampionGate())  # type: ignore[arg-type]
    assert (verdict.passed, verdict.found) == (False, None)
    assert words in verdict.words


def test_means_need_the_same_data_and_not_the_same_folds() -> None:
    champion = replace(CHAMPION, identity={**CHAMPION.identity, "split": "other"})
    assert judge_champion(make_evidence(), champion, ChampionGate(by="mean")).passed
