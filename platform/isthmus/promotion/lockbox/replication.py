"""Which of development's findings come back from subjects whom nothing was chosen by.

Nothing is fitted anew: strata, factors, and what is asked were settled before these subjects were
looked at.

Shape suffixes: M subjects asked, P phenotypes, K factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import TargetKind
from isthmus.promotion.lockbox.replicated import (
    ProfileAgreement,
    TargetReplication,
    Verdict,
    profile_agreement,
)
from isthmus.stratification.carried_factors import FactorRule, factor_rule
from isthmus.stratification.correction import holm
from isthmus.stratification.factors import Factors
from isthmus.stratification.families_of_tests import relate_to_labels
from isthmus.stratification.partition import Partition
from isthmus.stratification.profiles import profile_labels
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.targets import TargetGroup, make_groups
from isthmus.stratification.tested import Association
from isthmus.stratification.variables import Variables

LabelArray = npt.NDArray[np.integer]

# A lockbox is opened once: how finely its p-values are resolved is not left to a setting that was
# chosen for searches over many trials.
LEAST_PERMUTATIONS = 9_999
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Questions:
    """What will be asked, fixed before anybody is looked at. Made by `questions_of`.

    Attributes
    ----------
    report : RobustnessReport
        Development's.
    findings : tuple of Association
        Its significant targets, in its order.
    factors : FactorRule or None
        How factors are carried over; None where none is asked for.
    """

    report: RobustnessReport
    findings: tuple[Association, ...]
    factors: FactorRule | None

    def names(self, kind: TargetKind) -> tuple[str, ...]:
        """Name the targets of one kind.

        Parameters
        ----------
        kind : {"factor", "phenotype", "category"}
            Which.

        Returns
        -------
        tuple of str
            In the order of the findings.
        """
        return tuple(finding.target for finding in self.findings if finding.kind == kind)


def questions_of(report: RobustnessReport, participants: Participants) -> Questions:
    """Settle which findings are asked again: all that were significant in development.

    Parameters
    ----------
    report : RobustnessReport
        Development's.
    participants : Participants
        Development subjects, at least, as they were.

    Returns
    -------
    Questions
        Without findings where none was significant, or where there were no strata.

    Raises
    ------
    StratificationError
        If the phenotypes of development are not what they were, so that its factors cannot be
        carried over.
    """
    findings = tuple(a for a in report.associations if a.significant)
    if not isinstance(report.strata, Partition):
        findings = ()
    wanted = any(finding.kind == "factor" for finding in findings)
    rule = None
    if wanted and isinstance(report.factors, Factors):
        rule = factor_rule(report.factors, participants)
    return Questions(report, findings, rule)


def replicate(
    questions: Questions,
    participants: Participants,
    participant_ids: Sequence[str],
    labels_M: LabelArray,
    seed: int,
    n_permutations: int | None = None,
) -> tuple[TargetReplication, ...]:
    """Ask development's findings again, of other subjects.

    The null hypothesis of each is that, within families and given the confounds, the target is
    exchangeable between the strata that these subjects were put into. Not replicated is no proof
    that there is nothing: few subjects show large effects alone.

    Parameters
    ----------
    questions : Questions
        What is asked.
    participants : Participants
        Everybody: phenotypes, confounds and families of the subjects asked.
    participant_ids : sequence of str, length m
        The subjects asked.
    labels_M : ndarray of int, shape (m,)
        Development's stratum that each was put into.
    seed : int
        Seed of the permutations.
    n_permutations : int, optional
        How many; by default as many as in development, and 9,999 at the least.

    Returns
    -------
    tuple of TargetReplication
        One a finding, in the order of the questions.

    Raises
    ------
    StratificationError
        If a phenotype is infinite.

    Notes
    -----
    Factor scores of the subjects asked are development's imputation, scaling and weights applied to
    their phenotypes. The family-wise level is kept by Holm's method over all findings of all kinds;
    one that could not reach it whatever the data, because the families allow too few
    permutations, is untestable and takes no room in it. Asking for the direction too makes the
    test stricter, never laxer.
    """
    if not questions.findings:
        return ()
    config = questions.report.config
    ids = tuple(participant_ids)
    wanted = n_permutations or max(config.n_permutations, LEAST_PERMUTATIONS)
    config = config.model_copy(update={"n_permutations": wanted})
    with threadpool_limits(limits=1):
        groups = _groups(questions, participants, ids)
        families = relate_to_labels(groups, labels_M, config, seed)
        found = {(a.kind, a.target): a for family in families for a in family.associations}
    profiles = profile_labels(groups, labels_M)
    asked = [found[finding.kind, finding.target] for finding in questions.findings]
    judged = _judged(asked, config.alpha)
    return tuple(
        _replication(
            finding,
            association,
            p_adjusted,
            profile_agreement(questions.report.profiles, profiles, finding.kind, finding.target),
            config.alpha,
        )
        for finding, (association, p_adjusted) in zip(questions.findings, judged, strict=True)
    )


def _groups(
    questions: Questions, participants: Participants, ids: tuple[str, ...]
) -> tuple[TargetGroup, ...]:
    """Gather what is asked of these subjects."""
    report = questions.report
    variables = Variables(
        questions.names("phenotype"), questions.names("category"), report.confounds
    )
    factors = report.factors
    if isinstance(factors, Factors) and questions.factors is not None:
        values_MP = participants.numeric(factors.phenotypes, ids)
        kept = [factors.names.index(name) for name in questions.names("factor")]
        scores_MK = questions.factors.scores(values_MP)[:, kept]
        factors = replace(
            factors,
            participant_ids=ids,
            names=questions.names("factor"),
            loadings=tuple(tuple(row[k] for k in kept) for row in factors.loadings),
            explained_variance=tuple(factors.explained_variance[k] for k in kept),
            scores=tuple(tuple(row) for row in scores_MK.tolist()),
        )
    asked: dict[TargetKind, None] = dict.fromkeys(finding.kind for finding in questions.findings)
    config = report.config.model_copy(update={"targets": tuple(asked)})
    return make_groups(factors, participants, ids, config, variables)


def _judged(asked: Sequence[Association], alpha: float) -> list[tuple[Association, float | None]]:
    """Adjust over those that could come out, and say of the others why they could not."""
    n_testable = sum(a.p_permutation is not None for a in asked)
    able = [_unable(a, n_testable, alpha) for a in asked]
    p_F = np.array(
        [
            np.nan if why or a.p_permutation is None else a.p_permutation
            for a, why in zip(asked, able, strict=True)
        ]
    )
    return [
        (replace(a, verdict="untestable", reason=why or a.reason), None)
        if np.isnan(p)
        else (a, float(p))
        for a, why, p in zip(asked, able, holm(p_F), strict=True)
    ]


def _unable(association: Association, n_testable: int, alpha: float) -> str | None:
    """Say why a target could not come out significant, whatever its values."""
    tested = association.tested
    if tested is None or tested.smallest_p * n_testable <= alpha * (1 + _ROUNDING):
        return None
    hint = "The families allow no more." if tested.enumerated else "Ask for more permutations."
    return (
        f"With {tested.n_permutations} permutations p is at least {tested.smallest_p:.3g}, too "
        f"large to be significant at alpha = {alpha:g} as one of {n_testable}. {hint}"
    )


def _replication(
    finding: Association,
    association: Association,
    p_adjusted: float | None,
    profiles: ProfileAgreement,
    alpha: float,
) -> TargetReplication:
    """Write down what became of one finding."""
    verdict: Verdict = "untestable"
    reason = association.reason
    if p_adjusted is not None:
        small = p_adjusted <= alpha
        same_way = profiles.correlation is not None and profiles.correlation > 0
        verdict = "replicated" if small and same_way else "not_replicated"
        reason = None
        if small and not same_way:
            reason = (
                "The strata differ here too, but not the way they did in development "
                f"({profiles.n_same_sign} of {profiles.n_compared} on the same side)."
            )
    return TargetReplication(
        target=finding.target,
        kind=finding.kind,
        verdict=verdict,
        reason=reason,
        development_verdict=finding.verdict,
        development_effect_size=finding.effect_size,
        development_q_value=finding.q_value,
        statistic=association.statistic,
        effect_size=association.effect_size,
        p_value=association.p_permutation,
        p_adjusted=p_adjusted,
        profiles=profiles,
        tested=association.tested,
    )
