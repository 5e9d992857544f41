"""All gates that a file asks, one after another."""

from collections.abc import Callable, Mapping
from typing import Any

from isthmus.config.promotion.gates import PromotionConfig
from isthmus.config.promotion.thresholds import GateSettings
from isthmus.promotion.evidence.record import TrialEvidence
from isthmus.promotion.gates.cost import judge_latency, judge_size
from isthmus.promotion.gates.fidelity import (
    judge_cnr_ratio,
    judge_embedding_shuffle,
    judge_mean_image,
    judge_pca,
)
from isthmus.promotion.gates.groups import judge_equal_performance
from isthmus.promotion.gates.integrity import judge_integrity, judge_not_leaky
from isthmus.promotion.gates.strata import judge_stability, judge_strata
from isthmus.promotion.gates.training import judge_convergence
from isthmus.promotion.verdict import GateVerdict

# Each takes its own thresholds, which the name chooses.
JUDGES: Mapping[str, Callable[[TrialEvidence, Any], GateVerdict]] = {
    "integrity": judge_integrity,
    "not_leaky": judge_not_leaky,
    "convergence": judge_convergence,
    "mean_image": judge_mean_image,
    "pca": judge_pca,
    "cnr_ratio": judge_cnr_ratio,
    "embedding_shuffle": judge_embedding_shuffle,
    "strata": judge_strata,
    "stability": judge_stability,
    "equal_performance": judge_equal_performance,
    "size": judge_size,
    "latency": judge_latency,
}


def judge(evidence: TrialEvidence, gates: PromotionConfig) -> tuple[GateVerdict, ...]:
    """Ask a trial every gate of a file, before the lockbox is opened.

    Parameters
    ----------
    evidence : TrialEvidence
        As `isthmus.promotion.evidence.gather.gather_evidence` gives it.
    gates : PromotionConfig
        Which gates, and their thresholds.

    Returns
    -------
    tuple of GateVerdict
        One for each gate that is asked, in the order of `JUDGES`; the model goes on where all
        passed.

    Notes
    -----
    Each gate is a pure function of the evidence and its own thresholds. Passing several is no
    joint test: each bounds its own error, and a model must pass them all, so that the chance of
    promoting one that truly fails a gate is at most that gate's level.
    """
    thresholds: dict[str, GateSettings] = dict(gates.gates.asked())
    return tuple(
        ask(evidence, thresholds[name]) for name, ask in JUDGES.items() if name in thresholds
    )
