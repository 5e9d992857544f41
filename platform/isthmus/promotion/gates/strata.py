"""Gates on the strata: what phenotypes bear out after selection, and stability above chance."""

from collections import Counter

from isthmus.config.promotion.thresholds import StabilityGate, StrataGate
from isthmus.promotion.evidence.record import FoldEvidence, SelectionEvidence, TrialEvidence
from isthmus.promotion.gates.held import (
    CannotBeJudged,
    in_short,
    miss,
    require_all_folds,
    unknown,
)
from isthmus.promotion.verdict import GateVerdict, Scalar

_ROUNDING = 1e-9
_OUTCOMES = {
    "degenerate_partition": "no usable partition",
    "non_convergence": "no convergence",
    "partition": "too few matched nulls",
}


def judge_strata(evidence: TrialEvidence, settings: StrataGate) -> GateVerdict:
    """Ask whether phenotypes bear the strata out, judged as the best of all that were looked at.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's; factors of different folds are matched by name.
    settings : StrataGate
        Thresholds.

    Returns
    -------
    GateVerdict
        ``found`` is the adjusted p-value where that fails or both hold, else the number of robust
        factors.
    """
    try:
        require_all_folds(evidence)
        selection, p_value = _selection(evidence)
    except CannotBeJudged as error:
        return unknown("strata", settings.alpha, str(error))
    needed = settings.min_share_of_folds * len(evidence.folds) - _ROUNDING
    times = Counter(
        (fold.strata.kind, name) for fold in evidence.folds for name in fold.strata.robust
    )
    robust = sorted(name for (_, name), n in times.items() if n >= needed)
    significant, enough = p_value <= settings.alpha, len(robust) >= settings.min_robust
    words = [_p_in_words(selection, p_value, settings.alpha)]
    if not significant:
        words.append(miss(p_value, settings.alpha, "above", "The p-value"))
    words.append(
        f"Robust in at least {settings.min_share_of_folds:.0%} of {len(evidence.folds)} folds: "
        f"{', '.join(robust) or 'none'}; {settings.min_robust} asked for."
    )
    if not enough:
        words.append(f"{settings.min_robust - len(robust)} too few.")
    numbers: dict[str, Scalar] = {
        "p_naive": selection.p_naive,
        "p_adjusted": p_value,
        "target": selection.target,
        "n_trials": selection.n_trials,
        "of_study": selection.of_study,
        "n_robust": len(robust),
    }
    by_count = significant and not enough
    found: float = len(robust) if by_count else p_value
    threshold: float = settings.min_robust if by_count else settings.alpha
    return GateVerdict("strata", significant and enough, found, threshold, " ".join(words), numbers)


def judge_stability(evidence: TrialEvidence, settings: StabilityGate) -> GateVerdict:
    """Ask whether the strata come back more than those of clouds without any.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    settings : StabilityGate
        Thresholds.

    Returns
    -------
    GateVerdict
        ``found`` is the share of folds in which both the excess and its p-value hold.
    """
    try:
        require_all_folds(evidence)
    except CannotBeJudged as error:
        return unknown("stability", settings.min_share_of_folds, str(error))
    if all(fold.strata.excess is None or fold.strata.p_value is None for fold in evidence.folds):
        reasons = sorted({_OUTCOMES[fold.strata.outcome] for fold in evidence.folds})
        return unknown(
            "stability",
            settings.min_share_of_folds,
            f"No fold has a stability beside matched nulls ({', '.join(reasons)}).",
        )
    stable = [fold for fold in evidence.folds if _is_stable(fold, settings)]
    share = len(stable) / len(evidence.folds)
    passed = share >= settings.min_share_of_folds - _ROUNDING
    each = "; ".join(f"fold {fold.number} {_excess_in_words(fold)}" for fold in evidence.folds)
    words = (
        f"{len(stable)} of {len(evidence.folds)} folds have strata at least "
        f"{in_short(settings.min_excess)} more stable (adjusted Rand index) than matched nulls "
        f"with p <= {in_short(settings.alpha)}; {settings.min_share_of_folds:.0%} are asked for: "
        f"{each}."
    )
    if not passed:
        words += f" {miss(share, settings.min_share_of_folds, 'below', 'The share')}"
    numbers: dict[str, Scalar] = {}
    for fold in evidence.folds:
        numbers |= {
            f"excess/fold-{fold.number}": fold.strata.excess,
            f"p_value/fold-{fold.number}": fold.strata.p_value,
        }
    return GateVerdict("stability", passed, share, settings.min_share_of_folds, words, numbers)


def _selection(evidence: TrialEvidence) -> tuple[SelectionEvidence, float]:
    """Find the adjusted p-value, or say why there is none."""
    found = evidence.selection
    if found is None:
        raise CannotBeJudged(evidence.missing.get("selection", "No adjusted p-value was computed."))
    if found.p_adjusted is None:
        raise CannotBeJudged("Of no fold could a stratification be tested.")
    return found, found.p_adjusted


def _p_in_words(selection: SelectionEvidence, p_value: float, alpha: float) -> str:
    """Say which p-value it is, and of what."""
    asked = f"at most {in_short(alpha)} is asked for"
    if not selection.of_study:
        return (
            f"The best association ({selection.target}) has p = {in_short(p_value)} over the "
            f"trial's own partitions and targets; {asked}. There is no study to adjust for: the "
            "naive p is the adjusted one, and too small if the trial was picked out of several."
        )
    naive = "-" if selection.p_naive is None else in_short(selection.p_naive)
    trials = "1 trial" if selection.n_trials == 1 else f"{selection.n_trials} trials"
    return (
        f"The best association ({selection.target}) has p = {in_short(p_value)} adjusted for "
        f"{trials} ({naive} as if it were the only one); {asked}."
    )


def _is_stable(fold: FoldEvidence, settings: StabilityGate) -> bool:
    """Tell whether one fold's strata meet both thresholds."""
    excess, p_value = fold.strata.excess, fold.strata.p_value
    if excess is None or p_value is None:
        return False
    return excess >= settings.min_excess and p_value <= settings.alpha


def _excess_in_words(fold: FoldEvidence) -> str:
    """Write one fold's excess, or why it has none."""
    excess, p_value = fold.strata.excess, fold.strata.p_value
    if excess is None or p_value is None:
        return _OUTCOMES[fold.strata.outcome]
    return f"{excess:+.2g} (p = {p_value:.2g})"
