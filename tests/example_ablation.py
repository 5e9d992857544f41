"""Ablations to report, of trials that were never trained.

Scores are made up of a seed and written as trials write theirs, pictures too; what is concluded of
them is what the package concludes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.config.ablation.design import ContrastConfig, InferenceConfig
from isthmus.study.ablation.conclude import conclude
from isthmus.study.ablation.findings import AblationResult
from isthmus.study.ablation.records import (
    AblationPlan,
    Arm,
    ArmRun,
    ArmSize,
    Comparison,
    Factor,
    FoldRun,
    Progress,
)
from isthmus.trial.panels import COMPARED, cut_panel, save_panels

SEEDS, N_FOLDS, N_SUBJECTS = (1, 2), 5, 48
N_TEST = N_SUBJECTS // N_FOLDS
DIVERGED = "TrainingDiverged: the loss of step 12 is not finite (nan)."
NOT_BUILT = "model.depth=5 needs a grid divisible by 32, the cohort's is 24x28x24."
PEOPLE = tuple(f"sub-{k:02d}" for k in range(N_SUBJECTS))
CONTRASTS = (
    ContrastConfig(metric="validation_mse", direction="minimize", margin=0.0006),
    ContrastConfig(metric="validation_ssim", direction="maximize", margin=None),
    ContrastConfig(metric="probe_age.r/embedding", direction="maximize", margin=None),
    ContrastConfig(metric="strata_agreement", direction="maximize", margin=None),
)
# Mean of validation_mse, by modality, beside the baseline's 0.02.
SKIPS = {"all": 0.0, "additive": 0.00005, "none": 0.0031}
SUBSETS: dict[str, tuple[str, ...]] = {
    "T1w+FA+NDI": ("T1w", "FA", "NDI"),
    "T1w+FA": ("T1w", "FA"),
    "T1w+NDI": ("T1w", "NDI"),
    "FA+NDI": ("FA", "NDI"),
    "NDI+FA": ("NDI", "FA"),
    "T1w": ("T1w",),
    "FA": ("FA",),
}
FAILED, INFEASIBLE, AGAIN = "T1w+NDI", "T1w", "NDI+FA"


def skips_ablation(
    output: Path, finished: int | None = None, leaky: Sequence[str] = (), seed: int = 0
) -> AblationResult:
    """Three arms of one factor; `finished` counts the folds that are done, by default all."""
    size = ArmSize(120_000, 2_400_000_000, 64, 10**9)
    arms = tuple(
        Arm(
            name=name,
            levels={"model.skips": name},
            settings={"model.skips": name},
            modalities=("T1w", "FA"),
            is_baseline=name == "all",
            size=size,
            leaky=name in leaky,
        )
        for name in SKIPS
    )
    hypothesis = "Skips bypass the embedding: without them fidelity falls and the strata sharpen."
    factor = Factor("model.skips", hypothesis, tuple(SKIPS), "all")
    plan = plan_of("skips", "Do skips bypass the embedding?", "one_factor_out", arms, (factor,))
    return concluded(plan, output, {name: SKIPS[name] for name in SKIPS}, finished, seed=seed)


def subsets_ablation(output: Path, seed: int = 0) -> AblationResult:
    """Seven sets of modalities: one fails, one cannot be built, one is another one again."""
    arms = tuple(
        Arm(
            name=name,
            levels={"modalities": name},
            settings={"cohort.fuse": list(modalities)},
            modalities=modalities,
            is_baseline=len(modalities) == 3,
            same_as="FA+NDI" if name == AGAIN else None,
            infeasible=NOT_BUILT if name == INFEASIBLE else "",
            size=None
            if name == INFEASIBLE
            else ArmSize(40_000 * len(modalities), 10**9 * len(modalities), 64, 10**9),
        )
        for name, modalities in SUBSETS.items()
    )
    hypothesis = "FA and NDI overlap; T1w adds what neither has."
    factor = Factor("modalities", hypothesis, tuple(SUBSETS), "T1w+FA+NDI")
    plan = plan_of("modalities", "Which modalities matter?", "modality_subsets", arms, (factor,))
    shift = {name: 0.001 * (3 - len(modalities)) for name, modalities in SUBSETS.items()}
    return concluded(plan, output, shift, failed=FAILED, seed=seed)


def plan_of(
    name: str, question: str, design: str, arms: tuple[Arm, ...], factors: tuple[Factor, ...]
) -> AblationPlan:
    """Plan the arms' runs, each arm compared with the baseline."""
    baseline = next(arm.name for arm in arms if arm.is_baseline)
    own = [arm.name for arm in arms if not arm.infeasible and not arm.same_as]
    runs = tuple(
        ArmRun(k, arm, seed, f"{k:02x}" * 32, f"small-{k:012x}", f"{seed:02x}" * 32)
        for k, (arm, seed) in enumerate((arm, seed) for arm in own for seed in SEEDS)
    )
    comparisons = tuple(
        Comparison(f"{arm.name} against {baseline}", "arm", ((arm.name, baseline, 1.0),))
        for arm in arms
        if arm.name in own and arm.name != baseline
    )
    sizes = ((N_SUBJECTS - N_TEST, N_TEST),) * N_FOLDS
    return AblationPlan(
        name=name,
        ablation_id="0f" * 32,
        experiment="small",
        question=question,
        design=design,
        factors=factors,
        arms=arms,
        seeds=SEEDS,
        n_folds=N_FOLDS,
        fold_sizes=dict.fromkeys(SEEDS, sizes),
        runs=runs,
        comparisons=comparisons,
    )


def concluded(
    plan: AblationPlan,
    output: Path,
    shift: Mapping[str, float],
    finished: int | None = None,
    failed: str | None = None,
    seed: int = 0,
) -> AblationResult:
    """Write the trials' folders, and conclude."""
    rng = np.random.default_rng(seed)
    blocks = {(s, f): rng.normal(scale=0.002) for s in plan.seeds for f in range(plan.n_folds)}
    by_modality = {"T1w": 0.0, "FA": 0.004, "NDI": -0.003}
    modalities = {arm.name: arm.modalities for arm in plan.arms}
    folds: list[FoldRun] = []
    for run in plan.runs:
        for number in range(plan.n_folds):
            ended = failed == run.arm and (run.seed, number) >= (plan.seeds[0], 2)
            if ended:
                first = (run.seed, number) == (plan.seeds[0], 2)
                state, why = ("failed", DIVERGED) if first else ("skipped", f"{run.arm} had failed")
                folds.append(FoldRun(run.number, number, state, why, int(first)))
                continue
            if finished is not None and len(folds) >= finished:
                folds.append(FoldRun(run.number, number))
                continue
            mse = {
                name: 0.02
                + by_modality[name]
                + blocks[run.seed, number]
                + shift[run.arm]
                # what another start of the training changes
                + rng.normal(scale=0.0003)
                for name in modalities[run.arm]
            }
            folder = output / run.folder / f"fold-{number}"
            _write_fold(folder, mse, rng)
            if number == 0:
                _write_panels(folder / "panels.npz", modalities[run.arm], shift[run.arm], rng)
            folds.append(FoldRun(run.number, number, "done", "", 1, 600.0, 300.0, number == 4))
    progress = Progress(tuple(folds))
    return conclude(plan, progress, output, CONTRASTS, InferenceConfig())


def renamed(result: AblationResult, name: str) -> AblationResult:
    """The same with everything that a user names called otherwise."""
    plan = result.plan
    arms = tuple(
        replace(arm, settings={name: name}, notes=(name,), infeasible=arm.infeasible and name)
        for arm in plan.arms
    )
    factors = tuple(replace(factor, name=name, hypothesis=name) for factor in plan.factors)
    findings = tuple(
        replace(
            finding,
            metric=name,
            contrasts=tuple(
                replace(
                    one, comparison=replace(one.comparison, name=name), reason=one.reason and name
                )
                for one in finding.contrasts
            ),
        )
        for finding in result.findings
    )
    folds = tuple(replace(one, reason=one.reason and name) for one in result.progress.folds)
    plan = replace(plan, name=name, question=name, experiment=name, arms=arms, factors=factors)
    return replace(result, plan=plan, findings=findings, progress=Progress(folds))


def _write_fold(folder: Path, mse: Mapping[str, float], rng: np.random.Generator) -> None:
    """Write what a finished fold leaves of its scores and of its training."""
    folder.mkdir(parents=True)
    mean = float(np.mean(list(mse.values())))
    metrics: dict[str, float] = {
        "validation_mse": mean,
        "validation_ssim": 1 - 5 * mean,
        "probe_age.r/embedding": 0.4 + float(rng.normal(scale=0.1)),
    }
    metrics |= {f"validation_mse/{name}": float(value) for name, value in mse.items()}
    metrics |= {f"validation_ssim/{name}": 1 - 5 * float(value) for name, value in mse.items()}
    labels = np.arange(N_SUBJECTS) // 16
    moved = rng.random(N_SUBJECTS) < 0.1
    labels[moved] = rng.integers(0, 3, moved.sum())
    strata = {"kind": "partition", "participant_ids": PEOPLE, "labels": labels.tolist()}
    content: dict[str, Any] = {
        "metrics": metrics,
        "n_train": N_SUBJECTS - N_TEST - 4,
        "n_monitor": 4,
        "n_validation": N_TEST,
        "strata": {"strata": strata},
    }
    (folder / "fold.json").write_text(json.dumps(content))
    n_epochs = int(rng.integers(6, 11))
    history = [
        {"epoch": k, "train_loss": mean + 0.1 / k, "monitor_loss": 1 / k, "monitor_mse": mean / k}
        for k in range(1, n_epochs + 1)
    ]
    (folder / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in history))


def _write_panels(
    path: Path, modalities: Sequence[str], shift: float, rng: np.random.Generator
) -> None:
    """Write slices of an arm's own worst subject, and of the one that all arms show."""
    shape = (12, 14, 12)
    d, h, w = (np.linspace(-1, 1, n)[tuple(s)] for n, s in zip(shape, _AXES, strict=True))
    inside = d**2 + h**2 + w**2 < 0.9
    x = np.stack([np.where(inside, 0.3 + _BRIGHTER[m] + 0.2 * d, 0) for m in modalities])
    y = x + rng.normal(scale=0.02 + 20 * shift, size=x.shape)
    panels = [
        cut_panel(name, why, modalities, x.astype(np.float32), y.astype(np.float32), inside)
        for name, why in ((PEOPLE[rng.integers(N_TEST)], "largest error"), (PEOPLE[3], COMPARED))
    ]
    save_panels(panels, path)


_BRIGHTER = {"T1w": 0.0, "FA": 0.2, "NDI": 0.4}
_AXES = (
    (slice(None), None, None),
    (None, slice(None), None),
    (None, None, slice(None)),
)
