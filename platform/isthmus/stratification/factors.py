"""Phenotype factors: what the declared phenotypes have in common, on few rotated axes.

Shape suffixes: N subjects, P phenotypes, K factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import FactorsConfig
from isthmus.core.errors import StratificationError
from isthmus.core.seeds import derive_seed
from isthmus.stratification.components import chance_eigenvalues, principal, require_rank
from isthmus.stratification.phenotype_scale import PhenotypeScale

FloatArray = npt.NDArray[np.float64]

_CONSTANT_TOLERANCE = 1e-12


@dataclass(frozen=True)
class DroppedPhenotype:
    """A declared phenotype that the factors do without.

    Attributes
    ----------
    name : str
        Its column.
    reason : {"missing", "constant"}
        Too many missing values, or one value for everybody.
    missing_share : float
        Share of subjects without a value.
    """

    name: str
    reason: Literal["missing", "constant"]
    missing_share: float


@dataclass(frozen=True)
class NoFactors:
    """There is nothing to make factors of.

    Attributes
    ----------
    dropped : tuple of DroppedPhenotype
        Declared phenotypes, each with the reason why it is out.
    reason : str
        What is missing, and what to do.
    """

    dropped: tuple[DroppedPhenotype, ...]
    reason: str
    kind: Literal["no_factors"] = "no_factors"


@dataclass(frozen=True)
class Factors:
    """Rotated principal components of the phenotypes.

    Attributes
    ----------
    participant_ids : tuple of str
        Subjects, one for each row of the scores.
    phenotypes : tuple of str
        Columns that were used, in the order declared.
    dropped : tuple of DroppedPhenotype
        Declared columns that were not.
    n_imputed : tuple of int
        For each used column, the missing values replaced by its median.
    n_subjects_all_imputed : int
        Subjects of whom no used phenotype is known: they sit at the medians.
    eigenvalues : tuple of float
        Of the correlation matrix, falling.
    chance_eigenvalues : tuple of float
        95th percentile of the same from random tables of this size (Horn's parallel analysis).
    n_above_chance : int
        Leading eigenvalues above chance. At least one factor is kept, so this can be 0 where
        ``len(names)`` is 1: that factor is then no more than noise would give.
    names : tuple of str
        ``factor_1`` and so on, by falling explained variance.
    loadings : tuple of tuple of float
        A row a phenotype, a column a factor: correlations of the one with the other.
    explained_variance : tuple of float
        Share of the phenotypes' total variance that each factor explains.
    scores : tuple of tuple of float
        A row a subject, a column a factor; mean 0, variance 1, uncorrelated.
    """

    participant_ids: tuple[str, ...]
    phenotypes: tuple[str, ...]
    dropped: tuple[DroppedPhenotype, ...]
    n_imputed: tuple[int, ...]
    n_subjects_all_imputed: int
    eigenvalues: tuple[float, ...]
    chance_eigenvalues: tuple[float, ...]
    n_above_chance: int
    names: tuple[str, ...]
    loadings: tuple[tuple[float, ...], ...]
    explained_variance: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]
    kind: Literal["factors"] = "factors"


FactorsOutcome = Factors | NoFactors


def find_factors(
    values_NP: FloatArray,
    phenotypes: Sequence[str],
    participant_ids: Sequence[str],
    config: FactorsConfig,
    seed: int,
) -> FactorsOutcome:
    """Reduce the declared phenotypes to rotated factors.

    Parameters
    ----------
    values_NP : ndarray, shape (n, p)
        Phenotypes; NaN where missing.
    phenotypes : sequence of str, length p
        Names of the columns.
    participant_ids : sequence of str, length n
        Who the rows are.
    config : FactorsConfig
        Number of factors and the largest missing share.
    seed : int
        Seed of the parallel analysis.

    Returns
    -------
    Factors or NoFactors
        `NoFactors` where no phenotype is declared or none is usable. A single usable phenotype is
        its own factor.

    Raises
    ------
    StratificationError
        If a value is infinite, a phenotype is named twice, or more factors are asked for than
        there are usable phenotypes.
    """
    _check(values_NP, phenotypes)
    if not phenotypes:
        return NoFactors(
            dropped=(), reason="No phenotypes declared. Name some in cohort.phenotypes."
        )
    dropped, used = _usable(values_NP, phenotypes, config)
    if not used:
        return NoFactors(
            dropped=dropped,
            reason=f"None of the {len(phenotypes)} declared phenotypes is usable. Complete them, "
            "or raise stratification.factors.max_missing_share.",
        )
    missing_NP = np.isnan(values_NP[:, used])
    z_NP = PhenotypeScale.of(values_NP[:, used]).apply(values_NP[:, used])
    correlation_PP = z_NP.T @ z_NP / (len(z_NP) - 1)
    eigenvalues = np.linalg.eigvalsh(correlation_PP)[::-1]
    chance = chance_eigenvalues(len(z_NP), len(used), seed)
    n_above = int(np.argmin(np.append(eigenvalues > chance, False)))
    n_factors = config.n_factors or max(1, n_above)
    loadings_PK, weights_PK = principal(correlation_PP, n_factors)
    return Factors(
        participant_ids=tuple(participant_ids),
        phenotypes=tuple(phenotypes[i] for i in used),
        dropped=dropped,
        n_imputed=tuple(missing_NP.sum(axis=0).tolist()),
        n_subjects_all_imputed=int(missing_NP.all(axis=1).sum()),
        eigenvalues=tuple(eigenvalues.tolist()),
        chance_eigenvalues=tuple(chance.tolist()),
        n_above_chance=n_above,
        names=tuple(f"factor_{k + 1}" for k in range(n_factors)),
        loadings=_rows(loadings_PK),
        explained_variance=tuple((loadings_PK**2).mean(axis=0).tolist()),
        scores=_rows(z_NP @ weights_PK),
    )


def factors_of(
    participants: Participants,
    ids: Sequence[str],
    phenotypes: Sequence[str],
    config: FactorsConfig,
    seed: int,
) -> FactorsOutcome:
    """Make the factors of some participants.

    Parameters
    ----------
    participants : Participants
        Their phenotypes.
    ids : sequence of str, length n
        Of whom.
    phenotypes : sequence of str
        Columns.
    config : FactorsConfig
        Number of factors and the largest missing share.
    seed : int
        The job's seed; the parallel analysis has a stream of its own below it.

    Returns
    -------
    Factors or NoFactors
        As `find_factors`.

    Raises
    ------
    StratificationError
        As `find_factors`.
    CohortError
        If a column is unknown or cannot be read as numbers.
    """
    values_NP = participants.numeric(phenotypes, ids)
    return find_factors(values_NP, phenotypes, ids, config, derive_seed(seed, "factors"))


def check_factors(
    values_NP: FloatArray, phenotypes: Sequence[str], config: FactorsConfig, n_subjects: int
) -> None:
    """Refuse what `find_factors` would refuse of some of these subjects.

    Parameters
    ----------
    values_NP : ndarray, shape (n, p)
        Phenotypes; NaN where missing.
    phenotypes : sequence of str, length p
        Names of the columns.
    config : FactorsConfig
        Number of factors and the largest missing share.
    n_subjects : int
        How many of the subjects the factors will be made of.

    Raises
    ------
    StratificationError
        If a value is infinite, a phenotype is named twice, or more factors are asked for than
        there are usable phenotypes.
    """
    _check(values_NP, phenotypes)
    _, used = _usable(values_NP, phenotypes, config)
    if config.n_factors is None or not used:
        return
    z_NP = PhenotypeScale.of(values_NP[:, used]).apply(values_NP[:, used])
    eigenvalues = np.linalg.eigvalsh(z_NP.T @ z_NP / (len(z_NP) - 1))
    require_rank(eigenvalues.astype(np.float64), config.n_factors, n_subjects)


def _check(values_NP: FloatArray, phenotypes: Sequence[str]) -> None:
    """Refuse infinite values and repeated columns."""
    repeated = sorted({name for name in phenotypes if list(phenotypes).count(name) > 1})
    if repeated:
        raise StratificationError(
            f"cohort.phenotypes must name each column once, got {', '.join(repeated)} repeated."
        )
    infinite = [
        name for name, column in zip(phenotypes, values_NP.T, strict=True) if np.isinf(column).any()
    ]
    if infinite:
        raise StratificationError(
            f"Phenotypes must be finite or missing, got infinity in {', '.join(infinite)}. "
            "Write n/a in participants.tsv where a value is not known."
        )


def _drop(
    values_NP: FloatArray, phenotypes: Sequence[str], max_missing_share: float
) -> tuple[DroppedPhenotype, ...]:
    """List the columns with too many missing values, and those with one value."""
    dropped = []
    for name, column in zip(phenotypes, values_NP.T, strict=True):
        known = column[~np.isnan(column)]
        share = 1.0 - known.size / column.size
        if share > max_missing_share or not known.size:
            dropped.append(DroppedPhenotype(name, "missing", share))
        elif np.ptp(known) <= _CONSTANT_TOLERANCE * np.abs(known).max():
            dropped.append(DroppedPhenotype(name, "constant", share))
    return tuple(dropped)


def _usable(
    values_NP: FloatArray, phenotypes: Sequence[str], config: FactorsConfig
) -> tuple[tuple[DroppedPhenotype, ...], list[int]]:
    """Tell the columns to be left out from the positions of those that are used."""
    dropped = _drop(values_NP, phenotypes, config.max_missing_share)
    out = {column.name for column in dropped}
    return dropped, [i for i, name in enumerate(phenotypes) if name not in out]


def _rows(array: FloatArray) -> tuple[tuple[float, ...], ...]:
    """Turn a table into tuples, for a record that can be compared and written as JSON."""
    return tuple(tuple(row) for row in array.tolist())
