"""Plans and scores of ablations in memory, and folders with their folds as trials leave them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from example_report import make_report, without_partition

from isthmus.config.ablation.design import ContrastConfig
from isthmus.stratification.partition import Partition
from isthmus.study.ablation.findings import AblationContrast, AblationResult
from isthmus.study.ablation.records import (
    AblationPlan,
    Arm,
    ArmRun,
    Comparison,
    FoldRun,
    Progress,
)
from isthmus.study.ablation.scores import FoldScores, Scores, Strata, read_scores
from isthmus.trial.records import FoldResult

MSE = ContrastConfig(metric="validation_mse", direction="minimize")
SIZE = ContrastConfig(metric="strata_n_strata", direction="either")
FUSED = {"all": ("T1w", "FA"), "T1w": ("T1w",), "FA": ("FA",)}
ALIKE = {"all": ("T1w",), "none": ("T1w",), "half": ("T1w",)}
NOISE = np.random.default_rng(7).normal(scale=0.01, size=(8, 4))


def plan_of(
    arms: Mapping[str, tuple[str, ...]],
    baseline: str,
    n_seeds: int = 2,
    n_folds: int = 2,
    one_split: bool = False,
    same_as: Mapping[str, str] | None = None,
    infeasible: Mapping[str, str] | None = None,
    leaky: Sequence[str] = (),
    sizes: tuple[int, int] = (48, 12),
) -> AblationPlan:
    """A plan of arms by name with what they fuse; each is compared with the baseline."""
    same_as, infeasible = same_as or {}, infeasible or {}
    made = [
        Arm(
            name,
            {},
            {},
            fused,
            is_baseline=name == baseline,
            same_as=same_as.get(name),
            infeasible=infeasible.get(name, ""),
            leaky=name in leaky,
        )
        for name, fused in arms.items()
    ]
    made.sort(key=lambda arm: not arm.is_baseline)
    seeds = tuple(range(n_seeds))
    run = [arm for arm in made if not arm.infeasible and not arm.same_as]
    runs = tuple(
        ArmRun(
            number,
            arm.name,
            seed,
            f"{number:064d}",
            f"demo-{number:012d}",
            "one split" if one_split else f"split {seed}",
        )
        for number, (arm, seed) in enumerate((arm, seed) for arm in run for seed in seeds)
    )
    return AblationPlan(
        name="demo",
        ablation_id="0" * 64,
        experiment="demo",
        question="Does it matter?",
        design="modality_subsets",
        factors=(),
        arms=tuple(made),
        seeds=seeds,
        n_folds=n_folds,
        fold_sizes=dict.fromkeys(seeds, (sizes,) * n_folds),
        runs=runs,
        comparisons=tuple(
            Comparison(f"{name} against {baseline}", "arm", ((name, baseline, 1.0),))
            for name in arms
            if name != baseline
        ),
    )


def progress_of(
    plan: AblationPlan, **states: Mapping[tuple[int, int], tuple[str, str]]
) -> Progress:
    """All folds done, but for those of some arms: by (seed, fold) state and reason."""
    folds = []
    for run in plan.runs:
        for fold in range(plan.n_folds):
            state, reason = states.get(run.arm, {}).get((run.seed, fold), ("done", ""))
            folds.append(FoldRun(run.number, fold, state, reason))
    return Progress(tuple(folds))


def scores_of(
    plan: AblationPlan, metric: str, values: Mapping[str, Sequence[float]], n_subjects: int
) -> Scores:
    """Scores of one metric, by arm and block."""
    n_test = n_subjects // plan.n_folds
    folds = {
        arm: tuple(
            FoldScores({metric: float(value)}, n_subjects - n_test, n_test, None)
            for value in of_arm
        )
        for arm, of_arm in values.items()
    }
    return _whole(plan, folds)


def labelled_scores(plan: AblationPlan, labels: Mapping[str, Sequence[np.ndarray]]) -> Scores:
    """Partitions by arm and block, and no metric."""
    n_subjects = next(iter(labels.values()))[0].size
    ids = tuple(f"sub-{i:04d}" for i in range(n_subjects))
    n_test = n_subjects // plan.n_folds
    folds = {
        arm: tuple(
            FoldScores({}, n_subjects - n_test, n_test, Strata(ids, tuple(one.tolist())))
            for one in of_arm
        )
        for arm, of_arm in labels.items()
    }
    return _whole(plan, folds)


def _whole(plan: AblationPlan, folds: Mapping[str, tuple[FoldScores, ...]]) -> Scores:
    empty = read_scores(plan, Progress(()), Path("nowhere"))
    return replace(empty, folds=dict(folds), lacking=dict.fromkeys(folds, ""))


def write_fold(
    output: Path,
    run: ArmRun,
    fold: int,
    metrics: Mapping[str, float],
    labels: Sequence[int] | None = None,
    n_monitor: int = 8,
) -> None:
    """Leave a fold as a trial does: fold.json, history.jsonl and panels.npz (of nothing)."""
    report = (
        make_report(n_draws=5, n_nulls=3)
        if labels is not None
        else without_partition("non_convergence")
    )
    if labels is not None:
        assert isinstance(report.strata, Partition)
        strata = replace(report.strata, labels=tuple(labels))
        report = replace(report, strata=strata)
    result = FoldResult(
        number=fold,
        encoder_id=f"{run.digest[:12]}-fold{fold}",
        n_train=40,
        n_monitor=n_monitor,
        n_validation=12,
        n_epochs=2,
        best_epoch=2,
        n_parameters=1000,
        training_seconds=1.0,
        leaky=False,
        metrics=dict(metrics),
        undefined={},
        probes=(),
        strata=report,
        random_strata=report,
    )
    directory = output / run.folder / f"fold-{fold}"
    directory.mkdir(parents=True)
    (directory / "fold.json").write_text(json.dumps(result.to_json()), encoding="utf-8")
    epochs = [
        {"epoch": 1, "train_loss": 2.0, "monitor_loss": 1.0, "monitor_mse": 0.5},
        {"epoch": 2, "train_loss": 1.5, "monitor_loss": 0.9, "monitor_mse": 0.25},
    ]
    lines = "".join(json.dumps(epoch) + "\n" for epoch in epochs)
    (directory / "history.jsonl").write_text(lines, encoding="utf-8")
    (directory / "panels.npz").write_bytes(b"")


def metrics_of(plan: AblationPlan, arm: int, block: int) -> dict[str, float]:
    """Errors by modality, and their mean; each arm is 0.1 above the one before it."""
    fused = plan.arms[arm].modalities
    values = {m: 0.5 + 0.1 * arm + i + NOISE[arm, block] for i, m in enumerate(fused)}
    return {
        **{f"validation_mse/{m}": v for m, v in values.items()},
        "validation_mse": float(np.mean(list(values.values()))),
        "strata_n_strata": 5.0,
    }


def write_all(
    plan: AblationPlan, output: Path, leave_out: tuple[tuple[int, int], ...] = ()
) -> None:
    """Leave all folds but some, by number of the run and of the fold."""
    names = [arm.name for arm in plan.arms]
    for run in plan.runs:
        for fold in range(plan.n_folds):
            block = plan.seeds.index(run.seed) * plan.n_folds + fold
            if (run.number, fold) not in leave_out:
                metrics = metrics_of(plan, names.index(run.arm), block)
                write_fold(output, run, fold, metrics)


def said(result: AblationResult, name: str, metric: int = 0) -> AblationContrast:
    """Find a contrast by how its name begins."""
    contrasts = result.findings[metric].contrasts
    return next(one for one in contrasts if one.comparison.name.startswith(name))
