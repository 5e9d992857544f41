"""What an ablation found: scores of each arm, contrasts between arms, verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from isthmus.study.ablation.records import AblationPlan, Comparison, Progress

Verdict = Literal[
    "better", "worse", "higher", "lower", "equivalent", "not_resolvable", "unpaired", "undefined"
]


@dataclass(frozen=True)
class Block:
    """One fold at one seed: every arm is scored on the same subjects of it.

    Attributes
    ----------
    seed : int
        Root of the random streams.
    fold : int
        Number of the fold, from 0.
    n_train, n_test : int
        Subjects trained on, monitor part included, and held out.
    """

    seed: int
    fold: int
    n_train: int
    n_test: int


@dataclass(frozen=True)
class ArmEstimate:
    """One arm's mean of a metric.

    Attributes
    ----------
    arm : str
        Its name.
    values : tuple of (float or None)
        For each block; None where the fold failed, was not run, or the metric was undefined.
    mean : float or None
        Over blocks; None unless all are there.
    ci_low, ci_high : float or None
        95 % interval of the mean, with the variance corrected for overlapping training folds. Of
        one arm alone: arms are compared by their paired differences, which are far more certain.
    why_not : str
        Why there is no mean; empty if there is one.
    """

    arm: str
    values: tuple[float | None, ...]
    mean: float | None
    ci_low: float | None
    ci_high: float | None
    why_not: str = ""


@dataclass(frozen=True)
class AblationContrast:
    """A comparison that was tested.

    Attributes
    ----------
    comparison : Comparison
        What is compared.
    verdict : str
        ``better`` or ``worse`` (``higher`` or ``lower`` where neither is better): the difference
        is significant after correction; ``equivalent``: its interval lies within the region of
        practical equivalence; ``not_resolvable``: neither, at this number of folds and subjects;
        ``unpaired``: an arm lacks a fold, so that nothing is compared; ``undefined``: the metric
        has no number somewhere, or the arms share no modality to be compared on.
    reason : str
        Of ``unpaired`` and ``undefined``: why.
    n_blocks : int
        Paired differences.
    mean, reference_mean : float or None
        Means over blocks of the two sides; None for an interaction.
    difference : float or None
        Mean paired difference, in the metric's units.
    ci_low, ci_high : float or None
        Its 1 - alpha interval by the corrected resampled t-test, not corrected for multiplicity.
    effect_size : float or None
        Mean difference / standard deviation of the differences over blocks.
    p_value, p_value_adjusted : float or None
        Two-sided; and corrected over the family of contrasts that `family` names.
    equivalence_p_value : float or None
        Of the two one-sided tests; None without a margin.
    equivalence_p_value_adjusted : float or None
        Corrected over the same family; ``equivalent`` rests on it.
    margin : float or None
        Half-width of the region of practical equivalence, in the metric's units.
    smallest_resolvable : float or None
        The true difference that these folds and subjects would have found with the wanted power.
    family : str
        Which contrasts were corrected together.
    modalities : tuple of str
        Of a metric that is a mean over modalities: those that both sides have, which were
        averaged; empty for other metrics, and where pairs differ in it.
    notes : tuple of str
        What to know of the verdict, in sentences: that an arm is leaky, that seeds share a split,
        that all differences are 0.
    """

    comparison: Comparison
    verdict: Verdict
    reason: str = ""
    n_blocks: int = 0
    mean: float | None = None
    reference_mean: float | None = None
    difference: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    effect_size: float | None = None
    p_value: float | None = None
    p_value_adjusted: float | None = None
    equivalence_p_value: float | None = None
    equivalence_p_value_adjusted: float | None = None
    margin: float | None = None
    smallest_resolvable: float | None = None
    family: str = ""
    modalities: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """All arms ranked within each block (Friedman 1937; Demsar 2006).

    Attributes
    ----------
    arms : tuple of str
        By average rank, best first.
    average_ranks : tuple of float
        1 is best; ties share.
    statistic, p_value : float
        Friedman's chi-square; and the p-value, corrected for the overlap of blocks
        (`isthmus.study.inference.ranks.friedman`). A look at all arms together: the pairs decide.
    n_blocks : int
        Blocks.
    pairs : tuple of AblationContrast
        Each two arms, corrected over all pairs.
    groups : tuple of tuple of str
        Largest runs of neighbours in rank of which no two differ significantly: the bars of a
        critical-difference diagram.
    """

    arms: tuple[str, ...]
    average_ranks: tuple[float, ...]
    statistic: float
    p_value: float
    n_blocks: int
    pairs: tuple[AblationContrast, ...]
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class MetricFindings:
    """What one metric says.

    Attributes
    ----------
    metric : str
        A trial's metric, or ``strata_agreement``: mean adjusted Rand index of an arm's partition
        in a block with the baseline's of all other blocks, beside the same of the baseline's own
        partition, which is what retraining alone leaves.
    direction : {"minimize", "maximize", "either"}
        Which way is better; ``either``: neither is.
    is_primary : bool
        Whether the verdict was to rest on it; the others explain it.
    blocks : tuple of Block
        Seeds x folds.
    arms : tuple of ArmEstimate
        Every feasible arm, in the plan's order.
    contrasts : tuple of AblationContrast
        One for each of the plan's comparisons; of ``strata_agreement``, for those with the
        baseline alone.
    ranking : Ranking or None
        None where arms cannot be ranked on it.
    why_not_ranked : str
        Why; empty if they are.
    """

    metric: str
    direction: Literal["minimize", "maximize", "either"]
    is_primary: bool
    blocks: tuple[Block, ...]
    arms: tuple[ArmEstimate, ...]
    contrasts: tuple[AblationContrast, ...]
    ranking: Ranking | None
    why_not_ranked: str = ""


@dataclass(frozen=True)
class LearningCurve:
    """How one fold of one arm learned.

    Attributes
    ----------
    arm : str
        Its name.
    seed, fold : int
        Which block.
    epochs : tuple of int
        From 1.
    train_loss : tuple of float
        After each of `epochs`; of different losses they cannot be compared.
    monitor_mse : tuple of (float or None)
        Of the monitor part, where there is one.
    """

    arm: str
    seed: int
    fold: int
    epochs: tuple[int, ...]
    train_loss: tuple[float, ...]
    monitor_mse: tuple[float | None, ...]


@dataclass(frozen=True)
class AblationResult:
    """An ablation as it stands.

    Attributes
    ----------
    plan : AblationPlan
        What was asked.
    progress : Progress
        What was run, and what failed.
    findings : tuple of MetricFindings
        One for each metric, the primary one first.
    curves : tuple of LearningCurve
        Of each finished fold.
    alpha, power : float
        Level of the tests, and the power at which `smallest_resolvable` is said.
    correction : str
        How p-values were adjusted.
    panels : Mapping of str to str
        For each arm the file, below ``execution.output``, with slices of images and
        reconstructions of the first block (`isthmus.trial.panels`); the subject that is shown
        for every arm is marked ``compared``.
    """

    plan: AblationPlan
    progress: Progress
    findings: tuple[MetricFindings, ...]
    curves: tuple[LearningCurve, ...]
    alpha: float
    power: float
    correction: str
    panels: Mapping[str, str]
