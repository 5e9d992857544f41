"""How a search stands, while it runs and at its end."""

import logging

from isthmus.core.errors import StratificationError
from isthmus.stratification.across import SelectionReport
from isthmus.study.budget import wall_seconds
from isthmus.study.ledger import Ledger
from isthmus.study.ranking import summarise_study
from isthmus.study.records import StudyResult, TrialRecord
from isthmus.study.search import PreparedSearch
from isthmus.study.significance import adjust_study

_log = logging.getLogger("isthmus.study")


def standing_of(prepared: PreparedSearch, ledger: Ledger, whole: bool = False) -> StudyResult:
    """Say how a search stands.

    Parameters
    ----------
    prepared : PreparedSearch
        What is searched.
    ledger : Ledger
        Its trials.
    whole : bool
        Add what takes seconds: hypervolume, importance, p-values adjusted for having picked the
        best trial.

    Returns
    -------
    StudyResult
        Of the trials so far.
    """
    space = prepared.space
    return summarise_study(
        prepared.folder.name,
        prepared.study_id,
        prepared.trial.experiment.config.name,
        space,
        ledger,
        wall_seconds(ledger),
        selection=_selection(prepared, ledger.trials()) if whole else None,
        whole=whole,
    )


def _selection(
    prepared: PreparedSearch, records: tuple[TrialRecord, ...]
) -> SelectionReport | None:
    """Adjust for having picked the best of the finished trials."""
    experiment, participants = prepared.trial.experiment, prepared.trial.participants
    folders = {
        record.number: experiment.output / record.folder
        for record in records
        if record.state == "finished" and record.folder is not None
    }
    try:
        return adjust_study(experiment, participants, folders)
    except StratificationError as error:
        _log.warning("p-values are not adjusted for having picked the best trial: %s", error)
        return None
