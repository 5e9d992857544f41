"""What is told of an ablation's course, to a terminal and to a tracking store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from isthmus.study.ablation.records import ArmRun, FoldRun
from isthmus.trial.events import TrialEvent


@dataclass(frozen=True)
class UnitBegun:
    """A fold is about to run; or, where ``fold`` is None, all of them are being gathered."""

    run: ArmRun
    fold: int | None
    attempt: int


@dataclass(frozen=True)
class UnitTold:
    """Something happened within a fold, or while folds were gathered."""

    run: ArmRun
    fold: int | None
    event: TrialEvent


@dataclass(frozen=True)
class UnitRetried:
    """An attempt ended before its time and is made again."""

    run: ArmRun
    fold: int | None
    why: str


@dataclass(frozen=True)
class FoldOver:
    """A fold is done or has failed; one that was done by others is marked so."""

    run: ArmRun
    record: FoldRun


@dataclass(frozen=True)
class ArmFailed:
    """An arm has failed; those of its folds that were not begun are skipped."""

    arm: str
    reason: str
    n_skipped: int


@dataclass(frozen=True)
class RunOver:
    """Nothing of an arm at a seed is left to do: its trial is whole, or lacks something."""

    run: ArmRun
    state: Literal["gathered", "failed"]
    reason: str


@dataclass(frozen=True)
class AblationHalting:
    """Nothing further is begun, and what runs is stopped where it can go on later."""

    why: str


AblationEvent = (
    UnitBegun | UnitTold | UnitRetried | FoldOver | ArmFailed | RunOver | AblationHalting
)
AblationListener = Callable[[AblationEvent], None]
