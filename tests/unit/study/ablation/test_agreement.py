"""An arm's strata beside the baseline's, with retraining as the measure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from simulated_ablation import labelled_scores, plan_of, progress_of, write_fold
from sklearn.metrics import adjusted_rand_score

from isthmus.config.ablation.design import ContrastConfig, InferenceConfig
from isthmus.study.ablation.agreement import agreement_findings
from isthmus.study.ablation.conclude import conclude
from isthmus.study.ablation.findings import MetricFindings

ASKED = ContrastConfig(metric="strata_agreement", direction="either")
PLAN = plan_of({"full": ("T1w",), "arm": ("FA",)}, "full")
N_SUBJECTS = 60


def noisy(truth: np.ndarray, share: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(truth.size) < share, rng.integers(0, 3, truth.size), truth)


def findings(full: Sequence[np.ndarray], arm: Sequence[np.ndarray]) -> MetricFindings:
    scores = labelled_scores(PLAN, {"full": full, "arm": arm})
    return agreement_findings(scores, ASKED, InferenceConfig(), is_primary=False)


def test_an_arm_is_compared_with_the_other_blocks_of_the_baseline() -> None:
    truth = np.arange(N_SUBJECTS) % 3
    full = [noisy(truth, 0.1, i) for i in range(4)]
    arm = [noisy(truth, 0.5, 10 + i) for i in range(4)]
    finding = findings(full, arm)
    expected = {
        name: [
            np.mean([adjusted_rand_score(of[j], full[k]) for k in range(4) if k != j])
            for j in range(4)
        ]
        for name, of in (("full", full), ("arm", arm))
    }
    for estimate in finding.arms:
        assert estimate.values == pytest.approx(expected[estimate.arm])
    (contrast,) = finding.contrasts
    assert contrast.reference_mean == pytest.approx(np.mean(expected["full"]))
    assert contrast.mean == pytest.approx(np.mean(expected["arm"]))
    assert contrast.difference == pytest.approx(contrast.mean - contrast.reference_mean)
    assert contrast.verdict == "lower"
    assert finding.ranking is None
    assert finding.why_not_ranked


def test_strata_that_do_not_come_back_are_said_to_have_nothing_to_lose() -> None:
    truth = np.arange(N_SUBJECTS) % 3
    (contrast,) = findings(
        [noisy(truth, 1.0, i) for i in range(4)], [noisy(truth, 1.0, 10 + i) for i in range(4)]
    ).contrasts
    assert contrast.notes[-1].startswith("The strata of full are not shown to come back")
    (there,) = findings(
        [noisy(truth, 0.1, i) for i in range(4)], [noisy(truth, 1.0, 10 + i) for i in range(4)]
    ).contrasts
    assert not any("come back" in note for note in there.notes)


def test_names_of_strata_do_not_matter() -> None:
    truth = np.arange(N_SUBJECTS) % 3
    full = [noisy(truth, 0.1, i) for i in range(4)]
    turned = [(2 - labels) for labels in full]
    assert findings(full, turned).contrasts[0].difference == 0.0


def test_a_block_without_a_partition_is_undefined_with_the_count(tmp_path: Path) -> None:
    truth = np.arange(120) % 3
    for run in PLAN.runs:
        for fold in range(2):
            gone = run.arm == "arm" and (run.seed, fold) == (1, 0)
            labels = None if gone else noisy(truth, 0.2, 10 * run.number + fold).tolist()
            write_fold(tmp_path, run, fold, {}, labels)
    result = conclude(PLAN, progress_of(PLAN), tmp_path, [ASKED], InferenceConfig())
    (contrast,) = result.findings[0].contrasts
    assert contrast.verdict == "undefined"
    assert contrast.reason == "The clustering gave arm no partition in 1 of 4 blocks."
    full, arm = result.findings[0].arms
    assert full.mean is not None
    assert arm.mean is None
    assert arm.values[2] is None
    assert arm.why_not == contrast.reason


def test_folds_on_disk_give_what_their_labels_give(tmp_path: Path) -> None:
    truth = np.arange(120) % 3
    labels = {
        arm: [noisy(truth, share, i + 20 * (arm == "arm")) for i in range(4)]
        for arm, share in (("full", 0.1), ("arm", 0.4))
    }
    for run in PLAN.runs:
        for fold in range(2):
            write_fold(tmp_path, run, fold, {}, labels[run.arm][2 * run.seed + fold].tolist())
    result = conclude(PLAN, progress_of(PLAN), tmp_path, [ASKED], InferenceConfig())
    in_memory = findings(labels["full"], labels["arm"])
    assert [one.values for one in result.findings[0].arms] == [one.values for one in in_memory.arms]


def test_one_block_has_nothing_to_measure_retraining_by() -> None:
    plan = plan_of({"full": ("T1w",), "arm": ("FA",)}, "full", 1, 1)
    truth = np.arange(N_SUBJECTS) % 3
    scores = labelled_scores(plan, {"full": [truth], "arm": [truth]})
    finding = agreement_findings(scores, ASKED, InferenceConfig(), is_primary=True)
    assert finding.contrasts[0].verdict == "undefined"
    assert "Ask for more folds or seeds" in finding.contrasts[0].reason


def test_an_arm_that_lacks_folds_is_unpaired() -> None:
    scores = labelled_scores(PLAN, {"full": [np.arange(N_SUBJECTS) % 3] * 4})
    scores.folds["arm"] = (None,) * 4  # type: ignore[index]
    scores.lacking["arm"] = "arm is not finished yet."  # type: ignore[index]
    finding = agreement_findings(scores, ASKED, InferenceConfig(), is_primary=True)
    assert finding.contrasts[0].verdict == "unpaired"
    assert finding.contrasts[0].reason == "arm is not finished yet."
