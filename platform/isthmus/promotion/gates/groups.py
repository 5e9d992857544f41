"""The gate on equal performance: errors of sites and of sexes that are equivalent in a margin."""

import math
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtrit

from isthmus.config.promotion.thresholds import EqualGate
from isthmus.promotion.evidence.record import GroupsEvidence, PairEvidence, TrialEvidence
from isthmus.promotion.gates.held import CannotBeJudged, in_short, require_all_folds, times, unknown
from isthmus.promotion.verdict import GateVerdict, Scalar

_POWER = 0.8
State = Literal["equivalent", "different", "not_resolvable"]


@dataclass(frozen=True)
class _Judged:
    """One pair of groups beside the margin."""

    pair: PairEvidence
    state: State
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    resolvable: float | None = None

    @property
    def furthest(self) -> float:
        """The share that the error may differ by, by the interval's worse end."""
        if self.low is None or self.high is None:
            return math.inf
        return max(self.high, 1 / self.low) - 1


def judge_equal_performance(evidence: TrialEvidence, settings: EqualGate) -> GateVerdict:
    """Ask whether the errors of all groups are equivalent.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's; its pairs of groups are compared within folds, relatives of one group by their
        mean.
    settings : EqualGate
        Columns, margin and level.

    Returns
    -------
    GateVerdict
        ``found`` is the largest share by which one group's error may exceed another's, by the
        intervals' ends; None where no pair has an interval.

    Notes
    -----
    Two one-sided tests [1]_ of each pair: *equivalent* where the 1 - 2 alpha interval of the ratio
    of errors lies within 1 / (1 + margin) and 1 + margin; *different* where it lies outside; else
    *not resolvable*, which is no evidence of equality. All pairs of a column must be equivalent,
    each at the full level: an intersection-union test needs no correction. Small groups are mostly
    not resolvable, and the words say which margin these subjects would resolve with a power of
    80 % were there no difference.

    Errors alone are looked at. Groups may have equal errors and yet unequal strata; and equal
    ratios of a modality that matters less.

    References
    ----------
    .. [1] Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680.
    """
    name, margin = "equal_performance", settings.margin
    try:
        require_all_folds(evidence)
    except CannotBeJudged as error:
        return unknown(name, margin, str(error))
    found = {groups.column: groups for groups in evidence.groups}
    lacking = [column for column in settings.columns if column not in found]
    if lacking:
        reason = evidence.missing.get("groups", "No groups were compared by it.")
        return unknown(name, margin, f"Column {', '.join(lacking)}: {reason}")
    words, passed = [], True
    numbers: dict[str, Scalar] = {}
    worst: list[float] = []
    for column in settings.columns:
        judged = [_judge(pair, settings) for pair in found[column].pairs]
        holds = _holds(judged, settings)
        passed = passed and holds
        words.append(_in_words(found[column], judged, settings, holds))
        worst += [one.furthest for one in judged if math.isfinite(one.furthest)]
        numbers |= _numbers(column, judged)
    return GateVerdict(name, passed, max(worst, default=None), margin, " ".join(words), numbers)


def _judge(pair: PairEvidence, settings: EqualGate) -> _Judged:
    """Hold one pair's interval against the margin."""
    error, freedom = pair.standard_error, pair.degrees_of_freedom
    if pair.log_ratio is None or error is None or freedom is None:
        return _Judged(pair, "not_resolvable")
    critical = float(stdtrit(freedom, 1 - settings.alpha))
    low, high = pair.log_ratio - critical * error, pair.log_ratio + critical * error
    limit = math.log1p(settings.margin)
    state: State = "not_resolvable"
    if -limit < low and high < limit:
        state = "equivalent"
    elif low > limit or high < -limit:
        state = "different"
    resolvable = (critical + float(stdtrit(freedom, (1 + _POWER) / 2))) * error
    return _Judged(
        pair,
        state,
        times(pair.log_ratio),
        times(low),
        times(high),
        times(resolvable) - 1,
    )


def _holds(judged: list[_Judged], settings: EqualGate) -> bool:
    """Tell whether a column passes."""
    states = {one.state for one in judged} or {"not_resolvable"}
    allowed = {"equivalent"} | ({"not_resolvable"} if settings.unresolved == "allow" else set())
    return states <= allowed


def _in_words(
    groups: GroupsEvidence, judged: list[_Judged], settings: EqualGate, holds: bool
) -> str:
    """Say of one column what was found."""
    if not judged:
        allowed = " That is allowed here." if holds else ""
        return f"{groups.column}: it could not be judged. {groups.reason}{allowed}"
    counts = {
        state: sum(one.state == state for one in judged)
        for state in ("equivalent", "different", "not_resolvable")
    }
    counted = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in counts.items() if n)
    order = ("equivalent", "not_resolvable", "different")
    worst = max(judged, key=lambda one: (order.index(one.state), one.furthest))
    pairs = "1 pair" if len(judged) == 1 else f"{len(judged)} pairs"
    said = [f"{groups.column}: {pairs} of groups, {counted}; {_pair_in_words(worst, settings)}"]
    if groups.n_unknown:
        said.append(f"{groups.n_unknown} subjects without a value are left out.")
    if counts["not_resolvable"]:
        said.append(_resolvable_in_words(judged))
        if not counts["different"]:
            said.append(
                "Not resolvable is no evidence of equality"
                + ("; it is allowed here." if holds else ", and is refused.")
            )
    return " ".join(said)


def _pair_in_words(judged: _Judged, settings: EqualGate) -> str:
    """Write one pair's ratio with its interval, and by how much it misses the margin."""
    pair = judged.pair
    who = (
        f"{pair.group} ({pair.n_group} subjects of {pair.n_families_group} families) against "
        f"{pair.other} ({pair.n_other} of {pair.n_families_other})"
    )
    if judged.ratio is None or judged.low is None or judged.high is None:
        return f"{who}: too few to compare within folds."
    beyond = judged.furthest - settings.margin
    away = f", {beyond:.2g} beyond the margin of {in_short(settings.margin)}"
    percent = 100 * (1 - 2 * settings.alpha)
    return (
        f"{who}: ratio of errors {judged.ratio:.3g} ({percent:g} % interval {judged.low:.3g} to "
        f"{judged.high:.3g}){away if judged.state != 'equivalent' else ''}."
    )


def _resolvable_in_words(judged: list[_Judged]) -> str:
    """Say which margin these subjects would resolve, if any."""
    margins = [one.resolvable for one in judged if one.resolvable is not None]
    if len(margins) < len(judged):
        return "No margin is resolvable: a group is too small."
    return (
        f"These subjects would resolve a margin of {max(margins):.2g} with a power of "
        f"{_POWER:.0%}, were there no difference."
    )


def _numbers(column: str, judged: list[_Judged]) -> dict[str, Scalar]:
    """List every pair's numbers."""
    numbers: dict[str, Scalar] = {}
    for one in judged:
        key = f"{column}/{one.pair.group}/{one.pair.other}"
        numbers |= {
            f"{key}/state": one.state,
            f"{key}/ratio": one.ratio,
            f"{key}/low": one.low,
            f"{key}/high": one.high,
            f"{key}/smallest_margin": one.resolvable,
        }
    return numbers
