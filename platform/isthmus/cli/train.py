"""`isthmus train`: one trial, cross-validated, resumable, published."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import typer

from isthmus.backends.submitted_job import require_lasting_places
from isthmus.backends.tracking_uri import shown
from isthmus.backends.worker_share import check_workers
from isthmus.cli.progress import TrialProgress
from isthmus.cli.runner import task_runner
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
    print_table,
)
from isthmus.config.load import Experiment, load_experiment
from isthmus.report.fold_files import draw_pictures
from isthmus.report.outbox import Outbox
from isthmus.report.publish import TrackingPublisher, opened_in
from isthmus.report.summary import summary_tables
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.events import TrialEvent, TrialFinished, tell_all
from isthmus.trial.records import TrialResult
from isthmus.trial.run import Launcher, run_trial

FAILED_FOLDS_EXIT_CODE = 4


@dataclass(frozen=True)
class Trained:
    """A trial that was run, and where it went.

    Attributes
    ----------
    result : TrialResult
        What came out.
    directory : Path
        The trial's folder.
    run_id : str
        The parent run in MLflow.
    tracking_uri : str
        MLflow's address.
    """

    result: TrialResult
    directory: Path
    run_id: str
    tracking_uri: str


@command
def train(
    experiment_file: ExperimentFile,
    overrides: Overrides = None,
    tracking_uri: TrackingUri = None,
    address: Address = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Run one trial: folds, controls, embeddings, strata; continue it where it stopped."""
    experiment = load_experiment(experiment_file, override(overrides, tracking_uri, address))
    trained = run_and_publish(experiment)
    show_trained(trained, as_json)
    if not trained.result.succeeded:
        raise typer.Exit(FAILED_FOLDS_EXIT_CODE)


def run_and_publish(experiment: Experiment) -> Trained:
    """Run a trial with progress on the terminal and results in MLflow.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings; the cohort must be ingested.

    Returns
    -------
    Trained
        The result and where it is.

    Raises
    ------
    StoreUnavailable
        If MLflow stayed away for longer than there is patience; training has not waited for it.
    IsthmusError
        As `isthmus.trial.run.run_trial`, or as MLflow refused what it was given.
    """
    check_workers(experiment.config.execution)
    require_lasting_places(experiment)
    # MLflow and Ray take seconds to import: only what is used is.
    from isthmus.backends.mlflow_store import MlflowRunStore  # noqa: PLC0415

    publisher = TrackingPublisher(opened_in(MlflowRunStore(experiment.tracking_uri)))
    directory = experiment.output

    def remember(event: TrialEvent) -> None:
        nonlocal directory
        if isinstance(event, TrialFinished):
            directory = event.directory

    with ExitStack() as open_things:
        outbox = open_things.enter_context(Outbox(lambda line: err.print(line, markup=False)))
        open_things.callback(lambda: outbox.post(publisher.close))
        publish = outbox.listener(publisher)
        launcher = launcher_for(experiment, open_things)
        runner = task_runner(experiment.config.execution, open_things)
        progress = open_things.enter_context(TrialProgress(err))
        tell = tell_all(outbox.require_sound, progress, draw_pictures, publish, remember)
        result = run_trial(experiment, launcher, tell, runner)
    return Trained(result, directory, publisher.run_id or "", experiment.tracking_uri)


def show_trained(trained: Trained, as_json: bool) -> None:
    """Print the tables of a trial and the next command to type.

    Parameters
    ----------
    trained : Trained
        What was run.
    as_json : bool
        Print JSON on stdout instead.
    """
    if as_json:
        content = trained.result.to_json()
        print_json(
            {
                **content,
                "directory": str(trained.directory),
                "mlflow_run_id": trained.run_id,
                "tracking_uri": shown(trained.tracking_uri),
            }
        )
        return
    for table in summary_tables(trained.result):
        print_table(table)
    out.print(f"results       {trained.directory}", markup=False)
    for fold in trained.result.folds[:1]:
        pictures = trained.directory / f"fold-{fold.number}" / "reconstructions"
        out.print(f"pictures      {pictures}", markup=False)
    uri = shown(trained.tracking_uri)
    view = uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {json.dumps(uri)}"
    out.print(f"compare runs  {view}", markup=False)


def launcher_for(experiment: Experiment, held: ExitStack) -> Launcher:
    """Choose where folds are trained: one worker in this process; several, or a cluster, on Ray.

    Parameters
    ----------
    experiment : Experiment
        Its `execution` decides.
    held : ExitStack
        Closes what is started.

    Returns
    -------
    TrainLauncher
        Ready.
    """
    execution = experiment.config.execution
    if execution.workers == 1 and execution.address is None:
        return InProcessLauncher()
    from isthmus.backends.ray_session import ray_session  # noqa: PLC0415
    from isthmus.backends.ray_train import RayTrainLauncher  # noqa: PLC0415

    held.enter_context(ray_session(execution.address))
    return RayTrainLauncher()
