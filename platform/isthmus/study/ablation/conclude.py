"""An ablation as it stands: scores read, contrasts tested, verdicts said."""

from collections.abc import Sequence
from pathlib import Path

from isthmus.config.ablation.design import ContrastConfig, InferenceConfig
from isthmus.study.ablation.agreement import AGREEMENT, agreement_findings
from isthmus.study.ablation.contrasts import KINDS, decide_family
from isthmus.study.ablation.estimates import estimate_arms, rank_arms
from isthmus.study.ablation.findings import (
    AblationContrast,
    AblationResult,
    LearningCurve,
    MetricFindings,
)
from isthmus.study.ablation.paired import pair, without_failed
from isthmus.study.ablation.records import AblationPlan, Progress
from isthmus.study.ablation.scores import Scores, read_scores
from isthmus.training.history import HISTORY_FILE, read_history

PANELS_FILE = "panels.npz"


def conclude(
    plan: AblationPlan,
    progress: Progress,
    output: Path,
    contrasts: Sequence[ContrastConfig],
    inference: InferenceConfig,
) -> AblationResult:
    """Say what an ablation has found so far.

    Parameters
    ----------
    plan : AblationPlan
        What was asked.
    progress : Progress
        What was run, and what failed.
    output : Path
        The folder with the trials' folders, ``execution.output``.
    contrasts : sequence of ContrastConfig
        Metrics, the primary one first.
    inference : InferenceConfig
        Level, power and correction.

    Returns
    -------
    AblationResult
        Comparisons of arms that are not whole are ``unpaired``, with the reason; the others are
        decided. An effect that is averaged over pairs leaves out those with a failed arm, says so,
        and holds the others (`isthmus.study.ablation.paired.without_failed`).

    Notes
    -----
    It may be called at any time and as often as one likes. A comparison is tested once all folds
    of its arms are there and not before, so looking early does not test it on fewer; the
    correction alone counts more comparisons as arms finish, and can take a verdict back.

    p-values are corrected within the comparisons of one kind by one metric. Several metrics, or
    main effects beside comparisons of arms, are several families: what is written down as primary
    is what the question rests on.
    """
    scores = read_scores(plan, progress, output)
    return AblationResult(
        plan=plan,
        progress=progress,
        findings=tuple(
            _findings(scores, asked, inference, is_primary=i == 0)
            for i, asked in enumerate(contrasts)
        ),
        curves=_curves(scores, output),
        alpha=inference.alpha,
        power=inference.power,
        correction=inference.correction,
        panels=_panels(plan, output),
    )


def _findings(
    scores: Scores, asked: ContrastConfig, inference: InferenceConfig, is_primary: bool
) -> MetricFindings:
    """Say what one metric says."""
    if asked.metric == AGREEMENT:
        return agreement_findings(scores, asked, inference, is_primary)
    ranking, why_not = rank_arms(scores, asked, inference)
    return MetricFindings(
        metric=asked.metric,
        direction=asked.direction,
        is_primary=is_primary,
        blocks=scores.blocks,
        arms=estimate_arms(scores, asked.metric),
        contrasts=_contrasts(scores, asked, inference),
        ranking=ranking,
        why_not_ranked=why_not,
    )


def _contrasts(
    scores: Scores, asked: ContrastConfig, inference: InferenceConfig
) -> tuple[AblationContrast, ...]:
    """Test the plan's comparisons, kind by kind."""
    found: dict[tuple[str, str], AblationContrast] = {}
    for kind in KINDS:
        family = [
            without_failed(scores, one) for one in scores.plan.comparisons if one.kind == kind
        ]
        candidates = [(one, pair(scores, one, asked.metric)) for one in family]
        for contrast in decide_family(scores, candidates, asked, inference):
            found[contrast.comparison.name, kind] = contrast
    return tuple(found[one.name, one.kind] for one in scores.plan.comparisons)


def _curves(scores: Scores, output: Path) -> tuple[LearningCurve, ...]:
    """Read how each finished fold learned."""
    curves = []
    for run in scores.plan.runs:
        for block, fold in zip(scores.blocks, scores.folds[run.arm], strict=True):
            directory = output / run.folder / f"fold-{block.fold}"
            if fold is None or block.seed != run.seed or not (directory / HISTORY_FILE).exists():
                continue
            history = read_history(directory)
            curves.append(
                LearningCurve(
                    arm=run.arm,
                    seed=run.seed,
                    fold=block.fold,
                    epochs=tuple(int(record["epoch"]) for record in history),
                    train_loss=tuple(record["train_loss"] for record in history),
                    monitor_mse=tuple(record.get("monitor_mse") for record in history),
                )
            )
    return tuple(curves)


def _panels(plan: AblationPlan, output: Path) -> dict[str, str]:
    """Find each arm's pictures of the first block, where that is done."""
    files = {}
    for arm in plan.arms:
        for run in plan.runs_of(arm.name):
            file = f"{run.folder}/fold-0/{PANELS_FILE}"
            if run.seed == plan.seeds[0] and (output / file).exists():
                files[arm.name] = file
    return files
