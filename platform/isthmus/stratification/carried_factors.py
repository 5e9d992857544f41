"""Factors carried over to subjects whom they were not made of: nothing is fitted again.

Shape suffixes: N subjects the factors were made of, M other subjects, P phenotypes, K factors.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.cohort.participants import Participants
from isthmus.core.errors import StratificationError
from isthmus.stratification.factors import Factors
from isthmus.stratification.phenotype_scale import PhenotypeScale

FloatArray = npt.NDArray[np.float64]

_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class FactorRule:
    """What turns phenotypes into scores of factors that there are already. Made by `factor_rule`.

    Attributes
    ----------
    phenotypes : tuple of str, length p
        Columns, in order.
    names : tuple of str, length k
        The factors.
    scale : PhenotypeScale
        Medians, means and spreads of those whom the factors were made of.
    weights_PK : ndarray, shape (p, k)
        What scaled phenotypes are multiplied with.
    """

    phenotypes: tuple[str, ...]
    names: tuple[str, ...]
    scale: PhenotypeScale
    weights_PK: FloatArray

    def scores(self, values_MP: FloatArray) -> FloatArray:
        """Compute scores, on the scale of those whom the factors were made of.

        Parameters
        ----------
        values_MP : ndarray, shape (m, p)
            Phenotypes of anybody; NaN where missing.

        Returns
        -------
        ndarray, shape (m, k)
            Of those whom the factors were made of: mean 0, variance 1, uncorrelated; of others
            none of the three need hold.

        Raises
        ------
        StratificationError
            If a phenotype is infinite.
        """
        infinite = np.isinf(values_MP).any(axis=0)
        if infinite.any():
            names = ", ".join(np.array(self.phenotypes)[infinite])
            raise StratificationError(
                f"Phenotypes must be finite or missing, got infinity in {names}. Write n/a in "
                "participants.tsv where a value is not known."
            )
        scores_MK: FloatArray = self.scale.apply(values_MP) @ self.weights_PK
        return scores_MK


def factor_rule(factors: Factors, participants: Participants) -> FactorRule:
    """Find the rule behind factors, and make sure that it gives their scores back.

    Parameters
    ----------
    factors : Factors
        As they were found.
    participants : Participants
        Phenotypes of those whom they were made of, at least.

    Returns
    -------
    FactorRule
        Imputation, scaling and weights as they were then.

    Raises
    ------
    StratificationError
        If it does not give their scores back: then phenotypes are not what they were.
    CohortError
        If a subject or a column is not there.

    Notes
    -----
    With rotated loadings ``L = V D^(1/2) T`` the weights are ``V D^(-1/2) T``, which is
    ``L (L' L)^-1``: the record's loadings decide them, and no rotation is sought again.
    """
    values_NP = participants.numeric(factors.phenotypes, factors.participant_ids)
    scale = PhenotypeScale.of(values_NP)
    loadings_PK = np.array(factors.loadings, dtype=np.float64)
    weights_PK = loadings_PK @ np.linalg.inv(loadings_PK.T @ loadings_PK)
    rule = FactorRule(factors.phenotypes, factors.names, scale, weights_PK)
    again_NK = rule.scores(values_NP)
    # A comparison that NaN fails: a column may be constant now.
    if not np.abs(again_NK - np.array(factors.scores)).max() <= _TOLERANCE:
        raise StratificationError(
            f"Factors of {len(factors.participant_ids)} subjects must come back from the "
            f"phenotypes that they were made of ({', '.join(factors.phenotypes[:5])}), but do "
            "not: the participants table has changed since. Restore it, or stratify again."
        )
    return rule
