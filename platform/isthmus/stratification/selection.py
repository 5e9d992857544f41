"""The best of many trials, judged as the best of many: max-T over trials, partitions and targets.

Shape suffixes: A arrangements of the phenotypes (the observed one first), D partitions, F targets,
N subjects, T trials.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.core.seeds import derive_seed
from isthmus.stratification.across import SelectionReport, TrialSignificance
from isthmus.stratification.arrangements import arrange
from isthmus.stratification.partition import Partition
from isthmus.stratification.permutation import PermutationPlan
from isthmus.stratification.pooled import labels_of_group, pooled_groups, pooled_labels
from isthmus.stratification.targets import TargetGroup
from isthmus.stratification.variables import DeclaresVariables

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.integer]

_BLOCK_BYTES = 256 * 2**20
_CHUNK_BYTES = 64 * 2**20
# Statistics that are equal on paper differ by rounding.
_SLACK = 1e-9


def adjust_for_selection(
    trials: Mapping[str, Sequence[Partition]],
    participants: Participants,
    config: StratificationConfig,
    variables: DeclaresVariables,
    seed: int,
) -> SelectionReport:
    """Ask of every trial's best finding what it is worth if it was picked out of all of them.

    The null hypothesis is that, within exchangeability blocks and given the confounds, phenotypes
    are exchangeable between subjects whatever the trials' embeddings. The phenotypes are permuted
    once for all trials while all partitions stay, so that trials that resemble each other count as
    fewer. It makes up for choosing among these trials; not for trials that are not listed, nor for
    anything that the embeddings learnt from the phenotypes themselves.

    Parameters
    ----------
    trials : Mapping of str to sequence of Partition
        Each trial's partitions (its folds); none for a trial that failed. They may be of different
        subjects.
    participants : Participants
        Phenotypes, confounds, families and kinship of all of them.
    config : StratificationConfig
        `targets`, `factors`, `blocks` and `n_permutations` are read.
    variables : DeclaresVariables
        Columns of phenotypes and confounds.
    seed : int
        Seed of the permutations.

    Returns
    -------
    SelectionReport
        By rising adjusted p-value. A trial of which nothing could be tested has none.

    Raises
    ------
    StratificationError
        If there is no trial, or a partition has a subject that `participants` does not have.
    CohortError
        If a column is unknown or cannot be read as numbers.

    Notes
    -----
    H of many strata is larger than H of few, and larger where relatives share strata and the
    phenotype runs in families. So each column d, f (a partition and a target) is brought to one
    scale by its own permutation mean m and variance v: ``c chi^2_nu`` with these moments, turned
    normal by Wilson and Hilferty's cube root [2]_,

    ``z = ((H / m)^(1/3) - 1 + a) / sqrt(a)``, ``a = v / (9 m^2)``.

    The moments are taken over all arrangements, the observed one among them: they are the same
    whichever arrangement was observed, so the test stays exact. With ``M_tr`` the largest z of
    trial t under arrangement r, 0 being the observed one,

    - ``p_naive[t] = share of r with M_tr >= M_t0``: max-T [1]_ within the trial, over its own
      partitions and targets, as if no other trial had been run;
    - ``p_adjusted[t] = share of r with max_s M_sr >= M_t0``.

    Each share is (1 + b) / (1 + B). With one trial the two are equal. Ranks of a column among its
    own permutations instead of z (min-P) would have no power: among thousands of columns some
    permutation nearly always has a smallest possible p-value.

    Phenotypes take the place of factors where there are none. Those that are known of different
    subjects cannot be permuted together; both p-values are then Bonferroni's, over groups of
    phenotypes that are known of the same.

    Cost: O(B F N) for each partition, and for confounds O(B F N log N) for each 256 MiB of
    statistics; memory is bounded by these blocks and 8 T B bytes.

    References
    ----------
    .. [1] Westfall & Young (1993), Resampling-Based Multiple Testing.
    .. [2] Wilson & Hilferty (1931), Proc. Natl. Acad. Sci. 17, 684-688.
    """
    names = list(trials)
    owned = [(t, partition) for t, name in enumerate(names) for partition in trials[name]]
    _check(trials, participants)
    ids = sorted({subject for _, partition in owned for subject in partition.participant_ids})
    owner_D = np.array([t for t, _ in owned], dtype=np.intp)
    labels_DA = pooled_labels([partition for _, partition in owned], ids)
    found = []
    for number, group in enumerate(pooled_groups(participants, ids, config, variables, seed)):
        plan = group.plan(config.n_permutations, derive_seed(seed, "selection", number))
        if plan.n_permutations:
            labels_DN = labels_of_group(labels_DA, group)
            found.append(_largest(group, plan, labels_DN, owner_D, len(names)))
    tested = [maxima for maxima in found if maxima.n_statistics]
    rows = [_of_trial(t, name, tested) for t, name in enumerate(names)]
    return SelectionReport(
        trials=tuple(sorted(rows, key=_rank)),
        n_statistics=sum(maxima.n_statistics for maxima in tested),
        n_permutations=min((m.largest_TA.shape[1] - 1 for m in tested), default=0),
    )


@dataclass(frozen=True, eq=False)
class _Maxima:
    """The largest z of each trial over its columns, under every arrangement.

    A trial without a testable column has -inf throughout.
    """

    largest_TA: FloatArray
    best: tuple[str | None, ...]
    n_tested_T: npt.NDArray[np.intp]
    n_statistics: int


def _check(trials: Mapping[str, Sequence[Partition]], participants: Participants) -> None:
    """Refuse an empty study, and subjects without phenotypes."""
    if not trials:
        raise StratificationError(
            "A study needs at least one trial to choose from, got none. Is it the right study?"
        )
    known = set(participants.ids)
    for name, partitions in trials.items():
        for partition in partitions:
            unknown = sorted(set(partition.participant_ids) - known)
            if unknown:
                raise StratificationError(
                    "Every clustered subject must be in the participants table, but trial "
                    f"{name!r} has {', '.join(unknown[:5])} ({len(unknown)} in all) that are not. "
                    "Was it run on another cohort?"
                )


def _largest(
    group: TargetGroup,
    plan: PermutationPlan,
    labels_DN: LabelArray,
    owner_D: npt.NDArray[np.intp],
    n_trials: int,
) -> _Maxima:
    """Take each trial's maximum over partitions and targets, some partitions at a time."""
    n_arrangements = 1 + plan.n_permutations
    largest_TA = np.full((n_trials, n_arrangements), -np.inf)
    best: list[str | None] = [None] * n_trials
    n_tested_T = np.zeros(n_trials, dtype=np.intp)
    n_statistics = 0
    size = max(1, _BLOCK_BYTES // (8 * n_arrangements * len(group.names)))
    for start in range(0, len(labels_DN), size):
        h_DAF = _statistics(group, plan, labels_DN[start : start + size])
        for t, h_AF in zip(owner_D[start : start + size], h_DAF, strict=True):
            columns = np.flatnonzero(~np.isnan(h_AF).all(axis=0))
            if not columns.size:
                continue
            z_AF = comparable(h_AF[:, columns])
            leading = int(z_AF[0].argmax())
            if best[t] is None or z_AF[0, leading] > largest_TA[t, 0]:
                best[t] = group.names[columns[leading]]
            np.maximum(largest_TA[t], z_AF.max(axis=1), out=largest_TA[t])
            n_tested_T[t] += 1
            n_statistics += columns.size
    return _Maxima(largest_TA, tuple(best), n_tested_T, n_statistics)


def _statistics(group: TargetGroup, plan: PermutationPlan, labels_DN: LabelArray) -> FloatArray:
    """Compute every statistic of some partitions under every arrangement, shape (d, A, F)."""
    n = plan.n_subjects
    h_DAF = np.empty((len(labels_DN), 1 + plan.n_permutations, len(group.names)))
    h_DAF[:, :1] = arrange(group, np.arange(n)[np.newaxis]).statistics(labels_DN)
    done = 1
    n_rows = max(1, _CHUNK_BYTES // (8 * len(group.names) * (n + len(labels_DN))))
    for chunk_RN in plan.chunks(n_rows):
        stop = done + len(chunk_RN)
        h_DAF[:, done:stop] = arrange(group, chunk_RN).statistics(labels_DN)
        done = stop
    return h_DAF


def comparable(h_AF: FloatArray) -> FloatArray:
    """Bring statistics to one scale, each column by its moments over all arrangements.

    Parameters
    ----------
    h_AF : ndarray, shape (A, F)
        Kruskal-Wallis H of each arrangement, none of them distinguished; NaN where an arrangement
        has no statistic, which then counts as 0: no association.

    Returns
    -------
    ndarray, shape (A, F)
        About standard normal where H is about a multiple of chi-squared; 0 throughout for a column
        that no arrangement changes. Rising in H within each column.

    Examples
    --------
    >>> comparable(np.array([[6.0, 3.0], [0.0, 3.0], [3.0, 3.0]])).round(2)
    array([[ 1.23,  0.  ],
           [-3.4 ,  0.  ],
           [ 0.27,  0.  ]])
    """
    filled_AF = np.nan_to_num(h_AF, nan=0.0)
    mean_F, variance_F = filled_AF.mean(axis=0), filled_AF.var(axis=0)
    varies_F = variance_F > _SLACK * mean_F**2
    safe_F = np.where(varies_F, mean_F, 1.0)
    a_F = np.where(varies_F, variance_F / (9.0 * safe_F**2), 1.0)
    z_AF: FloatArray = (np.cbrt(filled_AF / safe_F) - 1.0 + a_F) / np.sqrt(a_F)
    return np.where(varies_F, z_AF, 0.0)


def _of_trial(t: int, name: str, tested: Sequence[_Maxima]) -> TrialSignificance:
    """Judge one trial, by its best group of targets."""
    mine = [maxima for maxima in tested if maxima.best[t] is not None]
    if not mine:
        return TrialSignificance(name, 0, None, None, None)
    naive = [_reached(maxima.largest_TA[t], maxima.largest_TA[t, 0]) for maxima in mine]
    adjusted = [_reached(m.largest_TA.max(axis=0), m.largest_TA[t, 0]) for m in mine]
    leading = int(np.lexsort((naive, adjusted))[0])
    return TrialSignificance(
        trial=name,
        n_partitions=max(int(maxima.n_tested_T[t]) for maxima in mine),
        target=mine[leading].best[t],
        p_naive=min(1.0, len(mine) * min(naive)),
        p_adjusted=min(1.0, len(tested) * min(adjusted)),
    )


def _reached(null_A: FloatArray, observed: np.float64) -> float:
    """Share of the arrangements that reach a value, the observed one among them."""
    return float((null_A >= observed - _SLACK).mean())


def _rank(row: TrialSignificance) -> tuple[float, float, str]:
    """Order trials: untested ones last, ties by name."""
    if row.p_adjusted is None or row.p_naive is None:
        return (2.0, 2.0, row.trial)
    return (row.p_adjusted, row.p_naive, row.trial)
