"""How phenotypes are filled in and scaled before factors are made of them.

Shape suffixes: N subjects, P phenotypes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PhenotypeScale:
    """Medians, means and standard deviations of some subjects, for them and for others.

    Attributes
    ----------
    median_P : ndarray, shape (p,)
        What stands in for a missing value.
    mean_P, spread_P : ndarray, shape (p,)
        Mean and standard deviation (n - 1 below) once missing values are filled in.
    """

    median_P: FloatArray
    mean_P: FloatArray
    spread_P: FloatArray

    @classmethod
    def of(cls, values_NP: FloatArray) -> "PhenotypeScale":
        """Measure some subjects.

        Parameters
        ----------
        values_NP : ndarray, shape (n, p)
            Phenotypes; NaN where missing. No column is constant or wholly missing.

        Returns
        -------
        PhenotypeScale
            Of these subjects alone.
        """
        median_P = np.nanmedian(values_NP, axis=0)
        filled_NP = _filled(values_NP, median_P)
        return cls(median_P, filled_NP.mean(axis=0), filled_NP.std(axis=0, ddof=1))

    def apply(self, values_NP: FloatArray) -> FloatArray:
        """Fill in and scale.

        Parameters
        ----------
        values_NP : ndarray, shape (n, p)
            Phenotypes of the same or of other subjects; NaN where missing.

        Returns
        -------
        ndarray, shape (n, p)
            Of those measured: mean 0, variance 1. A missing value becomes their median, scaled.

        Examples
        --------
        >>> scale = PhenotypeScale.of(np.array([[1.0], [2.0], [3.0]]))
        >>> scale.apply(np.array([[4.0], [np.nan]])).ravel()
        array([2., 0.])
        """
        scaled: FloatArray = (_filled(values_NP, self.median_P) - self.mean_P) / self.spread_P
        return scaled


def _filled(values_NP: FloatArray, median_P: FloatArray) -> FloatArray:
    """Put the medians where values are missing."""
    return np.where(np.isnan(values_NP), median_P, values_NP)
