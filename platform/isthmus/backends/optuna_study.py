"""Reads a study that Optuna keeps.

A trial is kept as an Optuna trial, which Optuna's own tools can show: the point as its parameters,
what the scheduler compared as its intermediate values, the objectives as its values. The record
itself stands beside them, in one user attribute, and is what is believed where a search was killed
between the two.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import TypeAdapter, ValidationError

from isthmus.backends.optuna_importance import hypervolumes, importances
from isthmus.backends.optuna_storage import opened, storage_errors, study_names
from isthmus.backends.study_storage import StudyError
from isthmus.backends.tracking_uri import shown
from isthmus.study.records import Importance, Objective, TrialRecord

# User attribute of a trial, where its record stands, and of a study, with what it was made for.
KEPT = "isthmus"
_OWN = {"number", "reports"}  # of a record, kept by Optuna alone

_RECORD: TypeAdapter[TrialRecord] = TypeAdapter(TrialRecord)


class StudyReader:
    """A study as it stands, to look at: what `open_ledger` gives.

    Parameters
    ----------
    storage_url : str
        As in `isthmus.backends.study_storage`.
    study_name : str
        Which study of that storage.
    make : sequence of Objective, optional
        Make the storage, and the study for these objectives, where there is none yet.

    Raises
    ------
    ConfigError
        If the URL is of no known kind.
    DiskFull
        If there is no space for a study that is to be made.
    StudyError
        If nothing answers there, there is no such study, or it is none of a search.
    """

    def __init__(
        self, storage_url: str, study_name: str, make: Sequence[Objective] | None = None
    ) -> None:
        self.storage_url = storage_url
        self.study_name = study_name
        self._over: dict[int, TrialRecord | None] = {}
        with ExitStack() as stack:
            self._storage = stack.enter_context(opened(storage_url, must_exist=make is None))
            with storage_errors(storage_url):
                self._study = self._load(make)
                self._study_id = self._storage.get_study_id_from_name(study_name)
            self._connections = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; what was kept stays."""
        self._connections.close()

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the study seeks."""
        with storage_errors(self.storage_url):
            made_for = self._study.user_attrs[KEPT]
        return tuple(Objective(metric, direction) for metric, direction in made_for["objectives"])

    def trials(self) -> tuple[TrialRecord, ...]:
        """List all trials that were suggested so far, by number.

        Returns
        -------
        tuple of TrialRecord
            Without any that something else has put into the study.
        """
        return tuple(record for _, record in self._read() if record is not None)

    def notes(self) -> dict[str, str]:
        """Read what was noted of the study as a whole.

        Returns
        -------
        dict
            Text by name.
        """
        with storage_errors(self.storage_url):
            attributes = self._study.user_attrs
        return {name: str(value) for name, value in attributes.items() if name != KEPT}

    def importance(self) -> tuple[Importance, ...]:
        """Measure how much each dimension explains, as far as the finished trials allow.

        Returns
        -------
        tuple of Importance
            See `isthmus.backends.optuna_importance.importances`.
        """
        trials, records = self._numbered()
        return importances(trials, records, self.objectives)

    def hypervolume(self, reference_point: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
        """Follow the hypervolume over the finished trials, by number.

        Parameters
        ----------
        reference_point : tuple of float
            A value for each objective.

        Returns
        -------
        tuple of (int, float)
            Empty with one objective.
        """
        trials, records = self._numbered()
        return hypervolumes(trials, records, self.objectives, reference_point)

    def _load(self, make: Sequence[Objective] | None) -> Any:
        """Load the study, or make it."""
        name, storage = self.study_name, self._storage
        quiet = optuna.samplers.RandomSampler(seed=0)  # points are chosen in memory, not here
        try:
            study = optuna.load_study(study_name=name, storage=storage, sampler=quiet)
        except KeyError:
            if make is None:
                there = ", ".join(study_names(storage)) or "none"
                raise StudyError(
                    f"There must be a study {name!r} at {shown(self.storage_url)}, but there is "
                    f"none of that name. There: {there}."
                ) from None
            directions = [objective.direction for objective in make]
            study = optuna.create_study(
                study_name=name, storage=storage, directions=directions, sampler=quiet
            )
        if KEPT not in study.user_attrs and (make is None or study.get_trials(deepcopy=False)):
            raise StudyError(
                f"The study {name!r} at {shown(self.storage_url)} must have been made by `isthmus "
                "search`, but something else made it. Choose another storage."
            )
        return study

    def _read(self) -> list[tuple[FrozenTrial, TrialRecord | None]]:
        """Read all trials, by number, with their records."""
        with storage_errors(self.storage_url):
            trials = self._study.get_trials(deepcopy=False)
        return [(trial, self._record(trial)) for trial in trials]

    def _record(self, trial: FrozenTrial) -> TrialRecord | None:
        """Read a trial's record; one that is over cannot change, and is read once.

        Whoever keeps how the study stood after each trial, as what waits for a tracking store
        does, then keeps each record once too.
        """
        if not trial.state.is_finished():
            return record_of(trial)
        if trial.number not in self._over:
            self._over[trial.number] = record_of(trial)
        return self._over[trial.number]

    def _numbered(self) -> tuple[list[FrozenTrial], list[TrialRecord]]:
        """Read all trials, and take what something else put into the study for failed ones."""
        pairs = self._read()
        records = [one or TrialRecord(trial.number, {}, state="failed") for trial, one in pairs]
        return [trial for trial, _ in pairs], records


def open_ledger(storage_url: str, study_name: str) -> StudyReader:
    """Open a study that exists, to look at it.

    Parameters
    ----------
    storage_url : str
        As in `isthmus.backends.study_storage`.
    study_name : str
        Which study of that storage.

    Returns
    -------
    StudyReader
        A context manager that closes its connections. It writes nothing.

    Raises
    ------
    StudyError
        If there is none; the message names those that there are.
    """
    return StudyReader(storage_url, study_name)


def record_of(trial: FrozenTrial) -> TrialRecord | None:
    """Read a trial's record.

    Parameters
    ----------
    trial : optuna.trial.FrozenTrial
        As Optuna keeps it.

    Returns
    -------
    TrialRecord or None
        None of a trial that something else has put into the study.

    Raises
    ------
    StudyError
        If it is the record of another version.
    """
    kept = trial.user_attrs.get(KEPT)
    if kept is None or trial.state == TrialState.WAITING:
        return None
    reports = tuple(sorted(trial.intermediate_values.items()))
    try:
        return _RECORD.validate_python({**kept, "number": trial.number, "reports": reports})
    except (TypeError, ValidationError) as error:
        raise StudyError(
            f"Trial {trial.number} must have a record that this version of isthmus can read, but "
            f"{error}. Continue the study with the version that began it."
        ) from None


def plain_record(record: TrialRecord) -> dict[str, Any]:
    """Write a record as it is kept beside Optuna's own.

    Parameters
    ----------
    record : TrialRecord
        A trial.

    Returns
    -------
    dict
        JSON values, without the number and the reports, which Optuna keeps alone.
    """
    plain: dict[str, Any] = _RECORD.dump_python(record, mode="json", exclude=_OWN)
    return plain
