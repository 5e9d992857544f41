"""From groups of targets to families of tests: each kind of target corrected on its own.

Shape suffixes: N subjects of a group, F targets, B permutations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from isthmus.config.stratification import StratificationConfig, TargetKind
from isthmus.core.seeds import derive_seed
from isthmus.stratification.association import AssociationTest, associate
from isthmus.stratification.categories import associate_category
from isthmus.stratification.correction import false_discovery_rate, holm, max_t
from isthmus.stratification.partition import Partition, StrataOutcome
from isthmus.stratification.permutation import PermutationPlan
from isthmus.stratification.targets import TargetGroup
from isthmus.stratification.tested import Association, FamilyOfTests, Tested

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.integer]

_KINDS: tuple[TargetKind, ...] = ("factor", "phenotype", "category")


def test_targets(
    groups: Sequence[TargetGroup],
    strata: StrataOutcome,
    config: StratificationConfig,
    seed: int,
) -> tuple[FamilyOfTests, ...]:
    """Test every target against the strata, and correct over each kind of target.

    Parameters
    ----------
    groups : sequence of TargetGroup
        What is related to the strata.
    strata : Partition, DegeneratePartition or NonConvergence
        Of the subjects that the groups were made of. Without a partition every target is
        untestable, for that reason.
    config : StratificationConfig
        `n_permutations`, `correction` and `alpha` are read.
    seed : int
        Seed of the permutations; groups share it, so that adding a target changes no other.

    Returns
    -------
    tuple of FamilyOfTests
        Factors, phenotypes, categories: those that have a target. A significant target's verdict
        is ``significant_but_unstable``, since nothing was resampled here.

    Notes
    -----
    Untestable targets are left out of the correction and counted. The false discovery rate is
    bounded over the testable ones. The family-wise column is step-down max-T where one group
    holds all that is testable, else Holm's: targets that are known of different subjects are not
    permuted together, and their statistics are not on one scale.

    With B permutations no p-value is below 1 / (1 + B). A target that no permutation reached and
    that still is not significant was stopped by this floor, not by the data; its `reason` says so,
    as does that of every target where the floor is above alpha.
    """
    if isinstance(strata, Partition):
        return relate_to_labels(groups, np.array(strata.labels), config, seed)
    reason = f"There are no strata to compare. {strata.reason}"
    return tuple(
        _correct(
            kind,
            [_Part(group, None, None, (reason,) * len(group.names)) for group in of_kind],
            config,
        )
        for kind, of_kind in _by_kind(groups)
    )


def relate_to_labels(
    groups: Sequence[TargetGroup], labels_A: LabelArray, config: StratificationConfig, seed: int
) -> tuple[FamilyOfTests, ...]:
    """Test every target against strata, whoever put the subjects into them.

    Parameters
    ----------
    groups : sequence of TargetGroup
        What is related to the strata.
    labels_A : ndarray of int, shape (a,)
        Stratum of each of the subjects that the groups were made of.
    config : StratificationConfig
        `n_permutations`, `correction` and `alpha` are read.
    seed : int
        Seed of the permutations.

    Returns
    -------
    tuple of FamilyOfTests
        As `test_targets`.
    """
    permutations = derive_seed(seed, "permutations")
    return tuple(
        _correct(kind, [_test(group, labels_A, config, permutations) for group in of_kind], config)
        for kind, of_kind in _by_kind(groups)
    )


def _by_kind(groups: Sequence[TargetGroup]) -> Iterator[tuple[TargetKind, list[TargetGroup]]]:
    """Sort groups by the kind of their targets; kinds without one are passed over."""
    for kind in _KINDS:
        of_kind = [group for group in groups if group.kind == kind]
        if of_kind:
            yield kind, of_kind


@dataclass(frozen=True, eq=False)
class _Part:
    """One group's tests: why there is none, or the arrays of the targets that have one."""

    group: TargetGroup
    test: AssociationTest | None
    tested: Tested | None
    reasons: tuple[str | None, ...]


def _test(
    group: TargetGroup, labels_A: LabelArray, config: StratificationConfig, seed: int
) -> _Part:
    """Test the targets of one group."""
    if not group.testable:
        return _Part(group, None, None, group.reasons)
    labels_N = labels_A[group.rows_N]
    plan = group.plan(config.n_permutations, seed)
    if group.kind == "category":
        test = associate_category(group.scores, labels_N, plan, group.confounds_NC)
    else:
        # What is known to be untestable is constant, or nobody's; the test makes it NaN.
        test = associate(group.scores, labels_N, plan, group.confounds_NC)
    tested = _stands_behind(plan, labels_N)
    reasons = tuple(
        reason or (_why_nan(tested) if np.isnan(p) else None)
        for reason, p in zip(group.reasons, test.p_permutation, strict=True)
    )
    return _Part(group, test, tested, reasons)


def _stands_behind(plan: PermutationPlan, labels_N: LabelArray) -> Tested:
    """Count what stands behind a group's p-values."""
    return Tested(
        n_subjects=plan.n_subjects,
        n_strata=np.unique(labels_N).size,
        n_families=plan.n_families,
        n_permutations=plan.n_permutations,
        n_permutations_available=plan.n_available,
        log10_permutations_available=plan.log10_available,
        enumerated=plan.enumerated,
        smallest_p=1.0 / (1.0 + plan.n_permutations),
    )


def _why_nan(tested: Tested) -> str:
    """Say why a test has no value."""
    if tested.n_strata < 2:
        return "The subjects tested are all in one stratum."
    if tested.n_permutations == 0:
        return "The families allow no permutation."
    return "It is constant once the confounds are regressed out."


def _correct(
    kind: TargetKind, parts: Sequence[_Part], config: StratificationConfig
) -> FamilyOfTests:
    """Correct over the testable targets of one kind and give each its verdict."""
    p_F = np.concatenate([_p_values(part) for part in parts])
    q_F = false_discovery_rate(p_F, config.correction)
    with_test = [part for part in parts if not np.isnan(_p_values(part)).all()]
    method: Literal["max_t", "holm"] = "max_t" if len(with_test) < 2 else "holm"
    strict_F = np.concatenate([_max_t(part) for part in parts]) if method == "max_t" else holm(p_F)
    n_testable = int((~np.isnan(p_F)).sum())
    rows: list[tuple[int, Association]] = []
    for part in parts:
        for f, place in enumerate(part.group.places):
            at = len(rows)
            adjusted = (float(q_F[at]), float(strict_F[at]))
            rows.append((place, _association(part, f, adjusted, n_testable, config)))
    return FamilyOfTests(
        kind=kind,
        family_wise=method,
        associations=tuple(row for _, row in sorted(rows, key=lambda row: row[0])),
        n_testable=n_testable,
        n_untestable=len(p_F) - n_testable,
        n_missing_confounds=parts[0].group.n_missing_confounds,
    )


def _p_values(part: _Part) -> FloatArray:
    """Permutation p-values of a group's targets; NaN where untestable."""
    if part.test is None:
        return np.full(len(part.reasons), np.nan)
    untestable_F = np.array([reason is not None for reason in part.reasons])
    return np.where(untestable_F, np.nan, part.test.p_permutation)


def _max_t(part: _Part) -> FloatArray:
    """Family-wise p-values of a group's targets; NaN where untestable."""
    if part.test is None:
        return np.full(len(part.reasons), np.nan)
    observed_F = np.where(np.isnan(_p_values(part)), np.nan, part.test.statistic)
    return max_t(observed_F, part.test.null)


def _association(
    part: _Part,
    f: int,
    adjusted: tuple[float, float],
    n_testable: int,
    config: StratificationConfig,
) -> Association:
    """Write down one target's test."""
    name, kind, reason = part.group.names[f], part.group.kind, part.reasons[f]
    test, tested = part.test, part.tested
    if test is None or tested is None or reason is not None:
        return Association(name, kind, "untestable", reason)
    q_value, p_family_wise = adjusted
    p_value = float(test.p_permutation[f])
    significant = q_value <= config.alpha
    return Association(
        target=name,
        kind=kind,
        verdict="significant_but_unstable" if significant else "not_significant",
        reason=None if significant else _floor(p_value, tested, n_testable, config),
        statistic=float(test.statistic[f]),
        effect_size=float(test.effect_size[f]),
        p_permutation=p_value,
        p_chi2=float(test.p_chi2[f]),
        q_value=q_value,
        p_family_wise=p_family_wise,
        tested=tested,
    )


def _floor(
    p_value: float, tested: Tested, n_testable: int, config: StratificationConfig
) -> str | None:
    """Say of a target without significance where the number of permutations, not data, decided."""
    smallest = tested.smallest_p
    if smallest > config.alpha:
        stopped = f"no p-value can reach alpha = {config.alpha:g}"
    elif p_value <= smallest * (1 + 1e-9):
        stopped = f"p cannot fall far enough for q <= {config.alpha:g} over {n_testable} targets"
    else:
        return None
    hint = (
        "The families allow no more."
        if tested.enumerated
        else "Raise stratification.n_permutations."
    )
    return f"With {tested.n_permutations} permutations (p >= {smallest:.3g}) {stopped}. {hint}"
