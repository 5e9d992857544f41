"""What a split is, and what makes one unusable: leaks, strangers and absentees."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from isthmus.cohort.excerpt import a_few
from isthmus.cohort.participants import Participants
from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError, LeakageError


@dataclass(frozen=True)
class Fold:
    """One part of a split.

    Attributes
    ----------
    number : int
        From 0.
    train : tuple of str
        Participants behind the gradient and every fitted statistic.
    monitor : tuple of str
        Families carved out of the training fold to choose the epoch; may be empty.
    validation : tuple of str
        Held out: neither fitted on nor chosen by.
    """

    number: int
    train: tuple[str, ...]
    monitor: tuple[str, ...]
    validation: tuple[str, ...]

    @property
    def parts(self) -> Mapping[str, tuple[str, ...]]:
        """The three parts by name."""
        return {"train": self.train, "monitor": self.monitor, "validation": self.validation}


@dataclass(frozen=True)
class Split:
    """A whole assignment: every fold of a cross-validation, or the one fold of a hold-out.

    Attributes
    ----------
    folds : tuple of Fold
        Numbered from 0.
    seed : int
        Seed it was drawn with; 0 when written by hand.
    method : str
        How it was drawn, with the columns that were in fact balanced.
    """

    folds: tuple[Fold, ...]
    seed: int
    method: str

    @property
    def digest(self) -> str:
        """Digest of who is where; neither order within a part nor how it was drawn enters."""
        return digest_of(
            [{part: sorted(ids) for part, ids in fold.parts.items()} for fold in self.folds]
        )


def check_split(split: Split, participants: Participants) -> None:
    """Refuse a split that leaks or does not fit the participants.

    Parameters
    ----------
    split : Split
        Drawn or read.
    participants : Participants
        Development participants.

    Raises
    ------
    LeakageError
        If a participant or a family is in two parts of one fold, or is held out by two folds.
    ConfigError
        If a fold names unknown participants, leaves some out, or has nobody to train on or to
        hold out; or if folds do not hold every participant out.
    """
    families = participants.families
    held_out: dict[str, int] = {}
    for fold in split.folds:
        _check_fold(fold, families)
        for label in fold.validation:
            first = held_out.setdefault(label, fold.number)
            if first != fold.number:
                raise LeakageError(
                    f"A split must hold each participant out once, but {label} is in the "
                    f"validation of folds {first} and {fold.number}. Keep one."
                )
    missing = sorted(set(participants.ids) - set(held_out))
    if missing and len(split.folds) != 1:
        raise ConfigError(
            f"A split must hold each participant out once, but {len(missing)} are in no fold's "
            f"validation: {a_few(missing)}. Add them to one."
        )


def _check_fold(fold: Fold, families: "pd.Series[Any]") -> None:
    """Check one fold's parts against each other and the participants."""
    where = f"fold {fold.number}"
    part_of: dict[str, str] = {}
    for part, ids in fold.parts.items():
        for label in ids:
            if label in part_of:
                raise LeakageError(
                    f"A split must name a participant once in a fold, but {label} is in "
                    f"{part_of[label]} and {part} of {where}. Keep one."
                )
            part_of[label] = part
    unknown = sorted(set(part_of) - set(families.index))
    if unknown:
        raise ConfigError(
            f"A split must name participants that are there for development, but {where} names "
            f"{a_few(unknown)}. They are not in the participants table, had a bad image, or are "
            "in the lockbox."
        )
    missing = sorted(set(families.index) - set(part_of))
    if missing:
        raise ConfigError(
            f"A split must place every participant, but {where} leaves out {a_few(missing)}."
        )
    for part in ("train", "validation"):
        if not fold.parts[part]:
            raise ConfigError(f"A split must have somebody in each {part} part, but {where} has 0.")
    members: dict[str, list[str]] = defaultdict(list)
    for label in part_of:
        members[families[label]].append(label)
    for family, relatives in members.items():
        parts = [part for part in fold.parts if part in {part_of[label] for label in relatives}]
        if len(parts) > 1:
            raise LeakageError(
                f"A split must keep families whole, but family {family} is in "
                f"{' and '.join(parts)} of {where} ({', '.join(sorted(relatives))}). Move its "
                "members into one part."
            )
