"""The corrected resampled t-test: paired differences of folds whose training sets overlap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

# Differences whose spread is below this share of their size are one number, but for rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ResampledT:
    """A mean over folds, and how uncertain it is.

    Attributes
    ----------
    n_blocks : int
        Values averaged, J.
    mean : float
        Their mean.
    deviation : float
        Their standard deviation, with J - 1.
    standard_error : float
        Of the mean, corrected for overlap.
    """

    n_blocks: int
    mean: float
    deviation: float
    standard_error: float

    @property
    def degrees_of_freedom(self) -> int:
        """J - 1."""
        return self.n_blocks - 1

    @property
    def effect_size(self) -> float:
        """Mean / standard deviation over folds; of folds, not of subjects."""
        return self.mean / self.deviation

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference in expectation."""
        t = self.mean / self.standard_error
        return float(2 * stdtr(self.degrees_of_freedom, -abs(t)))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Give the two-sided 1 - alpha interval of the mean.

        Parameters
        ----------
        alpha : float
            In (0, 1).

        Returns
        -------
        low, high : float
            In the unit of the values.
        """
        half = float(stdtrit(self.degrees_of_freedom, 1 - alpha / 2)) * self.standard_error
        return self.mean - half, self.mean + half

    def equivalence_p_value(self, margin: float) -> float:
        """Test that the expected difference is at least as large as a margin, either way.

        Parameters
        ----------
        margin : float
            Positive, in the unit of the values.

        Returns
        -------
        float
            The larger p-value of two one-sided tests [1]_. It is below alpha exactly where the
            1 - 2 alpha interval lies within (-margin, margin).

        References
        ----------
        .. [1] Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680.
        """
        t = (abs(self.mean) - margin) / self.standard_error
        return float(stdtr(self.degrees_of_freedom, t))

    def smallest_resolvable(self, alpha: float, power: float) -> float:
        """Say which true difference would have been found with a given power.

        Parameters
        ----------
        alpha : float
            Two-sided level.
        power : float
            Wanted chance of finding it.

        Returns
        -------
        float
            In the unit of the values. As uncertain as `standard_error`, which it is a multiple of.
        """
        return noncentrality(self.degrees_of_freedom, alpha, power) * self.standard_error


@dataclass(frozen=True)
class TooFewBlocks:
    """Fewer than two values: there is nothing to tell their spread from.

    Attributes
    ----------
    n_blocks : int
        0 or 1.
    """

    n_blocks: int


@dataclass(frozen=True)
class Identical:
    """All differences are 0: nothing was seen, and nothing says what could have been seen.

    Attributes
    ----------
    n_blocks : int
        Differences.
    """

    n_blocks: int


@dataclass(frozen=True)
class Constant:
    """All differences are one number other than 0: they have no spread to test it by.

    Attributes
    ----------
    n_blocks : int
        Differences.
    mean : float
        That number.
    """

    n_blocks: int
    mean: float


Outcome = ResampledT | TooFewBlocks | Identical | Constant


def resampled_t(values: Sequence[float], test_train_ratio: float) -> Outcome:
    """Estimate a mean over cross-validation folds, with the variance that overlap leaves.

    Of paired differences: whether two ways to train differ in expectation, over the draw of the
    subjects, the split and the initial weights. Not whether two given networks differ, and
    nothing of another cohort.

    Parameters
    ----------
    values : sequence of float, length J
        One a fold, of one seed or several: differences of two arms' scores, or one arm's scores.
    test_train_ratio : float
        Held-out subjects / subjects trained on, as `mean_ratio` gives it.

    Returns
    -------
    ResampledT or TooFewBlocks or Identical or Constant
        The latter three where there is no test, each for its reason.

    Notes
    -----
    Folds share training subjects, so their scores are correlated and s^2 / J is too small. Nadeau
    & Bengio [1]_ take any two of them to be correlated by n_test / (n_test + n_train), which gives
    the mean the variance ``s^2 (1/J + n_test/n_train)`` and the statistic J - 1 degrees of
    freedom; Bouckaert & Frank [2]_ use it for repeated k-fold cross-validation. Were all pairs
    correlated by just that, the test would be exact. No estimator is unbiased whatever the
    correlation is [3]_.

    The first term falls with every further seed, the second does not: seeds split the same
    subjects again and add none. With k folds the interval's half-width is never below
    t s sqrt(1 / (k - 1)). In a hold-out, J is the number of seeds.

    References
    ----------
    .. [1] Nadeau & Bengio (2003), Mach. Learn. 52, 239-281.
    .. [2] Bouckaert & Frank (2004), PAKDD, LNCS 3056, 3-12.
    .. [3] Bengio & Grandvalet (2004), J. Mach. Learn. Res. 5, 1089-1105.

    Examples
    --------
    >>> found = resampled_t([0.1, 0.3, 0.2, 0.4], 1 / 3)
    >>> round(found.mean, 3), round(found.standard_error, 4), round(found.p_value, 4)
    (0.25, 0.0986, 0.085)
    >>> resampled_t([0.5, 0.5], 1.0)
    Constant(n_blocks=2, mean=0.5)
    """
    values_J = np.asarray(values, dtype=np.float64)
    n_blocks = len(values_J)
    if n_blocks < 2:
        return TooFewBlocks(n_blocks)
    largest = float(np.abs(values_J).max())
    if largest == 0.0:
        return Identical(n_blocks)
    mean = float(values_J.mean())
    if float(np.ptp(values_J)) <= _ROUNDING * largest:
        return Constant(n_blocks, mean)
    deviation = float(values_J.std(ddof=1))
    error = deviation * math.sqrt(1 / n_blocks + test_train_ratio)
    return ResampledT(n_blocks, mean, deviation, error)


def mean_ratio(sizes: Sequence[tuple[int, int]]) -> float:
    """Average held-out subjects / training subjects over folds.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Subjects trained on and held out, of each fold.

    Returns
    -------
    float
        Mean of the folds' ratios. Families make folds unequal; the correction knows one ratio.

    Examples
    --------
    >>> mean_ratio([(80, 20), (75, 25)])
    0.29166666666666663
    """
    return float(np.mean([n_test / n_train for n_train, n_test in sizes]))


def noncentrality(degrees_of_freedom: int, alpha: float, power: float) -> float:
    """Say how many standard errors a difference must have to be found.

    Parameters
    ----------
    degrees_of_freedom : int
        Of the t-test.
    alpha : float
        Two-sided level.
    power : float
        Wanted chance of finding it, on the side that it is on.

    Returns
    -------
    float
        Parameter of the noncentral t distribution with that share above the critical value; 0
        where less power is wanted than the level gives away for nothing.

    Examples
    --------
    >>> round(noncentrality(9, 0.05, 0.8), 3)
    3.15
    """
    critical = float(stdtrit(degrees_of_freedom, 1 - alpha / 2))
    return max(0.0, float(nctdtrinc(degrees_of_freedom, 1 - power, critical)))
