"""Keeps a study with Optuna, and lets its samplers choose the points: the ledger of a search."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from isthmus.backends.optuna_points import encoded_point
from isthmus.backends.optuna_samplers import make_sampler, optuna_state, propose
from isthmus.backends.optuna_storage import storage_errors
from isthmus.backends.optuna_study import KEPT, StudyReader, plain_record, record_of
from isthmus.backends.study_storage import StudyError
from isthmus.config.search_space import SearchSpace
from isthmus.study.records import OPEN, Objective, TrialRecord


class OptunaLedger(StudyReader):
    """The ledger of a search (`isthmus.study.ledger.Ledger`), made where there is none yet.

    Parameters
    ----------
    storage_url : str
        As in `isthmus.backends.study_storage`.
    study_name : str
        Which study of that storage.
    space : SearchSpace
        What is searched, and how.
    seed : int
        Of the suggestions.
    first_points : sequence of Mapping
        Points to begin with, in this order. They are kept when the study is made; later ones are
        not looked at.

    Raises
    ------
    ConfigError
        If the URL is of no known kind, a first point is not of the space, or the sampler cannot
        search it.
    DiskFull
        If there is no space for it.
    StudyError
        If nothing answers there, or the study is one of other objectives.

    Notes
    -----
    A suggestion is a function of the seed, its number and what the ledger holds then, down to the
    last bit: neither a restart nor the kind of storage changes it. Two drivers must not write one
    study; the second one is noticed when both suggest.

    Examples
    --------
    >>> import tempfile
    >>> from isthmus.config.search_space import IntRange
    >>> space = SearchSpace(space={"model.depth": IntRange(kind="int", low=3, high=5)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with OptunaLedger(f"journal:///{folder}/study.log", "s", space, 0) as ledger:
    ...         ledger.suggest().point
    {'model.depth': 3}
    """

    def __init__(
        self,
        storage_url: str,
        study_name: str,
        space: SearchSpace,
        seed: int,
        first_points: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        make_sampler(space, 0)
        for point in first_points:
            encoded_point(space, point)
        wanted = tuple(Objective(one.metric, one.direction) for one in space.objectives)
        super().__init__(storage_url, study_name, make=wanted)
        try:
            self._first_points = self._agree(wanted, first_points)
            self._heal()
        except BaseException:
            self.close()
            raise
        self._space = space
        self._seed = seed

    def suggest(self) -> TrialRecord | None:
        """Choose the next point and keep it as a running trial.

        Returns
        -------
        TrialRecord or None
            The trial; None once a grid is used up.

        Raises
        ------
        DiskFull, StudyError
            If it could not be kept; the same call chooses the same point later.
        """
        trials, records = self._numbered()
        chosen = propose(trials, records, self._space, self._seed, self._first_points)
        if chosen is None:
            return None
        trial, point = chosen
        over = sum(record.state not in OPEN for record in records)
        record = TrialRecord(len(trials), point, suggested_after=over)
        trial.set_user_attr(KEPT, plain_record(record))
        with storage_errors(self.storage_url):
            trial_id = self._storage.create_new_trial(self._study_id, template_trial=trial)
            number = self._storage.get_trial_number_from_id(trial_id)
        if number != record.number:
            raise StudyError(
                f"One search at a time must write the study {self.study_name!r}, but another one "
                f"began trial {record.number} just now. Stop one of them."
            )
        return record

    def save(self, record: TrialRecord) -> None:
        """Keep what has become of a trial. A state other than ``running`` is final.

        Parameters
        ----------
        record : TrialRecord
            The trial.

        Raises
        ------
        DiskFull, StudyError
            If it could not be kept.
        ValueError
            If it contradicts what is kept, or has values that its state does not go with.
        """
        self._require_sound(record)
        trial_id, kept = self._kept(record.number)
        before = record_of(kept)
        if before is None or plain_record(before)["point"] != plain_record(record)["point"]:
            raise ValueError(f"trial {record.number} was suggested with another point")
        for level, value in record.reports:
            self.report(record.number, level, value)
        if before.state not in OPEN:
            if plain_record(before) != plain_record(record):
                raise ValueError(f"trial {record.number} is {before.state}, which is final")
        else:
            with storage_errors(self.storage_url):
                self._storage.set_trial_user_attr(trial_id, KEPT, plain_record(record))
        if kept.state == TrialState.RUNNING:
            self._tell(record)

    def report(self, number: int, level: int, value: float) -> None:
        """Keep what the scheduler compares; a level that is kept already is left alone.

        Parameters
        ----------
        number : int
            The trial.
        level : int
            Such as a fold or an epoch.
        value : float
            At that level.

        Raises
        ------
        DiskFull, StudyError
            If it could not be kept.
        ValueError
            If the value is not finite, or the trial is over.
        """
        if not math.isfinite(value):
            raise ValueError(f"trial {number}: a report must be finite, got {value} at {level}")
        trial_id, kept = self._kept(number)
        if level in kept.intermediate_values:
            return
        if kept.state != TrialState.RUNNING:
            raise ValueError(f"trial {number} is over and cannot report level {level}")
        with storage_errors(self.storage_url):
            self._storage.set_trial_intermediate_value(trial_id, level, value)

    def note(self, name: str, value: str) -> None:
        """Note something of the study as a whole, replacing what was noted under the name.

        Parameters
        ----------
        name : str
            Under which it is found again.
        value : str
            What is noted.

        Raises
        ------
        DiskFull, StudyError
            If it could not be kept.
        """
        if name == KEPT:
            raise ValueError(f"a note must have another name than {KEPT!r}")
        with storage_errors(self.storage_url):
            self._study.set_user_attr(name, value)

    def _agree(
        self, wanted: tuple[Objective, ...], first_points: Sequence[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """Write down what the study is made for, or find that it is for the same."""
        with storage_errors(self.storage_url):
            if KEPT not in self._study.user_attrs:
                made_for = {
                    "objectives": [[one.metric, one.direction] for one in wanted],
                    "first_points": [dict(point) for point in first_points],
                }
                self._study.set_user_attr(KEPT, made_for)
            points: list[Mapping[str, Any]] = self._study.user_attrs[KEPT]["first_points"]
        if self.objectives != wanted:
            raise StudyError(
                f"The study {self.study_name!r} must be continued with its own objectives, "
                f"{_listed(self.objectives)}, got {_listed(wanted)}. Choose another study."
            )
        return points

    def _heal(self) -> None:
        """Tell Optuna what a search could not tell it before it was killed."""
        for trial, record in self._read():
            if record is not None and trial.state == TrialState.RUNNING:
                self._tell(record)

    def _tell(self, record: TrialRecord) -> None:
        """Tell Optuna of a trial that is over; of a running one there is nothing to tell."""
        if record.state in OPEN:
            return
        state = optuna_state(record)
        values = list(record.values or ()) if state == TrialState.COMPLETE else None
        with storage_errors(self.storage_url):
            self._study.tell(record.number, values, state)

    def _kept(self, number: int) -> tuple[int, FrozenTrial]:
        """Read a trial as Optuna keeps it."""
        with storage_errors(self.storage_url):
            try:
                at = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
            except KeyError:
                raise ValueError(f"there is no trial {number}") from None
            return at, self._storage.get_trial(at)

    def _require_sound(self, record: TrialRecord) -> None:
        """Refuse values that are not finite, missing, too many, or of a trial without any."""
        n_objectives = len(self._space.objectives)
        values = record.values
        if values is None:
            if record.state == "finished":
                raise ValueError(f"trial {record.number} finished and must have values")
        elif record.state not in ("finished", "repeated"):
            raise ValueError(f"trial {record.number} is {record.state} and must have no values")
        elif len(values) != n_objectives or not all(math.isfinite(value) for value in values):
            raise ValueError(
                f"trial {record.number} must have {n_objectives} finite values, got {values}"
            )


def _listed(objectives: Sequence[Objective]) -> str:
    """Name objectives."""
    return ", ".join(f"{one.direction} {one.metric}" for one in objectives)
