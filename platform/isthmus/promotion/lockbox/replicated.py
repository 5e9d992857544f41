"""The record of a finding that was asked again, and whether strata differ the same way.

Shape suffixes: K strata.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from isthmus.config.stratification import TargetKind
from isthmus.stratification.tested import Profile, Tested
from isthmus.stratification.tested import Verdict as DevelopmentVerdict

Verdict = Literal["replicated", "not_replicated", "untestable"]

_ROUNDING = 1e-9


@dataclass(frozen=True)
class ProfileAgreement:
    """Whether strata differ on a target the same way in both sets of subjects.

    Attributes
    ----------
    correlation : float or None
        In [-1, 1]: of the strata's means in development with those of the subjects asked, each
        less their mean, weighted by how many were asked. With two strata it is -1 or 1. None where
        fewer than two strata have a member, or the means are equal.
    n_same_sign, n_compared : int
        Strata on the same side of that mean in both, of how many; of a category each of its values
        counts by itself.
    """

    correlation: float | None
    n_same_sign: int
    n_compared: int


@dataclass(frozen=True)
class TargetReplication:
    """One of development's findings, asked again. Numbers are None where it is untestable.

    Attributes
    ----------
    target : str
        Factor or column.
    kind : {"factor", "phenotype", "category"}
        What it is.
    verdict : {"replicated", "not_replicated", "untestable"}
        Replicated where ``p_adjusted <= alpha`` and the strata differ the same way as in
        development (`profiles.correlation` above 0).
    reason : str or None
        Why it is untestable, or not replicated although its p-value is small.
    development_verdict : str
        What development said: ``robust`` or ``significant_but_unstable``.
    development_effect_size, development_q_value : float or None
        What development found.
    statistic : float or None
        Kruskal-Wallis H, or chi-squared for a category.
    effect_size : float or None
        epsilon^2, or Cramer's V.
    p_value : float or None
        By permutation that keeps families together.
    p_adjusted : float or None
        By Holm's method over all findings that could be asked.
    profiles : ProfileAgreement
        The direction.
    tested : Tested or None
        Subjects, families and permutations behind the p-value.
    """

    target: str
    kind: TargetKind
    verdict: Verdict
    reason: str | None
    development_verdict: DevelopmentVerdict
    development_effect_size: float | None
    development_q_value: float | None
    statistic: float | None
    effect_size: float | None
    p_value: float | None
    p_adjusted: float | None
    profiles: ProfileAgreement
    tested: Tested | None


def profile_agreement(
    development: Sequence[Profile], asked: Sequence[Profile], kind: TargetKind, target: str
) -> ProfileAgreement:
    """Compare how strata differ on one target, in development and elsewhere.

    Parameters
    ----------
    development, asked : sequence of Profile
        Profiles of the same strata; on which scale does not matter.
    kind : {"factor", "phenotype", "category"}
        What the target is.
    target : str
        Its name.

    Returns
    -------
    ProfileAgreement
        Over strata that have members in both.

    Notes
    -----
    With a_k and b_k the strata's means less their mean, weighted by the n_k subjects asked:
    ``r = sum_k n_k a_k b_k / sqrt(sum_k n_k a_k^2 sum_k n_k b_k^2)``; of a category all of its
    values are summed over too.
    """
    before = {
        (p.target, p.stratum): p.mean
        for p in development
        if _is_of(p, kind, target) and p.mean is not None
    }
    pairs: dict[str, list[tuple[int, float, float]]] = {}
    for p in asked:
        mean = before.get((p.target, p.stratum))
        if _is_of(p, kind, target) and p.mean is not None and mean is not None:
            pairs.setdefault(p.target, []).append((p.n, mean, p.mean))
    parts = [_centred(np.array(of_column)) for of_column in pairs.values() if len(of_column) > 1]
    if not parts:
        return ProfileAgreement(None, 0, 0)
    n_K, a_K, b_K = np.vstack(parts).T
    spread = float(np.sqrt((n_K * a_K**2).sum() * (n_K * b_K**2).sum()))
    return ProfileAgreement(
        correlation=float((n_K * a_K * b_K).sum()) / spread if spread > _ROUNDING else None,
        n_same_sign=int((a_K * b_K > 0).sum()),
        n_compared=len(n_K),
    )


def _centred(pairs_K3: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Take the weighted mean off both columns of means."""
    centre = np.average(pairs_K3[:, 1:], axis=0, weights=pairs_K3[:, 0])
    return np.column_stack([pairs_K3[:, 0], pairs_K3[:, 1:] - centre])


def _is_of(profile: Profile, kind: TargetKind, target: str) -> bool:
    """Whether a profile describes this target; of a category, one of its values."""
    if profile.kind != kind:
        return False
    if kind == "category":
        return profile.target.startswith(f"{target}=")
    return profile.target == target
