"""Gates on the records themselves: files that are what they should be, and nothing that leaked."""

from isthmus.config.promotion.thresholds import IntegrityGate, NotLeakyGate
from isthmus.promotion.evidence.record import TrialEvidence
from isthmus.promotion.gates.held import unknown
from isthmus.promotion.verdict import GateVerdict, Scalar

_MOST_SHOWN = 5


def judge_integrity(evidence: TrialEvidence, settings: IntegrityGate) -> GateVerdict:
    """Ask whether every file is what its records say.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    settings : IntegrityGate
        Without a threshold.

    Returns
    -------
    GateVerdict
        ``found`` is the number of things that do not agree; each file is named.

    Notes
    -----
    Records are compared with each other and with what is computed from the files anew. It finds
    what was damaged, mixed up or edited in one place. Whoever rewrites every record to match is
    not found: digests are no signatures.
    """
    if not evidence.integrity:
        return unknown("integrity", 0, "No file was compared with its record.")
    wrong = [check for check in evidence.integrity if not check.holds]
    files = {check.file for check in evidence.integrity}
    if not wrong:
        words = f"All {len(evidence.integrity)} checks of {len(files)} files agree."
        return GateVerdict("integrity", True, 0, 0, words, {"n_checks": len(evidence.integrity)})
    said = [f"{one.file}: {one.what}: {one.reason}" for one in wrong[:_MOST_SHOWN]]
    more = f" And {len(wrong) - _MOST_SHOWN} more." if len(wrong) > _MOST_SHOWN else ""
    words = (
        f"{len(wrong)} of {len(evidence.integrity)} checks do not agree. {' '.join(said)}{more} "
        "Restore the files, or run the trial again in a folder of its own."
    )
    numbers: dict[str, Scalar] = {
        "n_checks": len(evidence.integrity),
        "files": ", ".join(sorted({one.file for one in wrong})),
    }
    return GateVerdict("integrity", False, len(wrong), 0, words, numbers)


def judge_not_leaky(evidence: TrialEvidence, settings: NotLeakyGate) -> GateVerdict:
    """Ask whether normalisation was kept from held-out subjects.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    settings : NotLeakyGate
        Without a threshold.

    Returns
    -------
    GateVerdict
        ``found`` is the number of records that say it was not.
    """
    if not evidence.folds:
        return unknown("not_leaky", 0, "The trial has no finished fold.")
    leaky = [f"fold {fold.number}" for fold in evidence.folds if fold.leaky]
    if evidence.leaky:
        leaky.insert(0, "the trial")
    if not leaky:
        words = "Normalisation was fitted on the training subjects of each fold."
        return GateVerdict("not_leaky", True, 0, 0, words)
    words = (
        f"Normalisation saw held-out subjects, by the records of {', '.join(leaky)}: every number "
        "of theirs is too good. Train with volumes.normalisation.leaky: false."
    )
    return GateVerdict("not_leaky", False, len(leaky), 0, words)
