"""A search as its tracking store tells of it while it runs: each trial from its run's labels."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.config.search_space import SearchSpace
from isthmus.core.ports import StoredRun
from isthmus.report.parent_publish import REASON_TAG, STATE_TAG
from isthmus.report.run_naming import legal_name
from isthmus.study.ranking import summarise_study
from isthmus.study.records import Importance, StudyResult, TrialRecord, TrialState

NUMBER_TAG, STUDY_ID_TAG = "isthmus.trial_number", "isthmus.study_id"
_POINT_TAG = "isthmus.point."
_FACTS = ("embedding_size", "n_parameters")
_STATES: tuple[TrialState, ...] = ("finished", "stopped", "failed")


class StoredLedger:
    """Implement `isthmus.study.ledger.LedgerReader` on the runs below a search's run.

    Parameters
    ----------
    records : sequence of TrialRecord
        As `record_of` made them.
    """

    def __init__(self, records: Sequence[TrialRecord]) -> None:
        self._records = tuple(sorted(records, key=lambda one: one.number))

    def trials(self) -> tuple[TrialRecord, ...]:
        """List the trials, by number."""
        return self._records

    def notes(self) -> dict[str, str]:
        """Say nothing of the study as a whole: a tracking store has no such notes."""
        return {}

    def importance(self) -> tuple[Importance, ...]:
        """Leave importance to the search, which computes it when a sitting ends."""
        return ()

    def hypervolume(self, reference_point: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
        """Leave the hypervolume to the search, likewise."""
        return ()


def live_study(run: StoredRun, space: SearchSpace, below: Sequence[StoredRun]) -> StudyResult:
    """Say how a search stands of which no sitting has ended yet.

    Parameters
    ----------
    run : StoredRun
        The search's.
    space : SearchSpace
        Objectives and budget.
    below : sequence of StoredRun
        The trials' runs.

    Returns
    -------
    StudyResult
        Ranked by the package's own rules; without what takes the search seconds: importance,
        hypervolume and adjusted p-values. Points that were never begun are not in a store.
    """
    metrics = [one.metric for one in space.objectives]
    records = [record_of(child, metrics) for child in below if NUMBER_TAG in child.tags]
    name, experiment = run.tags.get("isthmus.study", run.name), run.params.get("name", "")
    study_id = run.tags.get(STUDY_ID_TAG, "")
    return summarise_study(
        name, study_id, experiment, space, StoredLedger(records), 0.0, whole=False
    )


def record_of(run: StoredRun, metrics: Sequence[str]) -> TrialRecord:
    """Read a trial from its run.

    Parameters
    ----------
    run : StoredRun
        Below a search's.
    metrics : sequence of str
        The objectives'.

    Returns
    -------
    TrialRecord
        One that says it finished, but lacks an objective's number, counts as not over: what it
        came to is still being written.
    """
    values = [run.metrics.get(legal_name(name)) for name in metrics]
    known = [value for value in values if value is not None]
    told = run.tags.get(STATE_TAG)
    state: TrialState = next((one for one in _STATES if one == told), "running")
    if state == "finished" and len(known) < len(metrics):
        state = "running"
    errors = tuple(run.metrics.get(legal_name(f"{name}_se")) for name in metrics)
    return TrialRecord(
        number=int(run.tags[NUMBER_TAG]),
        point=_point(run.tags),
        state=state,
        reason=run.tags.get(REASON_TAG, ""),
        values=tuple(known) if state == "finished" else None,
        standard_errors=errors if state == "finished" else None,
        digest=run.tags.get("isthmus.trial"),
        folder=run.run_id,
        facts={
            name: number
            for name in _FACTS
            if isinstance(number := _scalar(run.tags.get(f"isthmus.{name}", "")), int | float)
        },
        leaky=run.tags.get("isthmus.leaky") == "true",
    )


def _point(tags: Mapping[str, str]) -> dict[str, Any]:
    """Read what a trial varies off its labels."""
    return {
        name.removeprefix(_POINT_TAG): _scalar(value)
        for name, value in tags.items()
        if name.startswith(_POINT_TAG)
    }


def _scalar(text: str) -> Any:
    """Read a value that was written as text; text stays text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
