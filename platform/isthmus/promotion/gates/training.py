"""The gate on training: every fold came to an end, and its loss no longer moved."""

import math
from dataclasses import dataclass

from isthmus.config.promotion.thresholds import ConvergenceGate
from isthmus.promotion.evidence.record import FoldEvidence, TrialEvidence
from isthmus.promotion.gates.held import (
    CannotBeJudged,
    in_short,
    miss,
    require_all_folds,
    unknown,
)
from isthmus.promotion.verdict import GateVerdict


@dataclass(frozen=True)
class _Change:
    """How much one fold's loss still moved."""

    fold: FoldEvidence
    share: float
    n_epochs: int

    @property
    def counted(self) -> float:
        """What is held against the threshold: a rise counts where the last weights are kept."""
        return self.share if self.fold.monitored else abs(self.share)


def judge_convergence(evidence: TrialEvidence, settings: ConvergenceGate) -> GateVerdict:
    """Ask whether the loss had stopped moving when training ended.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    settings : ConvergenceGate
        Thresholds.

    Returns
    -------
    GateVerdict
        ``found`` is the largest change over folds.

    Notes
    -----
    The mean loss of the last part of the epochs is compared with that of the part before it. With
    a monitor the loss is the monitored one and only a fall counts: the best epoch's weights are
    kept, so a rise was noticed. Without one it is the training loss and the last weights are kept,
    so a rise counts too. It tells of an optimiser that came to rest, not of a good optimum; a
    learning rate that decays to 0 comes to rest wherever it is.
    """
    try:
        require_all_folds(evidence)
        changes = [_change(fold, settings.last_share) for fold in evidence.folds]
    except CannotBeJudged as error:
        return unknown("convergence", settings.max_change, str(error))
    worst = max(changes, key=lambda one: one.counted)
    passed = worst.counted <= settings.max_change
    which = "monitored" if worst.fold.monitored else "training"
    verb = "fell" if worst.share >= 0 else "rose"
    epochs = "epoch" if worst.n_epochs == 1 else f"{worst.n_epochs} epochs"
    words = (
        f"In the last {epochs} of {len(worst.fold.losses)} the {which} loss {verb} by the share "
        f"{in_short(abs(worst.share))} (fold {worst.fold.number}, the largest change); at most "
        f"{in_short(settings.max_change)} is asked for."
    )
    if not passed:
        words += f" {miss(worst.counted, settings.max_change, 'above', 'It')} Train for longer."
    numbers = {f"change/fold-{one.fold.number}": one.share for one in changes}
    return GateVerdict("convergence", passed, worst.counted, settings.max_change, words, numbers)


def _change(fold: FoldEvidence, last_share: float) -> _Change:
    """Compare the last part of the epochs with the one before it."""
    n = len(fold.losses)
    if n < 2:
        raise CannotBeJudged(
            f"Fold {fold.number} has a history of {n} epochs, and two are needed to see a change."
        )
    length = min(max(1, round(last_share * n)), n // 2)
    last = math.fsum(fold.losses[-length:])
    before = math.fsum(fold.losses[-2 * length : -length])
    if not before > 0:
        raise CannotBeJudged(
            f"The loss of fold {fold.number} is {before:g} before the last {length} epochs, of "
            "which there is no share."
        )
    return _Change(fold, 1 - last / before, length)
