"""Verdicts of an ablation in words: what was found, how surely, and what was not compared.

The same sentences stand on the page, in the summary and on the terminal.
"""

from collections.abc import Sequence

from isthmus.report.ablation.labels import (
    arm_label,
    comparison_label,
    counted,
    fuse_differently,
    mixes_modalities,
)
from isthmus.report.strata_words import number
from isthmus.study.ablation.findings import (
    AblationContrast,
    AblationResult,
    Block,
    MetricFindings,
    Verdict,
)
from isthmus.study.ablation.records import AblationPlan

VERDICTS: dict[Verdict, str] = {
    "better": "better",
    "worse": "worse",
    "higher": "higher",
    "lower": "lower",
    "equivalent": "equivalent",
    "not_resolvable": "not resolvable",
    "unpaired": "not compared",
    "undefined": "undefined",
}
CORRECTIONS = {"holm": "Holm", "bonferroni": "Bonferroni", "fdr_by": "Benjamini-Yekutieli"}
_SMALLEST_P = 0.001


def verdict_in_words(
    result: AblationResult, finding: MetricFindings, contrast: AblationContrast
) -> str:
    """Say what one comparison came to, with its numbers.

    Parameters
    ----------
    result : AblationResult
        The ablation, for its level, power and correction.
    finding : MetricFindings
        The metric that was compared.
    contrast : AblationContrast
        One of its contrasts, or one of its ranking's pairs.

    Returns
    -------
    str
        One or two sentences; differences are in the metric's units.
    """
    label = comparison_label(result.plan, contrast.comparison)
    if not has_numbers(contrast):
        reason = contrast.reason or "no reason was kept"
        return _sentence(f"{label}: {VERDICTS[contrast.verdict]}: {reason}")
    if contrast.verdict == "equivalent":
        said = _equivalent(result, finding, contrast, f"{label}{_averaged(contrast)}")
    elif contrast.verdict == "not_resolvable":
        said = _not_resolvable(result, finding, contrast, f"{label}{_averaged(contrast)}")
    else:
        said = _resolved(result, finding, contrast, label)
    return _sentence(f"{said}{_compared_on(result.plan, finding, contrast)}")


def has_numbers(contrast: AblationContrast) -> bool:
    """Tell whether a comparison was made.

    Parameters
    ----------
    contrast : AblationContrast
        Any.

    Returns
    -------
    bool
        False where it is not compared or undefined.
    """
    without = contrast.verdict in ("unpaired", "undefined")
    return not without and contrast.difference is not None


def level_in_words(alpha: float) -> str:
    """Name the intervals that belong to a level.

    Parameters
    ----------
    alpha : float
        Level of the tests.

    Returns
    -------
    str
        Such as ``"95 % interval"``.

    Examples
    --------
    >>> level_in_words(0.05), level_in_words(0.001)
    ('95 % interval', '99.9 % interval')
    """
    return f"{100 * (1 - alpha):.4g} % interval"


def p_in_words(p_value: float | None) -> str:
    """Write a p-value.

    Parameters
    ----------
    p_value : float or None
        In [0, 1].

    Returns
    -------
    str
        Two digits; tiny ones as ``p < 0.001``.

    Examples
    --------
    >>> p_in_words(0.0312), p_in_words(1e-9), p_in_words(None)
    ('p = 0.031', 'p < 0.001', 'no p')
    """
    if p_value is None:
        return "no p"
    return f"p < {_SMALLEST_P}" if p_value < _SMALLEST_P else f"p = {p_value:.2g}"


def sample_in_words(blocks: Sequence[Block]) -> str:
    """Say on how much a comparison rests.

    Parameters
    ----------
    blocks : sequence of Block
        Seeds x folds.

    Returns
    -------
    str
        Such as ``"2 seeds x 5 folds of 48 subjects"``: training and held-out subjects together.

    Examples
    --------
    >>> sample_in_words([Block(0, 0, 32, 16), Block(0, 1, 32, 16)])
    '1 seed x 2 folds of 48 subjects'
    """
    seeds, folds = {one.seed for one in blocks}, {one.fold for one in blocks}
    sizes = sorted({one.n_train + one.n_test for one in blocks})
    subjects = "-" if not sizes else str(sizes[0])
    if len(sizes) > 1:
        subjects = f"{sizes[0]} to {sizes[-1]}"
    return f"{counted(len(seeds), 'seed')} x {counted(len(folds), 'fold')} of {subjects} subjects"


def family_of(finding: MetricFindings, contrast: AblationContrast) -> tuple[AblationContrast, ...]:
    """List the contrasts that were corrected together with one.

    Parameters
    ----------
    finding : MetricFindings
        The metric.
    contrast : AblationContrast
        One of its contrasts or pairs.

    Returns
    -------
    tuple of AblationContrast
        Those of the same family; what was not compared is in none.
    """
    pairs = finding.ranking.pairs if finding.ranking is not None else ()
    together = pairs if any(one is contrast for one in pairs) else finding.contrasts
    return tuple(one for one in together if one.family and one.family == contrast.family)


def _resolved(
    result: AblationResult, finding: MetricFindings, contrast: AblationContrast, label: str
) -> str:
    """Say a significant difference."""
    p_value = f"{p_in_words(contrast.p_value_adjusted)} {_corrected(result, finding, contrast)}"
    return (
        f"{_who(result.plan, contrast, label)}: {finding.metric} {_by(contrast)} "
        f"({_interval(result, contrast)}, {p_value})"
    )


def _corrected(result: AblationResult, finding: MetricFindings, contrast: AblationContrast) -> str:
    """Say over how many comparisons a p-value was corrected, and how."""
    n = len(family_of(finding, contrast))
    correction = CORRECTIONS.get(result.correction, result.correction)
    return f"after {correction} over {n}" if n > 1 else "of a single comparison"


def _who(plan: AblationPlan, contrast: AblationContrast, label: str) -> str:
    """Say which side a verdict is about."""
    comparison, verdict = contrast.comparison, VERDICTS[contrast.verdict]
    if comparison.kind in ("arm", "pair") and len(comparison.pairs) == 1:
        one, other = (arm_label(plan, name) for name in comparison.pairs[0][:2])
        if contrast.verdict in ("better", "worse"):
            return f"{one} is {verdict} than {other}"
        return f"{one} differs from {other}"
    if comparison.kind == "interaction":
        return f"{label}: {verdict} together than their single effects add up to"
    return f"{label}: {verdict}{_averaged(contrast)}"


def _equivalent(
    result: AblationResult, finding: MetricFindings, contrast: AblationContrast, label: str
) -> str:
    """Say that a difference is too small to matter, be there one or not."""
    p_value = p_in_words(contrast.equivalence_p_value_adjusted)
    corrected = _corrected(result, finding, contrast)
    there = contrast.p_value_adjusted is not None and contrast.p_value_adjusted < result.alpha
    small = f"; the difference is there ({p_in_words(contrast.p_value_adjusted)}) but too small"
    return (
        f"{label}: equivalent in {finding.metric}: within the margin of "
        f"{number(contrast.margin)} either way (difference {_signed(contrast.difference)}, "
        f"{_signed_interval(result, contrast)}, two one-sided tests {p_value} {corrected})"
        f"{small if there else ''}"
    )


def _not_resolvable(
    result: AblationResult, finding: MetricFindings, contrast: AblationContrast, label: str
) -> str:
    """Say what a difference could be, and which one would have been found."""
    if contrast.ci_low is None or contrast.ci_high is None:
        return f"{label}: not resolvable at this n: {' '.join(contrast.notes) or 'no interval'}"
    low, high = _signed(contrast.ci_low), _signed(contrast.ci_high)
    alone = ""
    if contrast.ci_low > 0.0 or contrast.ci_high < 0.0:
        # its own interval leaves out zero: say at once why that is not enough
        adjusted = p_in_words(contrast.p_value_adjusted)
        corrected = _corrected(result, finding, contrast)
        alone = f"{p_in_words(contrast.p_value)} alone, but {adjusted} {corrected}; "
    said = (
        f"{label}: not resolvable at this n: {alone}the difference in {finding.metric} could be "
        f"anything from {low} to {high} ({level_in_words(result.alpha)})"
    )
    if contrast.smallest_resolvable is not None:
        said += (
            f"; {sample_in_words(finding.blocks)} would have found "
            f"{number(contrast.smallest_resolvable)} with a power of {100 * result.power:.3g} %"
        )
        if len(family_of(finding, contrast)) > 1:
            said += f" {_corrected(result, finding, contrast)}"
    if contrast.margin is not None:
        said += f". It is not shown to be within the margin of {number(contrast.margin)} either"
    return said


def _compared_on(plan: AblationPlan, finding: MetricFindings, contrast: AblationContrast) -> str:
    """Say on which modalities, where arms fuse different ones."""
    if contrast.modalities and fuse_differently(plan.arms):
        return f"; compared on {', '.join(contrast.modalities)}"
    if len(contrast.comparison.pairs) > 1 and mixes_modalities(plan, finding.metric):
        return "; each pair is compared on the modalities that both of its arms fuse"
    return ""


def _averaged(contrast: AblationContrast) -> str:
    """Say over how many pairs of arms an effect is averaged."""
    if contrast.comparison.kind not in ("main_effect", "modality"):
        return ""
    return f", averaged over {counted(len(contrast.comparison.pairs), 'pair')} of arms"


def _by(contrast: AblationContrast) -> str:
    """Say a difference's way and size."""
    difference = contrast.difference or 0.0
    return f"{'higher' if difference > 0 else 'lower'} by {number(abs(difference))}"


def _interval(result: AblationResult, contrast: AblationContrast) -> str:
    """Write the interval of a difference whose way has been said."""
    if contrast.ci_low is None or contrast.ci_high is None:
        return "no interval"
    sign = 1.0 if (contrast.difference or 0.0) > 0 else -1.0
    low, high = sorted((sign * contrast.ci_low, sign * contrast.ci_high))
    return f"{level_in_words(result.alpha)} {number(low)} to {number(high)}"


def _signed_interval(result: AblationResult, contrast: AblationContrast) -> str:
    """Write the interval of a difference with its signs."""
    low, high = _signed(contrast.ci_low), _signed(contrast.ci_high)
    return f"{level_in_words(result.alpha)} {low} to {high}"


def _signed(value: float | None) -> str:
    """Write a number with its sign."""
    return "-" if value is None else f"{value + 0.0:+.3g}"


def _sentence(text: str) -> str:
    """End with a full stop."""
    return text if text.endswith(".") else f"{text}."
