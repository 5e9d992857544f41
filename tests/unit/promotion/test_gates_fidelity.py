"""Gates on fidelity: each passes, fails by a number, and stays shut without evidence."""

import math
from dataclasses import replace

import numpy as np
import pytest
from example_evidence import JITTER, N_FOLDS, make_evidence, make_fold, with_metric
from scipy import stats

from isthmus.config.promotion.thresholds import ContrastGate, ControlGate, ShuffleGate
from isthmus.promotion.gates.fidelity import (
    judge_cnr_ratio,
    judge_embedding_shuffle,
    judge_mean_image,
    judge_pca,
)

MEAN = ControlGate(by="mean")
GATES = {
    "mean_image": (judge_mean_image, ControlGate(), "mean_image_mse", 1.0),
    "pca": (judge_pca, ControlGate(), "pca_mse", 1.0),
    "cnr_ratio": (judge_cnr_ratio, ContrastGate(), "validation_cnr_ratio", 0.8),
    "embedding_shuffle": (judge_embedding_shuffle, ShuffleGate(), "embedding_shuffle_mse", 0.1),
}


@pytest.mark.parametrize("name", GATES)
def test_a_good_model_passes(name: str) -> None:
    judge, settings, _, threshold = GATES[name]
    verdict = judge(make_evidence(), settings)
    assert (verdict.gate, verdict.passed, verdict.threshold) == (name, True, threshold)
    assert "95 % interval" in verdict.words
    assert verdict.evidence["n_folds"] == N_FOLDS


@pytest.mark.parametrize("name", GATES)
def test_a_missing_metric_keeps_the_gate_shut(name: str) -> None:
    judge, settings, metric, threshold = GATES[name]
    verdict = judge(with_metric(make_evidence(), metric, None), settings)
    assert (verdict.passed, verdict.found, verdict.threshold) == (False, None, threshold)
    assert f"It could not be judged. Fold {N_FOLDS - 1} has no `{metric}`." in verdict.words


@pytest.mark.parametrize("name", GATES)
def test_a_failed_fold_keeps_the_gate_shut(name: str) -> None:
    judge, settings, _, _ = GATES[name]
    verdict = judge(make_evidence(failures=("fold 5: TrainingDiverged: nan",)), settings)
    assert not verdict.passed
    assert "1 of 6 folds failed, and a failed fold is not averaged away (fold 5" in verdict.words
    verdict = judge(make_evidence(folds=()), settings)
    assert verdict.words == "It could not be judged. The trial has no finished fold."


def test_the_interval_is_the_corrected_one_of_log_ratios() -> None:
    verdict = judge_mean_image(make_evidence(), ControlGate())
    logs = np.log([0.25 * (1 + jitter) for jitter in JITTER])
    error = logs.std(ddof=1) * math.sqrt(1 / N_FOLDS + 20 / 80)
    upper = logs.mean() + stats.t(N_FOLDS - 1).ppf(0.975) * error
    assert verdict.found == pytest.approx(math.exp(upper))
    assert "over the mean image's is 0.25 (95 % interval 0.24" in verdict.words


def test_a_model_that_is_better_on_average_alone_passes_by_the_mean_alone() -> None:
    evidence = with_metric(make_evidence(), "mean_image_mse", 0.2503)
    by_interval = judge_mean_image(evidence, ControlGate())
    assert not by_interval.passed
    assert by_interval.words.endswith("The interval's upper end is 0.029 above 1.")
    by_mean = judge_mean_image(evidence, MEAN)
    assert by_mean.passed
    assert "(mean over 5 folds)" in by_mean.words


def test_the_mean_image_itself_does_not_beat_the_mean_image() -> None:
    evidence = make_evidence()
    folds = [
        replace(fold, metrics={**fold.metrics, "mean_image_mse": fold.metrics["validation_mse"]})
        for fold in evidence.folds
    ]
    verdict = judge_mean_image(make_evidence(folds=tuple(folds)), MEAN)
    assert (verdict.passed, verdict.found) == (False, 1.0)
    assert verdict.words.endswith("The mean is 1 itself.")
    verdict = judge_mean_image(make_evidence(folds=tuple(folds)), ControlGate())
    assert "All 5 values are the same: without any spread there is no interval." in verdict.words


def test_a_worse_model_is_told_by_how_much() -> None:
    verdict = judge_pca(with_metric(make_evidence(), "pca_mse", 0.25), MEAN)
    assert not verdict.passed
    assert verdict.found == pytest.approx(2.0, rel=1e-3)
    assert verdict.words.endswith("The mean is 1 above 1.")


def test_pca_says_how_many_components_it_had() -> None:
    folds = tuple(make_fold(i, n_train=11) for i in range(N_FOLDS))
    verdict = judge_pca(make_evidence(folds=folds), MEAN)
    assert "PCA's (10 components for 64 embedding values)" in verdict.words


def test_each_modality_is_asked_where_that_is_wanted() -> None:
    evidence = with_metric(make_evidence(), "mean_image_mse/FA", 0.2)
    assert judge_mean_image(evidence, ControlGate()).passed
    verdict = judge_mean_image(evidence, ControlGate(each_modality=True))
    assert not verdict.passed
    assert verdict.words.startswith("The model's squared error of FA over the mean image's is 1.2")
    assert verdict.evidence["mean/T1w"] == pytest.approx(0.25, rel=1e-3)


def test_one_fold_has_a_mean_and_no_interval() -> None:
    evidence = make_evidence(folds=(make_fold(0),))
    verdict = judge_mean_image(evidence, ControlGate())
    assert not verdict.passed
    assert "An interval needs two values or more and there is one." in verdict.words
    assert judge_mean_image(evidence, MEAN).passed


def test_an_error_of_nothing_has_no_ratio() -> None:
    verdict = judge_mean_image(with_metric(make_evidence(), "validation_mse", 0.0), MEAN)
    assert "`validation_mse` of fold 0 is 0, which has no ratio." in verdict.words


def test_an_embedding_that_tells_nothing_is_refused() -> None:
    verdict = judge_embedding_shuffle(
        with_metric(make_evidence(), "embedding_shuffle_mse", 1 / 1.5), ShuffleGate(by="mean")
    )
    assert not verdict.passed
    assert verdict.words.endswith(
        "The mean is 0.1 below 0.1. The skips carry the image, not the embedding."
    )


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (0.5, "The mean is 0.35 below 0.8."),
        (2.0, "The mean is 0.6 above 1.2."),
    ],
)
def test_contrast_may_be_neither_lost_nor_made_up(factor: float, words: str) -> None:
    settings = ContrastGate(min_ratio=0.8, max_ratio=1.2, by="mean")
    assert judge_cnr_ratio(make_evidence(), settings).passed
    verdict = judge_cnr_ratio(
        with_metric(make_evidence(), "validation_cnr_ratio", factor), settings
    )
    assert not verdict.passed
    assert verdict.words.endswith(words)
    assert verdict.found == pytest.approx(0.9 * factor)


def test_contrast_without_tissues_says_what_it_needs() -> None:
    evidence = with_metric(make_evidence(), "validation_cnr_ratio", None)
    words = judge_cnr_ratio(evidence, ContrastGate()).words
    assert words.endswith("It needs a T1w and controls.tissue: kmeans.")


def test_contrast_and_rise_are_held_by_their_lower_ends() -> None:
    lower = judge_cnr_ratio(make_evidence(), ContrastGate(min_ratio=0.89))
    assert not lower.passed
    assert "The interval's lower end is 0.0" in lower.words
    assert judge_cnr_ratio(make_evidence(), ContrastGate(min_ratio=0.89, by="mean")).passed
    rise = judge_embedding_shuffle(make_evidence(), ShuffleGate(min_increase=0.49))
    assert not rise.passed
    assert "The interval's lower end is 0.0" in rise.words
    assert judge_embedding_shuffle(
        make_evidence(), ShuffleGate(min_increase=0.49, by="mean")
    ).passed
