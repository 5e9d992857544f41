"""Studies to rank and draw, of any size, without running them.

The numbers are made up of a seed and hang together as a search's would: ranks belong to the values,
stopped trials have reports, failed ones reasons.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from isthmus.config.search_space import SchedulerConfig
from isthmus.stratification.across import SelectionReport, TrialSignificance
from isthmus.study.outcome import repeated, stopped
from isthmus.study.ranking import (
    best_trial,
    pareto_front,
    reference_point,
    smallest_embedding,
    spent,
    within_one_standard_error,
)
from isthmus.study.records import Importance, Objective, StudyResult, TrialRecord

MSE = Objective("validation_mse", "minimize")
SCORE = Objective("robustness_score", "maximize")
SSIM = Objective("validation_ssim", "maximize")
N_FOLDS = 3
NOT_FINISHED = {
    3: ("stopped", ""),
    5: ("failed", "TrainingDiverged: the loss of step 12 is not finite (nan)."),
    7: ("infeasible", "model.depth=5 needs a grid divisible by 32, the cohort's is 24x28x24."),
    8: ("repeated", ""),
    11: ("running", ""),
}


def make_study(
    n_trials: int = 24,
    objectives: tuple[Objective, ...] = (MSE, SCORE),
    seed: int = 0,
    only: str | None = None,
    leaky: bool = False,
) -> StudyResult:
    """A study with every state in it; `only` gives all trials one state."""
    rng = np.random.default_rng(seed)
    trials: list[TrialRecord] = []
    for number in range(n_trials):
        state, reason = NOT_FINISHED.get(number % 20, ("finished", ""))
        trials.append(_trial(number, only or state, reason, len(objectives), rng, trials))
    trials = [replace(one, leaky=leaky) for one in trials]
    return study_of(trials, objectives)


def study_of(trials: Sequence[TrialRecord], objectives: tuple[Objective, ...]) -> StudyResult:
    """Rank trials as the package does; hypervolume, importance and p-values are made up."""
    finished = [one for one in trials if one.state == "finished"]
    good = within_one_standard_error(trials, objectives[0])
    corner = reference_point(trials, objectives)
    volumes = np.cumsum(np.linspace(1.0, 0.0, len(finished)) ** 4 * 1e-3)
    return StudyResult(
        name="architecture",
        study_id="0f" * 32,
        experiment="small",
        n_trials=max(len(trials), 1),
        objectives=objectives,
        trials=tuple(trials),
        best=best_trial(trials, objectives[0]),
        within_one_se=good,
        smallest=smallest_embedding(trials, good),
        front=pareto_front(trials, objectives),
        reference_point=corner,
        hypervolume=tuple((one.number, float(v)) for one, v in zip(finished, volumes, strict=True))
        if corner
        else (),
        importance=make_importance(objectives) if len(finished) > 4 else (),
        wall_seconds=5400.0,
        gpu_seconds=spent(trials).gpu_seconds,
        selection=make_selection_of(finished) if len(finished) > 1 else None,
    )


def make_importance(objectives: Sequence[Objective]) -> tuple[Importance, ...]:
    """Two methods for each objective, which need not agree."""
    shares = {
        "training.learning_rate": 0.6,
        "model.embedding_size": 0.25,
        "model.convolution": 0.1,
        "model.multiplier": 0.05,
    }
    backwards = dict(zip(reversed(shares), shares.values(), strict=True))
    return tuple(
        Importance(objective.metric, method, of)
        for objective in objectives
        for method, of in (("fANOVA", shares), ("PED-ANOVA", backwards))
    )


def make_selection_of(finished: Sequence[TrialRecord]) -> SelectionReport:
    """P-values for all but the last trial, the best finding last."""
    n = len(finished)
    rows = [
        TrialSignificance(
            f"trial {one.number}", 3, "factor_1", 0.9 / (1 + i), min(1.0, 2.7 / (1 + i))
        )
        for i, one in enumerate(finished[:-1])
    ]
    last = TrialSignificance(f"trial {finished[-1].number}", 0, None, None, None)
    rows.sort(key=lambda row: (row.p_adjusted, row.p_naive))
    return SelectionReport((*rows, last), 9 * (n - 1), 999)


def _trial(
    number: int,
    state: str,
    reason: str,
    n_objectives: int,
    rng: np.random.Generator,
    before: Sequence[TrialRecord],
) -> TrialRecord:
    size = int(rng.choice([64, 128, 256, 512]))
    rate = float(10 ** rng.uniform(-5, -2))
    separable = bool(rng.integers(2))
    point = {
        "model.embedding_size": size,
        "model.convolution": "separable" if separable else "standard",
        "training.learning_rate": rate,
    }
    if separable:
        point["model.multiplier"] = int(rng.integers(1, 4))
    loss = 0.01 + 0.002 * (np.log10(rate) + 3.5) ** 2 + 0.1 / size
    folds = loss * (1 + rng.normal(scale=0.04, size=N_FOLDS))
    means = np.cumsum(folds) / np.arange(1, N_FOLDS + 1)
    error = float(folds.std(ddof=1) / N_FOLDS**0.5)
    score = float(0.4 - 8 * loss + rng.normal(scale=0.03))
    values = (float(means[-1]), score, 1 - 3 * float(loss))[:n_objectives]
    reports = tuple((i + 1, float(m)) for i, m in enumerate(means))
    record = TrialRecord(
        number=number,
        point=point,
        digest=f"{number:02x}" * 32,
        folder=f"small-{number:012x}",
        suggested_after=max(0, number - 2),
        attempts=2 if number == 2 else 1,
        seconds=600.0 + number,
        gpu_seconds=300.0,
        facts={"embedding_size": size, "n_parameters": 9000 + 40 * size},
        changed={"training.accumulation_steps": 4} if number == 2 else {},
    )
    if state == "finished":
        errors = (error, 0.02, 0.001)[:n_objectives]
        return replace(
            record, state="finished", values=values, standard_errors=errors, reports=reports[:-1]
        )
    if state in ("infeasible", "repeated"):
        never = replace(record, reason=reason, attempts=0, seconds=0.0, gpu_seconds=0.0)
        never = replace(never, facts={}, digest=None, folder=None, changed={})
        first = next((one for one in before if one.state == "finished"), None)
        if state == "infeasible" or first is None:
            return replace(never, state="infeasible")
        return repeated(replace(never, point=first.point, digest=first.digest), first)
    n_reports = {"stopped": 1, "running": 2}.get(state, 0)
    record = replace(record, reports=reports[:n_reports])
    if state == "stopped":
        return stopped(record, SchedulerConfig(kind="asha"))
    return replace(record, state=state, reason=reason)
