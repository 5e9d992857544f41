"""A family of comparisons by one metric: tested, corrected together, put into words."""

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.config.ablation.design import ContrastConfig, InferenceConfig
from isthmus.study.ablation.findings import AblationContrast
from isthmus.study.ablation.paired import Paired, Unpaired
from isthmus.study.ablation.records import Comparison
from isthmus.study.ablation.scores import Scores, is_mean_over_modalities
from isthmus.study.inference.resampled_t import Outcome, ResampledT, mean_ratio, resampled_t
from isthmus.study.inference.verdict import Judgement, Rule, judge

KINDS = {
    "arm": "comparisons with the baseline",
    "pair": "pairs of arms",
    "main_effect": "main effects",
    "interaction": "interactions",
    "modality": "effects of adding a modality",
}

_NORMALISATION = "volumes.normalisation."
_OF_STRATA = ("strata_", "subset_")

Candidate = tuple[Comparison, Paired | Unpaired]


def ratio_of(scores: Scores) -> float:
    """Average held-out subjects / subjects trained on over blocks.

    Parameters
    ----------
    scores : Scores
        Its blocks are read.

    Returns
    -------
    float
        As the correction for overlap wants it.
    """
    return mean_ratio([(block.n_train, block.n_test) for block in scores.blocks])


def decide_family(
    scores: Scores,
    candidates: Sequence[Candidate],
    asked: ContrastConfig,
    inference: InferenceConfig,
) -> tuple[AblationContrast, ...]:
    """Test comparisons of one kind by one metric.

    Parameters
    ----------
    scores : Scores
        Blocks, and which arms are leaky.
    candidates : sequence of (Comparison, Paired or Unpaired)
        All of one kind.
    asked : ContrastConfig
        Metric, direction and margin.
    inference : InferenceConfig
        Level, power and correction.

    Returns
    -------
    tuple of AblationContrast
        In the same order. Those that are unpaired or undefined are not in the family: p-values
        are corrected over the others, whose number `family` says.
    """
    ratio = ratio_of(scores)
    paired = [(i, found) for i, (_, found) in enumerate(candidates) if isinstance(found, Paired)]
    outcomes = [resampled_t(found.differences, ratio) for _, found in paired]
    margins = [_margin(asked, found) for _, found in paired]
    rule = Rule(asked.direction, inference.alpha, inference.power, inference.correction)
    judged = judge(outcomes, margins, rule)
    contrasts: dict[int, AblationContrast] = {}
    for (i, found), outcome, margin, judgement in zip(
        paired, outcomes, margins, judged, strict=True
    ):
        comparison = candidates[i][0]
        family = f"{len(paired)} {KINDS[comparison.kind]} by {asked.metric}, {inference.correction}"
        notes = (judgement.note, *_notes(scores, comparison, asked.metric))
        if asked.relative_margin is not None and margin is None:
            notes += ("The reference's mean is 0, of which there is no share to be the margin.",)
        contrasts[i] = _contrast(
            comparison, found, outcome, judgement, margin, inference.alpha, family, notes
        )
    for i, (comparison, left_out) in enumerate(candidates):
        if isinstance(left_out, Unpaired):
            contrasts[i] = AblationContrast(
                comparison,
                left_out.verdict,
                left_out.reason,
                notes=_notes(scores, comparison, asked.metric),
            )
    return tuple(contrasts[i] for i in range(len(candidates)))


def _contrast(
    comparison: Comparison,
    found: Paired,
    outcome: Outcome,
    judgement: Judgement,
    margin: float | None,
    alpha: float,
    family: str,
    notes: Sequence[str],
) -> AblationContrast:
    """Write down one tested comparison."""
    tested = outcome if isinstance(outcome, ResampledT) else None
    low, high = tested.interval(alpha) if tested else (None, None)
    return AblationContrast(
        comparison=comparison,
        verdict=judgement.decision,
        reason=judgement.reason,
        n_blocks=outcome.n_blocks,
        mean=found.mean,
        reference_mean=found.reference_mean,
        difference=sum(found.differences) / len(found.differences),
        ci_low=low,
        ci_high=high,
        effect_size=tested.effect_size if tested else None,
        p_value=judgement.p_value,
        p_value_adjusted=judgement.p_value_adjusted,
        equivalence_p_value=judgement.equivalence_p_value,
        equivalence_p_value_adjusted=judgement.equivalence_p_value_adjusted,
        margin=margin,
        smallest_resolvable=judgement.smallest_resolvable,
        family=family,
        modalities=found.modalities,
        notes=tuple(note for note in notes if note),
    )


def _margin(asked: ContrastConfig, found: Paired) -> float | None:
    """Give the margin in the metric's units; none where it is a share of nothing."""
    if asked.relative_margin is None:
        return asked.margin
    return asked.relative_margin * abs(found.level) or None


def _notes(scores: Scores, comparison: Comparison, metric: str) -> tuple[str, ...]:
    """Say what a reader of the verdict has to know."""
    names = dict.fromkeys(name for *pair, _ in comparison.pairs for name in pair)
    leaky = [name for name in names if scores.arm(name).leaky]
    notes = []
    if leaky:
        notes.append(
            f"Leaky: the normalisation of {', '.join(leaky)} saw the held-out subjects, so its "
            "scores are not those of new subjects."
        )
    if len(scores.pools) < len(scores.blocks):
        notes.append(
            "Seeds share a split: their differences are averaged, fold by fold, before the test."
        )
    scaled = [_scaling(scores.arm(name).settings) for name in names]
    if is_mean_over_modalities(metric.partition("/")[0]) and any(s != scaled[0] for s in scaled):
        notes.append(
            f"{', '.join(names)} scale images in ways of their own, so that their errors are not "
            "in the same units."
        )
    if metric.startswith(_OF_STRATA) and _clusters_who_was_trained_on(scores):
        notes.append(
            "Strata are of the same subjects in every block: their intervals and p-values hold "
            "what training again would change, and not what other subjects would. Their verdicts "
            "are about this cohort."
        )
    notes += _left_out(scores, comparison)
    return tuple(notes)


def _scaling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Pick out what decides the units of an arm's images."""
    return {path: value for path, value in settings.items() if path.startswith(_NORMALISATION)}


def _clusters_who_was_trained_on(scores: Scores) -> bool:
    """Tell whether partitions are of more than the held-out subjects."""
    return any(
        fold is not None
        and fold.strata is not None
        and len(fold.strata.participant_ids) > fold.n_test
        for of_arm in scores.folds.values()
        for fold in of_arm
    )


def _left_out(scores: Scores, comparison: Comparison) -> list[str]:
    """Say over which pairs an effect is not averaged, that was planned with more."""
    planned = next(
        (
            one.pairs
            for one in scores.plan.comparisons
            if (one.name, one.kind) == (comparison.name, comparison.kind)
        ),
        comparison.pairs,
    )
    if len(planned) == len(comparison.pairs):
        return []
    failed = dict.fromkeys(a for *pair, _ in planned for a in pair if a in scores.failed)
    return [
        f"{comparison.name}: averaged over {len(comparison.pairs)} of {len(planned)} pairs of "
        f"arms, without those of {', '.join(failed)}, which failed. It is not the effect over all, "
        "and not to be set beside effects that are averaged over others."
    ]
