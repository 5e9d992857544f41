"""`isthmus compare`: a search's ranking or an ablation's comparisons, with intervals."""

import shlex
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.terminal import (
    AsJson,
    Traceback,
    command,
    out,
    print_comparison,
    print_json,
    print_table,
)
from isthmus.core.errors import ConfigError
from isthmus.report.ablation.files import PAGE_FILE as ABLATION_PAGE
from isthmus.report.ablation.tables import ablation_tables
from isthmus.report.comparison_view import SavedComparison, kept_comparison
from isthmus.report.study_files import PAGE_FILE
from isthmus.report.study_summary import study_tables
from isthmus.study.ablation.place import ABLATION_FILE, EXPERIMENT_FILE, RECORD_FILE
from isthmus.study.ablation.result_json import RESULT_FILE, read_result, result_to_json
from isthmus.study.budget import wall_seconds
from isthmus.study.ranking import summarise_study
from isthmus.study.record_json import STUDY_FILE, read_study, study_to_json
from isthmus.study.records import StudyResult
from isthmus.study.search import SEARCH_FILE, read_search, storage_of

RUNS = Path("runs")
DEFAULT_LIMIT = 20

Study = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="Folder of a search or an ablation, or its name below ./runs."
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, metavar="N", help=f"Most rows of a table; default {DEFAULT_LIMIT}."
    ),
]


@command
def compare(
    study: Study,
    limit: Limit = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Show all tables of a search (ranking, Pareto front, importance, cost) or an ablation."""
    if as_json and limit is not None:
        raise ConfigError(
            "--limit is for tables: --json leaves nothing out. Leave one of them out."
        )
    folder = find_study(study)
    if (folder / RECORD_FILE).exists() or (folder / RESULT_FILE).exists():
        show_ablation(folder, limit or DEFAULT_LIMIT, as_json)
        return
    result = load_study(folder)
    kept = kept_comparison(folder)
    if as_json:
        said = {"directory": str(folder), "comparison": comparison_json(kept)}
        print_json({**study_to_json(result), **said})
        return
    show_study(result, limit or DEFAULT_LIMIT)
    if (folder / PAGE_FILE).exists():
        out.print(f"figures       {folder / PAGE_FILE}", markup=False)
    if kept is not None:
        print_comparison(kept, kept.tracking_uri)


def comparison_json(saved: SavedComparison | None) -> dict[str, str | None] | None:
    """Say for scripts where a search's trials are compared.

    Parameters
    ----------
    saved : SavedComparison or None
        Where the comparison is.

    Returns
    -------
    dict or None
        The tracking store, the route behind the address of MLflow's server, and the whole address
        where the store is a server; None where no comparison was saved.
    """
    if saved is None:
        return None
    return {
        "tracking_uri": saved.tracking_uri,
        "route": saved.route,
        "address": saved.address,
    }


def find_study(study: str) -> Path:
    """Find a study's folder.

    Parameters
    ----------
    study : str
        A folder, or the name of one below ``./runs``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError
        If there is none; the message names those that there are.
    """
    for folder in (Path(study), RUNS / study):
        if folder.is_dir():
            return folder
    kinds = (SEARCH_FILE, STUDY_FILE, RECORD_FILE)
    files = (file for name in kinds for file in RUNS.glob(f"*/{name}"))
    known = sorted({file.parent.name for file in files})
    close = get_close_matches(study, known, n=1)
    advice = (
        f"Did you mean {close[0]!r}?"
        if close
        else f"Below {RUNS}: {', '.join(known[-5:]) or 'none'}. Give the folder's path."
    )
    raise ConfigError(
        f"STUDY must be the folder of a search or an ablation, or the name of one below ./{RUNS}, "
        f"but there is no {study!r}. {advice}"
    )


def show_ablation(folder: Path, limit: int, as_json: bool) -> None:
    """Print an ablation's tables, as its last sitting left them.

    Parameters
    ----------
    folder : Path
        Of the ablation.
    limit : int
        Most rows of a table.
    as_json : bool
        Print the whole record instead.

    Raises
    ------
    ConfigError
        If no sitting has come to its end yet, or the record cannot be read.
    """
    if not (folder / RESULT_FILE).exists():
        files = (str(folder / EXPERIMENT_FILE), str(folder / ABLATION_FILE))
        again = " ".join(map(shlex.quote, files))
        raise ConfigError(
            f"{folder}: an ablation's tables are written when a sitting ends, but none has ended "
            f"yet. `isthmus ablate {again} --plan` says how far it is; without --plan it goes on."
        )
    result = read_result(folder)
    if as_json:
        print_json({**result_to_json(result), "directory": str(folder)})
        return
    for table in ablation_tables(result, limit):
        print_table(table)
    if (folder / ABLATION_PAGE).exists():
        out.print(f"report  {folder / ABLATION_PAGE}", markup=False)


def load_study(folder: Path) -> StudyResult:
    """Read how a study stands, also while its search runs.

    Parameters
    ----------
    folder : Path
        The folder of a search.

    Returns
    -------
    StudyResult
        From the study itself. P-values that are adjusted for having picked the best trial are
        those of the last sitting's end, if they are of the same trials.

    Raises
    ------
    ConfigError
        If the folder is none of a search.
    StudyError
        If the study is kept in a database that is not to be had.
    """
    if not (folder / SEARCH_FILE).exists():
        return read_study(folder)  # a record that was put there, of a search elsewhere
    # Optuna takes seconds to import.
    from isthmus.backends.optuna_study import open_ledger  # noqa: PLC0415

    kept = read_search(folder)
    storage = storage_of(kept.experiment, folder)
    with open_ledger(storage, kept.study_name) as ledger:
        name = kept.experiment.config.name
        now = summarise_study(
            folder.name, kept.study_id, name, kept.space, ledger, wall_seconds(ledger)
        )
    if not (folder / STUDY_FILE).exists():
        return now
    before = read_study(folder)
    same = _finished(before) == _finished(now)
    return replace(now, selection=before.selection if same else None)


def _finished(result: StudyResult) -> set[int]:
    """List the trials that finished."""
    return {record.number for record in result.trials if record.state == "finished"}


def show_study(result: StudyResult, limit: int = DEFAULT_LIMIT) -> None:
    """Print a study's tables for people.

    Parameters
    ----------
    result : StudyResult
        A study as it stands.
    limit : int
        Most rows of a table of trials.
    """
    for table in study_tables(result, limit):
        print_table(table)
