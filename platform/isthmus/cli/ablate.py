"""`isthmus ablate`: arms of one experiment, paired, resumable, tested against each other."""

import shlex
from collections.abc import Callable
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
from isthmus.cli.ablate_progress import AblationProgress
from isthmus.cli.ablate_summary import show_verdicts
from isthmus.cli.terminal import (
    AblationOverrides,
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
    print_tracking,
)
from isthmus.config.ablation.design import AblationConfig
from isthmus.config.ablation.load import is_ablation, load_ablation
from isthmus.config.load import Experiment, load_experiment, read_yaml
from isthmus.config.search_load import is_space
from isthmus.core.errors import ConfigError, DiskFull
from isthmus.report.ablation.files import PAGE_FILE, SUMMARY_FILE, write_ablation_files
from isthmus.report.ablation.plan_tables import plan_tables, plan_to_json
from isthmus.report.ablation.publish import AblationPublisher, failed_arms
from isthmus.report.ablation.tracking import AblationTracking
from isthmus.report.outbox import Outbox
from isthmus.report.run_naming import legal_name, plain_params
from isthmus.study.ablation.board import Board
from isthmus.study.ablation.conclude import conclude
from isthmus.study.ablation.cost import estimate_cost
from isthmus.study.ablation.director import AblationDirector, Conditions
from isthmus.study.ablation.events import AblationListener
from isthmus.study.ablation.findings import AblationResult
from isthmus.study.ablation.place import keep_place, place_of
from isthmus.study.ablation.plan import PreparedAblation, prepare_ablation
from isthmus.study.ablation.progress import read_progress
from isthmus.study.ablation.records import AblationPlan
from isthmus.study.ablation.result_json import result_to_json
from isthmus.training.lock import lock_folder
from isthmus.trial.events import tell_all

FAILED_ARMS_EXIT_CODE = 4

AblationFile = Annotated[
    Path, typer.Argument(metavar="ABLATION", help="A file such as those in ablations/.")
]
PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Show what would be run, and start nothing.")
]
Fork = Annotated[
    bool, typer.Option("--fork", help="Begin another ablation where one that differs is there.")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try again what failed in an earlier sitting.")
]


@dataclass(frozen=True)
class Ablated:
    """An ablation that came to an end, or to where it goes on later.

    Attributes
    ----------
    result : AblationResult
        What it found.
    folder : Path
        The ablation's folder.
    why_halted : str or None
        Why it ended before its end.
    is_unfinished : bool
        Whether something is left to be done.
    run_id : str
        The ablation's run in MLflow.
    tracking_uri : str
        MLflow's address.
    """

    result: AblationResult
    folder: Path
    why_halted: str | None
    is_unfinished: bool
    run_id: str
    tracking_uri: str


@command
def ablate(
    experiment_file: ExperimentFile,
    ablation_file: AblationFile,
    plan_only: PlanOnly = False,
    overrides: Overrides = None,
    ablation_overrides: AblationOverrides = None,
    fork: Fork = False,
    retry_failed: RetryFailed = False,
    tracking_uri: TrackingUri = None,
    address: Address = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Run the arms of an ablation, continue where it stopped, and say what differs."""
    _require_order(experiment_file, ablation_file)
    experiment = load_experiment(experiment_file, override(overrides, tracking_uri, address))
    ablation = load_ablation(ablation_file, experiment.config, ablation_overrides or ())
    if plan_only:
        show_plan(experiment, ablation, fork, as_json)
        return
    ablated = run_ablation(experiment, ablation, fork, retry_failed)
    show_ablated(ablated, as_json)
    if failed_arms(ablated.result):
        raise typer.Exit(FAILED_ARMS_EXIT_CODE)


def _require_order(experiment_file: Path, ablation_file: Path) -> None:
    """Refuse files given the other way round: each of their settings would be complained of."""
    if is_ablation(read_yaml(experiment_file)):
        raise ConfigError(
            f"EXPERIMENT must be an experiment's file, but {experiment_file} is an ablation. Type "
            "isthmus ablate EXPERIMENT ABLATION, in this order."
        )
    content = read_yaml(ablation_file)
    if not is_ablation(content) and ("cohort" in content or is_space(content)):
        what = "a search space" if is_space(content) else "an experiment"
        raise ConfigError(
            f"ABLATION must be a file such as those in ablations/, but {ablation_file} is {what}."
        )


def show_plan(experiment: Experiment, ablation: AblationConfig, fork: bool, as_json: bool) -> None:
    """Print what an ablation would run; nothing is started or written.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings; the cohort must be ingested.
    ablation : AblationConfig
        What is asked.
    fork : bool
        Whether it would begin another ablation beside one of the name that differs.
    as_json : bool
        Print JSON on stdout instead.
    """
    prepared = prepare_ablation(experiment, ablation)
    folder = place_of(experiment, prepared, fork)
    progress = read_progress(prepared.plan, experiment.output, folder)
    cost = estimate_cost(prepared)
    if as_json:
        content = plan_to_json(prepared.plan, progress, cost)
        print_json({**content, "directory": str(folder)})
        return
    for table in plan_tables(ablation, prepared.plan, progress, cost):
        print_table(table)
    out.print(f"to be kept in  {folder}", markup=False)


def run_ablation(
    experiment: Experiment, ablation: AblationConfig, fork: bool = False, retry_failed: bool = False
) -> Ablated:
    """Run an ablation with progress on the terminal and results in MLflow.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings; the cohort must be ingested.
    ablation : AblationConfig
        Checked against the experiment.
    fork : bool
        Begin another ablation beside one of the name that differs.
    retry_failed : bool
        Try again what failed in an earlier sitting.

    Returns
    -------
    Ablated
        What it found.

    Raises
    ------
    IsthmusError
        If inputs cannot be used, Ray or MLflow is not to be had, or the ablation is not the one
        that was begun. Nothing of what was done is lost by any of them.
    """
    # MLflow and Ray take seconds to import: only what is used is.
    from isthmus.backends.mlflow_store import MlflowRunStore  # noqa: PLC0415

    check_trials(experiment.config.execution)
    require_lasting_places(experiment)
    prepared = prepare_ablation(experiment, ablation)
    folder = place_of(experiment, prepared, fork)
    with ExitStack() as held:
        held.enter_context(lock_folder(folder))
        files = keep_place(folder, experiment, ablation, prepared)
        params = {legal_name(k): v for k, v in plain_params(prepared.identity).items()}
        store = MlflowRunStore(experiment.tracking_uri)
        publisher = AblationPublisher(store, folder.name, prepared.plan, params, files)
        outbox = held.enter_context(Outbox(lambda line: err.print(line, markup=False)))
        held.callback(lambda: outbox.post(publisher.close))
        tracking = AblationTracking(publisher, outbox)
        tracking.open()
        before = read_progress(prepared.plan, experiment.output, folder)
        tracking.take_up(prepared.plan, before, experiment.output)
        plan, why_halted = prepared.plan, None
        if not Board(plan, experiment.output, folder, retry_failed).is_complete:
            again = partial(prepare_ablation, experiment, ablation)
            plan, why_halted = _run_folds(experiment, again, folder, retry_failed, tracking)
        board = Board(plan, experiment.output, folder)
        result = conclude(
            plan, board.progress, experiment.output, ablation.contrasts, ablation.inference
        )
        report = write_ablation_files(result, experiment.output, folder)
        summary = (folder / SUMMARY_FILE).read_text(encoding="utf-8")
        tracking.finish(result, report, summary, succeeded=board.is_complete)
    return Ablated(
        result,
        folder,
        why_halted,
        not board.is_complete,
        publisher.run_id or "",
        experiment.tracking_uri,
    )


def show_ablated(ablated: Ablated, as_json: bool) -> None:
    """Print what an ablation found and the next command to type.

    Parameters
    ----------
    ablated : Ablated
        What it found.
    as_json : bool
        Print JSON on stdout instead.
    """
    where, result = shown(ablated.tracking_uri), ablated.result
    if as_json:
        print_json(
            {
                **result_to_json(result),
                "directory": str(ablated.folder),
                "failed_arms": list(failed_arms(result)),
                "why_halted": ablated.why_halted,
                "is_unfinished": ablated.is_unfinished,
                "mlflow_run_id": ablated.run_id,
                "tracking_uri": where,
            }
        )
        return
    show_verdicts(result)
    out.print(f"report        {ablated.folder / PAGE_FILE}", markup=False)
    out.print(f"all tables    isthmus compare {shlex.quote(str(ablated.folder))}", markup=False)
    print_tracking(where)
    if failed_arms(result):
        failed = ", ".join(failed_arms(result))
        out.print(f"failed        {failed}; --retry-failed tries again", markup=False)
    if ablated.why_halted is not None:
        out.print(f"ended early   {ablated.why_halted}", markup=False)
    elif ablated.is_unfinished:
        out.print("unfinished    some folds are not done; the same command goes on", markup=False)


def _run_folds(
    experiment: Experiment,
    prepare: Callable[..., PreparedAblation],
    folder: Path,
    retry_failed: bool,
    tell: AblationListener,
) -> tuple[AblationPlan, str | None]:
    """Run what is left on Ray; return the plan for its machines, and why it ended early."""
    from isthmus.backends.ray_session import cluster_nodes, ray_session  # noqa: PLC0415
    from isthmus.backends.ray_tune import TuneExecutor  # noqa: PLC0415

    execution = experiment.config.execution
    with ExitStack() as held:
        held.enter_context(ray_session(execution.address))
        share = share_out_trials(execution, cluster_nodes())
        # once more: what fits into the memory is known only now
        prepared = prepare(device_memory(execution, share), share.settings)
        plan = prepared.plan
        before = read_progress(plan, experiment.output, folder)
        progress = held.enter_context(AblationProgress(err, plan, before, share.n_trials))
        director = AblationDirector(
            plan,
            prepared.experiments,
            experiment.output,
            folder,
            Conditions(share.n_trials, execution.max_failures, share.gpus, retry_failed),
            tell_all(progress, tell),
        )
        TuneExecutor(share, folder).run(director)
    if director.disk_full is not None:
        raise DiskFull(director.disk_full)
    return plan, director.why_halted
