"""Gates on what a model costs to keep and to ask: its size and its latency."""

from isthmus.config.promotion.thresholds import LatencyGate, SizeGate
from isthmus.promotion.evidence.record import TrialEvidence
from isthmus.promotion.gates.held import in_short, miss, unknown
from isthmus.promotion.verdict import GateVerdict, Scalar


def judge_size(evidence: TrialEvidence, settings: SizeGate) -> GateVerdict:
    """Ask whether the model is small enough.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    settings : SizeGate
        Limits.

    Returns
    -------
    GateVerdict
        ``found`` is the size that is nearest to, or furthest beyond, its limit.
    """
    if not evidence.folds:
        return unknown("size", None, "The trial has no finished fold.")
    n_parameters = max(fold.n_parameters for fold in evidence.folds)
    sizes = {
        "trainable parameters": (n_parameters, settings.max_parameters),
        "embedding values": (evidence.embedding_size, settings.max_embedding_size),
    }
    limits = {what: (n, limit) for what, (n, limit) in sizes.items() if limit is not None}
    words = [f"{n:,} {what}; at most {limit:,} asked for." for what, (n, limit) in limits.items()]
    words += [
        f"{n - limit:,} {what} too many ({n / limit - 1:.0%})."
        for what, (n, limit) in limits.items()
        if n > limit
    ]
    n, limit = max(limits.values(), key=lambda pair: pair[0] / pair[1])
    numbers = {"n_parameters": n_parameters, "embedding_size": evidence.embedding_size}
    return GateVerdict("size", n <= limit, n, limit, " ".join(words), numbers)


def judge_latency(evidence: TrialEvidence, settings: LatencyGate) -> GateVerdict:
    """Ask whether one subject is answered soon enough.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    settings : LatencyGate
        Limit.

    Returns
    -------
    GateVerdict
        ``found`` is the median in seconds, of the machine that it was measured on.
    """
    found = evidence.latency
    if found is None:
        reason = evidence.missing.get("latency", "It was not measured.")
        return unknown("latency", settings.max_seconds, reason)
    passed = found.median_seconds <= settings.max_seconds
    words = (
        f"One subject takes {found.median_seconds:.3g} s (median of {len(found.seconds)}, "
        f"{found.device}, {found.machine}); at most {in_short(settings.max_seconds)} s is asked "
        "for."
    )
    if not passed:
        words += f" {miss(found.median_seconds, settings.max_seconds, 'above', 'It')}"
    numbers: dict[str, Scalar] = {
        "device": found.device,
        "machine": found.machine,
        "n": len(found.seconds),
    }
    return GateVerdict(
        "latency", passed, found.median_seconds, settings.max_seconds, words, numbers
    )
