"""What stands beside each figure of an ablation: how to read it, and what it does not show."""

from collections.abc import Callable
from dataclasses import replace

from isthmus.report.ablation.labels import LEAKY_LABEL, metric_in_words, mixes_modalities
from isthmus.report.ablation.outcome import losses_differ, primary_of
from isthmus.report.ablation.words import level_in_words
from isthmus.report.strata_captions import Caption
from isthmus.study.ablation.findings import AblationResult

_CAPTIONS = {
    "effects": Caption(
        "Differences by the primary metric",
        "A row a comparison: the mean paired difference and its interval, not corrected for the "
        "number of comparisons; colour and shape are the verdict, which is corrected. The shaded "
        "region is the margin within which a difference does not matter, where one was set.",
        "That an interval across zero means no difference: it means that the sign is not known. "
        "Intervals hold for this cohort, whose folds share subjects; the correction for that is "
        "an approximation.",
    ),
    "scores": Caption(
        "Scores of each arm",
        "A point a fold at a seed; a line joins the same held-out subjects, which is what is "
        "tested. Diamonds are means with the 95 % interval of an arm alone.",
        "Whether two arms differ: intervals of single arms overlap even where all lines go the "
        "same way. Look at the lines, then at the differences.",
    ),
    "ranks": Caption(
        "Critical-difference diagram of the primary metric",
        "Arms at their average rank over folds and seeds, 1 is best, left. A bar joins neighbours "
        "of which no two differ significantly, after correction over all pairs.",
        "How large differences are, that joined arms are the same, and that arms without a bar in "
        "common differ: the table of pairs says which do. Friedman's p is corrected for the "
        "overlap of folds, as an approximation: a look at all arms together, the pairs decide.",
    ),
    "matrix": Caption(
        "Verdicts by every metric",
        "A row a metric, a column a comparison: the verdict and the difference in the metric's "
        "units; colours are the verdicts'. The answer rests on the primary metric; the others "
        "explain it.",
        "A count of votes: metrics of the same reconstructions say nearly the same thing, and "
        "each metric was corrected by itself, so that with many of them some verdicts come by "
        "chance.",
    ),
    "agreement": Caption(
        "Do the strata survive?",
        "Mean adjusted Rand index of an arm's strata in a fold with the baseline's of all other "
        "folds and seeds: 1 is the same partition, 0 is chance. The baseline's own row is what "
        "retraining alone leaves: only what lies below it is the arm's doing.",
        "Whether either partition relates to anything, or which of the two is better.",
    ),
    "learning": Caption(
        "Learning curves by arm",
        "The median over folds and seeds, and the range from the least to the largest; folds "
        "that stopped early drop out where their curves end.",
        "Fidelity on held-out subjects: training losses fall on what is being learnt.",
    ),
    "side_by_side": Caption(
        "Reconstructions side by side",
        "One held-out subject, the same for all arms and chosen by no result; below each "
        "modality: reconstruction - input, red is too bright.",
        "How an arm does on others: it is one slice of one person, of one fold at one seed.",
    ),
}
KEYS = tuple(_CAPTIONS)


def caption_of(result: AblationResult, key: str) -> Caption:
    """Write the words of one figure for one ablation.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    key : str
        One of `KEYS`.

    Returns
    -------
    Caption
        With its metric and level, and a warning where numbers of arms cannot be compared.
    """
    words = _CAPTIONS[key]
    said = _ADDED[key](result) if key in _ADDED else ""
    if any(arm.leaky for arm in result.plan.arms):
        said += f" {LEAKY_LABEL}: normalisation saw the held-out subjects."
    return replace(words, reads=f"{words.reads} {said.strip()}".strip())


def _of_effects(result: AblationResult) -> str:
    """Name metric and level."""
    finding = primary_of(result)
    metric = "" if finding is None else f"By {metric_in_words(finding)}. "
    return f"{metric}Lines are the {level_in_words(result.alpha)}."


def _of_scores(result: AblationResult) -> str:
    """Warn of means over different modalities."""
    finding = primary_of(result)
    if finding is None or not mixes_modalities(result.plan, finding.metric):
        return ""
    return (
        f"Careful: {finding.metric} is a mean over the modalities that an arm fuses; only arms "
        "that fuse the same ones are joined, and others cannot be compared here."
    )


def _of_ranks(result: AblationResult) -> str:
    """Say over how many pairs was corrected, and on which modalities arms are ranked."""
    finding = primary_of(result)
    if finding is None or finding.ranking is None:
        return ""
    pairs = finding.ranking.pairs
    said = (
        f"{len(pairs)} pairs were corrected together, so that less is resolved here than in the "
        "comparisons with the baseline."
    )
    if not mixes_modalities(result.plan, finding.metric) or not pairs:
        return said
    return f"{said} Ranked by {', '.join(pairs[0].modalities)}, which all of these arms fuse."


def _of_learning(result: AblationResult) -> str:
    """Warn of losses of different kinds."""
    if not losses_differ(result):
        return ""
    return (
        "Careful: arms have other losses or other modalities, so heights of their training losses "
        "cannot be compared; nor what was monitored, where the modalities are other ones."
    )


_ADDED: dict[str, Callable[[AblationResult], str]] = {
    "effects": _of_effects,
    "scores": _of_scores,
    "ranks": _of_ranks,
    "learning": _of_learning,
}
