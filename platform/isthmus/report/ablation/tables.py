"""Tables of an ablation: arms, comparisons, pairs, what failed, what was spent."""

from isthmus.report.ablation.labels import (
    arm_label,
    comparison_label,
    fuse_differently,
    metric_in_words,
    mixes_modalities,
)
from isthmus.report.ablation.outcome import failures, folds_of, primary_of, state_of
from isthmus.report.ablation.words import CORRECTIONS, VERDICTS, level_in_words, sample_in_words
from isthmus.report.strata_words import number
from isthmus.report.study_words import hours, short_paths, value_in_words
from isthmus.report.table import Table
from isthmus.study.ablation.findings import AblationContrast, AblationResult, MetricFindings
from isthmus.study.ablation.records import Arm

_TESTED = ("verdict", "difference", "p", "p adjusted", "effect size", "would have found")


def ablation_tables(result: AblationResult, limit: int | None = None) -> tuple[Table, ...]:
    """Put an ablation into tables.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands, be it before its first fold.
    limit : int, optional
        Most rows of a table of comparisons; by default all.

    Returns
    -------
    tuple of Table
        Comparisons by the primary metric, arms and what was spent, always; other metrics, pairs of
        arms and what failed where there are any.
    """
    others = (
        other_metrics_table(result),
        pairs_table(result),
        failed_table(result),
    )
    tables = (
        contrasts_table(result),
        arms_table(result),
        *(table for table in others if table.rows),
        spent_table(result),
    )
    return tuple(table.first(limit) for table in tables)


def contrasts_table(result: AblationResult) -> Table:
    """Show what the primary metric says.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Table
        One row a comparison, in the plan's order; empty before anything was compared.
    """
    finding, columns = primary_of(result), ("comparison", *_TESTED)
    if finding is None:
        return Table("Comparisons", columns, (), "Nothing has been compared yet.")
    rows = tuple(_tested(result, one) for one in finding.contrasts)
    title = f"Comparisons by the primary metric, {metric_in_words(finding)}"
    return Table(title, columns, rows, _note(result, finding, finding.contrasts))


def other_metrics_table(result: AblationResult) -> Table:
    """Show what the other metrics say.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Table
        One row a metric and comparison.
    """
    rows = tuple(
        (finding.metric, *_tested(result, one))
        for finding in result.findings
        if not finding.is_primary
        for one in finding.contrasts
    )
    note = (
        "They explain the primary metric, on which the answer rests. Each was corrected by itself: "
        "with many metrics some verdicts come by chance."
    )
    return Table("Comparisons by the other metrics", ("metric", "comparison", *_TESTED), rows, note)


def arms_table(result: AblationResult) -> Table:
    """Describe the arms.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Table
        One row an arm: what is set, its size, its mean by the primary metric, how it stands.
    """
    plan, finding = result.plan, primary_of(result)
    names = short_paths(tuple(dict.fromkeys(path for arm in plan.arms for path in arm.settings)))
    fused = fuse_differently(plan.arms)
    metric = "mean" if finding is None else finding.metric
    rows = []
    for arm in plan.arms:
        cells = [f"{arm_label(plan, arm.name)}{' (baseline)' if arm.is_baseline else ''}"]
        cells.append(_settings(arm, names))
        cells += [", ".join(arm.modalities)] if fused else []
        size = arm.size
        cells += (
            ["-", "-", "-"]
            if size is None
            else [
                f"{size.n_parameters:,}",
                f"{size.multiply_accumulates:.3g}",
                f"{size.embedding_size:,}",
            ]
        )
        rows.append((*cells, _mean(finding, arm), state_of(result, arm)))
    columns = ("arm", "settings", *(("modalities",) if fused else ()), "parameters")
    columns += ("multiply-accumulates", "embedding", metric, "state")
    return Table("Arms", columns, tuple(rows), _arms_note(result, finding))


def pairs_table(result: AblationResult) -> Table:
    """Show each two arms by the primary metric.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Table
        One row a pair; empty where arms were not ranked.
    """
    finding = primary_of(result)
    ranking = finding.ranking if finding is not None else None
    if finding is None or ranking is None:
        return Table("All pairs of arms", ("pair", *_TESTED), ())
    rows = tuple(_tested(result, one) for one in ranking.pairs)
    title = f"All pairs of arms by {metric_in_words(finding)}"
    return Table(title, ("pair", *_TESTED), rows, _note(result, finding, ranking.pairs))


def failed_table(result: AblationResult) -> Table:
    """Show what failed or cannot be built, and why.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Table
        One row a failed fold or an infeasible arm.
    """
    rows = [
        (
            one.arm,
            str(one.seed),
            "all" if one.fold is None else str(one.fold),
            one.kind,
            one.message or "-",
            str(one.attempts),
        )
        for one in failures(result)
    ]
    rows += [
        (arm_label(result.plan, arm.name), "-", "-", "infeasible", arm.infeasible, "-")
        for arm in result.plan.arms
        if arm.infeasible
    ]
    note = "Arms that lack a fold are compared with none; what they did finish is kept."
    columns = ("arm", "seed", "fold", "type", "message", "attempts")
    return Table("What failed", columns, tuple(rows), note)


def spent_table(result: AblationResult) -> Table:
    """Show what each arm took.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Table
        Folds and hours by arm, over all sittings.
    """
    rows = []
    for arm in result.plan.arms:
        if arm.same_as or arm.infeasible:
            continue
        folds = folds_of(result, arm)
        done, reused = (
            sum(one.state == "done" for one in folds),
            sum(one.reused for one in folds),
        )
        cells = (str(done), str(reused), str(sum(one.attempts for one in folds)))
        taken = (sum(one.seconds for one in folds), sum(one.gpu_seconds for one in folds))
        rows.append((arm_label(result.plan, arm.name), *cells, *map(hours, taken)))
    folds = result.progress.folds
    cells = (
        str(sum(one.state == "done" for one in folds)),
        str(sum(one.reused for one in folds)),
        str(sum(one.attempts for one in folds)),
    )
    taken = (sum(one.seconds for one in folds), sum(one.gpu_seconds for one in folds))
    rows.append(("all arms", *cells, *map(hours, taken)))
    columns = ("arm", "folds done", "found done", "attempts", "hours", "GPU hours")
    note = (
        "Folds found done were trained by another ablation, a search or an earlier command, and "
        "cost nothing here."
    )
    return Table("Spent so far, over all sittings", columns, tuple(rows), note)


def _tested(result: AblationResult, contrast: AblationContrast) -> tuple[str, ...]:
    """Describe a comparison."""
    difference = _span(contrast.difference, contrast.ci_low, contrast.ci_high)
    return (
        comparison_label(result.plan, contrast.comparison),
        VERDICTS[contrast.verdict],
        difference,
        number(contrast.p_value),
        number(contrast.p_value_adjusted),
        number(contrast.effect_size),
        number(contrast.smallest_resolvable),
    )


def _note(
    result: AblationResult, finding: MetricFindings, contrasts: tuple[AblationContrast, ...]
) -> str:
    """Explain the columns."""
    correction = CORRECTIONS.get(result.correction, result.correction)
    margins = sorted({number(one.margin) for one in contrasts if one.margin is not None})
    margin = f" Margin of equivalence: {', '.join(margins)}." if margins else ""
    return (
        f"Paired over {sample_in_words(finding.blocks)}; in brackets the "
        f"{level_in_words(result.alpha)}, which is not corrected for the number of comparisons; "
        f"p adjusted after {correction}. Effect size: difference / standard deviation over blocks. "
        f"Would have found: the true difference found with a power of {100 * result.power:.3g} %, "
        f"if no other of the comparisons is significant."
        f"{margin}"
    )


def _arms_note(result: AblationResult, finding: MetricFindings | None) -> str:
    """Explain the means, and say what is to be known of each arm."""
    said = []
    if finding is not None:
        said.append(
            f"{finding.metric}: mean over blocks with the 95 % interval of the arm alone; arms are "
            "compared by paired differences, which are far more certain."
        )
        if mixes_modalities(result.plan, finding.metric):
            said.append(
                "It is a mean over the modalities that an arm fuses: arms that fuse other ones "
                "cannot be compared by it."
            )
    said += [f"{arm.name}: {note}" for arm in result.plan.arms for note in arm.notes]
    return " ".join(said)


def _settings(arm: Arm, names: dict[str, str]) -> str:
    """Write what an arm sets."""
    pairs = (f"{names[path]}={value_in_words(value)}" for path, value in arm.settings.items())
    return ", ".join(pairs) or "as the baseline"


def _mean(finding: MetricFindings | None, arm: Arm) -> str:
    """Write an arm's mean, or why there is none."""
    found = next((one for one in finding.arms if one.arm == arm.name), None) if finding else None
    if found is None:
        return "-"
    return _span(found.mean, found.ci_low, found.ci_high)


def _span(middle: float | None, low: float | None, high: float | None) -> str:
    """Write a number with its interval, in digits enough to tell arms apart."""
    if low is None or high is None:
        return number(middle, 4)
    return f"{number(middle, 4)} [{number(low)}, {number(high)}]"
