"""Names of arms, comparisons and metrics, with what must be known of each."""

from collections.abc import Sequence

from isthmus.study.ablation.findings import MetricFindings
from isthmus.study.ablation.records import AblationPlan, Arm, Comparison
from isthmus.study.ablation.scores import is_mean_over_modalities

LEAKY_LABEL = "[LEAKY]"


def arm_label(plan: AblationPlan, name: str) -> str:
    """Name an arm, and say if its normalisation is leaky.

    Parameters
    ----------
    plan : AblationPlan
        What was asked.
    name : str
        The arm's name.

    Returns
    -------
    str
        Such as ``"all subjects [LEAKY]"``.
    """
    leaky = any(arm.leaky for arm in plan.arms if arm.name == name)
    return f"{name} {LEAKY_LABEL}" if leaky else name


def comparison_label(plan: AblationPlan, comparison: Comparison) -> str:
    """Name a comparison, and say if a leaky arm is in it.

    Parameters
    ----------
    plan : AblationPlan
        What was asked.
    comparison : Comparison
        What is compared.

    Returns
    -------
    str
        Such as ``"none against all"``.
    """
    leaky = {arm.name for arm in plan.arms if arm.leaky}
    touched = any(leaky & {one, other} for one, other, _ in comparison.pairs)
    return f"{comparison.name} {LEAKY_LABEL}" if touched else comparison.name


def short_comparison(plan: AblationPlan, comparison: Comparison) -> str:
    """Name a comparison where what single arms are compared with stands beside it.

    Parameters
    ----------
    plan : AblationPlan
        What was asked.
    comparison : Comparison
        What is compared.

    Returns
    -------
    str
        Of a comparison with the baseline the arm alone; else as `comparison_label`.
    """
    if comparison.kind != "arm":
        return comparison_label(plan, comparison)
    return arm_label(plan, comparison.pairs[0][0])


def against_baseline(plan: AblationPlan) -> str:
    """Say what single arms are compared with.

    Parameters
    ----------
    plan : AblationPlan
        What was asked.

    Returns
    -------
    str
        Such as ``"single arms: against all"``.
    """
    return f"single arms: against {arm_label(plan, plan.baseline.name)}"


def metric_in_words(finding: MetricFindings) -> str:
    """Name a metric and which way is better.

    Parameters
    ----------
    finding : MetricFindings
        The metric.

    Returns
    -------
    str
        Such as ``"validation_mse (less is better)"``.
    """
    ways = {"minimize": "less is better", "maximize": "more is better"}
    return f"{finding.metric} ({ways.get(finding.direction, 'neither way is better')})"


def fuse_differently(arms: Sequence[Arm]) -> bool:
    """Tell whether feasible arms fuse different modalities.

    Parameters
    ----------
    arms : sequence of Arm
        Of an ablation.

    Returns
    -------
    bool
        Whether means over their modalities are of different things.
    """
    return len({frozenset(arm.modalities) for arm in arms if not arm.infeasible}) > 1


def mixes_modalities(plan: AblationPlan, metric: str) -> bool:
    """Tell whether a metric is a mean over modalities that are not the same in all arms.

    Parameters
    ----------
    plan : AblationPlan
        What was asked.
    metric : str
        Name of the metric.

    Returns
    -------
    bool
        Whether its means of two arms cannot be compared as they are.
    """
    return is_mean_over_modalities(metric) and fuse_differently(plan.arms)


def counted(n: int, what: str) -> str:
    """Write a count.

    Parameters
    ----------
    n : int
        How many.
    what : str
        In the singular; its plural ends in s.

    Returns
    -------
    str
        Such as ``"1 seed"`` or ``"2 seeds"``.
    """
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
