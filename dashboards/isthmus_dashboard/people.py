"""What the experiment's participants file says of the subjects that are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pandas.api.types import is_numeric_dtype

from isthmus.cohort.participants import load_participants
from isthmus.config.load import Experiment, load_experiment
from isthmus.core.errors import IsthmusError
from isthmus.stratification.factors import Factors
from isthmus.stratification.record import RobustnessReport
from isthmus_dashboard.source import Missing, Source

EXPERIMENT_FILE = "experiment.yaml"


@dataclass(frozen=True)
class Variable:
    """A number of each subject.

    Attributes
    ----------
    name : str
        What people call it.
    values : tuple of float or None
        In the order of the subjects that were asked for; None where it is not known.
    """

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class People:
    """Numeric columns of the participants file.

    Attributes
    ----------
    variables : tuple of Variable
        Phenotypes and confounds that the experiment declares and that are numbers.
    why_not : str
        Why there are none; empty if there are.
    """

    variables: tuple[Variable, ...]
    why_not: str = ""


def experiment_of(source: Source, study: str, trial: str) -> Experiment:
    """Read a trial's settings.

    Parameters
    ----------
    source : Source
        Where it is.
    study, trial : str
        Keys.

    Returns
    -------
    Experiment
        With absolute places, as the trial was run.

    Raises
    ------
    Missing
        If they are not there, or are those of another version.
    """
    folder = source.files(study, trial, None, (EXPERIMENT_FILE,))
    try:
        return load_experiment(folder / EXPERIMENT_FILE)
    except IsthmusError as error:
        raise Missing(str(error)) from None


def people_of(experiment: Experiment, participant_ids: Sequence[str]) -> People:
    """Read what is declared of the subjects.

    Parameters
    ----------
    experiment : Experiment
        Names the participants file and its columns.
    participant_ids : sequence of str
        Whom to read; nobody else is looked at.

    Returns
    -------
    People
        Empty, with the reason, where the file cannot be had.
    """
    try:
        table = load_participants(experiment).select(participant_ids).table
    except (IsthmusError, OSError) as error:
        file = Path(experiment.cohort_root) / experiment.config.cohort.participants
        return People(
            (),
            f"Phenotypes are not shown: {file} cannot be read here. Start the dashboard where the "
            f"cohort is. ({str(error).splitlines()[0]:.200})",
        )
    cohort = experiment.config.cohort
    names = dict.fromkeys((*cohort.phenotypes, *cohort.confounds))
    variables = []
    for name in names:
        column = table.get(name)
        if column is not None and is_numeric_dtype(column):
            numbers = column.to_numpy(dtype=float)
            known = tuple(float(one) if np.isfinite(one) else None for one in numbers)
            variables.append(Variable(name, known))
    return People(tuple(variables))


def factors_of(report: RobustnessReport) -> tuple[Variable, ...]:
    """Take the factor scores of a report.

    Parameters
    ----------
    report : RobustnessReport
        What the robustness job found.

    Returns
    -------
    tuple of Variable
        In the order of the report's subjects; none without factors.
    """
    factors = report.factors
    if not isinstance(factors, Factors):
        return ()
    row = {name: i for i, name in enumerate(factors.participant_ids)}
    return tuple(
        Variable(
            name,
            tuple(
                float(factors.scores[row[who]][position]) if who in row else None
                for who in report.participant_ids
            ),
        )
        for position, name in enumerate(factors.names)
    )
