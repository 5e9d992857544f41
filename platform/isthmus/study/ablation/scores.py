"""What an ablation's folds have scored: read off the trials' folders, block by block."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.config.search_metrics import ALIASES, metrics_by_modality
from isthmus.study.ablation.findings import Block
from isthmus.study.ablation.records import AblationPlan, Arm, ArmRun, FoldRun, Progress
from isthmus.trial.run import FOLD_FILE


@dataclass(frozen=True)
class Strata:
    """A partition of subjects.

    Attributes
    ----------
    participant_ids : tuple of str
        Who was clustered.
    labels : tuple of int
        Stratum of each.
    """

    participant_ids: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class FoldScores:
    """What inference needs of a finished fold.

    Attributes
    ----------
    metrics : Mapping of str to float
        As in `isthmus.trial.records.FoldResult`.
    n_train, n_test : int
        Subjects trained on, monitor part included, and held out.
    strata : Strata or None
        None where the clustering gave no partition.
    """

    metrics: Mapping[str, float]
    n_train: int
    n_test: int
    strata: Strata | None


@dataclass(frozen=True)
class Scores:
    """All arms' folds.

    Attributes
    ----------
    plan : AblationPlan
        Arms, seeds and folds.
    blocks : tuple of Block
        Seeds x folds.
    folds : Mapping of str to tuple of (FoldScores or None)
        For each arm and block; None where there is no finished fold. Arms that are the same
        experiment have the same.
    lacking : Mapping of str to str
        For each arm why it is not whole; empty if it is.
    pools : tuple of tuple of int
        Indices of the blocks that have one and the same training and held-out subjects. Of several
        only where seeds share a split that was read from a file.
    failed : frozenset of str
        Arms that lack a fold because it failed, and not because it is still to come.
    """

    plan: AblationPlan
    blocks: tuple[Block, ...]
    folds: Mapping[str, tuple[FoldScores | None, ...]]
    lacking: Mapping[str, str]
    pools: tuple[tuple[int, ...], ...]
    failed: frozenset[str] = frozenset()

    def arm(self, name: str) -> Arm:
        """Look an arm up.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        Arm
            The plan's.
        """
        return next(arm for arm in self.plan.arms if arm.name == name)

    def shared(self, *names: str) -> tuple[str, ...]:
        """List the modalities that several arms fuse.

        Parameters
        ----------
        *names : str
            Arms, at least one.

        Returns
        -------
        tuple of str
            In the order of the first arm.
        """
        first, *others = (self.arm(name).modalities for name in names)
        return tuple(one for one in first if all(one in other for other in others))

    def column(
        self, arm: str, metric: str, modalities: tuple[str, ...] = ()
    ) -> tuple[float | None, ...]:
        """Read one arm's scores.

        Parameters
        ----------
        arm : str
            Its name.
        metric : str
            A trial's metric.
        modalities : tuple of str
            Of a metric that is a mean over modalities: those to average. None given, or all that
            the arm fuses: the metric as the trial reports it.

        Returns
        -------
        tuple of (float or None)
            For each block; None where the fold or the metric is missing.
        """
        name = ALIASES.get(metric, metric)
        whole = not modalities or set(modalities) == set(self.arm(arm).modalities)
        names = (name,) if whole else tuple(f"{name}/{one}" for one in modalities)
        return tuple(
            sum(fold.metrics[part] for part in names) / len(names)
            if fold is not None and all(part in fold.metrics for part in names)
            else None
            for fold in self.folds[arm]
        )

    def pooled(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """Average over blocks that have the same training and held-out subjects.

        Parameters
        ----------
        values : tuple of float
            One a block.

        Returns
        -------
        tuple of float
            One a pool. Networks trained twice on one split are more alike than the correction for
            overlap allows for, so they count once.
        """
        return tuple(sum(values[i] for i in pool) / len(pool) for pool in self.pools)


def is_mean_over_modalities(metric: str) -> bool:
    """Tell whether a metric averages what an arm fuses, so that arms may average different things.

    Parameters
    ----------
    metric : str
        A trial's metric.

    Returns
    -------
    bool
        False of ``validation_mse/T1w``, of probes and of strata.
    """
    return ALIASES.get(metric, metric) in metrics_by_modality()


def read_scores(plan: AblationPlan, progress: Progress, output: Path) -> Scores:
    """Read every finished fold of an ablation, once.

    Parameters
    ----------
    plan : AblationPlan
        Which trials there are.
    progress : Progress
        Says of folds that are not there why.
    output : Path
        The folder with the trials' folders.

    Returns
    -------
    Scores
        A fold whose file is there counts, whatever progress says of it.
    """
    pairs = [(seed, fold) for seed in plan.seeds for fold in range(plan.n_folds)]
    read = {
        (run.number, fold): _read_fold(output / run.folder / f"fold-{fold}" / FOLD_FILE)
        for run in plan.runs
        for fold in range(plan.n_folds)
    }
    folds: dict[str, tuple[FoldScores | None, ...]] = {}
    for arm in plan.arms:
        of_seed = {run.seed: run.number for run in plan.runs_of(arm.name)}
        folds[arm.name] = tuple(
            read[of_seed[seed], fold] if seed in of_seed else None for seed, fold in pairs
        )
    states = {(one.run, one.fold): one for one in progress.folds}
    failures = {one.run for one in progress.folds if one.state == "failed"}
    return Scores(
        plan,
        tuple(_block(plan, i, seed, fold, folds) for i, (seed, fold) in enumerate(pairs)),
        folds,
        {arm.name: _why_lacking(arm, plan, folds[arm.name], states) for arm in plan.arms},
        _pools(plan.runs, pairs),
        frozenset(
            arm.name
            for arm in plan.arms
            if None in folds[arm.name] and failures & {run.number for run in plan.runs_of(arm.name)}
        ),
    )


def _read_fold(path: Path) -> FoldScores | None:
    """Read a fold's scores and strata; None where there is no such file of this version.

    The file holds every draw of the robustness job too, which are not looked at. What is no finite
    number is no score.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = content["strata"]["strata"]
        strata = None
        if found["kind"] == "partition":
            strata = Strata(tuple(found["participant_ids"]), tuple(found["labels"]))
        return FoldScores(
            metrics={
                name: value for name, value in content["metrics"].items() if math.isfinite(value)
            },
            n_train=content["n_train"] + content["n_monitor"],
            n_test=content["n_validation"],
            strata=strata,
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _block(
    plan: AblationPlan,
    i: int,
    seed: int,
    fold: int,
    folds: Mapping[str, tuple[FoldScores | None, ...]],
) -> Block:
    """Describe a block: as its folds counted it, or as planned before there is one."""
    found = next((of_arm[i] for of_arm in folds.values() if of_arm[i] is not None), None)
    n_train, n_test = (found.n_train, found.n_test) if found else plan.fold_sizes[seed][fold]
    return Block(seed, fold, n_train, n_test)


def _pools(runs: tuple[ArmRun, ...], pairs: list[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Bring blocks together whose seeds have the same split."""
    split_of = {run.seed: run.split for run in reversed(runs)}
    pools: dict[tuple[str | int, int], list[int]] = {}
    for i, (seed, fold) in enumerate(pairs):
        pools.setdefault((split_of.get(seed, seed), fold), []).append(i)
    return tuple(tuple(pool) for pool in pools.values())


def _why_lacking(
    arm: Arm,
    plan: AblationPlan,
    folds: tuple[FoldScores | None, ...],
    states: Mapping[tuple[int, int], FoldRun],
) -> str:
    """Say why an arm is not whole; the first failure stands for all."""
    if arm.infeasible:
        return f"{arm.name} cannot be built: {arm.infeasible}"
    missing = sum(fold is None for fold in folds)
    if not missing:
        return ""
    seeds = {run.number: run.seed for run in plan.runs_of(arm.name)}
    known = [one for (run, _), one in sorted(states.items()) if run in seeds]
    for state in ("failed", "skipped"):
        ended = next((one for one in known if one.state == state), None)
        if ended is not None:
            where = f"seed {seeds[ended.run]}, fold {ended.fold}"
            return f"{arm.name} {state} at {where}: {ended.reason}"
    n_unread = sum(one.state == "done" for one in known) - (len(folds) - missing)
    if n_unread > 0:
        return (
            f"{arm.name}: {n_unread} of {len(folds)} folds were done, but have no {FOLD_FILE} that "
            "this version reads. Run the ablation again."
        )
    return f"{arm.name} is not finished yet: {missing} of {len(folds)} folds are missing."
