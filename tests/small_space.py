"""A search space with every kind of dimension, and a driver that never trains anything."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from isthmus.config.search_space import SearchSpace
from isthmus.study.records import TrialRecord

SAMPLERS = ("tpe", "multivariate_tpe", "nsga2", "random", "grid", "cmaes")
SAMPLER_SETTINGS: dict[str, dict[str, int]] = {
    "tpe": {"n_startup_trials": 4},
    "multivariate_tpe": {"n_startup_trials": 4},
    "cmaes": {"n_startup_trials": 2},
    "nsga2": {"population_size": 3},
}
MINIMIZED = {"metric": "validation_mse", "direction": "minimize"}
MAXIMIZED = {"metric": "robustness_score", "direction": "maximize"}


def make_space(kind: str = "tpe", n_objectives: int = 1, **settings: Any) -> SearchSpace:
    """A space whose last two dimensions are only asked where the convolution is separable."""
    rate: dict[str, Any] = {"kind": "float", "low": 1e-5, "high": 1e-2, "log": True}
    if kind == "grid":
        rate = {"kind": "float", "low": 0.25, "high": 0.75, "step": 0.25}
    separable = {"when": {"model.convolution": "separable"}}
    return SearchSpace.model_validate(
        {
            "space": {
                "model.multiplier": {"kind": "int", "low": 1, "high": 3, **separable},
                "model.where": {"kind": "categorical", "choices": [[1, 2], [3]], **separable},
                "model.convolution": {"kind": "categorical", "choices": ["separable", "standard"]},
                "model.depth": {"kind": "int", "low": 3, "high": 5},
                "training.learning_rate": rate,
            },
            "objectives": [MINIMIZED, MAXIMIZED][:n_objectives],
            "sampler": {"kind": kind, **SAMPLER_SETTINGS.get(kind, {})},
            **settings,
        }
    )


def make_values(point: Mapping[str, Any], n_objectives: int = 1) -> tuple[float, ...]:
    """Objectives that depend on the point alone."""
    rate, depth = point["training.learning_rate"], point["model.depth"]
    return ((rate - 0.4) ** 2 + 0.1 * depth, depth + rate)[:n_objectives]


def make_ending(record: TrialRecord, n_objectives: int = 1) -> TrialRecord:
    """Every fifth trial is stopped, every seventh failed, the others finish."""
    changed = {"digest": f"{record.number:02x}" * 32, "attempts": 1, "seconds": 0.1}
    if record.number % 5 == 4:
        changed |= {"state": "stopped", "reason": "asha at fold 1"}
    elif record.number % 7 == 6:
        changed |= {"state": "failed", "reason": "TrainingDiverged: of step 12"}
    else:
        values = make_values(record.point, n_objectives)
        changed |= {"state": "finished", "values": values, "standard_errors": (None,) * len(values)}
    return TrialRecord(**{**vars(record), **changed})


def search(ledger: Any, n_trials: int, n_objectives: int = 1, told: bool = False) -> list[Any]:
    """Suggest and end trials one after the other; return the points."""
    points = []
    for _ in range(n_trials):
        record = ledger.suggest()
        _tell(told, "suggested", record.number, record.point)
        ledger.report(record.number, 1, 0.5)
        ending = make_ending(record, n_objectives)
        ending = TrialRecord(**{**vars(ending), "reports": ((1, 0.5),)})
        ledger.save(ending)
        _tell(told, "saved", record.number, ending.state)
        points.append(dict(record.point))
    return points


def _tell(told: bool, what: str, number: int, content: Any) -> None:
    """Say what the ledger has returned from, before the next thing is done."""
    if told:
        print(json.dumps([what, number, content]), file=sys.stdout, flush=True)
