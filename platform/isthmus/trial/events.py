"""What is told of a trial's course, to a terminal and to a tracking store.

A listener is a function of one event; it must not change the trial.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from isthmus.config.experiment import ExperimentConfig
from isthmus.core.ports import EpochEvent
from isthmus.trial.records import FoldFailure, FoldResult, TrialResult


@dataclass(frozen=True)
class TrialStarted:
    """A trial is about to run.

    Attributes
    ----------
    digest : str
        Identity of the trial.
    config : ExperimentConfig
        Resolved settings.
    identity : dict of str to str
        Digests of settings, images, participants and split.
    facts : dict
        Model and cohort in numbers.
    directory : Path
        The trial's folder; a fold's files lie in ``fold-<number>`` below it.
    """

    digest: str
    config: ExperimentConfig
    identity: dict[str, str]
    facts: dict[str, str | int | float]
    directory: Path


@dataclass(frozen=True)
class FoldStarted:
    """A fold is about to be trained, or continued."""

    number: int


@dataclass(frozen=True)
class FoldEvaluating:
    """Training of a fold is over; its fidelity, controls and strata are being computed."""

    number: int


@dataclass(frozen=True)
class StrataProgress:
    """How far the robustness job is with one encoder of a fold.

    Attributes
    ----------
    number : int
        Number of the fold.
    encoder : {"trained", "untrained"}
        Whose embeddings.
    done, total : int
        Pieces.
    """

    number: int
    encoder: Literal["trained", "untrained"]
    done: int
    total: int


@dataclass(frozen=True)
class FoldFinished:
    """A fold is finished, now or by an earlier run (``reused``)."""

    result: FoldResult
    directory: Path
    reused: bool


@dataclass(frozen=True)
class FoldFailed:
    """A fold ended in a typed failure."""

    failure: FoldFailure
    directory: Path


@dataclass(frozen=True)
class EncodersComparing:
    """All folds are finished, and the strata of their encoders are being compared."""

    n_encoders: int


@dataclass(frozen=True)
class TrialFinished:
    """All folds of a trial are over."""

    result: TrialResult
    directory: Path


TrialEvent = (
    TrialStarted
    | FoldStarted
    | EpochEvent
    | FoldEvaluating
    | StrataProgress
    | FoldFinished
    | FoldFailed
    | EncodersComparing
    | TrialFinished
)
TrialListener = Callable[[TrialEvent], None]
EventT = TypeVar("EventT")


def tell_all(*listeners: Callable[[EventT], None]) -> Callable[[EventT], None]:
    """Make one listener of several.

    Parameters
    ----------
    *listeners : callable
        Told in this order.

    Returns
    -------
    callable
        Passes each event on to all.
    """

    def tell(event: EventT) -> None:
        for listener in listeners:
            listener(event)

    return tell
