"""Plans and scores of ablations in memory, and folders with their folds as trials leave them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from example_report import make_report, without_partition

from isthmus.stratification.partition import Partition
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
