"""Tables of a search space: what varies, what is sought, how, and for how much."""

from isthmus.config.search_points import ordered_dimensions, said, said_condition
from isthmus.config.search_size import size_of_grid
from isthmus.config.search_space import SearchSpace
from isthmus.report.table import Table


def dimensions_table(space: SearchSpace) -> Table:
    """Show what varies.

    Parameters
    ----------
    space : SearchSpace
        A search's.

    Returns
    -------
    Table
        One row a dimension, after those that it depends on.
    """
    rows = tuple(
        (path, dimension.kind, said(dimension), said_condition(dimension) or "always")
        for path, dimension in ordered_dimensions(space)
    )
    return Table("Dimensions", ("setting", "kind", "values", "asked"), rows, space.description)


def search_table(space: SearchSpace) -> Table:
    """Show what is sought, how, and for how much.

    Parameters
    ----------
    space : SearchSpace
        A search's.

    Returns
    -------
    Table
        One row a fact.
    """
    size, budget = size_of_grid(space), space.budget
    rows = [
        *((str(objective.direction), objective.metric) for objective in space.objectives),
        ("first points", ", ".join(map(str, space.try_first)) or "none"),
        ("distinct points", "infinitely many" if size is None else f"{size:,}"),
        ("sampler", _sampler(space)),
        ("scheduler", _scheduler(space)),
        ("trials", f"{budget.n_trials:,}"),
        ("hours, at most", "any" if budget.wall_hours is None else f"{budget.wall_hours:g}"),
        ("GPU hours, at most", "any" if budget.gpu_hours is None else f"{budget.gpu_hours:g}"),
    ]
    return Table("Search", ("what", "value"), tuple(rows))


def _sampler(space: SearchSpace) -> str:
    """Put the sampler into words, with the setting that counts for it."""
    sampler = space.sampler
    if sampler.kind == "nsga2":
        return f"nsga2, generations of {sampler.population_size}"
    if sampler.kind in ("random", "grid"):
        return sampler.kind
    return f"{sampler.kind}, after {sampler.n_startup_trials} random points"


def _scheduler(space: SearchSpace) -> str:
    """Put the scheduler into words, with the settings that count for it."""
    scheduler = space.scheduler
    if scheduler.kind == "none":
        return "none: every trial is finished"
    begin = f"{scheduler.kind}, from {scheduler.unit} {scheduler.grace} on"
    if scheduler.kind == "median":
        return f"{begin}, beside {scheduler.min_trials} others"
    return f"{begin}, one in {scheduler.reduction_factor} goes on"
