"""`isthmus demo`: all of it on a phantom cohort, on this machine, in minutes."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from isthmus.backends.worker_share import check_workers
from isthmus.cli.ingest import ingest_with_progress, show_ingested
from isthmus.cli.promote import end_refused, open_contest, run_promotion, show_promoted
from isthmus.cli.report import bundle_of, publish_page
from isthmus.cli.search import run_search, show_searched
from isthmus.cli.terminal import AsJson, Traceback, command, err, out, print_json
from isthmus.cli.train import FAILED_FOLDS_EXIT_CODE, run_and_publish, show_trained
from isthmus.cohort.phantom import make_phantom
from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.config.execution import ExecutionConfig
from isthmus.config.load import load_experiment
from isthmus.config.promotion.load import load_gates
from isthmus.config.search_load import load_space
from isthmus.core.files import write_text
from isthmus.promotion.decision import decision_to_json
from isthmus.promotion.request import PromotionRequest
from isthmus.promotion.story import promoted_trial, promotion_parts
from isthmus.report.story.files import write_report
from isthmus.study.record_json import study_to_json
from isthmus.trial.propose import propose

GATES = "demo"

Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to work.")]
Workers = Annotated[
    int, typer.Option("--workers", min=1, help="Processes; two or more run on Ray.")
]
Subjects = Annotated[int, typer.Option("--subjects", min=24, help="Participants to invent.")]
Trials = Annotated[
    int,
    typer.Option("--trials", min=0, help="Trials of the search; 0 promotes the first trial alone."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of cohort and experiment.")]
Modalities = Annotated[
    list[str] | None,
    typer.Option("--modality", help="A contrast to invent, once each; T1w and FA if none given."),
]
Signal = Annotated[
    list[str] | None,
    typer.Option("--signal", help="A contrast that shows what strata do to the anatomy; or all."),
]
Noise = Annotated[
    list[str] | None, typer.Option("--noise", help="A contrast that shows nothing of anybody.")
]


@command
def demo(
    output: Output = Path("demo"),
    workers: Workers = 2,
    subjects: Subjects = 60,
    trials: Trials = 4,
    seed: Seed = 0,
    modalities: Modalities = None,
    signal: Signal = None,
    noise: Noise = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Invent a cohort, train, search, promote a champion through its gates, write the report."""
    check_workers(ExecutionConfig(workers=workers, stratification_workers=workers))
    cohort, experiment_file = output / "phantom", output / "experiment.yaml"
    err.print(f"phantom cohort of {subjects} participants in {cohort}")
    phantom = PhantomConfig(
        n_subjects=subjects,
        modalities=tuple(modalities or PhantomConfig.modalities),
        signal_modalities=tuple(signal) if signal else None,
        noise_modalities=tuple(noise or ()),
        seed=seed,
    )
    make_phantom(cohort, phantom)
    write_text(experiment_file, propose(cohort, experiment_file, "smoke").text)
    always = ["name=demo", f"seed={seed}", f"training.global_batch_size={max(2, workers)}"]
    # So many that a finding can be asked of the lockbox again.
    always.append("cohort.lockbox_share=0.25")
    on_ray = [f"execution.{name}={workers}" for name in ("workers", "stratification_workers")]
    experiment = load_experiment(experiment_file, [*always, *on_ray])
    report = ingest_with_progress(experiment, strict=True)
    if not as_json:
        show_ingested(report, as_json=False)
    trained = run_and_publish(experiment)
    if not as_json:
        show_trained(trained, as_json=False)
    if not trained.result.succeeded:
        raise typer.Exit(FAILED_FOLDS_EXIT_CODE)
    folder = trained.directory
    if trials:
        folder = _search(output, experiment_file, always, trials, as_json)
    _promote(folder, output / "report", as_json)


def _search(
    output: Path, experiment_file: Path, overrides: list[str], n_trials: int, as_json: bool
) -> Path:
    """Search around the trial that is there; its point is the first, and is not trained again."""
    space_file = output / "space.yaml"
    shipped = resources.files("isthmus.config") / "demo" / "space.yaml"
    write_text(space_file, shipped.read_text(encoding="utf-8"))
    experiment = load_experiment(experiment_file, overrides)
    space = load_space(space_file, experiment.config, [f"budget.n_trials={n_trials}"])
    searched = run_search(experiment, space)
    if not as_json:
        show_searched(searched, as_json=False)
    return searched.folder


def _promote(folder: Path, destination: Path, as_json: bool) -> None:
    """Promote what passes the demo's gates, write the report, and say how to go on."""
    contest = open_contest(folder)
    request = PromotionRequest(load_gates(GATES), contest.experiment.config.name)
    promoted = run_promotion(contest, request)
    bundle = bundle_of(folder, chosen=promoted_trial(folder))
    page, *_ = write_report(bundle, destination, promotion_parts(folder))
    publish_page(page, bundle, contest.experiment.tracking_uri)
    uri = contest.experiment.tracking_uri
    if as_json:
        study = {} if contest.study is None else {"study": study_to_json(contest.study)}
        print_json(
            {
                **study,
                "decision": decision_to_json(promoted.decision),
                "directory": str(folder),
                "report": str(page),
                "tracking_uri": uri,
            }
        )
    else:
        show_promoted(promoted, as_json=False)
        out.print(f"report        {page}", markup=False)
        view = f"isthmus dashboard --tracking-uri {uri!r} --output {contest.experiment.output}"
        out.print(f"look around   {view}", markup=False)
        out.print(f"MLflow        mlflow ui --backend-store-uri {uri!r}", markup=False)
    end_refused(promoted.decision, as_json)
