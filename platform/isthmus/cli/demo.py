"""`isthmus demo`: all of it on a phantom cohort, on this machine, in minutes."""

from pathlib import Path
from typing import Annotated

import typer

from isthmus.backends.worker_share import check_workers
from isthmus.cli.ingest import ingest_with_progress, show_ingested
from isthmus.cli.terminal import AsJson, Traceback, command, err
from isthmus.cli.train import FAILED_FOLDS_EXIT_CODE, run_and_publish, show_trained
from isthmus.cohort.phantom import make_phantom
from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.config.execution import ExecutionConfig
from isthmus.config.load import load_experiment
from isthmus.core.files import write_text
from isthmus.trial.propose import propose

Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to work.")]
Workers = Annotated[
    int, typer.Option("--workers", min=1, help="Processes; two or more run on Ray.")
]
Subjects = Annotated[int, typer.Option("--subjects", min=24, help="Participants to invent.")]
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
    seed: Seed = 0,
    modalities: Modalities = None,
    signal: Signal = None,
    noise: Noise = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Invent a cohort, ingest it and run a cross-validated trial with Ray and MLflow."""
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
    overrides = ["name=demo", f"seed={seed}", f"execution.workers={workers}"]
    overrides.append(f"execution.stratification_workers={workers}")
    overrides.append(f"training.global_batch_size={max(2, workers)}")
    experiment = load_experiment(experiment_file, overrides)
    report = ingest_with_progress(experiment, strict=True)
    if not as_json:
        show_ingested(report, as_json=False)
    trained = run_and_publish(experiment)
    show_trained(trained, as_json)
    if not trained.result.succeeded:
        raise typer.Exit(FAILED_FOLDS_EXIT_CODE)
