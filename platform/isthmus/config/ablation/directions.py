"""Which way a metric is better, where there is no doubt."""

from typing import Literal

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.paths import did_you_mean
from isthmus.config.search_metrics import ALIASES, why_not_sought

Direction = Literal["minimize", "maximize"]
AGREEMENT = "strata_agreement"
"""Adjusted Rand index of an arm's strata with the baseline's: made of two trials, and so no metric
of one."""
_ERRORS = ("mse", "rmse", "mae", "normalised_difference", "symmetric_difference")
_LIKENESSES = ("psnr", "ssim")
_STRATA = (
    "strata_robustness_score",
    "strata_robustness_stability",
    "strata_robustness_replication",
)


def natural_direction(metric: str) -> Direction | None:
    """Say which way a metric is better.

    Parameters
    ----------
    metric : str
        By its full name, with or without modality.

    Returns
    -------
    str or None
        None where neither way is better as such, such as for the number of strata.

    Examples
    --------
    >>> natural_direction("validation_mse/T1w"), natural_direction("strata_n_strata")
    ('minimize', None)
    """
    name = metric.partition("/")[0]
    if name.startswith("probe_"):
        return "minimize" if name.endswith(".mae") else "maximize"
    if name in {f"validation_{error}" for error in _ERRORS}:
        return "minimize"
    if name in {f"validation_{likeness}" for likeness in _LIKENESSES} or name in _STRATA:
        return "maximize"
    return None


def why_not_compared(metric: str, experiment: ExperimentConfig | None) -> str | None:
    """Say why arms cannot be compared by a metric.

    Parameters
    ----------
    metric : str
        As it was written.
    experiment : ExperimentConfig or None
        With it: whether its trials will have the metric.

    Returns
    -------
    str or None
        What must hold and what was given; None if they can.

    Examples
    --------
    >>> why_not_compared("strata_agrement", None)
    "must be a metric of a trial, got 'strata_agrement'. Did you mean 'strata_agreement'?"
    """
    if metric == AGREEMENT:
        return None
    reason = why_not_sought(metric, experiment)
    hint = did_you_mean(metric, {AGREEMENT: None})
    if reason is not None and hint and "Did you mean" not in reason:
        return f"{reason}.{hint}"
    return reason


def full_name(metric: str) -> str:
    """Write a metric by its full name.

    Parameters
    ----------
    metric : str
        As it was written.

    Returns
    -------
    str
        Aliases are spelt out.
    """
    return ALIASES.get(metric, metric)
