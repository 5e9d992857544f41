"""Gates on fidelity: beside the mean image, beside PCA, by contrast, and by what is embedded.

Errors are compared fold by fold on the same held-out subjects, as the logarithm of their ratio: a
threshold is then a number of times whatever the scale of the images, and loosening it can never
close a gate. Folds share training subjects, so the interval is that of the corrected resampled t
(`isthmus.study.inference.resampled_t`). It says what the *procedure* does on subjects like these;
not what one encoder does on subjects of another site or scanner.
"""

import math
from collections.abc import Callable, Sequence

from isthmus.config.promotion.thresholds import (
    ContrastGate,
    ControlGate,
    FoldsSettings,
    ShuffleGate,
)
from isthmus.promotion.evidence.record import TrialEvidence
from isthmus.promotion.gates.held import (
    CannotBeJudged,
    Held,
    held_over_folds,
    in_short,
    log_ratio,
    metric,
    miss,
    require_all_folds,
    times,
    unknown,
)
from isthmus.promotion.verdict import GateVerdict, Scalar

_ALL = "all"


def judge_mean_image(evidence: TrialEvidence, settings: ControlGate) -> GateVerdict:
    """Ask whether the model's error is below that of the mean training image.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    settings : ControlGate
        Thresholds.

    Returns
    -------
    GateVerdict
        ``found`` is the upper end (or the mean) of model / control, of the worst modality.
    """
    return _beside_control("mean_image", "the mean image's", evidence, settings)


def judge_pca(evidence: TrialEvidence, settings: ControlGate) -> GateVerdict:
    """Ask whether the model's error is below that of a linear code of the same size.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    settings : ControlGate
        Thresholds.

    Returns
    -------
    GateVerdict
        ``found`` is the upper end (or the mean) of model / control, of the worst modality.

    Notes
    -----
    A linear code has at most as many components as there are training subjects, less one: with few
    subjects it is smaller than the embedding, and the words say how small.
    """
    n_train = min((fold.n_train for fold in evidence.folds), default=0)
    n_components = min(evidence.embedding_size, n_train - 1)
    of = f"PCA's ({n_components} components for {evidence.embedding_size} embedding values)"
    return _beside_control("pca", of, evidence, settings)


def judge_embedding_shuffle(evidence: TrialEvidence, settings: ShuffleGate) -> GateVerdict:
    """Ask whether another subject's embedding raises the error enough.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    settings : ShuffleGate
        Thresholds.

    Returns
    -------
    GateVerdict
        ``found`` is the lower end (or the mean) of the share by which the error rises, of the
        worst modality. Where it is near 0 the skips carry the image, and the embedding tells
        little of it.
    """

    def log_rise(position: int, suffix: str) -> float:
        shuffled, own = f"embedding_shuffle_mse{suffix}", f"validation_mse{suffix}"
        return log_ratio(evidence, position, shuffled, own)

    try:
        rises = [
            one.through(lambda log: times(log) - 1) for one in _held(evidence, settings, log_rise)
        ]
    except CannotBeJudged as error:
        return unknown("embedding_shuffle", settings.min_increase, str(error))
    worst = min(rises, key=lambda one: one.low)
    passed = worst.low >= settings.min_increase
    words = (
        f"Another subject's embedding raises the squared error{_of(worst)} by the share "
        f"{worst.in_words()}; at least {in_short(settings.min_increase)} is asked for."
    )
    if not passed:
        words += f" {miss(worst.low, settings.min_increase, 'below', _end(worst, 'lower'))}"
        if worst.mean < settings.min_increase:
            words += " The skips carry the image, not the embedding."
    return GateVerdict(
        "embedding_shuffle", passed, worst.low, settings.min_increase, words, _numbers(rises)
    )


def judge_cnr_ratio(evidence: TrialEvidence, settings: ContrastGate) -> GateVerdict:
    """Ask whether reconstructions keep the contrast of grey and white matter.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    settings : ContrastGate
        Thresholds.

    Returns
    -------
    GateVerdict
        ``found`` is the end (or the mean) that is nearest to, or furthest beyond, a threshold.
    """

    def contrast(position: int, suffix: str) -> float:
        return metric(evidence, position, f"validation_cnr_ratio{suffix}")

    try:
        ratios = _held(evidence, settings, contrast)
    except CannotBeJudged as error:
        hint = "It needs a T1w and controls.tissue: kmeans." if "no `" in str(error) else ""
        return unknown("cnr_ratio", settings.min_ratio, f"{error} {hint}".strip())
    limit = settings.max_ratio
    lowest = min(ratios, key=lambda one: one.low)
    highest = max(ratios, key=lambda one: one.high)
    too_low = lowest.low < settings.min_ratio
    too_high = limit is not None and highest.high > limit
    room_above = math.inf if limit is None else limit - highest.high
    from_above = limit is not None and room_above < lowest.low - settings.min_ratio
    worst = highest if from_above else lowest
    found, threshold = (highest.high, limit) if from_above else (lowest.low, settings.min_ratio)
    asked = f"at least {in_short(settings.min_ratio)}"
    if limit is not None:
        asked += f" and at most {in_short(limit)}"
    words = f"The contrast ratio{_of(worst)} is {worst.in_words()}; {asked} is asked for."
    if too_low:
        words += f" {miss(lowest.low, settings.min_ratio, 'below', _end(lowest, 'lower'))}"
    if too_high and limit is not None:
        words += f" {miss(highest.high, limit, 'above', _end(highest, 'upper'))}"
    passed = not too_low and not too_high
    return GateVerdict("cnr_ratio", passed, found, threshold, words, _numbers(ratios))


def _beside_control(
    control: str, of: str, evidence: TrialEvidence, settings: ControlGate
) -> GateVerdict:
    """Hold the ratio of the model's error and a control's against the largest allowed."""

    def log_of(position: int, suffix: str) -> float:
        return log_ratio(evidence, position, f"validation_mse{suffix}", f"{control}_mse{suffix}")

    try:
        ratios = [one.through(times) for one in _held(evidence, settings, log_of)]
    except CannotBeJudged as error:
        return unknown(control, settings.max_ratio, str(error))
    worst = max(ratios, key=lambda one: one.high)
    passed = worst.high < settings.max_ratio
    words = (
        f"The model's squared error{_of(worst)} over {of} is {worst.in_words()}; it must be below "
        f"{in_short(settings.max_ratio)}."
    )
    if not passed:
        words += f" {miss(worst.high, settings.max_ratio, 'above', _end(worst, 'upper'))}"
    return GateVerdict(control, passed, worst.high, settings.max_ratio, words, _numbers(ratios))


def _held(
    evidence: TrialEvidence, settings: FoldsSettings, value: Callable[[int, str], float]
) -> list[Held]:
    """Average over modalities together and, where asked for, each by itself."""
    require_all_folds(evidence)
    apart = evidence.modalities if settings.each_modality and len(evidence.modalities) > 1 else ()

    def held(label: str, suffix: str) -> Held:
        return held_over_folds(evidence, settings, label, lambda i: value(i, suffix))

    return [held(_ALL, ""), *(held(name, f"/{name}") for name in apart)]


def _of(held: Held) -> str:
    """Name the modality, where it is one."""
    return "" if held.label == _ALL else f" of {held.label}"


def _end(held: Held, side: str) -> str:
    """Name what was held against the threshold."""
    return "The mean" if held.percent is None else f"The interval's {side} end"


def _numbers(held: Sequence[Held]) -> dict[str, Scalar]:
    """List means and ends for whoever looks the verdict up."""
    numbers: dict[str, Scalar] = {}
    for one in held:
        suffix = "" if one.label == _ALL else f"/{one.label}"
        numbers |= {f"mean{suffix}": one.mean, f"low{suffix}": one.low, f"high{suffix}": one.high}
    return {**numbers, "n_folds": held[0].n}
