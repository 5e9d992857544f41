"""`isthmus check`: resolve and validate files, show what they mean and what they cost."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from isthmus.backends.worker_share import check_workers
from isthmus.cli.terminal import (
    AblationOverrides,
    AsJson,
    GatesOverrides,
    Overrides,
    SpaceOverrides,
    Traceback,
    command,
    out,
    override,
    print_json,
    print_table,
)
from isthmus.config.ablation.design import AblationConfig
from isthmus.config.ablation.load import is_ablation, load_ablation
from isthmus.config.load import Experiment, load_experiment, read_yaml
from isthmus.config.promotion.gates import PromotionConfig
from isthmus.config.promotion.load import is_gates, load_gates
from isthmus.config.search_first import first_points
from isthmus.config.search_load import is_space, load_space
from isthmus.config.search_size import size_of_grid
from isthmus.config.search_space import SearchSpace
from isthmus.core.errors import ConfigError
from isthmus.promotion.words import asked_table
from isthmus.report.ablation.plan_tables import question_tables
from isthmus.report.space_tables import dimensions_table, search_table
from isthmus.report.summary import facts_table
from isthmus.report.table import Table
from isthmus.trial.preview import Preview, preview

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="Experiments, search spaces, ablations and gates; a space or an ablation is checked "
        "against the experiment before it.",
    ),
]
Language = SearchSpace | AblationConfig | PromotionConfig
Checked = tuple[Path, Preview | Language, Experiment | None]
_WHAT = {
    "--set": "an experiment",
    "--space-set": "a search space",
    "--ablation-set": "an ablation",
    "--gates-set": "gates",
}


@command
def check(
    files: Files,
    overrides: Overrides = None,
    space_overrides: SpaceOverrides = None,
    ablation_overrides: AblationOverrides = None,
    gates_overrides: GatesOverrides = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Resolve and validate experiments, search spaces, ablations and gates; show what they mean."""
    given = {
        "--set": override(overrides),
        "--space-set": space_overrides or [],
        "--ablation-set": ablation_overrides or [],
        "--gates-set": gates_overrides or [],
    }
    checked = _check(files, given)
    if as_json:
        print_json([_to_json(*one) for one in checked])
        return
    for file, found, experiment in checked:
        if isinstance(found, Language):
            against = "" if experiment is None else f"  for {experiment.config.name}"
            out.print(f"[bold]{file}[/]  {escape(found.name + against)}")
            for table in _tables(found):
                print_table(table)
            continue
        out.print(f"[bold]{file}[/]  digest {found.digest}")
        print_table(facts_table(found.facts))
        for note in found.notes:
            out.print(f"note: {note}", markup=False)


def _check(files: list[Path], given: dict[str, list[str]]) -> list[Checked]:
    """Load every file, spaces and ablations against the last experiment before them; preview."""
    options = [_option(file) for file in files]
    for option, overrides in given.items():
        if overrides and option not in options:
            raise ConfigError(
                f"{option}: must be for {_WHAT[option]}, but none is among the files."
            )
    base: Experiment | None = None
    loaded: list[tuple[Path, Experiment | Language, Experiment | None]] = []
    for file, option in zip(files, options, strict=True):
        against = None if base is None else base.config
        if option == "--space-set":
            loaded.append((file, load_space(file, against, given[option]), base))
        elif option == "--ablation-set":
            loaded.append((file, load_ablation(file, against, given[option]), base))
        elif option == "--gates-set":
            loaded.append((file, load_gates(file, given[option]), None))
        else:
            base = load_experiment(file, given[option])
            check_workers(base.config.execution)
            loaded.append((file, base, base))
    return [
        (file, preview(found) if isinstance(found, Experiment) else found, base)
        for file, found, base in loaded
    ]


def _option(file: Path) -> str:
    """Tell a file's language by the option that overrides it."""
    content = read_yaml(file)
    if is_space(content):
        return "--space-set"
    if is_gates(content):
        return "--gates-set"
    return "--ablation-set" if is_ablation(content) else "--set"


def _tables(found: Language) -> tuple[Table, ...]:
    """Show a space or an ablation."""
    if isinstance(found, AblationConfig):
        return question_tables(found)
    if isinstance(found, PromotionConfig):
        return (asked_table(found),)
    return dimensions_table(found), search_table(found)


def _to_json(file: Path, found: Preview | Language, base: Experiment | None) -> dict[str, Any]:
    """Turn what was found into JSON-serialisable values."""
    if isinstance(found, Preview):
        return {"file": str(file), **found.to_json()}
    if isinstance(found, AblationConfig):
        return {
            "file": str(file),
            "ablation": found.model_dump(mode="json"),
            "experiment": None if base is None else base.config.name,
        }
    if isinstance(found, PromotionConfig):
        return {"file": str(file), "gates": found.model_dump(mode="json")}
    points = None if base is None else first_points(found, base.config)
    return {
        "file": str(file),
        "search": found.model_dump(mode="json"),
        "size_of_grid": size_of_grid(found),
        "experiment": None if base is None else base.config.name,
        "first_points": points,
    }
