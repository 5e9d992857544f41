"""`isthmus search`: many trials of one experiment, chosen, scheduled, resumable, published."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from isthmus.backends.device_memory import device_memory
from isthmus.backends.submitted_job import require_lasting_places
from isthmus.backends.tracking_uri import shown
from isthmus.backends.worker_share import check_trials, share_out_trials
from isthmus.cli.compare import comparison_json, show_study
from isthmus.cli.search_progress import SearchProgress
from isthmus.cli.terminal import (
    Address,
    AsJson,
    ExperimentFile,
    Overrides,
    SpaceOverrides,
    Traceback,
    TrackingUri,
    command,
    err,
    out,
    override,
    print_comparison,
    print_json,
)
from isthmus.config.load import Experiment, load_experiment
from isthmus.config.search_first import first_points
from isthmus.config.search_load import load_space
from isthmus.config.search_space import SearchSpace
from isthmus.core.errors import DiskFull
from isthmus.core.ports import RunStore
from isthmus.core.seeds import derive_seed
from isthmus.report.comparison_view import (
    SavedComparison,
    comparison_view,
    keep_comparison,
    kept_comparison,
)
from isthmus.report.outbox import Outbox
from isthmus.report.run_naming import plain_params
from isthmus.report.study_files import PAGE_FILE, SUMMARY_FILE, write_study_files
from isthmus.report.study_publish import StudyPublisher
from isthmus.report.study_tracking import StudyTracking
from isthmus.study.director import Director
from isthmus.study.events import StudyListener
from isthmus.study.feasibility import why_not
from isthmus.study.judge import levels_of
from isthmus.study.ledger import Ledger
from isthmus.study.patience import PatientLedger
from isthmus.study.prospects import Prospects
from isthmus.study.record_json import study_to_json
from isthmus.study.records import Objective, StudyResult
from isthmus.study.search import (
    EXPERIMENT_FILE,
    SEARCH_FILE,
    SPACE_FILE,
    PreparedSearch,
    prepare_search,
    storage_of,
)
from isthmus.study.standing import standing_of
from isthmus.study.stopper import NeverStop, Stopper
from isthmus.training.lock import lock_folder
from isthmus.trial.events import tell_all
from isthmus.trial.run import load_trial

FAILED_TRIALS_EXIT_CODE = 4

SpaceFile = Annotated[
    Path, typer.Argument(metavar="SPACE", help="A file such as those in search_spaces/.")
]
Fork = Annotated[
    bool, typer.Option("--fork", help="Begin another search where one that differs is there.")
]


@dataclass(frozen=True)
class Searched:
    """A search that came to an end, or to where it goes on later.

    Attributes
    ----------
    result : StudyResult
        How it stands.
    folder : Path
        The search's folder.
    why_halted : str or None
        Why it ended before its number of trials was reached.
    is_unfinished : bool
        Whether trials were begun that are not over.
    run_id : str
        The study's run in MLflow.
    tracking_uri : str
        MLflow's address.
    """

    result: StudyResult
    folder: Path
    why_halted: str | None
    is_unfinished: bool
    run_id: str
    tracking_uri: str


@command
def search(
    experiment_file: ExperimentFile,
    space_file: SpaceFile,
    overrides: Overrides = None,
    space_overrides: SpaceOverrides = None,
    fork: Fork = False,
    tracking_uri: TrackingUri = None,
    address: Address = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Search a space of settings; continue a search where it stopped, to its total of trials."""
    experiment = load_experiment(experiment_file, override(overrides, tracking_uri, address))
    space = load_space(space_file, experiment.config, space_overrides or ())
    searched = run_search(experiment, space, fork)
    show_searched(searched, as_json)
    states = {record.state for record in searched.result.trials}
    if "failed" in states:
        raise typer.Exit(FAILED_TRIALS_EXIT_CODE)


def run_search(experiment: Experiment, space: SearchSpace, fork: bool = False) -> Searched:
    """Run a search with progress on the terminal and results in MLflow.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings; the cohort must be ingested.
    space : SearchSpace
        Checked against the experiment.
    fork : bool
        Begin another search beside one of the name that differs.

    Returns
    -------
    Searched
        How it stands.

    Raises
    ------
    IsthmusError
        If inputs cannot be used, Ray, the study or MLflow is not to be had, or the search is not
        the one that was begun. Nothing of what was done is lost by any of them.
    """
    # MLflow, Ray and Optuna take seconds to import: only what is used is.
    from isthmus.backends.mlflow_store import MlflowRunStore  # noqa: PLC0415
    from isthmus.backends.optuna_search import OptunaLedger  # noqa: PLC0415

    config = experiment.config
    check_trials(config.execution)
    require_lasting_places(experiment)
    prepared = prepare_search(experiment, space, fork)
    storage = storage_of(experiment, prepared.folder)
    seed = derive_seed(config.seed, "search")
    first = first_points(space, config)
    with ExitStack() as held:
        held.enter_context(lock_folder(prepared.folder))
        kept = OptunaLedger(storage, prepared.study_name, space, seed, first)
        held.enter_context(kept)
        ledger = PatientLedger(kept, lambda line: err.print(line, markup=False))
        standing = partial(standing_of, prepared, ledger)
        publisher = _publisher(MlflowRunStore(experiment.tracking_uri), prepared)
        outbox = held.enter_context(Outbox(lambda line: err.print(line, markup=False)))
        held.callback(lambda: outbox.post(publisher.close))
        tracking = StudyTracking(publisher, outbox, standing)
        tracking.open()
        outbox.post(partial(_save_view, publisher, prepared), owner="view")
        tracking.take_up(ledger.trials(), experiment.output)
        director = _run_trials(prepared, ledger, tracking)
        if director.disk_full is not None:
            raise DiskFull(director.disk_full)
        result = standing(whole=True)
        files = write_study_files(result, prepared.folder)
        summary = (prepared.folder / SUMMARY_FILE).read_text(encoding="utf-8")
        tracking.finish(files, summary, succeeded=not director.is_interrupted)
    return Searched(
        result,
        prepared.folder,
        director.why_halted,
        director.is_interrupted,
        publisher.run_id or "",
        experiment.tracking_uri,
    )


def show_searched(searched: Searched, as_json: bool) -> None:
    """Print the ranking of a search and the next command to type.

    Parameters
    ----------
    searched : Searched
        How it stands.
    as_json : bool
        Print JSON on stdout instead.
    """
    where = shown(searched.tracking_uri)
    kept = kept_comparison(searched.folder)
    if as_json:
        print_json(
            {
                **study_to_json(searched.result),
                "directory": str(searched.folder),
                "why_halted": searched.why_halted,
                "is_unfinished": searched.is_unfinished,
                "mlflow_run_id": searched.run_id,
                "tracking_uri": where,
                "comparison": comparison_json(kept),
            }
        )
        return
    show_study(searched.result)
    out.print(f"figures       {searched.folder / PAGE_FILE}", markup=False)
    print_comparison(kept, where)
    if searched.why_halted is not None:
        out.print(f"ended early   {searched.why_halted}", markup=False)
    elif searched.is_unfinished:
        out.print("unfinished    some trials are not over; the same command goes on", markup=False)


def _run_trials(prepared: PreparedSearch, ledger: Ledger, tell: StudyListener) -> Director:
    """Run what is left of the search on Ray."""
    from isthmus.backends.ray_session import cluster_nodes, ray_session  # noqa: PLC0415
    from isthmus.backends.ray_tune import TuneExecutor  # noqa: PLC0415

    trial, space = prepared.trial, prepared.space
    execution = trial.experiment.config.execution
    with ExitStack() as held:
        held.enter_context(ray_session(execution.address))
        share = share_out_trials(execution, cluster_nodes())
        memory = device_memory(execution, share)
        prospects = Prospects(
            trial,
            space,
            share.settings,
            lambda config: why_not(config, trial.store.grid, execution.workers, memory),
        )
        progress = held.enter_context(SearchProgress(err, space, ledger.trials()))
        director = Director(
            space,
            ledger,
            prospects,
            _stopper(prepared),
            share.n_trials,
            lambda folder: load_trial(trial.experiment.output / folder),
            tell_all(progress, tell),
            share.gpus,
        )
        try:
            TuneExecutor(share, prepared.folder).run(director)
        finally:
            director.close()
    return director


def _stopper(prepared: PreparedSearch) -> Stopper:
    """Make the scheduler that the space asks for."""
    space, config = prepared.space, prepared.trial.experiment.config
    if space.scheduler.kind == "none":
        return NeverStop()
    from isthmus.backends.ray_stopper import RayStopper  # noqa: PLC0415

    n_levels = levels_of(space, config.training.epochs, len(prepared.trial.split.folds))
    by_epoch = space.scheduler.unit == "epoch"
    direction = "minimize" if by_epoch else space.objectives[0].direction
    return RayStopper(space.scheduler, direction, n_levels, config.seed)


def _save_view(publisher: StudyPublisher, prepared: PreparedSearch) -> None:
    """Have MLflow's pages list the comparison of the trials, and note where it is."""
    space = prepared.space
    sought = [Objective(each.metric, each.direction) for each in space.objectives]
    view = comparison_view(prepared.folder.name, prepared.study_id, sought, space.space)
    where = shown(prepared.trial.experiment.tracking_uri)
    saved = SavedComparison(where, publisher.save_view(view), view.key)
    keep_comparison(saved, prepared.folder)


def _publisher(store: RunStore, prepared: PreparedSearch) -> StudyPublisher:
    """Describe the study's run."""
    config, folder = prepared.trial.experiment.config, prepared.folder
    params = plain_params(prepared.identity)
    tags = {"isthmus.study": folder.name, "isthmus.study_id": prepared.study_id}
    files = [folder / name for name in (EXPERIMENT_FILE, SPACE_FILE, SEARCH_FILE)]
    return StudyPublisher(store, folder.name, prepared.study_id, config.name, params, tags, files)
