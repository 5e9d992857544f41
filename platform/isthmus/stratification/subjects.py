"""Whom the job clusters, and who belongs together."""

from collections.abc import Sequence

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.stratification.checks import require_subjects
from isthmus.stratification.embedding_table import HELD_OUT, LOCKBOX, EmbeddingTable


def choose_subjects(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> EmbeddingTable:
    """Take the subjects to be clustered, sorted, so that the order of rows has no influence.

    Parameters
    ----------
    table : EmbeddingTable
        One encoder's embeddings.
    participants : Participants
        Everybody; it may hold further subjects.
    config : StratificationConfig
        `subjects` is read.

    Returns
    -------
    EmbeddingTable
        All of them, or those held out; in either case without the lockbox.

    Raises
    ------
    StratificationError
        If a subject is not among the participants, or fewer than 10 are left.
    """
    known = set(participants.ids)
    unknown = sorted(set(table.participant_ids) - known)
    if unknown:
        raise StratificationError(
            f"Every embedded subject must be in the participants table, got "
            f"{', '.join(unknown[:5])} that are not ({len(unknown)} in all). Was the table made "
            "from another cohort?"
        )
    chosen = sorted(
        name
        for name, role in zip(table.participant_ids, table.roles, strict=True)
        if is_clustered(role, config)
    )
    require_subjects(len(chosen), config)
    return table.select(chosen)


def is_clustered(role: str, config: StratificationConfig) -> bool:
    """Tell whether subjects of a role are clustered, and tested.

    Parameters
    ----------
    role : str
        What they were to the encoder, one of `ROLES`.
    config : StratificationConfig
        `subjects` is read.

    Returns
    -------
    bool
        Never for the lockbox: what is learnt of it beforehand cannot be replicated in it.
    """
    return role in HELD_OUT if config.subjects == "held_out" else role != LOCKBOX


def blocks(
    participants: Participants, ids: Sequence[str], config: StratificationConfig
) -> tuple[str, ...]:
    """Say who is kept together in draws, and in clouds that are compared with.

    Parameters
    ----------
    participants : Participants
        Families.
    ids : sequence of str, length n
        Subjects clustered.
    config : StratificationConfig
        `blocks` is read.

    Returns
    -------
    tuple of str, length n
        Family of each; with ``blocks: none`` everybody is alone.
    """
    if config.blocks == "none":
        return tuple(ids)
    return tuple(str(family) for family in participants.families.loc[list(ids)])
