"""A decision as parts of a study's report."""

from pathlib import Path

from isthmus.promotion.decision import DECISION_FILE, PromotionDecision, read_decision
from isthmus.promotion.promote import FOLDER
from isthmus.promotion.words import gate_tables, lockbox_tables, outcome_in_words
from isthmus.report.page import Passage
from isthmus.report.story.bundle import ReadyPart

_GATES = (
    "Each finished trial against the gates of one file, and of the chosen one what was found.",
    "Gates bound what they ask. A model that passed them all is not proven good for anything else.",
)
_LOCKBOX = (
    "The chosen encoder on subjects that no training, choice or clustering has seen.",
    "Only the first look is untouched: a choice that depends on an earlier look is no longer "
    "independent of these subjects.",
)


def promoted_trial(study: Path) -> int | None:
    """Say which trial the latest decision about a study chose.

    Parameters
    ----------
    study : Path
        Folder of a search or of a trial.

    Returns
    -------
    int or None
        None where none was chosen, or nothing was decided yet.

    Raises
    ------
    ConfigError
        If the record cannot be read.
    """
    decision = _latest(study)
    return None if decision is None or decision.chosen is None else decision.chosen.trial


def promotion_parts(study: Path) -> tuple[ReadyPart, ...]:
    """Put the latest decision about a study into parts of its report.

    Parameters
    ----------
    study : Path
        Folder of a search or of a trial.

    Returns
    -------
    tuple of ReadyPart
        The gates, and the lockbox where it was opened; empty where nothing was promoted from the
        study yet. No lockbox subject is named.

    Raises
    ------
    ConfigError
        If the record cannot be read.
    """
    decision = _latest(study)
    if decision is None:
        return ()
    said = Passage(
        f"Decided on {decision.time}", (outcome_in_words(decision),), not decision.passed
    )
    gates = ReadyPart("gates", "Gates", *_GATES, (said,), gate_tables(decision))
    if decision.lockbox is None:
        return (gates,)
    lockbox = ReadyPart("lockbox", "Lockbox", *_LOCKBOX, (), lockbox_tables(decision))
    return gates, lockbox


def _latest(study: Path) -> PromotionDecision | None:
    """Read the latest decision about a study, if there is one."""
    folder = study / FOLDER
    return read_decision(folder) if (folder / DECISION_FILE).is_file() else None
