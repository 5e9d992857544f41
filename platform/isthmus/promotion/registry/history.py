"""Which versions of a model were its champion: a list that only ever grows.

Each move is one label of the registered model, under a key of its own. A list under one key would
be read, changed and written back, and of two writers at once one would undo the other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from isthmus.core.digest import digest_of
from isthmus.core.errors import IsthmusError

MoveKind = Literal["promotion", "override", "rollback"]
TAG_PREFIX = "isthmus.champion."
_SCHEMA_VERSION = 1
_KEY_DIGITS = 12


class HistoryDamaged(IsthmusError):
    """A label that should be a move of the champion, and is none that can be read."""


@dataclass(frozen=True)
class ChampionMove:
    """One move of a model's champion from one version to another.

    Attributes
    ----------
    number : int
        Counts the moves, from 1.
    kind : {"promotion", "override", "rollback"}
        Whether the gates passed it, somebody overrode them, or somebody went back.
    version : str
        The champion from then on.
    previous : str or None
        What the alias pointed at before; None for nothing.
    at : str
        When, in ISO 8601 with the offset from UTC.
    reason : str
        Why, in the words of whoever moved it; empty where the gates are the reason.
    decision : str
        Digest of the decision that it rests on; empty for a rollback.
    """

    number: int
    kind: MoveKind
    version: str
    previous: str | None
    at: str
    reason: str
    decision: str

    @property
    def label(self) -> tuple[str, str]:
        """Key and value under which a registry keeps it.

        The key holds the content's digest, so that two moves of one number are both kept.
        """
        record = {"schema_version": _SCHEMA_VERSION, **asdict(self)}
        key = f"{TAG_PREFIX}{self.number:06d}.{digest_of(record)[:_KEY_DIGITS]}"
        # as it is: escapes would make a reason of other letters too long for a registry
        return key, json.dumps(record, sort_keys=True, ensure_ascii=False)


def read_history(model_tags: Mapping[str, str]) -> tuple[ChampionMove, ...]:
    """Read the moves of the champion out of a registered model's labels.

    Parameters
    ----------
    model_tags : Mapping of str to str
        All of the model's labels; others than the moves are passed over.

    Returns
    -------
    tuple of ChampionMove
        In the order in which they were made; of the same number, by their time.

    Raises
    ------
    HistoryDamaged
        If a move's label is not as it was written.

    Examples
    --------
    >>> move = ChampionMove(1, "promotion", "3", None, "2031-05-04T10:00:00+00:00", "", "ab12")
    >>> read_history({**dict([move.label]), "owner": "neurology"}) == (move,)
    True
    """
    moves = [
        _read_move(key, text) for key, text in model_tags.items() if key.startswith(TAG_PREFIX)
    ]
    return tuple(sorted(moves, key=lambda move: (move.number, move.at, move.label)))


def champions(history: Sequence[ChampionMove]) -> tuple[str, ...]:
    """List the versions that a rollback would pass, with the champion last.

    A promotion adds its version; a rollback takes away what it went back over, so that another
    one goes further back and not forth again.

    Parameters
    ----------
    history : Sequence of ChampionMove
        As `read_history` returns it.

    Returns
    -------
    tuple of str
        Versions; empty before the first promotion.

    Examples
    --------
    >>> first = ChampionMove(1, "promotion", "1", None, "", "", "")
    >>> second = ChampionMove(2, "promotion", "4", "1", "", "", "")
    >>> champions([first, second])
    ('1', '4')
    >>> champions([first, second, ChampionMove(3, "rollback", "1", "4", "", "", "")])
    ('1',)
    """
    standing: list[str] = []
    for move in history:
        # What was recorded and never served, for its writer died, is no place to go back to.
        onto = move.version if move.kind == "rollback" else move.previous
        while onto in standing and standing[-1] != onto:
            standing.pop()
        if not standing or standing[-1] != move.version:
            standing.append(move.version)
    return tuple(standing)


def _read_move(key: str, text: str) -> ChampionMove:
    """Read one label, and check that it is what was written under that key."""
    try:
        record: dict[str, Any] = json.loads(text)
        version = record.pop("schema_version")
        move = ChampionMove(**record)
        whole = version == _SCHEMA_VERSION and move.kind in get_args(MoveKind)
    except (AttributeError, KeyError, TypeError, ValueError):
        whole = False
    if not whole or move.label[0] != key:
        raise HistoryDamaged(
            f"The label {key} of a registered model must be a move of its champion as isthmus "
            f"wrote it, but it was changed or comes of another version of isthmus: {text[:200]!r}."
            " Restore its value in the registry, or, if it cannot be had again, delete the label."
        )
    return move
