"""What the figures of an ablation show, computed once for both kinds of drawing."""

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.report.ablation.labels import (
    against_baseline,
    arm_label,
    mixes_modalities,
    short_comparison,
)
from isthmus.report.ablation.outcome import counts_in_words, primary_of
from isthmus.report.ablation.words import VERDICTS, has_numbers, verdict_in_words
from isthmus.report.strata_views import Absent
from isthmus.study.ablation.agreement import AGREEMENT
from isthmus.study.ablation.findings import (
    AblationContrast,
    AblationResult,
    ArmEstimate,
    Block,
    MetricFindings,
    Verdict,
)


@dataclass(frozen=True)
class Effect:
    """One comparison's row.

    Attributes
    ----------
    label : str
        Which.
    verdict : str
        As in `AblationContrast`.
    difference, low, high, margin : float or None
        In the metric's units.
    said : str
        The verdict in words.
    """

    label: str
    verdict: Verdict
    difference: float | None
    low: float | None
    high: float | None
    margin: float | None
    said: str


@dataclass(frozen=True)
class ArmScores:
    """One arm's scores.

    Attributes
    ----------
    label : str
        Which arm.
    values : tuple of (float or None)
        A value a block.
    mean, low, high : float or None
        Over blocks, with its interval.
    why_not : str
        Why there is no mean.
    """

    label: str
    values: tuple[float | None, ...]
    mean: float | None
    low: float | None
    high: float | None
    why_not: str


@dataclass(frozen=True)
class Scores:
    """All arms by one metric.

    Attributes
    ----------
    metric : str
        Which.
    blocks : tuple of Block
        Seeds x folds, in the order of the values.
    arms : tuple of ArmScores
        In the plan's order.
    joined : tuple of tuple of int
        Positions of arms whose scores of a block can be compared: lines join them. Arms that fuse
        other modalities are not joined by a mean over modalities.
    """

    metric: str
    blocks: tuple[Block, ...]
    arms: tuple[ArmScores, ...]
    joined: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Matrix:
    """Verdicts of all metrics.

    Attributes
    ----------
    metrics, comparisons : tuple of str
        Rows, the primary metric first, and columns.
    cells : tuple of tuple of (Effect or None)
        ``[metric][comparison]``; None where a metric is not compared that way.
    against : str
        What the columns of single arms are compared with.
    """

    metrics: tuple[str, ...]
    comparisons: tuple[str, ...]
    cells: tuple[tuple[Effect | None, ...], ...]
    against: str


def effects_view(
    result: AblationResult, finding: MetricFindings | None = None
) -> tuple[Effect, ...] | Absent:
    """Take the differences of one metric.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    finding : MetricFindings, optional
        Which metric's; by default the primary one's.

    Returns
    -------
    tuple of Effect or Absent
        One a comparison, in the plan's order; Absent where none has a number.
    """
    finding = finding or primary_of(result)
    if finding is None:
        return nothing_yet(result)
    rows = tuple(_effect(result, finding, one) for one in finding.contrasts)
    if all(row.difference is None for row in rows):
        why = rows[0].said if rows else "The plan compares nothing."
        return Absent(f"No comparison has a number. {why}")
    return rows


def scores_view(result: AblationResult, finding: MetricFindings | None = None) -> Scores | Absent:
    """Take the scores of every arm.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    finding : MetricFindings, optional
        Which metric's; by default the primary one's.

    Returns
    -------
    Scores or Absent
        Absent where no arm has a score.
    """
    finding = finding or primary_of(result)
    if finding is None or all(value is None for one in finding.arms for value in one.values):
        return nothing_yet(result)
    return Scores(
        finding.metric,
        finding.blocks,
        tuple(_scores(result, one) for one in finding.arms),
        _joined(result, finding),
    )


def agreement_view(result: AblationResult) -> Scores | Absent:
    """Take how well each arm's strata agree with the baseline's.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Scores or Absent
        The baseline's own row is what retraining it changes. Absent where it was not asked for.
    """
    finding = next((one for one in result.findings if one.metric == AGREEMENT), None)
    if finding is None:
        return Absent(
            f"Agreement of the strata was not asked for: {AGREEMENT} is no metric of this "
            "ablation's contrasts."
        )
    return scores_view(result, finding)


def matrix_view(result: AblationResult) -> Matrix | Absent:
    """Put the verdicts of all metrics beside each other.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Matrix or Absent
        Absent with a single metric, and before anything was compared.
    """
    contrasts = [one for finding in result.findings for one in finding.contrasts]
    if not any(map(has_numbers, contrasts)):
        return nothing_yet(result)
    if len(result.findings) == 1:
        return Absent("There is one metric; its verdicts stand above.")
    rows = [
        {
            (one.comparison.kind, one.comparison.name): _effect(result, finding, one)
            for one in finding.contrasts
        }
        for finding in result.findings
    ]
    keys = tuple(dict.fromkeys(key for row in rows for key in row))
    labels = {key: effect.label for row in rows for key, effect in row.items()}
    return Matrix(
        metrics=tuple(
            f"{one.metric} (primary)" if one.is_primary else one.metric for one in result.findings
        ),
        comparisons=tuple(labels[key] for key in keys),
        cells=tuple(tuple(row.get(key) for key in keys) for row in rows),
        against=against_baseline(result.plan),
    )


def short_verdict(effect: Effect) -> str:
    """Write a verdict for a cell.

    Parameters
    ----------
    effect : Effect
        A comparison by a metric.

    Returns
    -------
    str
        The word, with the difference's sign where there is a difference.
    """
    word = VERDICTS[effect.verdict]
    return word if effect.difference is None else f"{word}\n{effect.difference + 0.0:+.2g}"


def _effect(result: AblationResult, finding: MetricFindings, contrast: AblationContrast) -> Effect:
    """Take one contrast's numbers."""
    return Effect(
        short_comparison(result.plan, contrast.comparison),
        contrast.verdict,
        contrast.difference,
        contrast.ci_low,
        contrast.ci_high,
        contrast.margin,
        verdict_in_words(result, finding, contrast),
    )


def _scores(result: AblationResult, one: ArmEstimate) -> ArmScores:
    """Take one arm's scores."""
    label = arm_label(result.plan, one.arm)
    return ArmScores(label, one.values, one.mean, one.ci_low, one.ci_high, one.why_not)


def _joined(result: AblationResult, finding: MetricFindings) -> tuple[tuple[int, ...], ...]:
    """Group the arms whose scores of a block can be joined."""
    everybody: Sequence[int] = range(len(finding.arms))
    if not mixes_modalities(result.plan, finding.metric):
        return (tuple(everybody),)
    fused = {arm.name: frozenset(arm.modalities) for arm in result.plan.arms}
    groups: dict[frozenset[str], list[int]] = {}
    for position in everybody:
        groups.setdefault(fused[finding.arms[position].arm], []).append(position)
    return tuple(tuple(group) for group in groups.values())


def nothing_yet(result: AblationResult) -> Absent:
    """Say that nothing has a score yet.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Absent
        With how far it is.
    """
    return Absent(f"Nothing has a score yet: {counts_in_words(result)}.")
