"""What a page may look at, and how it finds the trial that it is about."""

from dataclasses import dataclass

from isthmus.trial.records import FoldResult, TrialResult
from isthmus_dashboard.addresses import Address
from isthmus_dashboard.last_seen import LastSeen
from isthmus_dashboard.pieces import Piece, choice
from isthmus_dashboard.scans import Scans
from isthmus_dashboard.source import Missing, Standing, TrialEntry


@dataclass(frozen=True)
class Context:
    """What a page may look at.

    Attributes
    ----------
    seen : LastSeen
        The studies.
    scans : Scans
        Subjects' images.
    """

    seen: LastSeen
    scans: Scans


@dataclass(frozen=True)
class Chosen:
    """The trial and the fold that a page is about.

    Attributes
    ----------
    entry : TrialEntry
        The trial in its study.
    result : TrialResult
        What it left.
    fold : FoldResult
        One of its folds.
    """

    entry: TrialEntry
    result: TrialResult
    fold: FoldResult


def choose_trial(context: Context, standing: Standing, address: Address) -> Chosen:
    """Find the trial and the fold that an address asks for.

    Parameters
    ----------
    context : Context
        What may be looked at.
    standing : Standing
        The study.
    address : Address
        Its choices ``trial`` and ``fold``; nothing chosen: the best trial of a search, else the
        first that has a result; its first fold.

    Returns
    -------
    Chosen
        With at least one finished fold.

    Raises
    ------
    Missing
        If there is no such trial, or it has no finished fold.
    """
    key = address.get("trial") or default_trial(standing)
    if not key:
        raise Missing(
            "No trial of this study has a result yet. Wait for the first one to finish: the "
            "overview shows how far each is."
        )
    entry = standing.trial(key)
    result = context.seen.source.trial(standing.entry.key, key)
    if not result.folds:
        said = "; ".join(f"fold {one.number}: {one.message}" for one in result.failures)
        raise Missing(f"No fold of {entry.label} finished ({said}). Choose another trial.")
    wanted = address.get("fold")
    fold = next((one for one in result.folds if str(one.number) == wanted), None)
    if wanted and fold is None:
        has = ", ".join(str(one.number) for one in result.folds)
        raise Missing(f"{entry.label} has no finished fold {wanted}; it has {has}. Choose one.")
    return Chosen(entry, result, fold or result.folds[0])


def default_trial(standing: Standing) -> str:
    """Choose the trial that is shown where none was asked for.

    Parameters
    ----------
    standing : Standing
        The study.

    Returns
    -------
    str
        Its key; empty where no trial has a result.
    """
    best = standing.study.best if standing.study else None
    whole = [one for one in standing.trials if one.whole]
    first = next((one for one in whole if one.number == best), whole[0] if whole else None)
    return "" if first is None else first.key


def trial_choice(standing: Standing, chosen: str) -> Piece:
    """Offer the trials that have a result.

    Parameters
    ----------
    standing : Standing
        The study.
    chosen : str
        Key of the one that is shown.

    Returns
    -------
    dash component
        A labelled list.
    """
    options = [(one.key, one.label) for one in standing.trials if one.whole or one.key == chosen]
    return choice("trial", "Trial", options, chosen)


def fold_choice(chosen: Chosen) -> Piece:
    """Offer the finished folds of a trial.

    Parameters
    ----------
    chosen : Chosen
        What is shown.

    Returns
    -------
    dash component
        A labelled list.
    """
    options = [(str(one.number), f"fold {one.number}") for one in chosen.result.folds]
    return choice("fold", "Fold", options, str(chosen.fold.number))
