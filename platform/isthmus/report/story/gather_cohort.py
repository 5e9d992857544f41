"""Who was studied, in counts, from the experiment's store and table of participants."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isthmus.cohort.participants import Participants, load_participants
from isthmus.cohort.seal import read_seal
from isthmus.config.load import Experiment
from isthmus.core.errors import IsthmusError
from isthmus.report.story.bundle import Cell, CohortSummary, PeopleColumns
from isthmus.volumes.store import open_store

# A column with more values than this is a number, not a group.
MOST_GROUPS = 12


def summarise_cohort(
    experiment: Experiment, facts: Mapping[str, str | int | float], with_people: bool
) -> tuple[CohortSummary, PeopleColumns | None, tuple[str, ...]]:
    """Count the development subjects of an experiment.

    Parameters
    ----------
    experiment : Experiment
        Names store and table.
    facts : Mapping
        Of the leading trial, which stand where store or table are gone.
    with_people : bool
        Whether to hand on the declared columns of the development subjects.

    Returns
    -------
    summary : CohortSummary
        As far as it is known.
    people : PeopleColumns or None
        None unless asked for and known.
    missing : tuple of str
        What is not known, and why.
    """
    summary = _declared(experiment, facts)
    n_lockbox = count_lockbox(experiment.store_url)
    try:
        store = open_store(experiment.store_url)
        participants = load_participants(experiment).select(store.participant_ids)
    except (IsthmusError, OSError) as error:
        said = f"Sites, sexes and lockbox could not be counted: {error}"
        return replace(summary, n_lockbox=n_lockbox), None, (said,)
    edges = np.linalg.norm(store.affine[:3, :3], axis=0)
    summary = replace(
        summary,
        n_subjects=len(participants.ids),
        n_families=int(participants.families.nunique()),
        n_lockbox=n_lockbox,
        grid="x".join(str(edge) for edge in store.grid),
        voxel_size_mm=(float(edges[0]), float(edges[1]), float(edges[2])),
        counts=_counts(experiment, participants),
    )
    return summary, _people(participants) if with_people else None, ()


def count_lockbox(store_url: str) -> int | None:
    """Count who is set aside, without handing on who they are.

    Parameters
    ----------
    store_url : str
        The volume store's.

    Returns
    -------
    int or None
        0 where the store has no lockbox; None where it cannot be looked at.
    """
    folder = Path(store_url)
    if "://" in store_url or not folder.is_dir():
        return None
    try:
        seal = read_seal(folder)
    except IsthmusError:
        return None
    return len(seal.participant_ids) if seal else 0


def _declared(experiment: Experiment, facts: Mapping[str, str | int | float]) -> CohortSummary:
    """Take what settings and facts say."""
    config = experiment.config
    subjects, families = facts.get("n_subjects"), facts.get("n_families")
    return CohortSummary(
        n_subjects=subjects if isinstance(subjects, int) else None,
        n_families=families if isinstance(families, int) else None,
        modalities=tuple(config.fused_modalities),
        grid=str(facts.get("grid", "")),
        phenotypes=tuple(config.cohort.phenotypes),
        categorical_phenotypes=tuple(config.cohort.categorical_phenotypes),
        confounds=tuple(config.cohort.confounds),
        group_by=config.cohort.group_by,
        site=config.cohort.site,
        facts=dict(facts),
    )


def _counts(experiment: Experiment, participants: Participants) -> dict[str, dict[str, int]]:
    """Count subjects by the values of site, sex and the like."""
    cohort = experiment.config.cohort
    names = [cohort.site, *cohort.stratify_by, *cohort.confounds, *cohort.categorical_phenotypes]
    counts = {}
    for name in dict.fromkeys(name for name in names if name is not None):
        values = Counter("n/a" if pd.isna(v) else str(v) for v in participants.column(name))
        if len(values) <= MOST_GROUPS:
            counts[name] = dict(sorted(values.items()))
    return counts


def _people(participants: Participants) -> PeopleColumns:
    """Take the declared columns."""
    names = participants.declared or tuple(map(str, participants.table.columns))
    return PeopleColumns(
        participants.ids,
        {name: tuple(_cell(value) for value in participants.column(name)) for name in names},
    )


def _cell(value: Any) -> Cell:
    """Turn a value of a table into one of JSON."""
    if pd.isna(value):
        return None
    return value if isinstance(value, str) else float(value)
