"""Tables of a study: the ranking, what did not finish, what mattered, what was spent."""

from isthmus.report.across_summary import selection_table
from isthmus.report.strata_words import number
from isthmus.report.study_words import (
    AS_GOOD,
    BEST,
    ON_FRONT,
    STATES,
    counts_in_words,
    dimensions,
    estimate_in_words,
    hours,
    is_leaky,
    marks_of,
    objective_in_words,
    point_in_words,
    short_paths,
    value_in_words,
)
from isthmus.report.table import Table
from isthmus.study.ranking import ranked, spent
from isthmus.study.records import StudyResult, TrialRecord

# More dimensions than this stand in one column: so many columns cannot be read.
_MOST_COLUMNS = 6
_SIZES = {"embedding_size": "embedding values", "n_parameters": "parameters"}
_CAUTION = (
    "+- is one standard error over folds. Folds share training subjects, so it understates the "
    "uncertainty, and the first of many is first partly by luck: a ranking is no test."
)


def study_tables(result: StudyResult, limit: int | None = None) -> tuple[Table, ...]:
    """Put a study into tables.

    Parameters
    ----------
    result : StudyResult
        A study as it stands, be it without any trial.
    limit : int, optional
        Most rows of a table of trials; by default all.

    Returns
    -------
    tuple of Table
        The ranking and what was spent, always; front, unfinished trials, changed settings,
        importance and selection where there are any. Every title says so if normalisation was
        leaky in any trial.
    """
    others = (
        front_table(result, limit),
        unfinished_table(result, limit),
        changed_table(result, limit),
        importance_table(result),
    )
    tables = [ranking_table(result, limit), *(table for table in others if table.rows)]
    if result.selection is not None:
        table = selection_table(result.selection)
        note = f"{table.note} {selection_note(result)}".strip()
        tables.append(Table(table.title, table.columns, table.rows, note).first(limit))
    tables.append(spent_table(result))
    return tuple(table.labelled(is_leaky(result)) for table in tables)


def ranking_table(result: StudyResult, limit: int | None = None) -> Table:
    """Rank the finished trials by the first objective.

    Parameters
    ----------
    result : StudyResult
        A study.
    limit : int, optional
        Most rows.

    Returns
    -------
    Table
        One row a finished trial; equal trials share a rank.
    """
    order, described = ranked(result.trials, result.objectives[0]), _Columns(result)
    rows, rank, before = [], 0, None
    for position, record in enumerate(order, 1):
        first = record.values[0] if record.values else None
        rank, before = (rank if first == before else position), first
        rows.append((str(rank), *described.cells(record), marks_of(result, record.number)))
    columns = ("rank", *described.heads, "mark")
    title = f"Ranking by {objective_in_words(result.objectives[0])}"
    return Table(title, columns, tuple(rows), _ranking_note(result)).first(limit)


def front_table(result: StudyResult, limit: int | None = None) -> Table:
    """Show the trials that no other one beats in all objectives.

    Parameters
    ----------
    result : StudyResult
        A study.
    limit : int, optional
        Most rows.

    Returns
    -------
    Table
        By the first objective; empty with a single objective.
    """
    order = ranked(result.trials, result.objectives[0]) if len(result.objectives) > 1 else ()
    described = _Columns(result)
    rows = tuple(described.cells(one) for one in order if one.number in result.front)
    note = (
        f"Of {len(order)} finished trials these are beaten by none in all of: "
        f"{'; '.join(map(objective_in_words, result.objectives))}. Means are compared as if they "
        "were exact."
    )
    return Table("Pareto front", described.heads, rows, note).first(limit)


def unfinished_table(result: StudyResult, limit: int | None = None) -> Table:
    """Show the trials that did not finish, and why.

    Parameters
    ----------
    result : StudyResult
        A study.
    limit : int, optional
        Most rows.

    Returns
    -------
    Table
        By state, then by number.
    """
    names = short_paths(dimensions(result.trials))
    rows = []
    for state, words in STATES.items():
        for one in result.trials:
            if one.state == state != "finished":
                level, value = one.reports[-1] if one.reports else (None, None)
                reached = "-" if level is None else f"{number(value, 4)} at {level}"
                cells = (words, str(one.number), point_in_words(one, names), reached)
                rows.append((*cells, _reason(one), hours(one.seconds)))
    columns = ("state", "trial", "point", "last report", "why", "hours")
    note = (
        "The last report is what the scheduler compared, at which level (folds or epochs). "
        "Infeasible and repeated trials were never begun and spent no budget."
    )
    return Table("Trials that did not finish", columns, tuple(rows), note).first(limit)


def changed_table(result: StudyResult, limit: int | None = None) -> Table:
    """Show what the search changed to go on.

    Parameters
    ----------
    result : StudyResult
        A study.
    limit : int, optional
        Most rows.

    Returns
    -------
    Table
        One row a trial and setting.
    """
    rows = tuple(
        (str(one.number), path, value_in_words(value))
        for one in result.trials
        for path, value in one.changed.items()
    )
    note = "What the search changed in a trial to go on, such as after memory ran out."
    return Table("Settings that were changed", ("trial", "setting", "now"), rows, note).first(limit)


def importance_table(result: StudyResult) -> Table:
    """Show how much of the differences between trials each dimension explains.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    Table
        One row a dimension, one column a method and objective.
    """
    several = len({one.metric for one in result.importance}) > 1
    paths = tuple(dict.fromkeys(path for one in result.importance for path in one.shares))
    columns = tuple(
        f"{one.metric}, {one.method}" if several else one.method for one in result.importance
    )
    rows = tuple(
        (path, *(_share(one.shares.get(path)) for one in result.importance)) for path in paths
    )
    note = (
        "Shares of the differences between the finished trials. They depend on the ranges of the "
        "space and on the points that the sampler chose, tell no direction, and are no test."
    )
    return Table("Importance of the dimensions", ("dimension", *columns), rows, note)


def spent_table(result: StudyResult) -> Table:
    """Show what a study has cost so far.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    Table
        Trials and hours.
    """
    cost = spent(result.trials)
    rows = (
        ("trials begun, of the budget", f"{cost.n_trials} of {result.n_trials}"),
        ("hours of searching", hours(result.wall_seconds)),
        ("hours of trials, added up", hours(cost.seconds)),
        ("GPU hours", hours(result.gpu_seconds)),
    )
    note = f"{counts_in_words(result)[:1].upper()}{counts_in_words(result)[1:]}."
    return Table("Spent so far, over all sittings", ("what", "value"), rows, note)


def selection_note(result: StudyResult) -> str:
    """Say what the best trial's strata are worth once it was picked out of all.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    str
        Naive beside adjusted p; empty where they were not computed.
    """
    if result.selection is None or result.best is None:
        return ""
    name = f"trial {result.best}"
    found = next((one for one in result.selection.trials if one.trial == name), None)
    if found is None or found.p_naive is None:
        return f"Of the best trial ({name}) no stratification could be tested."
    return (
        f"The best trial's ({name}) strata: p {number(found.p_naive)} as if it were the only "
        f"trial, {number(found.p_adjusted)} adjusted for having been picked out of "
        f"{len(result.selection.trials)}. Quote the second."
    )


def _ranking_note(result: StudyResult) -> str:
    """Explain the marks, name the smallest as good as the best, and warn."""
    if result.best is None:
        return f"No trial has finished: {counts_in_words(result)}."
    said = [f"{BEST} best", f"{AS_GOOD} within one standard error of the best"]
    if len(result.objectives) > 1:
        said.append(f"{ON_FRONT} on the Pareto front")
    smallest = next(one for one in result.trials if one.number == result.smallest)
    size = smallest.facts.get("embedding_size")
    of_size = f" ({size:,} values)" if isinstance(size, int | float) else ""
    as_good = (
        f"No other trial is within one standard error of trial {result.best}."
        if len(result.within_one_se) == 1
        else f"Of the {len(result.within_one_se)} trials within one standard error, the best "
        f"among them, trial {smallest.number} has the smallest embedding{of_size}."
    )
    return " ".join((f"{'; '.join(said)}.", as_good, _CAUTION, selection_note(result))).strip()


class _Columns:
    """How trials are described in columns."""

    def __init__(self, result: StudyResult) -> None:
        self._n_objectives = len(result.objectives)
        self._paths = dimensions(result.trials)
        self._names = short_paths(self._paths)
        self._joined = len(self._paths) > _MOST_COLUMNS
        always = all("model.embedding_size" in one.point for one in result.trials)
        # the embedding's size is often a dimension too: then it stands in the table once
        twice = always and not self._joined
        self._sizes = [name for name in _SIZES if name != "embedding_size" or not twice]
        point = ("point",) if self._joined else (self._names[path] for path in self._paths)
        metrics = (one.metric for one in result.objectives)
        self.heads = ("trial", *point, *metrics, *(_SIZES[name] for name in self._sizes))

    def cells(self, record: TrialRecord) -> tuple[str, ...]:
        """Describe a finished trial."""
        point = (
            [point_in_words(record, self._names)]
            if self._joined
            else [
                value_in_words(record.point[p]) if p in record.point else "-" for p in self._paths
            ]
        )
        values = (estimate_in_words(record, i) for i in range(self._n_objectives))
        facts = (record.facts.get(name) for name in self._sizes)
        sizes = (f"{fact:,}" if isinstance(fact, int | float) else "-" for fact in facts)
        return (str(record.number), *point, *values, *sizes)


def _reason(record: TrialRecord) -> str:
    """Say why a trial did not finish."""
    if record.reason:
        return record.reason
    return f"the same experiment as trial {record.same_as}" if record.same_as is not None else "-"


def _share(value: float | None) -> str:
    """Write a share of the differences."""
    return "-" if value is None else f"{value:.0%}"
