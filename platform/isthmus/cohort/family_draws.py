"""Drawing whole families: the lockbox, and the sampler that hold-outs and monitors share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from isthmus.cohort.participants import Participants
from isthmus.core.errors import CohortError, LeakageError
from isthmus.core.seeds import generator

_N_BINS = 3
_FEW_VALUES = 5


def draw_lockbox(
    participants: Participants,
    share: float,
    stratify_by: Sequence[str],
    seed: int,
    already: Sequence[str] = (),
    known: Sequence[str] = (),
) -> tuple[str, ...]:
    """Choose whose data only promotion may read.

    Parameters
    ----------
    participants : Participants
        The whole cohort.
    share : float
        Share in [0, 0.5] of the families to set aside; at least one when above 0.
    stratify_by : sequence of str
        Columns over whose values the draw is spread, beside that of the site.
    seed : int
        The experiment's seed.
    already : sequence of str
        Members set aside earlier. They stay, also when they have left the table, and new
        relatives of theirs join them.
    known : sequence of str
        Development participants of an earlier ingest. Searches have seen them, so nobody of
        their families is drawn any more.

    Returns
    -------
    tuple of str
        Sorted participant_ids.

    Raises
    ------
    CohortError
        If fewer than two families would be left for development.

    Notes
    -----
    With ``already`` and without ``known`` nothing tells new participants from those that were
    developed on, so nobody but relatives is added.
    """
    people = participants.select(sorted(participants.ids))
    families = people.families
    sealed_families = set(families[families.index.isin(already)])
    developed_on = set(families[families.index.isin(known)])
    both = sorted(sealed_families & developed_on)
    if both:
        members = sorted(families.index[families == both[0]])
        raise LeakageError(
            f"The lockbox must keep families whole, but family {both[0]} has members in it and "
            f"in development ({', '.join(members)}). Correct the family column, or ingest into a "
            "new store."
        )
    sealed = set(already) | set(families.index[families.isin(sealed_families)])
    n_families = families.nunique()
    n_wanted = max(1, round(share * n_families)) if share > 0 else 0
    n_missing = n_wanted - len(sealed_families)
    new = families[~families.isin(sealed_families | developed_on)]
    if n_missing > 0 and len(new) and not (already and not known):
        pool = people.select(list(new.index))
        share_of_pool = min(1.0, n_missing / new.nunique())
        columns = stratifiers(people, stratify_by)
        sealed |= set(draw_families(pool, share_of_pool, columns, generator(seed, "lockbox")))
    n_left = families[~families.index.isin(sealed)].nunique()
    if sealed and n_left < 2:
        raise CohortError(
            f"A lockbox must leave at least two families for development, but of {n_families} "
            f"families it leaves {n_left}. Set cohort.lockbox_share: 0, or add participants."
        )
    return tuple(sorted(sealed))


def draw_families(
    people: Participants, share: float, stratify_by: Sequence[str], stream: np.random.Generator
) -> tuple[str, ...]:
    """Draw a share of the families, at least one, spread over the strata of their members.

    Parameters
    ----------
    people : Participants
        Whose families to draw from, in an order that does not depend on the table's.
    share : float
        Share in (0, 1] of the families, rounded.
    stratify_by : sequence of str
        Columns over whose values the draw is spread.
    stream : numpy.random.Generator
        Source of chance.

    Returns
    -------
    tuple of str
        participant_ids of the drawn families.
    """
    families = people.families
    strata = pd.Series(strata_of(people, stratify_by), index=families.index)
    names = sorted(set(families))
    order = stream.permutation(len(names))
    first_label = {family: min(group) for family, group in strata.groupby(families)}
    # Systematic sampling down a list sorted by stratum takes the same share of every stratum.
    ranked = sorted((names[i] for i in order), key=lambda family: first_label[family])
    n_drawn = min(len(ranked), max(1, round(share * len(ranked))))
    steps = (np.arange(n_drawn) + stream.uniform()) * len(ranked) / n_drawn
    drawn = {ranked[int(step)] for step in steps}
    return tuple(label for label in people.ids if families[label] in drawn)


def stratifiers(participants: Participants, stratify_by: Sequence[str]) -> list[str]:
    """Name the columns to spread a draw over: those asked for, then the site.

    Parameters
    ----------
    participants : Participants
        Whose site column, where one is declared, is added.
    stratify_by : sequence of str
        Columns asked for; where the site is among them it keeps its place.

    Returns
    -------
    list of str
        Each column once.
    """
    site = [participants.site] if participants.site is not None else []
    return list(dict.fromkeys([*stratify_by, *site]))


def strata_of(people: Participants, columns: Sequence[str]) -> list[str]:
    """Label each participant by the values of some columns, numbers of many values in terciles.

    Parameters
    ----------
    people : Participants
        The participants.
    columns : sequence of str
        Columns of their table; a missing value is a value of its own.

    Returns
    -------
    list of str, length n
        Equal labels for those to be spread evenly.
    """
    labels = [""] * len(people.ids)
    for name in columns:
        cells = people.column(name)
        if pd.api.types.is_numeric_dtype(cells) and cells.nunique() > _FEW_VALUES:
            cells = pd.qcut(cells, _N_BINS, labels=False, duplicates="drop")
        values = ["n/a" if pd.isna(value) else str(value) for value in cells]
        labels = [f"{label}|{value}" for label, value in zip(labels, values, strict=True)]
    return labels
