"""The gate between a challenger and the present champion."""

import math

from isthmus.config.promotion.thresholds import ChampionGate
from isthmus.promotion.evidence.record import TrialEvidence
from isthmus.promotion.gates.held import (
    CannotBeJudged,
    Held,
    held_over_folds,
    in_short,
    metric,
    miss,
    require_all_folds,
    times,
    unknown,
)
from isthmus.promotion.verdict import GateVerdict, Scalar

_METRIC = "validation_mse"
# Errors on the normalised scale are comparable where images, people and inputs are the same.
_SAME = ("images", "participants")


def judge_champion(
    challenger: TrialEvidence, champion: TrialEvidence | None, settings: ChampionGate
) -> GateVerdict:
    """Ask whether a challenger's held-out error is not worse than the champion's.

    Parameters
    ----------
    challenger : TrialEvidence
        The model that passed its own gates.
    champion : TrialEvidence or None
        The model that is in production; None where nothing is known of it.
    settings : ChampionGate
        Margin, and how it is held.

    Returns
    -------
    GateVerdict
        ``found`` is the upper end (or the value) of challenger / champion, less 1.

    Notes
    -----
    A trial is not worse than itself, whatever the margin.

    An interval pairs the folds, which both must share; it is that of the corrected resampled t of
    the logarithms. The mean compares the trials' means, for which the same images, participants
    and modalities suffice; other folds add to its error, and nothing says how much.
    """
    if champion is None:
        return unknown("champion", settings.margin, "Nothing is recorded of what the champion did.")
    if challenger.digest == champion.digest:
        words = f"The challenger is the champion's own trial ({champion.digest[:12]})."
        return GateVerdict("champion", True, 0.0, settings.margin, words, {"ratio": 1.0})
    try:
        require_all_folds(challenger)
        require_all_folds(champion)
        _require_same_data(challenger, champion, settings)
        ratio = _ratio(challenger, champion, settings)
    except CannotBeJudged as error:
        return unknown("champion", settings.margin, str(error))
    found = ratio.high - 1
    passed = found <= settings.margin
    words = (
        f"The challenger's squared error over the champion's ({champion.name} "
        f"{champion.digest[:12]}) is {ratio.in_words()}; at most "
        f"{in_short(1 + settings.margin)} is asked for."
    )
    if not passed:
        end = "The mean" if ratio.percent is None else "The interval's upper end"
        words += f" {miss(ratio.high, 1 + settings.margin, 'above', end)}"
    numbers: dict[str, Scalar] = {
        "ratio": ratio.mean,
        "low": ratio.low,
        "high": ratio.high,
        "champion": champion.digest,
    }
    return GateVerdict("champion", passed, found, settings.margin, words, numbers)


def _require_same_data(
    challenger: TrialEvidence, champion: TrialEvidence, settings: ChampionGate
) -> None:
    """Refuse errors of different images or people, and folds that cannot be paired."""
    names = [*_SAME, "split"] if settings.by == "interval" else list(_SAME)
    other = [
        name
        for name in names
        if challenger.identity.get(name) is None
        or challenger.identity.get(name) != champion.identity.get(name)
    ]
    if challenger.modalities != champion.modalities:
        other.append("modalities")
    if other:
        advice = (
            " Ask for the mean (by: mean) to compare other folds." if other == ["split"] else ""
        )
        raise CannotBeJudged(
            f"Challenger and champion must have been evaluated on the same data, but their "
            f"{', '.join(other)} differ: neither error says anything of the other.{advice}"
        )


def _ratio(challenger: TrialEvidence, champion: TrialEvidence, settings: ChampionGate) -> Held:
    """Compare the errors: fold by fold, or their means."""
    for trial in (challenger, champion):
        for i in range(len(trial.folds)):
            if not metric(trial, i, _METRIC) > 0:
                raise CannotBeJudged(f"An error of {trial.name} is not above 0.")
    if settings.by == "mean":
        means = [
            math.fsum(metric(trial, i, _METRIC) for i in range(len(trial.folds))) / len(trial.folds)
            for trial in (challenger, champion)
        ]
        ratio = means[0] / means[1]
        return Held("all", ratio, ratio, ratio, len(challenger.folds), None)
    numbers = [[fold.number for fold in trial.folds] for trial in (challenger, champion)]
    if numbers[0] != numbers[1]:
        raise CannotBeJudged(f"Their folds are {numbers[0]} and {numbers[1]}.")
    held = held_over_folds(
        challenger,
        settings,
        "all",
        lambda i: math.log(metric(challenger, i, _METRIC)) - math.log(metric(champion, i, _METRIC)),
    )
    return held.through(times)
