"""From resampling to verdicts, and to one number for searches."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from isthmus.config.stratification import StratificationConfig, TargetKind
from isthmus.stratification.correction import permutation_p
from isthmus.stratification.robustness import (
    MatchedNull,
    Replication,
    Robustness,
    RobustnessScore,
)
from isthmus.stratification.tested import Association, FamilyOfTests

FloatArray = npt.NDArray[np.float64]

# With fewer, no p-value could reach 0.05.
LEAST_NULLS = 19


def compare_with_nulls(
    observed: tuple[float, float],
    ari_J: FloatArray,
    silhouette_J: FloatArray,
    n_strata_J: npt.NDArray[np.integer],
    n_draws: int,
    likeness: float,
) -> MatchedNull:
    """Judge the partition's stability by that of clouds without strata.

    Parameters
    ----------
    observed : tuple of (float, float)
        Mean ARI over the first `n_draws` draws, and silhouette, of the partition.
    ari_J, silhouette_J : ndarray, shape (J,)
        The same of each null; NaN where it had no partition.
    n_strata_J : ndarray of int, shape (J,)
        Strata of each null; 0 where it had no partition.
    n_draws : int
        Draws behind each mean.
    likeness : float
        Intraclass correlation that the nulls were given.

    Returns
    -------
    MatchedNull
        With p-values where at least 19 nulls had a partition.
    """
    usable = ~np.isnan(ari_J)
    enough = int(usable.sum()) >= LEAST_NULLS
    nulls = np.column_stack([ari_J, silhouette_J])[usable]
    p_values = permutation_p(np.array(observed), nulls).tolist() if enough else (None, None)
    mean = float(nulls[:, 0].mean()) if len(nulls) else None
    return MatchedNull(
        n_nulls=len(ari_J),
        n_failed=int((~usable).sum()),
        n_draws=n_draws,
        family_likeness=likeness,
        observed=observed[0],
        null=tuple(nulls[:, 0].tolist()),
        null_mean=mean,
        excess=None if mean is None else observed[0] - mean,
        p_value=p_values[0],
        silhouette_null=tuple(nulls[:, 1].tolist()),
        p_silhouette=p_values[1],
        n_strata=tuple(n_strata_J[usable].tolist()),
    )


def judge(
    tests: Sequence[FamilyOfTests], robustness: Robustness, config: StratificationConfig
) -> tuple[FamilyOfTests, ...]:
    """Tell the robust among the significant.

    Parameters
    ----------
    tests : sequence of FamilyOfTests
        As tested on the whole cohort.
    robustness : Robustness
        What resampling said.
    config : StratificationConfig
        `alpha` and `robustness.min_replication_rate` are read.

    Returns
    -------
    tuple of FamilyOfTests
        A significant target is ``robust`` where the strata are more stable than those of matched
        nulls (p <= alpha), it was found again in enough draws, and more often than permuted
        phenotypes were (p <= alpha). Else its `reason` says what is missing.
    """
    found = {(r.kind, r.target): r for r in robustness.replications}

    def judged(association: Association, n_targets: int) -> Association:
        if not association.significant:
            return association
        replication = found.get((association.kind, association.target))
        missing = _missing(robustness.matched_null, replication, n_targets, config)
        return replace(
            association,
            verdict="significant_but_unstable" if missing else "robust",
            reason=" ".join(missing) or None,
        )

    return tuple(
        replace(
            family,
            associations=tuple(judged(a, family.n_testable) for a in family.associations),
        )
        for family in tests
    )


def _missing(
    null: MatchedNull,
    replication: Replication | None,
    n_targets: int,
    config: StratificationConfig,
) -> list[str]:
    """Say what keeps a significant finding from being robust."""
    missing = []
    if null.p_value is None:
        missing.append(
            f"Only {len(null.null)} of {null.n_nulls} matched nulls had a partition, too few to "
            "compare the strata's stability with."
        )
    elif null.p_value > config.alpha:
        missing.append(
            f"The strata are no more stable than those of a cloud without strata (ARI "
            f"{null.observed:.2f} against {null.null_mean:.2f}, p = {null.p_value:.3g})."
        )
    if replication is None:
        return [*missing, "It was not resampled."]
    n_arrangements = 1 + len(replication.null_rates)
    if n_targets > config.alpha * n_arrangements:
        missing.append(
            f"With {n_arrangements - 1} permutations and {n_targets} targets no draw could reach q "
            f"<= {config.alpha:g} for one target alone. Raise "
            "stratification.robustness.n_null_phenotypes, if the families allow more."
        )
    if replication.rate < config.robustness.min_replication_rate:
        missing.append(
            f"It came back in {replication.rate:.0%} of the draws; "
            f"{config.robustness.min_replication_rate:.0%} are asked for."
        )
    if replication.p_rate > config.alpha:
        missing.append(
            f"It came back no more often than permuted phenotypes do ({replication.rate:.0%}, "
            f"p = {replication.p_rate:.3g})."
        )
    return missing


def score(tests: Sequence[FamilyOfTests], robustness: Robustness | None) -> RobustnessScore | None:
    """Put stability and replication in one number.

    Parameters
    ----------
    tests : sequence of FamilyOfTests
        With their verdicts.
    robustness : Robustness or None
        What resampling said; None where there was no partition.

    Returns
    -------
    RobustnessScore or None
        None where there is no testable numeric target; all 0 without a partition.

    Notes
    -----
    Both parts are chance-corrected like a kappa: 0 is what a cloud without strata, or permuted
    phenotypes, would show, 1 is perfect. Their geometric mean is 0 where either is. The factors
    count; where there are none, the numeric phenotypes. It ranks trials; it is no test.
    """
    if robustness is None:
        return RobustnessScore(0.0, 0.0, 0.0)
    null = robustness.matched_null
    stability = 0.0 if null.null_mean is None else _above(null.observed, null.null_mean)
    counted = _counted(tests)
    if counted is None:
        return None
    significant = {a.target for a in counted.associations if a.significant}
    shares = [
        _above(r.rate, r.null_rate) if r.target in significant else 0.0
        for r in robustness.replications
        if r.kind == counted.kind
    ]
    replication = float(np.mean(shares)) if shares else 0.0
    return RobustnessScore(float(np.sqrt(stability * replication)), stability, replication)


def _counted(tests: Sequence[FamilyOfTests]) -> FamilyOfTests | None:
    """Choose the family of tests that the score counts."""
    kinds: tuple[TargetKind, ...] = ("factor", "phenotype")
    for kind in kinds:
        for family in tests:
            if family.kind == kind and family.n_testable:
                return family
    return None


def _above(value: float, chance: float) -> float:
    """Share of the way from chance to 1."""
    return 0.0 if chance >= 1.0 else float(np.clip((value - chance) / (1.0 - chance), 0.0, 1.0))
