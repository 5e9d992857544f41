"""What a verdict rests on: pairs that are left, subjects and units in common, notes that say it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from simulated_ablation import (
    ALIKE,
    MSE,
    NOISE,
    SIZE,
    metrics_of,
    plan_of,
    progress_of,
    said,
    scores_of,
    write_all,
    write_fold,
)

from isthmus.config.ablation.design import AblationConfig, ContrastConfig, InferenceConfig
from isthmus.study.ablation.comparisons import comparisons_of
from isthmus.study.ablation.conclude import conclude
from isthmus.study.ablation.contrasts import decide_family
from isthmus.study.ablation.paired import pair
from isthmus.study.ablation.records import AblationPlan, Comparison
from isthmus.study.inference.resampled_t import resampled_t

MODALITY_SUBSETS = AblationConfig(
    name="subsets", question="?", design="modality_subsets", hypothesis="None.", contrasts=(MSE,)
)


def modality_plan() -> AblationPlan:
    """Three modalities, all sets; the effect of adding FA is over three pairs."""
    sets = [("T1w", "FA", "NDI"), ("T1w", "FA"), ("T1w", "NDI"), ("FA", "NDI")]
    sets += [("T1w",), ("FA",), ("NDI",)]
    plan = plan_of({"+".join(one): one for one in sets}, "T1w+FA+NDI")
    arms = tuple(replace(arm, levels={"model.modalities": arm.name}) for arm in plan.arms)
    effects = tuple(
        one for one in comparisons_of(MODALITY_SUBSETS, arms) if one.factor.endswith("FA")
    )
    return replace(plan, arms=arms, comparisons=effects)


def test_an_effect_leaves_out_pairs_with_a_failed_arm_and_says_so(tmp_path: Path) -> None:
    plan = modality_plan()
    lost = plan.runs_of("T1w+FA")[0]
    write_all(plan, tmp_path, ((lost.number, 1),))
    failed = progress_of(plan, **{"T1w+FA": {(0, 1): ("failed", "TrainingDiverged: nan.")}})
    found = said(conclude(plan, failed, tmp_path, [SIZE, MSE], InferenceConfig()), "adding FA", 1)
    assert found.verdict not in ("unpaired", "undefined")
    assert found.comparison.pairs == (
        ("T1w+FA+NDI", "T1w+NDI", 0.5),
        ("FA+NDI", "NDI", 0.5),
    )
    names = [arm.name for arm in plan.arms]
    row = {name: NOISE[i] + 0.1 * i for i, name in enumerate(names)}
    # errors grow by 1 with a modality's place: NDI is alone in one arm, and the third in another
    both = row["T1w+FA+NDI"] - row["T1w+NDI"] + 0.5, row["FA+NDI"] - row["NDI"] + 1.0
    assert found.difference == pytest.approx(((both[0] + both[1]) / 2).mean())
    (note,) = found.notes
    assert note.startswith("adding FA: averaged over 2 of 3 pairs of arms, without those of T1w+FA")


def test_an_effect_waits_for_an_arm_that_is_still_to_come(tmp_path: Path) -> None:
    plan = modality_plan()
    lost = plan.runs_of("T1w+FA")[0]
    write_all(plan, tmp_path, ((lost.number, 1),))
    waiting = progress_of(plan, **{"T1w+FA": {(0, 1): ("waiting", "")}})
    found = said(conclude(plan, waiting, tmp_path, [MSE], InferenceConfig()), "adding FA")
    assert found.verdict == "unpaired"
    assert found.reason.startswith("T1w+FA is not finished yet")


def test_an_effect_without_a_pair_left_is_refused(tmp_path: Path) -> None:
    plan = modality_plan()
    fails = ("T1w+FA", "T1w+NDI", "NDI")
    write_all(plan, tmp_path, tuple((plan.runs_of(name)[0].number, 1) for name in fails))
    failed = progress_of(plan, **{name: {(0, 1): ("failed", "Diverged: nan.")} for name in fails})
    found = said(conclude(plan, failed, tmp_path, [MSE], InferenceConfig()), "adding FA")
    assert found.verdict == "unpaired"


def test_an_effect_of_a_fraction_is_refused_as_a_whole(tmp_path: Path) -> None:
    """Its pairs differ in several factors, which cancel over all of them alone."""
    names = ("a0 b0 c0", "a0 b1 c1", "a1 b0 c1", "a1 b1 c0")
    plan = plan_of(dict.fromkeys(names, ("T1w",)), "a0 b0 c0")
    arms = tuple(replace(arm, levels={p[0]: p[1] for p in arm.name.split()}) for arm in plan.arms)
    effect = Comparison(
        "a", "main_effect", ((names[2], names[0], 0.5), (names[3], names[1], 0.5)), "a"
    )
    plan = replace(plan, arms=arms, comparisons=(effect,))
    write_all(plan, tmp_path, ((plan.runs_of(names[3])[0].number, 0),))
    failed = progress_of(plan, **{names[3]: {(0, 0): ("failed", "TrainingDiverged: nan.")}})
    found = said(conclude(plan, failed, tmp_path, [MSE], InferenceConfig()), "a")
    assert found.verdict == "unpaired"
    assert found.reason.startswith(names[3])


def test_a_share_of_nothing_is_said_to_be_no_margin() -> None:
    plan = plan_of(ALIKE, "all")
    rows = {"all": [0.0] * 4, "none": list(NOISE[0]), "half": list(NOISE[1])}
    scores = scores_of(plan, "strata_silhouette", rows, 60)
    asked = ContrastConfig(metric="strata_silhouette", direction="either", relative_margin=0.1)
    candidates = [(one, pair(scores, one, asked.metric)) for one in plan.comparisons]
    for found in decide_family(scores, candidates, asked, InferenceConfig()):
        assert found.margin is None
        assert found.notes == (
            "The reference's mean is 0, of which there is no share to be the margin.",
        )


@pytest.mark.parametrize(("n_clustered", "told"), [(60, True), (12, False)])
def test_strata_of_all_subjects_are_said_to_be_of_this_cohort(
    tmp_path: Path, n_clustered: int, told: bool
) -> None:
    plan = plan_of(ALIKE, "all")
    names = [arm.name for arm in plan.arms]
    for run in plan.runs:
        for fold in range(plan.n_folds):
            metrics = metrics_of(plan, names.index(run.arm), 2 * run.seed + fold)
            metrics["strata_silhouette"] = metrics["validation_mse"]
            write_fold(tmp_path, run, fold, metrics, [0] * n_clustered)
            file = tmp_path / run.folder / f"fold-{fold}" / "fold.json"
            content = json.loads(file.read_text())
            del content["strata"]["strata"]["participant_ids"][n_clustered:]
            file.write_text(json.dumps(content))
    asked = [ContrastConfig(metric="strata_silhouette", direction="maximize"), MSE]
    result = conclude(plan, progress_of(plan), tmp_path, asked, InferenceConfig())
    for contrast in result.findings[0].contrasts:
        assert any("Their verdicts are about this cohort" in n for n in contrast.notes) == told
    assert all(contrast.notes == () for contrast in result.findings[1].contrasts)


def test_errors_in_units_of_their_own_are_marked(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all")
    path = "volumes.normalisation.method"
    settings = {"all": {path: "minmax"}, "none": {path: "zscore"}, "half": {path: "minmax"}}
    arms = tuple(replace(arm, settings=settings[arm.name]) for arm in plan.arms)
    write_all(replace(plan, arms=arms), tmp_path)
    plan = replace(plan, arms=arms)
    result = conclude(plan, progress_of(plan), tmp_path, [MSE, SIZE], InferenceConfig())
    (note,) = said(result, "none").notes
    assert note.startswith("none, all scale images in ways of their own")
    assert said(result, "half").notes == ()
    assert not any("scale images" in note for note in said(result, "none", 1).notes)


def test_seeds_that_share_a_split_count_once(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all", one_split=True)
    write_all(plan, tmp_path)
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    found = said(result, "none")
    shift = (NOISE[1] - NOISE[0]).reshape(2, 2).mean(axis=0) + 0.1
    assert plan.arms[1].name == "none"
    assert found.n_blocks == 2
    assert found.p_value == pytest.approx(resampled_t(list(shift), 12 / 48).p_value)
    assert "Seeds share a split" in found.notes[0]
    assert len(result.findings[0].blocks) == 4


def test_leaky_arms_are_compared_and_marked(tmp_path: Path) -> None:
    plan = plan_of(ALIKE, "all", leaky=["half"])
    write_all(plan, tmp_path)
    result = conclude(plan, progress_of(plan), tmp_path, [MSE], InferenceConfig())
    assert said(result, "half").verdict == "worse"
    assert said(result, "half").notes[0].startswith("Leaky: the normalisation of half saw")
    assert said(result, "none").notes == ()
