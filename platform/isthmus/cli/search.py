"""`isthmus search`: many trials of one experiment, chosen, scheduled, resumable, published."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.compare import show_study
from isthmus.cli.search_progress import SearchProgress
from isthmus.cli.terminal import (
    Address,
    AsJson,
    ExperimentFile,
    Overrides,
    Traceback,
    TrackingUri,
    command,
    err,
    out,
    override,
    print_json,
)
from isthmus.config.load import Experiment, load_experiment
from isthmus.config.search_first import first_points
from isthmus.config.search_load import load_space
from isthmus.config.search_space import SearchSpace
from isthmus.core.seeds import derive_seed
from isthmus.report.study_files import write_study_files
from isthmus.study.director import Director
from isthmus.study.events import tell_all
from isthmus.study.ranking import summarise_study
from isthmus.study.record_json import study_to_json
from isthmus.study.records import StudyResult
from isthmus.study.search import PreparedSearch, prepare_search
from isthmus.study.significance import adjust_study
from isthmus.training.lock import lock_folder

FAILED_TRIALS_EXIT_CODE, INTERRUPTED_EXIT_CODE = 4, 130

SpaceFile = Annotated[
    Path, typer.Argument(metavar="SPACE", help="A file such as those in search_spaces/.")
]
SpaceOverrides = Annotated[
    list[str] | None,
    typer.Option(
        "--space-set", metavar="PATH=VALUE", help="Override the space, such as budget.n_trials=4."
    ),
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
    """
    # MLflow, Ray and Optuna take seconds to import: only what is used is.
    from isthmus.backends.mlflow_store import MlflowRunStore  # noqa: PLC0415
    from isthmus.backends.optuna_search import OptunaLedger  # noqa: PLC0415
    from isthmus.backends.ray_session import require_lasting  # noqa: PLC0415

    execution = experiment.config.execution
    check_trials(execution)
    require_lasting(experiment.output, "execution.output")
    prepared = prepare_search(experiment, space, fork)
    storage = execution.study_storage or f"sqlite:///{prepared.folder / 'study.db'}"
    first = first_points(space, experiment.config)
    seed = derive_seed(experiment.config.seed, "search")
    with ExitStack() as held:
        held.enter_context(lock_folder(prepared.folder))
        ledger = held.enter_context(
            OptunaLedger(storage, prepared.study_name, space, seed, first)
        )
        tracking = StudyTracking(
            MlflowRunStore(experiment.tracking_uri), prepared, lambda line: err.print(line)
        )
        held.callback(tracking.abandon)
        director = _run_trials(prepared, ledger, tracking)
        result = _summary(prepared, ledger, director.wall_seconds)
        files = write_study_files(result, prepared.folder)
        tracking.finish(result, files, succeeded=not director.is_interrupted)
    return Searched(
        result,
        prepared.folder,
        director.why_halted,
        director.is_interrupted,
        tracking.run_id,
        experiment.tracking_uri,
    )


def _run_trials(
    prepared: PreparedSearch, ledger: Ledger, tracking: StudyTracking
) -> Director:
    """Run what is left of the search on Ray."""
    from isthmus.backends.ray_session import cluster_nodes, ray_session  # noqa: PLC0415
    from isthmus.backends.ray_stopper import RayStopper  # noqa: PLC0415
    from isthmus.backends.ray_tune import TuneExecutor  # noqa: PLC0415

    space, trial = prepared.space, prepared.trial
    config = trial.experiment.config
    with ExitStack() as held:
        held.enter_context(ray_session(config.execution.address))
        share = share_out_trials(config.execution, cluster_nodes())
        memory = device_memory(config.execution, share)
        prospects = Prospects(
            trial,
            space,
            {"threads_per_worker": share.worker.threads, "stratification_workers": 1},
            lambda settings: why_not(
                settings, trial.store.grid, settings.execution.workers, memory
            ),
        )
        stopper: Stopper = NeverStop()
        if space.scheduler.kind != "none":
            n_levels = levels_of(space, config, len(trial.split.folds))
            direction = space.objectives[0].direction
            stopper = RayStopper(space.scheduler, direction, n_levels, config.seed)
        progress = held.enter_context(SearchProgress(err, space, *standing(ledger.trials(), space)))
        director = Director(
            space,
            ledger,
            prospects,
            stopper,
            share.n_trials,
            lambda folder: load_trial(trial.experiment.output / folder),
            tell_all(progress, tracking),
            share.gpus,
        )
        try:
            TuneExecutor(share, prepared.folder).run(director)
        finally:
            director.close()
    return director
