"""Short words and numbers of a study, the same in tables, figures and pages."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from isthmus.report.strata_words import number
from isthmus.study.records import Objective, StudyResult, TrialRecord, TrialState

BEST, AS_GOOD, ON_FRONT = "*", "~", "P"
NOT_ASKED = "not asked"
STATES: dict[TrialState, str] = {
    "finished": "finished",
    "stopped": "stopped early",
    "failed": "failed",
    "infeasible": "infeasible",
    "repeated": "repeated",
    "running": "not over",
}


def is_leaky(result: StudyResult) -> bool:
    """Tell whether any trial's numbers are to be labelled.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    bool
        Whether normalisation saw the held-out subjects in one of them.
    """
    return any(one.leaky for one in result.trials)


def dimensions(trials: Iterable[TrialRecord]) -> tuple[str, ...]:
    """List what a study varies.

    Parameters
    ----------
    trials : iterable of TrialRecord
        Its trials.

    Returns
    -------
    tuple of str
        Dotted paths, each once, in the order of the points; conditional ones where they first
        appear.
    """
    return tuple(dict.fromkeys(path for one in trials for path in one.point))


def short_paths(paths: Sequence[str]) -> dict[str, str]:
    """Shorten dotted paths to their last part, where that is enough.

    Parameters
    ----------
    paths : sequence of str
        Each once.

    Returns
    -------
    dict of str to str
        By path.

    Examples
    --------
    >>> short_paths(("model.depth", "model.norm", "volumes.norm"))
    {'model.depth': 'depth', 'model.norm': 'model.norm', 'volumes.norm': 'volumes.norm'}
    """
    last = {path: path.rpartition(".")[2] for path in paths}
    counts = Counter(last.values())
    return {path: name if counts[name] == 1 else path for path, name in last.items()}


def value_in_words(value: Any) -> str:
    """Write a setting's value.

    Parameters
    ----------
    value : Any
        Of any kind that a space may have.

    Returns
    -------
    str
        Numbers to four digits, text as it is, the rest as in JSON.

    Examples
    --------
    >>> value_in_words(0.000123456), value_in_words("batch"), value_in_words([1, 2])
    ('0.0001235', 'batch', '[1, 2]')
    """
    if isinstance(value, float):
        return number(value, 4)
    return value if isinstance(value, str) else json.dumps(value)


def point_in_words(record: TrialRecord, names: dict[str, str]) -> str:
    """Write a trial's point in a line.

    Parameters
    ----------
    record : TrialRecord
        A trial.
    names : dict of str to str
        Short names by path.

    Returns
    -------
    str
        Such as ``"depth=3, norm=batch"``.
    """
    pairs = (f"{names[path]}={value_in_words(value)}" for path, value in record.point.items())
    return ", ".join(pairs)


def estimate_in_words(record: TrialRecord, i: int) -> str:
    """Write one objective of a trial with its standard error.

    Parameters
    ----------
    record : TrialRecord
        A trial.
    i : int
        Position of the objective.

    Returns
    -------
    str
        Such as ``"0.01234 +- 0.0005"``; a dash where it has no value.
    """
    if record.values is None:
        return "-"
    error = record.standard_errors[i] if record.standard_errors else None
    mean = number(record.values[i], 4)
    return mean if error is None else f"{mean} +- {number(error, 2)}"


def objective_in_words(objective: Objective) -> str:
    """Name an objective and which way is better.

    Parameters
    ----------
    objective : Objective
        What is sought.

    Returns
    -------
    str
        Such as ``"validation_mse (less is better)"``.
    """
    way = "less" if objective.direction == "minimize" else "more"
    return f"{objective.metric} ({way} is better)"


def marks_of(result: StudyResult, trial: int) -> str:
    """Say in signs what stands out about a trial.

    Parameters
    ----------
    result : StudyResult
        A study.
    trial : int
        Its number.

    Returns
    -------
    str
        ``*`` the best, ``~`` within one standard error of it, ``P`` on the Pareto front of several
        objectives.
    """
    marks = BEST if trial == result.best else ""
    if trial in result.within_one_se and trial != result.best:
        marks += AS_GOOD
    if len(result.objectives) > 1 and trial in result.front:
        marks += ON_FRONT
    return marks


def counts_in_words(result: StudyResult) -> str:
    """Count a study's trials by what became of them.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    str
        Such as ``"19 finished, 1 failed"``.
    """
    counts = Counter(one.state for one in result.trials)
    found = [f"{counts[state]} {words}" for state, words in STATES.items() if counts[state]]
    return ", ".join(found) or "no trial yet"


def hours(seconds: float) -> str:
    """Write a time in hours.

    Parameters
    ----------
    seconds : float
        Time.

    Returns
    -------
    str
        Three digits.

    Examples
    --------
    >>> hours(5400)
    '1.5'
    """
    return number(seconds / 3600)
