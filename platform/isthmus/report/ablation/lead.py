"""What an ablation's report says first: the question, the verdicts, the hypotheses, what failed."""

import re
from collections import Counter

from isthmus.report.ablation.labels import (
    LEAKY_LABEL,
    arm_label,
    comparison_label,
    fuse_differently,
    metric_in_words,
    mixes_modalities,
)
from isthmus.report.ablation.outcome import (
    counts_in_words,
    failures,
    primary_of,
)
from isthmus.report.ablation.words import VERDICTS, sample_in_words, verdict_in_words
from isthmus.report.page import Passage
from isthmus.study.ablation.findings import AblationContrast, AblationResult, MetricFindings
from isthmus.study.ablation.records import AblationPlan, Comparison, Factor

# Significant, in whichever way.
RESOLVED = ("better", "worse", "higher", "lower")


def lead_of(result: AblationResult) -> tuple[Passage, ...]:
    """Put the main things into words.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands, be it before its first fold.

    Returns
    -------
    tuple of Passage
        The question; what failed or cannot be built, if anything; what to be careful of, if
        anything; the verdicts of the primary metric; each hypothesis beside the verdicts it got.
    """
    plan = result.plan
    said = [Passage("Question", (plan.question, f"{counts_in_words(result)}."))]
    said.append(verdicts_passage(result))
    failed, careful = what_failed(result), cautions(result)
    if failed:
        said.append(Passage("What failed", failed, warns=True))
    if careful:
        said.append(Passage("To be careful of", careful, warns=True))
    said += [_hypothesis(result, factor) for factor in plan.factors]
    return tuple(said)


def verdicts_passage(result: AblationResult) -> Passage:
    """Write the verdicts that the answer rests on.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Passage
        A line for each of the primary metric's comparisons, those of significance first.
    """
    finding = primary_of(result)
    if finding is None:
        return Passage("Verdicts", ("None yet: nothing has been compared.",))
    title = f"Verdicts, by the primary metric {metric_in_words(finding)}"
    ordered = sorted(finding.contrasts, key=lambda one: _weight(one))
    lines = tuple(verdict_in_words(result, finding, one) for one in ordered)
    return Passage(title, lines or ("None: the plan compares nothing.",))


def what_failed(result: AblationResult) -> tuple[str, ...]:
    """Say which arms failed or cannot be built, and why.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    tuple of str
        A sentence each; empty if nothing failed.
    """
    said = [one.in_words for one in failures(result)]
    if said:
        said.append(
            "Arms that lack a fold are compared with none; the others are. Averages over several "
            "pairs of arms leave out those of an arm that failed."
        )
    said += [
        f"{arm_label(result.plan, arm.name)} cannot be built: {arm.infeasible}"
        for arm in result.plan.arms
        if arm.infeasible
    ]
    return tuple(said)


def cautions(result: AblationResult) -> tuple[str, ...]:
    """Say what would mislead who does not know it.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    tuple of str
        Of leaky arms, of means over different modalities, of effects that cannot be told apart,
        of kinds of comparison that were corrected apart, of a single seed; empty if there is
        nothing.
    """
    plan = result.plan
    leaky = [arm.name for arm in plan.arms if arm.leaky]
    mixed = [one.metric for one in result.findings if mixes_modalities(plan, one.metric)]
    said = []
    if leaky:
        said.append(
            f"{LEAKY_LABEL} {', '.join(leaky)}: normalisation saw the held-out subjects, so these "
            "numbers flatter; they stand here to show by how much."
        )
    if mixed or (not result.findings and fuse_differently(plan.arms)):
        of = ", ".join(mixed) or "Fidelity"
        said.append(
            f"{of}: a mean over the modalities that an arm fuses, and the arms fuse different "
            "ones. Two arms are compared on the modalities that both have; means of arms that "
            "differ in them stand side by side in tables and figures but cannot be compared."
        )
    if plan.aliases:
        said.append(f"Of this fraction cannot be told apart: {'; '.join(plan.aliases)}.")
    # leaky arms and equal scores are told of in their own places
    said += dict.fromkeys(
        note
        for finding in result.findings
        for one in finding.contrasts
        if one.ci_low is not None
        for note in one.notes
        if not note.startswith("Leaky")
    )
    said += _corrected_apart(result)
    if len(plan.seeds) == 1:
        said.append(
            "There is one seed: what another start of the training, or other folds, would change "
            "is not in the intervals."
        )
    return tuple(said)


def _corrected_apart(result: AblationResult) -> list[str]:
    """Say that the primary metric's comparisons are of several kinds, each with its own level."""
    finding = primary_of(result)
    contrasts = finding.contrasts if finding is not None else ()
    families = dict.fromkeys(one.family for one in contrasts if one.family)
    if len(families) < 2:
        return []
    kinds = "; ".join(family.partition(" by ")[0] for family in families)
    return [
        f"Comparisons were corrected kind by kind ({kinds}): the level of "
        f"{100 * result.alpha:.3g} % is that of each kind, not of all of them together."
    ]


def contrasts_about(
    plan: AblationPlan, finding: MetricFindings, factor: Factor
) -> tuple[AblationContrast, ...]:
    """List the contrasts that a factor's hypothesis is about.

    Parameters
    ----------
    plan : AblationPlan
        What was asked.
    finding : MetricFindings
        The metric.
    factor : Factor
        One of the plan's factors.

    Returns
    -------
    tuple of AblationContrast
        All of them if there is one factor; else those that name it, or whose arms differ in it.
    """
    if len(plan.factors) == 1:
        return finding.contrasts
    return tuple(one for one in finding.contrasts if _is_about(plan, one.comparison, factor))


def _is_about(plan: AblationPlan, comparison: Comparison, factor: Factor) -> bool:
    """Tell whether a comparison moves a factor: it names it, or its arms differ in it."""
    if comparison.factor:
        return factor.name in re.split(", |: ", comparison.factor)
    levels = {arm.name: arm.levels.get(factor.name, factor.reference) for arm in plan.arms}
    return any(levels[one] != levels[other] for one, other, _ in comparison.pairs)


def _hypothesis(result: AblationResult, factor: Factor) -> Passage:
    """Put a hypothesis beside the verdicts it got."""
    title = f"Hypothesis, {factor.name}"
    finding = primary_of(result)
    expected = f"Expected before anything ran: {factor.hypothesis}"
    about = contrasts_about(result.plan, finding, factor) if finding is not None else ()
    if finding is None or not about:
        return Passage(title, (expected, "It has got no verdict yet."))
    counts = Counter(_kind(one) for one in about)
    words = {
        "resolved": "significant",
        "equivalent": "equivalent",
        "not_resolvable": "not resolvable",
        "without": "not compared or undefined",
    }
    got = ", ".join(f"{counts[kind]} {said}" for kind, said in words.items() if counts[kind])
    lines = [expected, f"Got, by {finding.metric} on {sample_in_words(finding.blocks)}: {got}."]
    if len(result.plan.factors) > 1:  # of a single one they are the verdicts above
        lines += [
            f"{comparison_label(result.plan, one.comparison)}: {VERDICTS[one.verdict]}."
            for one in about
        ]
    if counts["resolved"]:
        lines.append("Whether the significant differences are the expected ones, their signs say.")
    if counts["equivalent"]:
        lines.append(
            "Equivalence speaks for a hypothesis of no difference beyond the margin, and against "
            "one of a larger difference."
        )
    if counts["not_resolvable"]:
        lines.append("What is not resolvable speaks neither for the hypothesis nor against it.")
    if counts["without"]:
        lines.append("What was not compared says nothing of it.")
    return Passage(title, tuple(lines))


def _kind(contrast: AblationContrast) -> str:
    """Sort a verdict by what it says of a hypothesis."""
    if contrast.verdict in RESOLVED:
        return "resolved"
    if contrast.verdict in ("equivalent", "not_resolvable"):
        return contrast.verdict
    return "without"


def _weight(contrast: AblationContrast) -> int:
    """Order verdicts: those of significance first, those without numbers last."""
    return ("resolved", "equivalent", "not_resolvable", "without").index(_kind(contrast))
