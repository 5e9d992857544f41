"""An ablation before it is run, in tables: what is asked, its arms, what is left to do."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from isthmus.config.ablation.design import AblationConfig, ContrastConfig
from isthmus.config.ablation.fraction import aliases_in_words
from isthmus.config.ablation.levels import levels_of, reference_of
from isthmus.config.search_points import said
from isthmus.config.search_space import Categorical
from isthmus.report.table import Table
from isthmus.study.ablation.cost import CostEstimate
from isthmus.study.ablation.records import AblationPlan, Arm, ArmRun, Comparison, Progress

_KINDS = {
    "arm": "with the baseline",
    "main_effect": "main effects",
    "interaction": "interactions",
    "modality": "adding a modality",
    "pair": "two arms",
}
_PLAN: TypeAdapter[AblationPlan] = TypeAdapter(AblationPlan)
_COST: TypeAdapter[CostEstimate] = TypeAdapter(CostEstimate)
_PROGRESS: TypeAdapter[Progress] = TypeAdapter(Progress)


def question_tables(ablation: AblationConfig) -> tuple[Table, ...]:
    """Show what an ablation asks, before anything is known of a cohort.

    Parameters
    ----------
    ablation : AblationConfig
        As `load_ablation` gives it.

    Returns
    -------
    tuple of Table
        Factors with their hypotheses, metrics with their margins, and how it is tested.
    """
    tables = [_factors_table(ablation), _contrasts_table(ablation), _design_table(ablation)]
    return tuple(table for table in tables if table.rows)


def plan_tables(
    ablation: AblationConfig, plan: AblationPlan, progress: Progress, cost: CostEstimate
) -> tuple[Table, ...]:
    """Show what an ablation would run.

    Parameters
    ----------
    ablation : AblationConfig
        What is asked.
    plan : AblationPlan
        The trials that answer it.
    progress : Progress
        How far they are.
    cost : CostEstimate
        How long the rest takes.

    Returns
    -------
    tuple of Table
        Question, arms, notes, trials and comparisons.
    """
    tables = (
        *question_tables(ablation),
        _arms_table(plan),
        _notes_table(plan),
        _runs_table(plan, progress, cost),
        _comparisons_table(plan, len(ablation.contrasts)),
    )
    return tuple(table for table in tables if table.rows)


def plan_to_json(plan: AblationPlan, progress: Progress, cost: CostEstimate) -> dict[str, Any]:
    """Turn a plan into JSON-serialisable values.

    Parameters
    ----------
    plan : AblationPlan
        The trials.
    progress : Progress
        How far they are.
    cost : CostEstimate
        How long the rest takes.

    Returns
    -------
    dict
        ``plan``, ``progress`` and ``cost``, each in the order of the record's fields.
    """
    return {
        "plan": _PLAN.dump_python(plan, mode="json"),
        "progress": _PROGRESS.dump_python(progress, mode="json"),
        "cost": _COST.dump_python(cost, mode="json"),
    }


def _factors_table(ablation: AblationConfig) -> Table:
    """Show what is varied, and what is expected."""
    if ablation.design == "modality_subsets":
        subsets = ablation.subsets
        which = "all sets"
        if subsets.sizes is not None:
            which = f"sets of {', '.join(map(str, subsets.sizes))}, and all"
        if subsets.listed is not None:
            which = "; ".join("+".join(one) for one in subsets.listed) + "; and all"
        rows: tuple[tuple[str, ...], ...] = (
            ("modalities", which, "all", ablation.hypothesis or ""),
        )
    else:
        rows = tuple(
            (
                name,
                "; ".join(level.name for level in levels_of(name, factor)),
                reference_of(ablation.design, name, factor),
                factor.hypothesis.strip(),
            )
            for name, factor in ablation.factors.items()
        )
    columns = ("factor", "levels", "baseline", "hypothesis")
    return Table("Factors", columns, rows, ablation.question)


def _contrasts_table(ablation: AblationConfig) -> Table:
    """Show by what arms are compared."""
    rows = tuple(
        ("primary" if number == 0 else "", one.metric, _better(one), _margin(one))
        for number, one in enumerate(ablation.contrasts)
    )
    columns = ("", "metric", "better", "equivalent within")
    return Table("Metrics", columns, rows, "The verdict rests on the primary metric.")


def _design_table(ablation: AblationConfig) -> Table:
    """Show how arms are made and tested."""
    test = ablation.inference
    rows: list[tuple[str, str]] = [("design", ablation.design)]
    rows += [(f"{path}, all arms", _written(v)) for path, v in ablation.settings.items()]
    if ablation.baseline.search is not None:
        trial = ablation.baseline.trial
        rows.append(("baseline", f"trial {trial} of search {ablation.baseline.search}"))
    rows += [(f"{name} follows from", " x ".join(o)) for name, o in ablation.fraction.items()]
    rows += [
        ("seeds", str(ablation.n_seeds)),
        ("level", f"{test.alpha:g}"),
        ("correction", test.correction),
        ("power of the smallest resolvable difference", f"{test.power:g}"),
    ]
    return Table("Design", ("what", "value"), tuple(rows), " ".join(aliases_in_words(ablation)))


def _better(contrast: ContrastConfig) -> str:
    """Say which way is better."""
    words = {"minimize": "smaller", "maximize": "larger", "either": "neither"}
    return words[contrast.direction]


def _margin(contrast: ContrastConfig) -> str:
    """Say what counts as equivalent."""
    if contrast.margin is not None:
        return f"+- {contrast.margin:g}"
    if contrast.relative_margin is not None:
        return f"+- {contrast.relative_margin:.3g} x the baseline's"
    return "not asked"


def _arms_table(plan: AblationPlan) -> Table:
    """Show each arm's settings and size."""
    baseline = plan.baseline
    rows = tuple(
        (
            arm.name,
            _settings(arm, baseline),
            " ".join(arm.modalities),
            *_size(arm),
            _standing(arm),
        )
        for arm in plan.arms
    )
    note = (
        f"Compared with the baseline, {baseline.name}. Memory: lower bound of a training step with "
        "one subject at a time; multiply-accumulates: of one subject's forward pass."
    )
    columns = ("arm", "differs in", "modalities", "parameters", "MMAC", "embedding", "MiB", "")
    return Table("Arms", columns, rows, note).labelled(any(arm.leaky for arm in plan.arms))


def _settings(arm: Arm, baseline: Arm) -> str:
    """List the settings in which an arm differs from the baseline."""
    if arm.is_baseline:
        return "-"
    changed = [
        f"{path}={_written(value)}"
        for path, value in arm.settings.items()
        if path not in baseline.settings or baseline.settings[path] != value
    ]
    if not changed:  # a level that sets nothing
        left = [path for path in baseline.settings if path not in arm.settings]
        changed = [f"{path} as in the experiment" for path in left]
    return ", ".join(changed) or "nothing"


def _size(arm: Arm) -> tuple[str, str, str, str]:
    """Write an arm's size."""
    if arm.size is None:
        return ("-", "-", "-", "-")
    return (
        f"{arm.size.n_parameters:,}",
        f"{arm.size.multiply_accumulates / 1e6:,.1f}",
        f"{arm.size.embedding_size:,}",
        f"{arm.size.least_bytes / 2**20:,.0f}",
    )


def _standing(arm: Arm) -> str:
    """Say whether an arm is run."""
    words = ["baseline"] if arm.is_baseline else []
    if arm.leaky:
        words.append("LEAKY")
    if arm.same_as is not None:
        words.append(f"same as {arm.same_as}")
    if arm.infeasible:
        words.append("cannot be built")
    return ", ".join(words)


def _notes_table(plan: AblationPlan) -> Table:
    """Show what to know of arms, and why some cannot be built."""
    rows = [(arm.name, note) for arm in plan.arms for note in arm.notes]
    rows += [
        (arm.name, f"cannot be built: {arm.infeasible}") for arm in plan.arms if arm.infeasible
    ]
    rows += [("fraction", said) for said in plan.aliases]
    return Table("What to know", ("arm", "note"), tuple(rows))


def _runs_table(plan: AblationPlan, progress: Progress, cost: CostEstimate) -> Table:
    """Show what is done and what is left."""
    done = {run.number: 0 for run in plan.runs}
    for fold in progress.folds:
        done[fold.run] += fold.state == "done"
    by_arm: dict[str, list[ArmRun]] = {}
    for run in plan.runs:
        by_arm.setdefault(run.arm, []).append(run)
    rows = [
        (
            arm,
            " ".join(run.folder for run in runs),
            f"{sum(done[run.number] for run in runs)} of {len(runs) * plan.n_folds}",
            _hours(runs, done, plan.n_folds, cost.seconds_a_fold),
        )
        for arm, runs in by_arm.items()
    ]
    n_done, n_folds = sum(done.values()), len(plan.runs) * plan.n_folds
    left = "unknown" if cost.hours_left is None else f"{cost.hours_left:.2g}"
    rows.append(("all", f"{len(plan.runs)} trials", f"{n_done} of {n_folds}", left))
    seeds = ", ".join(map(str, plan.seeds))
    columns = ("arm", "trials", "folds done", "hours left")
    return Table(
        "Trials", columns, tuple(rows), f"Seeds, in the order of trials: {seeds}. {cost.note}"
    )


def _hours(
    runs: Sequence[ArmRun],
    done: Mapping[int, int],
    n_folds: int,
    seconds_a_fold: Mapping[int, float],
) -> str:
    """Write what is left of an arm's trials."""
    left = {run.number: n_folds - done[run.number] for run in runs if done[run.number] < n_folds}
    if any(number not in seconds_a_fold for number in left):
        return "unknown"
    return f"{sum(n * seconds_a_fold[number] for number, n in left.items()) / 3600:.2g}"


def _comparisons_table(plan: AblationPlan, n_metrics: int) -> Table:
    """Show what is compared, kind by kind."""
    by_kind: dict[str, list[Comparison]] = {}
    for comparison in plan.comparisons:
        by_kind.setdefault(comparison.kind, []).append(comparison)
    rows = tuple(
        (_KINDS[kind], str(len(found)), "; ".join(one.name for one in found))
        for kind, found in by_kind.items()
    )
    n_tests = len(plan.comparisons) * n_metrics
    note = (
        f"Tests: {n_tests:,}, comparisons times metrics ({len(plan.comparisons):,} x {n_metrics}), "
        "corrected within each kind and metric."
    )
    return Table("Comparisons", ("kind", "number", "which"), rows, note)


def _written(value: Any) -> str:
    """Write a setting's value as it would stand in a file."""
    return said(Categorical(choices=(value,)))
