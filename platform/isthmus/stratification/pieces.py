"""The robustness job in pieces: draws to be clustered anew, and clouds without strata.

A piece is a function of the problem and its numbers alone, so pieces may run anywhere, in any
order, and be repeated.

Shape suffixes: N subjects, D draws of a piece, A arrangements (observed first), F targets,
K strata of the whole partition, J nulls of a piece.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from isthmus.config.stratification import StratificationConfig
from isthmus.core.seeds import derive_seed, generator
from isthmus.stratification.arrangements import Arrangements, observed_and_permuted
from isthmus.stratification.cloud import Cloud
from isthmus.stratification.matched_cloud import draw_cloud
from isthmus.stratification.partition import Partition
from isthmus.stratification.redraw import mean_agreement, strata_of_draw
from isthmus.stratification.resampling import draw_rows
from isthmus.stratification.stability import best_match_jaccard, compare_partitions
from isthmus.stratification.strata import find_strata
from isthmus.stratification.targets import TargetGroup

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]
Results = dict[str, npt.NDArray[np.generic]]

DRAWS_A_PIECE = 10
NULLS_A_PIECE = 3


@dataclass(frozen=True, eq=False)
class Problem:
    """What all pieces share.

    Attributes
    ----------
    digest : str
        Identifies the problem: equal digests, equal results.
    cloud : Cloud
        What is clustered.
    likeness : float
        Intraclass correlation of relatives.
    families : tuple of hashable, length n
        Whom a draw keeps together.
    labels_N : ndarray of int, shape (n,)
        The whole partition.
    n_strata : int
        Its strata.
    setting : float
        How it was found: see `Partition.setting`.
    groups : tuple of TargetGroup
        What is related to the strata.
    config : StratificationConfig
        Settings.
    seed : int
        Root of all draws.
    """

    digest: str
    cloud: Cloud
    likeness: float
    families: tuple[Hashable, ...]
    labels_N: IntArray
    n_strata: int
    setting: float
    groups: tuple[TargetGroup, ...]
    config: StratificationConfig
    seed: int

    def rows(self, number: int) -> npt.NDArray[np.intp]:
        """Draw the subjects of one resample; the nulls are drawn alike.

        Parameters
        ----------
        number : int
            Which.

        Returns
        -------
        ndarray of int, shape (m,)
            Positions, rising.
        """
        seed = derive_seed(self.seed, "draws")
        return draw_rows(self.families, self.config.robustness, seed, number)


@dataclass(frozen=True)
class Piece:
    """Some of the draws, or some of the nulls.

    Attributes
    ----------
    kind : {"draws", "nulls"}
        Of what.
    start, stop : int
        Numbers of the first one, and of the first one beyond.
    """

    kind: Literal["draws", "nulls"]
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Name of a file for its results."""
        return f"{self.kind}-{self.start:05d}-{self.stop:05d}"


def all_pieces(config: StratificationConfig) -> tuple[Piece, ...]:
    """Cut the job into pieces.

    Parameters
    ----------
    config : StratificationConfig
        `robustness` is read.

    Returns
    -------
    tuple of Piece
        The nulls first: they take longest.
    """
    asked = config.robustness

    def cut(kind: Literal["draws", "nulls"], n: int, size: int) -> Iterator[Piece]:
        for start in range(0, n, size):
            yield Piece(kind, start, min(n, start + size))

    return (
        *cut("nulls", asked.n_matched_nulls, NULLS_A_PIECE),
        *cut("draws", asked.n_draws, DRAWS_A_PIECE),
    )


# What a process made for the last problem it met: similarities and arrangements serve all pieces.
_kept: dict[str, tuple[Problem, tuple[Arrangements, ...] | None]] = {}


def run_piece(problem: Problem, piece: Piece) -> Results:
    """Compute one piece.

    Parameters
    ----------
    problem : Problem
        What all pieces share.
    piece : Piece
        Which part.

    Returns
    -------
    dict of str to ndarray
        For draws: ``ari``, ``ami``, ``n_strata`` (0: failed), ``n_subjects``, each of shape
        (D,); ``jaccard`` (D, K); for each target group g ``statistics_g`` (D, A, F) and
        ``effects_g`` (D, F). For nulls: ``ari`` (mean over draws; NaN: no partition),
        ``silhouette`` and ``n_strata``, each of shape (J,).
    """
    if problem.digest not in _kept:
        _kept.clear()
        _kept[problem.digest] = (problem, None)
    problem, arrangements = _kept[problem.digest]
    if piece.kind == "nulls":
        return _nulls(problem, piece)
    if arrangements is None:
        n_permutations = problem.config.robustness.n_null_phenotypes
        arrangements = tuple(
            observed_and_permuted(
                group,
                n_permutations,
                derive_seed(problem.seed, "null_phenotypes", group.kind, *group.names),
            )
            for group in problem.groups
        )
        _kept[problem.digest] = (problem, arrangements)
    return _draws(problem, piece, arrangements)


def forget(problem: Problem) -> None:
    """Let go of what this process made for a problem.

    Parameters
    ----------
    problem : Problem
        One whose pieces are done.
    """
    _kept.pop(problem.digest, None)


def _draws(problem: Problem, piece: Piece, arrangements: tuple[Arrangements, ...]) -> Results:
    """Cluster each draw anew, compare it with the whole, and relate it to the targets."""
    n_draws = piece.stop - piece.start
    labels_DN = np.full((n_draws, problem.cloud.n), -1, dtype=np.int64)
    ari, ami = np.zeros(n_draws), np.zeros(n_draws)
    jaccard_DK = np.zeros((n_draws, problem.n_strata))
    n_strata, n_subjects = np.zeros(n_draws, np.int64), np.zeros(n_draws, np.int64)
    for d, number in enumerate(range(piece.start, piece.stop)):
        rows = problem.rows(number)
        n_subjects[d] = len(rows)
        whole_M = problem.labels_N[rows]
        seed = derive_seed(problem.seed, "draw", number)
        found = strata_of_draw(problem.cloud, rows, problem.setting, problem.config, seed)
        if found is None:
            held = np.isin(np.arange(problem.n_strata), whole_M)
            jaccard_DK[d] = np.where(held, 0.0, np.nan)
            continue
        labels_DN[d, rows] = found
        n_strata[d] = len(np.unique(found))
        ari[d], ami[d] = compare_partitions(whole_M, found)
        jaccard_DK[d] = best_match_jaccard(whole_M, found, problem.n_strata)
    results: Results = {
        "ari": ari,
        "ami": ami,
        "jaccard": jaccard_DK,
        "n_strata": n_strata,
        "n_subjects": n_subjects,
    }
    for g, (group, arranged) in enumerate(zip(problem.groups, arrangements, strict=True)):
        of_group_DN = labels_DN[:, group.rows_N]
        statistics_DAF = arranged.statistics(of_group_DN)
        results[f"statistics_{g}"] = statistics_DAF
        results[f"effects_{g}"] = arranged.effect_sizes(statistics_DAF[:, :1], of_group_DN)[:, 0]
    return results


def _nulls(problem: Problem, piece: Piece) -> Results:
    """Draw clouds without strata, and see how stable their partitions are."""
    lengths_R = np.linalg.norm(problem.cloud.points_ND, axis=0)
    ari, silhouette, n_strata = [], [], []
    for number in range(piece.start, piece.stop):
        stream = generator(problem.seed, "matched_null", number)
        points = draw_cloud(lengths_R, problem.families, problem.likeness, stream)
        cloud = replace(problem.cloud, points_ND=points)
        ids = [f"{i:07d}" for i in range(cloud.n)]
        seed = derive_seed(problem.seed, "matched_null", number, "strata")
        strata = find_strata(cloud, ids, problem.families, problem.config, seed)
        found = strata if isinstance(strata, Partition) else None
        ari.append(np.nan if found is None else _mean_ari(problem, cloud, found, number))
        silhouette.append(np.nan if found is None else found.silhouette or 0.0)
        n_strata.append(0 if found is None else len(found.sizes))
    return {
        "ari": np.array(ari),
        "silhouette": np.array(silhouette),
        "n_strata": np.array(n_strata, dtype=np.int64),
    }


def _mean_ari(problem: Problem, cloud: Cloud, found: Partition, null: int) -> float:
    """Average the agreement of a null's draws with its whole."""
    draws = (
        (problem.rows(number), derive_seed(problem.seed, "matched_null", null, number))
        for number in range(problem.config.robustness.n_null_draws)
    )
    return mean_agreement(cloud, np.array(found.labels), found.setting, draws, problem.config)
