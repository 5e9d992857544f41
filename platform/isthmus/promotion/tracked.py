"""Runs of the tracking store that a promotion is about."""

from isthmus.core.ports import RunReader, StoredRun

STUDY_TAG, TRIAL_TAG = "isthmus.study_id", "isthmus.trial"
_FOLD_TAG = "isthmus.fold"


def find_run(reader: RunReader, tag: str, key: str) -> StoredRun | None:
    """Find the run of a study by its id, or of a trial by its digest.

    Parameters
    ----------
    reader : RunReader
        The tracking store.
    tag : {"isthmus.study_id", "isthmus.trial"}
        What the key is of.
    key : str
        The id or the digest.

    Returns
    -------
    StoredRun or None
        The newest, if there is any; never a fold's, which has its trial's digest too.
    """
    runs = reader.tagged(tag, value=key)
    return next((run for run in runs if _FOLD_TAG not in run.tags), None)
