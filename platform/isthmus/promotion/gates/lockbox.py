"""Gates on what the model did on lockbox subjects, whom nothing before has seen."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from isthmus.config.promotion.gates import PromotionConfig
from isthmus.config.promotion.thresholds import (
    LockboxControlGate,
    LockboxErrorGate,
    LooksGate,
    ReplicationGate,
)
from isthmus.promotion.developed import REFIT
from isthmus.promotion.gates.held import (
    CannotBeJudged,
    held_of,
    in_short,
    miss,
    times,
    unknown,
)
from isthmus.promotion.lockbox.record import LockboxReport
from isthmus.promotion.verdict import GateVerdict
from isthmus.study.inference.resampled_t import Outcome, ResampledT, resampled_t
from isthmus.training.controls import MODEL
from isthmus.training.evaluate import ALL


def judge_lockbox(report: LockboxReport, gates: PromotionConfig) -> tuple[GateVerdict, ...]:
    """Ask every gate of a file that is about the lockbox.

    Parameters
    ----------
    report : LockboxReport
        What the look found.
    gates : PromotionConfig
        Which gates, and their thresholds.

    Returns
    -------
    tuple of GateVerdict
        One for each gate that is asked, named ``lockbox.<gate>``.
    """
    judges: Mapping[str, Callable[[LockboxReport, Any], GateVerdict]] = {
        "mean_image": _judge_mean_image,
        "pca": _judge_pca,
        "error_ratio": _judge_error_ratio,
        "replication": _judge_replication,
        "looks": _judge_looks,
    }
    thresholds = dict(gates.lockbox.asked())
    return tuple(
        ask(report, thresholds[name]) for name, ask in judges.items() if name in thresholds
    )


def _judge_mean_image(report: LockboxReport, settings: LockboxControlGate) -> GateVerdict:
    """Ask whether the model's error is below the mean image's."""
    return _beside_control("mean_image", "the mean training image's", report, settings)


def _judge_pca(report: LockboxReport, settings: LockboxControlGate) -> GateVerdict:
    """Ask whether the model's error is below that of a linear code of the same size."""
    return _beside_control("pca", "PCA's", report, settings)


def _beside_control(
    control: str, of: str, report: LockboxReport, settings: LockboxControlGate
) -> GateVerdict:
    """Hold the ratio of errors against the largest allowed, subject by subject.

    Relatives are taken to be wholly alike: the mean over subjects is given the error and the
    degrees of freedom of as many values as there are families.
    """
    gate, limit = f"lockbox.{control}", settings.max_ratio
    try:
        logs = _log_ratios(report, control)
        outcome = resampled_t(logs, 0.0)
        if settings.by == "interval":
            outcome = _of_families(outcome, report.n_families)
        held = held_of(outcome, ALL, settings, logs).through(times)
    except CannotBeJudged as error:
        return unknown(gate, limit, str(error))
    passed = held.high < limit
    words = (
        f"On lockbox subjects ({report.n_subjects} of {report.n_families} families) the model's "
        f"squared error over {of} is {held.in_words('subjects')}; it must be below "
        f"{in_short(limit)}."
    )
    if not passed:
        end = "The mean" if held.percent is None else "The interval's upper end"
        words += f" {miss(held.high, limit, 'above', end)}"
    numbers = {"mean": held.mean, "low": held.low, "high": held.high, "n_subjects": held.n}
    return GateVerdict(gate, passed, held.high, limit, words, numbers)


def _log_ratios(report: LockboxReport, control: str) -> list[float]:
    """Compute log(model / control) of each subject."""
    logs = []
    for subject in report.subjects:
        own, other = subject.mse.get(MODEL), subject.mse.get(control)
        if own is None or other is None or not own > 0 or not other > 0:
            raise CannotBeJudged(
                f"Every lockbox subject must have an error above 0 of the model and of {control}, "
                "and one has not."
            )
        logs.append(math.log(own) - math.log(other))
    if not logs:
        raise CannotBeJudged("No lockbox subject was evaluated.")
    return logs


def _of_families(outcome: Outcome, n_families: int) -> Outcome:
    """Give a mean over subjects the uncertainty of one over families."""
    if n_families < 2:
        raise CannotBeJudged("An interval needs two lockbox families or more and there is one.")
    if not isinstance(outcome, ResampledT):
        return outcome
    error = outcome.deviation / math.sqrt(n_families)
    return ResampledT(n_families, outcome.mean, outcome.deviation, error)


def _judge_error_ratio(report: LockboxReport, settings: LockboxErrorGate) -> GateVerdict:
    """Ask whether unseen subjects are reconstructed as well as held-out ones were."""
    gate, limit = "lockbox.error_ratio", settings.max_ratio
    found = next((one for one in report.ratios if one.modality == ALL), None)
    if found is None:
        return unknown(gate, limit, "No development subject was held out from this encoder.")
    if found.ratio is None:
        return unknown(gate, limit, "The held-out error is 0, of which there is no ratio.")
    passed = found.ratio < limit
    words = (
        f"The squared error is {found.lockbox_mse:.4g} on lockbox subjects and "
        f"{found.validation_mse:.4g} on held-out ones: {in_short(found.ratio)} times; it must be "
        f"below {in_short(limit)} times."
    )
    if report.label == REFIT:
        words += " The folds' encoders held them out: a refit holds out nobody."
    if not passed:
        words += f" {miss(found.ratio, limit, 'above', 'It')}"
    numbers = {"lockbox_mse": found.lockbox_mse, "validation_mse": found.validation_mse}
    return GateVerdict(gate, passed, found.ratio, limit, words, numbers)


def _judge_replication(report: LockboxReport, settings: ReplicationGate) -> GateVerdict:
    """Ask whether enough of development's associations came back."""
    gate, needed = "lockbox.replication", settings.min_replicated
    n_asked = len(report.replications)
    counts = {
        verdict: report.count(verdict) for verdict in ("replicated", "not_replicated", "untestable")
    }
    found, testable = counts["replicated"], n_asked - counts["untestable"]
    names = [
        f"{one.kind} {one.target}" for one in report.replications if one.verdict == "replicated"
    ]
    words = (
        f"{found} of {n_asked} associations that were significant in development replicated"
        f"{f' ({chr(44).join(names)})' if names else ''}, {counts['not_replicated']} did not, "
        f"{counts['untestable']} could not be tested; {needed} asked for."
    )
    resolved = testable > 0
    passed = found >= needed or (not resolved and settings.unresolved == "allow")
    if not resolved and needed > 0:
        words += " Nothing could be tested, which is "
        words += "allowed here." if passed else "no replication, and is refused."
    elif not passed:
        words += f" {needed - found} too few."
    return GateVerdict(gate, passed, found, needed, words, dict(counts))


def _judge_looks(report: LockboxReport, settings: LooksGate) -> GateVerdict:
    """Ask whether the lockbox has been opened too often."""
    passed = report.number <= settings.max_looks
    times = "once" if report.number == 1 else f"{report.number} times"
    words = f"The lockbox was opened {times}; at most {settings.max_looks} asked for."
    if not passed:
        words += (
            f" {report.number - settings.max_looks} too many: what was chosen after a look is no "
            "longer untouched by these subjects."
        )
    return GateVerdict("lockbox.looks", passed, report.number, settings.max_looks, words)
