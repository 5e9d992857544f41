"""From folders with folds to findings: pairing, what is refused, and what is written down."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from scipy.stats import f
from simulated_ablation import (
    ALIKE,
    FUSED,
    MSE,
    NOISE,
    SIZE,
    plan_of,
    progress_of,
    said,
    scores_of,
    write_all,
)
from statsmodels.stats.multitest import multipletests

from isthmus.config.ablation.design import ContrastConfig, InferenceConfig
from isthmus.study.ablation.conclude import conclude
from isthmus.study.ablation.paired import Paired, pair
from isthmus.study.ablation.records import Comparison, Progress
from isthmus.study.inference.resampled_t import resampled_t


def test_arms_that_fuse_the_same_are_compared_as_they_are(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all")
    write_all(plan, tmp_path)
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    (finding,) = result.findings
    found = said(result, "none")
    names = [arm.name for arm in plan.arms]
    shift = NOISE[names.index("none")] - NOISE[0] + 0.1 * names.index("none")
    expected = resampled_t(list(shift), 12 / 48)
    assert found.difference == pytest.approx(shift.mean())
    assert found.p_value == pytest.approx(expected.p_value)
    assert (found.ci_low, found.ci_high) == pytest.approx(expected.interval(0.05))
    p_values = [one.p_value for one in finding.contrasts]
    adjusted = [one.p_value_adjusted for one in finding.contrasts]
    assert adjusted == pytest.approx(multipletests(p_values, method="holm")[1])
    assert found.verdict == "worse"
    assert found.family == "2 comparisons with the baseline by validation_mse, holm"
    assert found.mean - found.reference_mean == pytest.approx(found.difference)
    assert [block.n_train for block in finding.blocks] == [48] * 4
    assert finding.is_primary
    assert result.correction == "holm"


def test_arms_that_fuse_different_modalities_are_compared_on_those_they_share(
    tmp_path: Path,
) -> None:
    plan = plan_of(FUSED, "all")
    write_all(plan, tmp_path)
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    names = [arm.name for arm in plan.arms]
    for arm in ("T1w", "FA"):
        found, number = said(result, arm), names.index(arm)
        # FA is the second of two modalities of the baseline, where its error is 1 higher
        offset = 0.0 if arm == "T1w" else -1.0
        expected = NOISE[number] - NOISE[0] + 0.1 * number + offset
        assert found.modalities == (arm,)
        assert found.difference == pytest.approx(expected.mean())
    means = {one.arm: one.mean for one in result.findings[0].arms}
    assert means["all"] == pytest.approx(1.0 + NOISE[0].mean())
    assert result.findings[0].ranking is None
    assert "No modality is fused by all arms" in result.findings[0].why_not_ranked


def test_arms_without_a_modality_in_common_are_not_compared(tmp_path: Path) -> None:
    plan = plan_of(FUSED, "all")
    pair = Comparison("T1w against FA", "pair", (("T1w", "FA", 1.0),))
    plan = replace(plan, comparisons=(pair,))
    write_all(plan, tmp_path)
    asked = [MSE, ContrastConfig(metric="validation_mse/T1w", direction="minimize"), SIZE]
    result = conclude(plan, progress_of(plan), tmp_path, asked, InferenceConfig())
    found = [finding.contrasts[0] for finding in result.findings]
    assert found[0].verdict == "undefined"
    assert found[0].reason.endswith("T1w fuses T1w, FA fuses FA.")
    assert found[1].reason == "FA does not fuse T1w, so it has no validation_mse/T1w."
    assert found[2].verdict == "not_resolvable"
    assert found[2].notes == ("The scores are equal in each of 4 blocks.",)


def test_a_failed_arm_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all")
    lost = next(run for run in plan.runs if run.arm == "none" and run.seed == 1)
    write_all(plan, tmp_path, ((lost.number, 1),))
    states = {(1, 1): ("failed", "TrainingDiverged: the loss of step 3 is not finite (nan).")}
    progress = progress_of(plan, none=states)
    result = conclude(plan, progress, tmp_path, [MSE], InferenceConfig())
    failed, whole = said(result, "none"), said(result, "half")
    assert failed.verdict == "unpaired"
    assert failed.reason.startswith("none failed at seed 1, fold 1: TrainingDiverged")
    assert failed.difference is None
    assert whole.verdict == "worse"
    assert whole.family.startswith("1 comparisons")
    estimates = {one.arm: one for one in result.findings[0].arms}
    assert estimates["none"].mean is None
    assert estimates["none"].values[:3] != (None,) * 3
    assert estimates["none"].values[3] is None
    assert estimates["none"].why_not == failed.reason
    assert "there are 2" in result.findings[0].why_not_ranked
    assert len(result.curves) == 11


def test_halfway_what_is_not_there_yet_is_unpaired(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all")
    write_all(plan, tmp_path, tuple((r.number, 0) for r in plan.runs if r.arm == "half"))
    result = conclude(plan, Progress(()), tmp_path, [MSE], InferenceConfig())
    assert said(result, "half").reason == "half is not finished yet: 2 of 4 folds are missing."
    assert said(result, "none").verdict == "worse"


def test_before_anything_ran_blocks_are_as_planned(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all", sizes=(30, 15))
    result = conclude(plan, Progress(()), tmp_path, [MSE], InferenceConfig())
    assert {(b.n_train, b.n_test) for b in result.findings[0].blocks} == {(30, 15)}
    assert {one.verdict for one in result.findings[0].contrasts} == {"unpaired"}
    assert result.curves == ()
    assert result.panels == {}


def test_a_fold_that_cannot_be_read_is_missing_and_said_to_be(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all")
    write_all(plan, tmp_path)
    run = plan.runs_of("half")[0]
    (tmp_path / run.folder / "fold-0" / "fold.json").write_text("{}")
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    assert "1 of 4 folds were done, but have no fold.json" in said(result, "half").reason


def test_an_arm_that_cannot_be_built_is_unpaired_with_its_reason(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all", infeasible={"half": "its model has no weights."})
    write_all(plan, tmp_path)
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    found = said(result, "half")
    assert (found.verdict, found.reason) == (
        "unpaired",
        "half cannot be built: its model has no weights.",
    )
    assert [one.arm for one in result.findings[0].arms] == ["all", "none"]


def test_arms_that_are_one_experiment_share_runs_and_are_not_compared(tmp_path: Path) -> None:
    plan = plan_of({**ALIKE, "again": ("T1w",)}, "all", same_as={"half": "all", "again": "none"})
    write_all(plan, tmp_path)
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    assert said(result, "half").verdict == "undefined"
    assert "half and all are the same experiment" in said(result, "half").reason
    assert said(result, "again").difference == said(result, "none").difference
    estimates = {one.arm: one for one in result.findings[0].arms}
    assert estimates["again"].values == estimates["none"].values
    assert result.panels["half"] == result.panels["all"]


def test_effects_over_several_pairs_are_weighted(tmp_path: Path) -> None:
    plan = plan_of(dict.fromkeys(("00", "01", "10", "11"), ("T1w",)), "00")
    main = Comparison("b", "main_effect", (("01", "00", 0.5), ("11", "10", 0.5)), "b")
    both = Comparison("a x b", "interaction", (("11", "10", 1.0), ("01", "00", -1.0)), "a x b")
    plan = replace(plan, comparisons=(main, both))
    write_all(plan, tmp_path)
    asked = replace_margin(0.5)
    result = conclude(plan, progress_of(plan), tmp_path, [asked], InferenceConfig())
    effect, interaction = result.findings[0].contrasts
    rows = {arm.name: 0.5 + 0.1 * i + NOISE[i] for i, arm in enumerate(plan.arms)}
    first, second = rows["01"] - rows["00"], rows["11"] - rows["10"]
    assert effect.difference == pytest.approx(((first + second) / 2).mean())
    assert effect.reference_mean == pytest.approx(((rows["00"] + rows["10"]) / 2).mean())
    assert interaction.difference == pytest.approx((second - first).mean())
    assert interaction.mean is None
    assert interaction.reference_mean is None
    assert interaction.margin == pytest.approx(0.5 * ((rows["00"] + rows["10"]) / 2).mean())
    assert (effect.family[:6], interaction.family[:6]) == ("1 main", "1 inte")


def replace_margin(share: float) -> ContrastConfig:
    return ContrastConfig(metric="validation_mse", direction="minimize", relative_margin=share)


def test_rounding_is_no_difference() -> None:
    """Two differences of 0.1 that rounding tells apart are no interaction of 1e-17."""
    plan = plan_of(dict.fromkeys(("00", "01", "10", "11"), ("T1w",)), "00")
    values = {"00": 0.3, "01": 0.4, "10": 0.7, "11": 0.8}
    rows = {name: [value + 0.1 * i for i in range(4)] for name, value in values.items()}
    scores = scores_of(plan, "strata_silhouette", rows, 60)
    both = Comparison("a x b", "interaction", (("11", "10", 1.0), ("01", "00", -1.0)), "a x b")
    assert any(
        (rows["11"][i] - rows["10"][i]) - (rows["01"][i] - rows["00"][i]) != 0 for i in range(4)
    )
    found = pair(scores, both, "strata_silhouette")
    assert isinstance(found, Paired)
    assert found.differences == (0.0,) * 4


def test_a_metric_that_is_missing_somewhere_is_undefined_with_the_count(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all")
    write_all(plan, tmp_path)
    asked = ContrastConfig(metric="validation_ssim", direction="maximize")
    result = conclude(plan, progress_of(plan), tmp_path, [asked], InferenceConfig())
    assert said(result, "none").verdict == "undefined"
    assert said(result, "none").reason == "none has no validation_ssim in 4 of 4 blocks."
    assert result.findings[0].arms[0].why_not == "all has no validation_ssim in 4 of 4 blocks."


def test_one_fold_and_one_seed_are_too_few(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all", n_seeds=1, n_folds=1)
    write_all(plan, tmp_path)
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    assert said(result, "none").verdict == "undefined"
    assert "Ask for more folds or seeds" in said(result, "none").reason
    estimate = result.findings[0].arms[0]
    assert (estimate.mean is None, estimate.ci_low) == (False, None)
    assert "two blocks" in result.findings[0].why_not_ranked


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_what_is_no_finite_number_is_no_score(tmp_path: Path, score: float) -> None:
    plan = plan_of({**ALIKE, "third": ("T1w",)}, "all")
    write_all(plan, tmp_path)
    run = plan.runs_of("none")[0]
    file = tmp_path / run.folder / "fold-0" / "fold.json"
    content = json.loads(file.read_text())
    content["metrics"]["validation_mse"] = score
    file.write_text(json.dumps(content))
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    assert said(result, "none").verdict == "undefined"
    assert said(result, "none").reason == "none has no validation_mse in 1 of 4 blocks."
    assert said(result, "half").verdict == "worse"
    ranking = result.findings[0].ranking
    assert ranking is not None
    assert set(ranking.arms) == {"all", "half", "third"}


def test_a_pair_has_one_reference_wherever_it_is_compared(tmp_path: Path) -> None:
    """A relative margin is a share of the reference, so it must be the same arm in both tables."""
    plan = plan_of(ALIKE, "all")
    write_all(plan, tmp_path)
    asked = replace_margin(0.3)
    (finding,) = conclude(plan, progress_of(plan), tmp_path, [asked], InferenceConfig()).findings
    ranked = {one.comparison.name: one for one in finding.ranking.pairs}
    for contrast in finding.contrasts:
        again = ranked[contrast.comparison.name]
        assert again.comparison.pairs == contrast.comparison.pairs
        assert (again.difference, again.margin) == (contrast.difference, contrast.margin)


def test_arms_are_ranked_and_grouped(tmp_path: Path) -> None:
    plan = plan_of({**ALIKE, "again": ("T1w",)}, "all", same_as={"again": "all"})
    write_all(plan, tmp_path)
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    ranking = result.findings[0].ranking
    assert ranking is not None
    assert ranking.arms == ("all", "none", "half")
    assert ranking.average_ranks == (1.0, 2.0, 3.0)
    assert ranking.statistic == pytest.approx(8.0)
    # four blocks that all rank alike are given one change of places: F = 3 * 8 / (2 * 6 / 8)
    assert ranking.p_value == pytest.approx(f.sf(3 * 8 / (2 * 3 * 2 / 8) / (1 + 4 * 12 / 48), 2, 6))
    assert len(ranking.pairs) == 3
    assert ranking.pairs[0].family == "3 pairs of arms by validation_mse, holm"
    different = {
        frozenset(p.comparison.pairs[0][:2]) for p in ranking.pairs if p.verdict != "not_resolvable"
    }
    assert frozenset({"all", "half"}) in different
    assert all(
        frozenset(pair) not in different for group in ranking.groups for pair in pairwise(group)
    )


def test_curves_and_pictures_are_found(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all")
    write_all(plan, tmp_path)
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    assert len(result.curves) == 3 * 4
    assert result.curves[0].epochs == (1, 2)
    assert result.curves[0].train_loss == (2.0, 1.5)
    assert result.curves[0].monitor_mse == (0.5, 0.25)
    first = plan.runs_of("none")[0]
    assert result.panels["none"] == f"{first.folder}/fold-0/panels.npz"
