"""`isthmus promote`: gates, choice, lockbox, and a model in the registry, or a refusal."""

import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from isthmus.backends.tracking_uri import shown
from isthmus.cli.compare import find_study, load_study
from isthmus.cli.progress import TrialProgress
from isthmus.cli.terminal import (
    AsJson,
    GatesOverrides,
    Traceback,
    TrackingUri,
    command,
    err,
    out,
    print_json,
    print_table,
)
from isthmus.cli.train import launcher_for
from isthmus.config.promotion.load import load_gates
from isthmus.core.ports import RunReader
from isthmus.promotion.contest import Contest, contest_of_search, contest_of_trial
from isthmus.promotion.decision import DECISION_FILE, PromotionDecision, decision_to_json
from isthmus.promotion.evidence.latency import measure_latency
from isthmus.promotion.promote import FOLDER, Means, refusal_of
from isthmus.promotion.promote import promote as carry_out
from isthmus.promotion.publish import publish_decision
from isthmus.promotion.request import PromotionRequest
from isthmus.promotion.words import decision_tables, outcome_in_words
from isthmus.study.search import SEARCH_FILE
from isthmus.training.launch import InProcessLauncher
from isthmus.training.lock import lock_folder
from isthmus.trial.run import Launcher

Study = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="Folder of a search or a trial, or its name in ./runs."),
]
Gates = Annotated[
    str, typer.Option("--gates", metavar="NAME|FILE", help="standard, demo, or a YAML file.")
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Name in the registry; default: that of the experiment."),
]
Trial = Annotated[int | None, typer.Option("--trial", metavar="N", help="Judge this one alone.")]
Refit = Annotated[
    bool, typer.Option("--refit", help="Train once more, on all development subjects.")
]
Override = Annotated[
    str | None,
    typer.Option("--override", metavar="REASON", help="Go on although gates fail; recorded."),
]
Challenger = Annotated[
    bool, typer.Option("--challenger", help="Register it, but leave the champion where it is.")
]


@dataclass(frozen=True)
class Promoted:
    """A decision, and where it is.

    Attributes
    ----------
    decision : PromotionDecision
        Refused or not.
    folder : Path
        Where it is kept.
    tracking_uri : str
        Of the registry.
    """

    decision: PromotionDecision
    folder: Path
    tracking_uri: str


@command
def promote(
    study: Study,
    gates: Gates = "standard",
    gates_overrides: GatesOverrides = None,
    model: Model = None,
    trial: Trial = None,
    refit: Refit = False,
    override: Override = None,
    challenger: Challenger = False,
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Judge a study's trials by gates, look into the lockbox, register the one that passed."""
    folder = find_study(study)
    contest = open_contest(folder)
    request = PromotionRequest(
        gates=load_gates(gates, gates_overrides or ()),
        model=model or contest.experiment.config.name,
        trial=trial,
        refit=refit,
        override=override,
        challenger=challenger,
    )
    promoted = run_promotion(contest, request, tracking_uri)
    show_promoted(promoted, as_json)
    end_refused(promoted.decision, as_json)


def end_refused(decision: PromotionDecision, as_json: bool) -> None:
    """End the command with the reasons and exit code 3, if a decision is a refusal.

    Parameters
    ----------
    decision : PromotionDecision
        Refused or not.
    as_json : bool
        The decision is on stdout already, which stays one JSON document.

    Raises
    ------
    PromotionRefused
        If it is refused.
    typer.Exit
        The same, where stdout is JSON.
    """
    if decision.outcome != "refused":
        return
    error = refusal_of(decision)
    if not as_json:
        raise error
    err.print("[bold red]error:[/]", end=" ")
    err.print(str(error), markup=False)
    raise typer.Exit(error.exit_code)


def open_contest(folder: Path) -> Contest:
    """Read the finished trials of a search, or one trial.

    Parameters
    ----------
    folder : Path
        Of either.

    Returns
    -------
    Contest
        Among which a model is chosen.

    Raises
    ------
    ConfigError
        If the folder is neither, or nothing has finished.
    """
    if (folder / SEARCH_FILE).exists():
        return contest_of_search(folder, load_study(folder))
    return contest_of_trial(folder)


def run_promotion(
    contest: Contest,
    request: PromotionRequest,
    tracking_uri: str | None = None,
) -> Promoted:
    """Promote, with progress on the terminal and the decision in MLflow.

    Parameters
    ----------
    contest : Contest
        The finished trials.
    request : PromotionRequest
        What is asked for.
    tracking_uri : str, optional
        Of the registry; default: where the experiment is tracked.

    Returns
    -------
    Promoted
        The decision, refused or not.

    Raises
    ------
    IsthmusError
        As `isthmus.promotion.promote.promote`; or a search goes on in the folder.
    """
    # MLflow takes seconds to import: only what is used is.
    from isthmus.backends.mlflow_reader import MlflowRunReader  # noqa: PLC0415
    from isthmus.backends.mlflow_registry import MlflowModelRegistry  # noqa: PLC0415

    uri = tracking_uri or contest.experiment.tracking_uri
    with ExitStack() as held:
        held.enter_context(lock_folder(contest.folder))
        registry = MlflowModelRegistry(uri)
        reader: RunReader = MlflowRunReader(uri)
        progress = held.enter_context(TrialProgress(err))
        means = Means(
            registry=registry,
            reader=reader,
            launcher=_launcher(contest, request, held),
            measure=measure_latency,
            tell=lambda line: err.print(line, markup=False),
            on_epoch=progress,
        )
        decision = carry_out(contest, request, means)
        publish_decision(decision, contest, reader)
    return Promoted(decision, contest.folder / FOLDER, uri)


def show_promoted(promoted: Promoted, as_json: bool) -> None:
    """Print the verdicts and what to type next.

    Parameters
    ----------
    promoted : Promoted
        Refused or not.
    as_json : bool
        Print JSON on stdout instead.
    """
    decision = promoted.decision
    if as_json:
        content = decision_to_json(decision)
        where = {"directory": str(promoted.folder), "tracking_uri": shown(promoted.tracking_uri)}
        print_json({**content, **where})
        return
    for table in decision_tables(decision):
        print_table(table)
    out.print(outcome_in_words(decision), markup=False)
    out.print(f"decision      {promoted.folder / DECISION_FILE}", markup=False)
    if decision.registered is None:
        return
    name = decision.registered.model
    for line in decision.registered.words:
        out.print(f"registry      {line}", markup=False)
    uri = shown(promoted.tracking_uri)
    alias = "challenger" if decision.outcome == "challenger" else "champion"
    reference = shlex.quote(f"{name}@{alias}")
    out.print(
        f"use it        isthmus embed {reference} COHORT -o embeddings.parquet "
        f"--tracking-uri {uri!r}",
        markup=False,
    )


def _launcher(contest: Contest, request: PromotionRequest, held: ExitStack) -> Launcher:
    """Start Ray for a refit alone, if the experiment asks for it."""
    return launcher_for(contest.experiment, held) if request.refit else InProcessLauncher()
