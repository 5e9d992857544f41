"""What is left of an ablation, in hours: from folds that are finished, never invented."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from isthmus.study.ablation.plan import PreparedAblation
from isthmus.study.ablation.progress import is_fold_done
from isthmus.study.ablation.records import Arm, ArmRun
from isthmus.trial.run import FOLD_FILE

UNKNOWN = "unknown before a fold has run"


@dataclass(frozen=True)
class CostEstimate:
    """How long the training of what is left takes.

    Attributes
    ----------
    seconds_a_fold : Mapping of int to float
        By the number of a run; empty where nothing has run.
    hours_left : float or None
        Of all folds that are not done, one after another; None where nothing has run.
    n_measured : int
        Finished folds that it is made of.
    note : str
        What it is, and is not.
    """

    seconds_a_fold: Mapping[int, float]
    hours_left: float | None
    n_measured: int
    note: str


def estimate_cost(prepared: PreparedAblation) -> CostEstimate:
    """Estimate how long the training of what is left takes.

    Parameters
    ----------
    prepared : PreparedAblation
        The ablation; finished folds of its trials are looked for, whoever ran them.

    Returns
    -------
    CostEstimate
        Without numbers where no fold is finished.

    Notes
    -----
    A fold's work is taken to be multiply-accumulates x epochs x training subjects. Finished folds
    give seconds for a unit of work; the median of the arm's own is used where it has any, else that
    of all arms, scaled by work. Small models are slower than their work says, and reading images
    costs the same for all.
    """
    plan = prepared.plan
    arms = {arm.name: arm for arm in plan.arms}
    rates: dict[str, list[float]] = {}
    n_left: dict[int, int] = {}
    for run in plan.runs:
        output = prepared.experiments[run.number].output
        for fold in range(plan.n_folds):
            if not is_fold_done(output, run, fold):
                n_left[run.number] = n_left.get(run.number, 0) + 1
                continue
            seconds, n_epochs = _measured(output, run, fold)
            work = _work(arms[run.arm], n_epochs, plan.fold_sizes[run.seed][fold][0])
            rates.setdefault(run.arm, []).append(seconds / work)
    every = [rate for own in rates.values() for rate in own]
    if not every:
        return CostEstimate({}, None, 0, f"Time: {UNKNOWN}.")
    seconds_a_fold = {}
    for run in plan.runs:
        n_epochs = prepared.experiments[run.number].config.training.epochs
        sizes = [n_train for n_train, _ in plan.fold_sizes[run.seed]]
        work = _work(arms[run.arm], n_epochs, sum(sizes) / len(sizes))
        seconds_a_fold[run.number] = median(rates.get(run.arm, every)) * work
    left = sum(seconds_a_fold[number] * n for number, n in n_left.items())
    note = (
        f"Time is an estimate from {len(every)} finished folds, scaled by multiply-accumulates x "
        "epochs x subjects: training alone, one fold after another, on a machine like theirs."
    )
    return CostEstimate(seconds_a_fold, left / 3600, len(every), note)


def _work(arm: Arm, n_epochs: int, n_train: float) -> float:
    """Count a fold's forward passes in multiply-accumulates."""
    assert arm.size is not None  # of an arm with runs
    return float(max(1, arm.size.multiply_accumulates)) * max(1, n_epochs) * n_train


def _measured(output: Path, run: ArmRun, fold: int) -> tuple[float, int]:
    """Read what a finished fold took."""
    file = output / run.folder / f"fold-{fold}" / FOLD_FILE
    content = json.loads(file.read_text(encoding="utf-8"))
    return float(content["training_seconds"]), int(content["n_epochs"])
