"""Who may be `champion` and `challenger`: rules over a history, and the order of the writes.

The rules are pure: they take what a registry holds and say what should be written. A move of the
champion is written down first and the alias is set after it. If the process dies in between, the
history is ahead of the alias; the same command, run again, finds that out and sets the alias,
without a second entry.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from isthmus.core.errors import IsthmusError, PromotionRefused
from isthmus.core.ports import ModelRegistry
from isthmus.promotion.registry.history import ChampionMove, MoveKind, champions

CHAMPION = "champion"
CHALLENGER = "challenger"
_REASON_LENGTH = 2000


class AliasRefused(IsthmusError):
    """A move of an alias that cannot be made, with what to do instead."""


@dataclass(frozen=True)
class AliasPlan:
    """What to write into a registry, in this order.

    Attributes
    ----------
    words : str
        What it comes to, in a sentence.
    move : ChampionMove or None
        The entry of the champion's history; None where it holds what is wanted already.
    points : Mapping of str to str
        Versions that aliases are set to.
    drops : tuple of str
        Aliases that are taken away.
    """

    words: str
    move: ChampionMove | None = None
    points: Mapping[str, str] = field(default_factory=dict)
    drops: tuple[str, ...] = ()


def challenge(
    history: Sequence[ChampionMove], aliases: Mapping[str, str], version: str
) -> AliasPlan:
    """Make a version the challenger: the one that is judged next.

    Parameters
    ----------
    history : Sequence of ChampionMove
        Of the model.
    aliases : Mapping of str to str
        Where the model's aliases point now.
    version : str
        The version.

    Returns
    -------
    AliasPlan
        The champion itself is not made its own challenger.
    """
    if CHAMPION in aliases and aliases[CHAMPION] == version == _standing(history):
        return AliasPlan(f"Version {version} is the champion already, and challenges nobody.")
    if aliases.get(CHALLENGER) == version:
        return AliasPlan(f"Version {version} is the challenger already.")
    return AliasPlan(f"Version {version} is the challenger now.", points={CHALLENGER: version})


def crown(
    history: Sequence[ChampionMove],
    aliases: Mapping[str, str],
    version: str,
    *,
    passed: bool,
    decision: str,
    override: str | None,
    at: str,
) -> AliasPlan:
    """Make a version the champion, if its gates passed or somebody overrides them.

    Parameters
    ----------
    history : Sequence of ChampionMove
        Of the model.
    aliases : Mapping of str to str
        Where the model's aliases point now.
    version : str
        The version.
    passed : bool
        Whether the decision is that it may.
    decision : str
        Digest of the decision; recorded.
    override : str or None
        Why it becomes the champion in spite of the decision; recorded, also where the gates
        passed.
    at : str
        The time, in ISO 8601 with the offset from UTC.

    Returns
    -------
    AliasPlan
        Without a move where the version is the recorded champion already. If it was the
        challenger, it is so no longer.

    Raises
    ------
    PromotionRefused
        If the decision is that it may not, and no reason to override it is given.
    AliasRefused
        If the reason is blank or too long.
    """
    reason = "" if override is None else checked_reason(override, "--override")
    if not passed and override is None:
        raise PromotionRefused(
            f"A champion must have passed its gates, but version {version} did not. Improve the "
            'model, or state why it must serve all the same: --override "reason". The reason is '
            "kept in the registry."
        )
    drops = (CHALLENGER,) if aliases.get(CHALLENGER) == version else ()
    now = aliases.get(CHAMPION)
    if _standing(history) == version:
        if now == version:
            return AliasPlan(f"Version {version} is the champion already.", drops=drops)
        return AliasPlan(
            f"Version {version} is the champion by its history already; the alias, which pointed "
            f"at {_shown(now)}, follows.",
            points={CHAMPION: version},
            drops=drops,
        )
    kind: MoveKind = "promotion" if passed else "override"
    move = ChampionMove(_next(history), kind, version, now, at, reason, decision)
    words = f"Version {version} is the champion now; before it was {_shown(now)}."
    return AliasPlan(words, move, {CHAMPION: version}, drops)


def roll_back(
    history: Sequence[ChampionMove],
    aliases: Mapping[str, str],
    versions: Collection[str],
    *,
    reason: str,
    at: str,
) -> AliasPlan:
    """Return to the champion before the present one; once more, and to the one before that.

    Parameters
    ----------
    history : Sequence of ChampionMove
        Of the model.
    aliases : Mapping of str to str
        Where the model's aliases point now.
    versions : collection of str
        Those that the registry still has; earlier champions that were deleted are passed over.
    reason : str
        Why; recorded.
    at : str
        The time, in ISO 8601 with the offset from UTC.

    Returns
    -------
    AliasPlan
        Without a move where a rollback was recorded and its alias was not set any more: that one
        is finished. Where somebody set the alias past isthmus, the way back leads to the champion
        that is on record.

    Raises
    ------
    AliasRefused
        If there is no earlier champion, or no reason.
    """
    why = checked_reason(reason, "A rollback")
    standing, now = champions(history), aliases.get(CHAMPION)
    if not standing:
        raise AliasRefused(
            "A rollback must have a champion to leave, but none is on record for this model. "
            "Promote one: isthmus promote."
        )
    last = history[-1]
    if last.kind == "rollback" and now == last.previous != last.version:
        return AliasPlan(
            f"The rollback to version {last.version} of {last.at} was not finished, and is now.",
            points={CHAMPION: last.version},
        )
    elsewhere = now not in (standing[-1], last.previous)
    earlier = [version for version in standing[: None if elsewhere else -1] if version in versions]
    if not earlier:
        raise AliasRefused(
            f"A rollback must have an earlier champion to return to, but version {standing[-1]} "
            f"has none that the registry still keeps (on record: {', '.join(standing)}). Promote "
            "another version instead."
        )
    move = ChampionMove(_next(history), "rollback", earlier[-1], now, at, why, "")
    words = f"Version {earlier[-1]} is the champion again; before it was {_shown(now)}."
    if elsewhere:
        words += f" That alias was set past isthmus; on record was version {standing[-1]}."
    return AliasPlan(words, move, {CHAMPION: earlier[-1]})


def carry_out(registry: ModelRegistry, name: str, plan: AliasPlan) -> None:
    """Write a plan into a registry, the history before the alias.

    Parameters
    ----------
    registry : ModelRegistry
        Where the model is.
    name : str
        The model.
    plan : AliasPlan
        Of `challenge`, `crown` or `roll_back`.

    Raises
    ------
    AliasRefused
        If the registry has no such version; then nothing is written.
    """
    for version in plan.points.values():
        if registry.find(name, version) is None:
            raise AliasRefused(
                f"An alias must point at a version that the registry has, but {name} has no "
                f"version {version}. Look at what it has, and name one of them."
            )
    if plan.move is not None:
        key, value = plan.move.label
        registry.set_model_tags(name, {key: value})
    for alias, version in plan.points.items():
        registry.set_alias(name, alias, version)
    for alias in plan.drops:
        registry.drop_alias(name, alias)


def _standing(history: Sequence[ChampionMove]) -> str | None:
    """Say who is the champion by the history."""
    standing = champions(history)
    return standing[-1] if standing else None


def _next(history: Sequence[ChampionMove]) -> int:
    """Give the number that the next move has."""
    return history[-1].number + 1 if history else 1


def _shown(version: str | None) -> str:
    """Write where an alias pointed."""
    return "none" if version is None else f"version {version}"


def checked_reason(text: str, who: str) -> str:
    """Take the blanks off a reason, and see that something is left.

    Parameters
    ----------
    text : str
        The reason.
    who : str
        What it is for, as the error's sentence begins.

    Returns
    -------
    str
        Without blanks around it.

    Raises
    ------
    AliasRefused
        If nothing is left, or it is too long to be recorded.
    """
    reason = text.strip()
    if not reason:
        raise AliasRefused(f"{who} must be given a reason, which is recorded, but it is blank.")
    if len(reason) > _REASON_LENGTH:
        raise AliasRefused(
            f"{who} must be given a reason of at most {_REASON_LENGTH} characters, got "
            f"{len(reason)}. Shorten it; put the rest where others find it, and name the place."
        )
    return reason
