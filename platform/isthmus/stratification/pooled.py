"""Targets of many partitions at once: made once, of all the subjects that any of them has.

Shape suffixes: A subjects of all partitions together, D partitions.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.checks import MIN_SUBJECTS
from isthmus.stratification.factors import Factors, NoFactors, factors_of
from isthmus.stratification.partition import Partition
from isthmus.stratification.targets import TargetGroup, make_groups
from isthmus.stratification.variables import DeclaresVariables

LabelArray = npt.NDArray[np.integer]


def pooled_groups(
    participants: Participants,
    ids: Sequence[str],
    config: StratificationConfig,
    variables: DeclaresVariables,
    seed: int,
) -> tuple[TargetGroup, ...]:
    """Make the targets that partitions of different subjects are compared on.

    Factors made anew for each partition would be other factors each time: their number, order and
    signs follow the subjects. So they are made once, of everybody.

    Parameters
    ----------
    participants : Participants
        Phenotypes, confounds, families and kinship.
    ids : sequence of str, length a
        The subjects of all partitions together, sorted.
    config : StratificationConfig
        `targets`, `factors` and `blocks` are read.
    variables : DeclaresVariables
        Columns.
    seed : int
        Seed of the parallel analysis, as the job of one table has it.

    Returns
    -------
    tuple of TargetGroup
        The factors; the numeric phenotypes where there are no factors or `config.targets` leaves
        them out; none where it asks for neither. Groups without a testable target are left out.
    """
    if not ids:
        return ()
    names = list(variables.phenotypes)
    outcome: Factors | NoFactors = NoFactors((), "Factors were not asked for.")
    if "factor" in config.targets and names:
        outcome = factors_of(participants, ids, names, config.factors, seed)
    kinds = ("factor",) if isinstance(outcome, Factors) else ("phenotype",)
    wanted = config.model_copy(
        update={"targets": tuple(kind for kind in kinds if kind in config.targets)}
    )
    groups = make_groups(outcome, participants, ids, wanted, variables)
    return tuple(group for group in groups if group.testable)


def pooled_labels(partitions: Sequence[Partition | None], ids: Sequence[str]) -> LabelArray:
    """Write partitions of different subjects as rows of one table.

    Parameters
    ----------
    partitions : sequence of Partition or None, length d
        None where there is no partition.
    ids : sequence of str, length a
        The subjects of all partitions together.

    Returns
    -------
    ndarray of int, shape (d, a)
        Strata; -1 for subjects that a partition does not have.

    Examples
    --------
    >>> pooled_labels([None], ["sub-1", "sub-2"])
    array([[-1, -1]])
    """
    column = {name: position for position, name in enumerate(ids)}
    labels_DA = np.full((len(partitions), len(ids)), -1, dtype=np.int64)
    for row, partition in zip(labels_DA, partitions, strict=True):
        if partition is not None:
            row[[column[name] for name in partition.participant_ids]] = partition.labels
    return labels_DA


def labels_of_group(labels_DA: LabelArray, group: TargetGroup) -> LabelArray:
    """Keep the subjects that a group of targets is tested on.

    Parameters
    ----------
    labels_DA : ndarray of int, shape (d, a)
        From `pooled_labels`.
    group : TargetGroup
        Of the same subjects.

    Returns
    -------
    ndarray of int, shape (d, n)
        Strata of the group's subjects; -1 throughout for a partition that has fewer than 10 of
        them, which is then not tested.
    """
    labels_DN = labels_DA[:, group.rows_N]
    too_few_D = (labels_DN >= 0).sum(axis=1) < MIN_SUBJECTS
    labels_DN[too_few_D] = -1
    return labels_DN
