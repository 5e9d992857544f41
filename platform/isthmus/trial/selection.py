"""Several trials, and the best of them judged as the best of several."""

from collections.abc import Sequence
from pathlib import Path

from isthmus.cohort.participants import load_people
from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError
from isthmus.core.files import write_text
from isthmus.core.ports import TaskRunner
from isthmus.stratification.across import SelectionReport
from isthmus.trial.restratify import Prepared, Restratified, claim
from isthmus.trial.strata import strata_job

SELECTION_FILE = "selection.json"


def select_among(
    trials: Sequence[tuple[Prepared, Restratified]], directory: Path, runner: TaskRunner
) -> SelectionReport:
    """Judge the best of several trials as the best of several.

    Parameters
    ----------
    trials : sequence of (Prepared, Restratified)
        At least two, of the same people and columns; the first one's settings are used.
    directory : Path
        Receives ``selection.json``; one that is there of the same trials is not made again.
    runner : TaskRunner
        Carried by the job.

    Returns
    -------
    SelectionReport
        Naive and adjusted p-values.

    Raises
    ------
    ConfigError
        If the trials' columns differ, or what the tables say of a participant: the phenotypes are
        permuted once for all trials. Or if the folder holds results of other trials.
    """
    first, _ = trials[0]
    claim(directory, selection_key([prepared for prepared, _ in trials]), None)
    file = directory / SELECTION_FILE
    if file.exists():
        return SelectionReport.from_json(file.read_text(encoding="utf-8"))
    for other, _ in trials[1:]:
        _require_alike(first, other)
    ids = sorted({name for prepared, _ in trials for name in prepared.participants.ids})
    people = load_people(first.people, first.settings.cohort).select(ids)
    settings = first.settings
    job = strata_job(people, settings.cohort, settings.stratification, settings.seed, runner)
    found = job.selection({done.label: list(done.reports.values()) for _, done in trials})
    write_text(file, found.to_json())
    return found


def selection_key(trials: Sequence[Prepared]) -> str:
    """Identify the choice among several trials.

    Parameters
    ----------
    trials : sequence of Prepared
        The trials, the first of which gives the settings.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return digest_of([trial.key for trial in trials])


def _require_alike(one: Prepared, other: Prepared) -> None:
    """Refuse trials whose phenotypes cannot be permuted together."""
    names = f"{one.embedded.label} and {other.embedded.label}"
    if other.settings.cohort != one.settings.cohort:
        raise ConfigError(
            "Several trials are judged by one set of columns, but those of "
            f"{names} differ: {one.settings.cohort.model_dump()} and "
            f"{other.settings.cohort.model_dump()}. Set them with --set, or run the trials one by "
            "one."
        )
    shared = sorted(set(one.participants.ids) & set(other.participants.ids))
    tables = [prepared.participants for prepared in (one, other)]
    if len({people.select(shared).digest for people in tables}) > 1:
        raise ConfigError(
            f"Several trials are judged by one table of participants, but {one.people} and "
            f"{other.people} differ on the participants of {names}. Give one with --participants."
        )
