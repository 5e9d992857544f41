"""Do the strata change? An arm's partitions beside the baseline's, and beside retraining alone.

Legend: N subjects of any partition, J blocks.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from isthmus.config.ablation.design import ContrastConfig, InferenceConfig
from isthmus.stratification.stability import adjusted_rand
from isthmus.study.ablation.contrasts import Candidate, decide_family
from isthmus.study.ablation.estimates import estimate
from isthmus.study.ablation.findings import ArmEstimate, MetricFindings
from isthmus.study.ablation.paired import Paired, Unpaired, unpaired
from isthmus.study.ablation.scores import Scores, Strata

AGREEMENT = "strata_agreement"
LEAST_SHARED = 10
_ABSENT = -1

Labels = npt.NDArray[np.int64]


def agreement_findings(
    scores: Scores, asked: ContrastConfig, inference: InferenceConfig, is_primary: bool
) -> MetricFindings:
    """Test whether arms change the strata by more than training again does.

    The score of an arm in a block is the mean adjusted Rand index of its partition with the
    baseline's partitions of all *other* blocks; the reference is the same of the baseline's own
    partition of that block. An arm whose partitions are distributed as the baseline's has a
    difference around 0; a negative one says that its strata agree less with the baseline's than
    those agree among themselves. It does not say whose strata are right.

    Parameters
    ----------
    scores : Scores
        All arms' folds, with their partitions.
    asked : ContrastConfig
        Direction and margin.
    inference : InferenceConfig
        Level, power and correction.
    is_primary : bool
        Whether the verdict rests on it.

    Returns
    -------
    MetricFindings
        Contrasts with the baseline alone; arms are not ranked.

    Notes
    -----
    The baseline's partition of the *same* block is left out on purpose. An arm was trained on just
    the subjects that this one was trained on, and so agrees with it more than retraining on
    another fold's subjects would, though the arm changes nothing: set against the agreement of
    different blocks, every arm would look the better for it.

    Where the baseline's own agreement is not above chance, no arm can have less, and a difference
    within a margin is no survival: the contrasts' notes say so.

    Encoders have different axes and are compared by their partitions alone, on the subjects that
    both cluster, `LEAST_SHARED` at least. Cost: arms x J^2 indices.
    """
    agreed = _agree(scores)
    comparisons = [one for one in scores.plan.comparisons if one.kind == "arm"]
    family: list[Candidate] = [
        (one, unpaired(scores, one) or _paired(scores, agreed[one.pairs[0][0]]))
        for one in comparisons
    ]
    estimates = tuple(
        estimate(scores, arm, found.own, AGREEMENT, found.why_not) for arm, found in agreed.items()
    )
    baseline = next(one for one in estimates if one.arm == scores.plan.baseline.name)
    return MetricFindings(
        metric=asked.metric,
        direction=asked.direction,
        is_primary=is_primary,
        blocks=scores.blocks,
        arms=estimates,
        contrasts=tuple(
            replace(one, notes=(*one.notes, *_nothing_to_lose(baseline)))
            for one in decide_family(scores, family, asked, inference)
        ),
        ranking=None,
        why_not_ranked="Agreement is with the baseline, so arms are compared with it alone.",
    )


def _nothing_to_lose(baseline: ArmEstimate) -> tuple[str, ...]:
    """Warn where the baseline does not agree with itself."""
    if baseline.mean is None or baseline.ci_low is None or baseline.ci_low > 0.0:
        return ()
    return (
        f"The strata of {baseline.arm} are not shown to come back when it is trained again (mean "
        f"agreement {baseline.mean:.2g}, where 0 is chance and 1 the same): what is not there "
        "cannot be lost, and no verdict on agreement says that strata survive.",
    )


@dataclass(frozen=True)
class _Agreed:
    """Agreement with the baseline's other blocks, block by block."""

    own: tuple[float | None, ...]
    retrained: tuple[float | None, ...]
    why_not: str


def _paired(scores: Scores, found: _Agreed) -> Paired | Unpaired:
    """Subtract the agreement that retraining leaves."""
    if found.why_not:
        return Unpaired("undefined", found.why_not)
    own = [value for value in found.own if value is not None]
    retrained = [value for value in found.retrained if value is not None]
    level = sum(retrained) / len(retrained)
    differences = tuple(a - b for a, b in zip(own, retrained, strict=True))
    return Paired(scores.pooled(differences), sum(own) / len(own), level, level)


def _agree(scores: Scores) -> dict[str, _Agreed]:
    """Compare the partitions of every arm that can be built."""
    labels, baseline = _labels(scores), scores.plan.baseline.name
    agreed = {}
    for arm in scores.plan.arms:
        if arm.infeasible:
            continue
        own, retrained = _against_others(labels[arm.name], labels[baseline])
        why_not = _why_no_partition(scores, labels, arm.name)
        if not why_not and None in own:
            why_not = (
                f"Partitions of different blocks must share {LEAST_SHARED} subjects, and not all "
                f"of {len(scores.blocks)} blocks have one that does. Ask for more folds or seeds, "
                "or set stratification.subjects to all."
            )
        agreed[arm.name] = _Agreed(own, retrained, why_not)
    return agreed


def _labels(scores: Scores) -> dict[str, list[Labels | None]]:
    """Give each partition a label for every subject, `_ABSENT` for who is not in it."""
    partitions = [one.strata for of in scores.folds.values() for one in of if one is not None]
    everybody = sorted({name for one in partitions if one for name in one.participant_ids})
    place = {name: i for i, name in enumerate(everybody)}

    def spread(strata: Strata) -> Labels:
        labels_N = np.full(len(place), _ABSENT, dtype=np.int64)
        labels_N[[place[name] for name in strata.participant_ids]] = strata.labels
        return labels_N

    return {
        arm: [spread(one.strata) if one is not None and one.strata else None for one in of]
        for arm, of in scores.folds.items()
    }


def _against_others(
    arm_J: list[Labels | None], baseline_J: list[Labels | None]
) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    """Compare an arm, and the baseline, with the baseline's other blocks on the same subjects."""
    own: list[float | None] = []
    retrained: list[float | None] = []
    for j, (arm_N, baseline_N) in enumerate(zip(arm_J, baseline_J, strict=True)):
        both = [
            _on_shared(arm_N, baseline_N, other_N)
            for k, other_N in enumerate(baseline_J)
            if k != j and arm_N is not None and baseline_N is not None and other_N is not None
        ]
        known = [pair for pair in both if pair is not None]
        own.append(sum(a for a, _ in known) / len(known) if known else None)
        retrained.append(sum(b for _, b in known) / len(known) if known else None)
    return tuple(own), tuple(retrained)


def _on_shared(arm_N: Labels, baseline_N: Labels, other_N: Labels) -> tuple[float, float] | None:
    """Compare two partitions with a third; None where they share too few subjects."""
    shared_N = (arm_N != _ABSENT) & (baseline_N != _ABSENT) & (other_N != _ABSENT)
    if int(shared_N.sum()) < LEAST_SHARED:
        return None
    third = other_N[shared_N]
    return adjusted_rand(arm_N[shared_N], third), adjusted_rand(baseline_N[shared_N], third)


def _why_no_partition(scores: Scores, labels: dict[str, list[Labels | None]], arm: str) -> str:
    """Say where the baseline or an arm has nothing to compare; empty if they do everywhere."""
    for name in dict.fromkeys((scores.plan.baseline.name, arm)):
        if scores.lacking[name]:
            return scores.lacking[name]
        without = sum(one is None for one in labels[name])
        if without:
            n_blocks = len(scores.blocks)
            return f"The clustering gave {name} no partition in {without} of {n_blocks} blocks."
    return ""
