"""The critical-difference diagram of an ablation: average ranks, and bars over what is alike."""

from dataclasses import dataclass

from isthmus.report.ablation.labels import arm_label
from isthmus.report.ablation.outcome import primary_of
from isthmus.report.ablation.views import nothing_yet
from isthmus.report.strata_views import Absent
from isthmus.study.ablation.findings import AblationResult


@dataclass(frozen=True)
class RankedArm:
    """An arm on the axis of average ranks.

    Attributes
    ----------
    label : str
        Which.
    rank : float
        Average over blocks; 1 is best.
    height : int
        Row of its name, from 0 at the axis downwards.
    on_left : bool
        Whether its name stands left, at the better half.
    """

    label: str
    rank: float
    height: int
    on_left: bool


@dataclass(frozen=True)
class Ranks:
    """A critical-difference diagram.

    Attributes
    ----------
    metric : str
        By which arms are ranked.
    arms : tuple of RankedArm
        Best first.
    bars : tuple of (float, float)
        Ranks that a bar joins: its arms cannot be told apart.
    statistic, p_value : float
        Friedman's.
    n_blocks : int
        Blocks.
    """

    metric: str
    arms: tuple[RankedArm, ...]
    bars: tuple[tuple[float, float], ...]
    statistic: float
    p_value: float
    n_blocks: int


def ranks_view(result: AblationResult) -> Ranks | Absent:
    """Lay out the critical-difference diagram of the primary metric.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Ranks or Absent
        Absent, with the reason, where arms are not ranked.
    """
    finding = primary_of(result)
    if finding is None:
        return nothing_yet(result)
    ranking = finding.ranking
    if ranking is None:
        return Absent(finding.why_not_ranked or "Arms were not ranked; no reason was kept.")
    n, by_name = len(ranking.arms), dict(zip(ranking.arms, ranking.average_ranks, strict=True))
    n_left = -(-n // 2)
    # names fan out from the middle, so that no line to one crosses another
    arms = tuple(
        RankedArm(
            arm_label(result.plan, name),
            rank,
            position if position < n_left else n - 1 - position,
            position < n_left,
        )
        for position, (name, rank) in enumerate(by_name.items())
    )
    bars = tuple(
        (min(by_name[name] for name in group), max(by_name[name] for name in group))
        for group in ranking.groups
        if len(group) > 1
    )
    return Ranks(finding.metric, arms, bars, ranking.statistic, ranking.p_value, ranking.n_blocks)
