"""What a search costs beside its trials: its wall time over the work of its trials / slots.

The trials are of known length: each sleeps, and tells what a real trial of the phantom cohort told,
which was run beforehand. Everything else is what `isthmus search` does: Ray Tune, an Optuna study
on sqlite, the scheduler, and MLflow on sqlite, which is sent each trial's metrics, tables, pictures
and weights. The start of Ray, of the study and of MLflow is in the last row alone.

    python benchmarks/orchestration.py                           # 40 trials of 10 s, 2 at a time
    python benchmarks/orchestration.py --trials 12 --seconds 5   # quick
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.backends.optuna_search import OptunaLedger
from isthmus.backends.ray_session import cluster_nodes, ray_session
from isthmus.backends.ray_stopper import RayStopper
from isthmus.backends.ray_tune import TuneExecutor
from isthmus.backends.worker_share import share_out_trials
from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import make_phantom
from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.config.load import Experiment, load_experiment
from isthmus.config.search_space import SearchSpace
from isthmus.core.files import write_text
from isthmus.report.fold_files import draw_pictures
from isthmus.report.outbox import Outbox
from isthmus.report.study_publish import StudyPublisher
from isthmus.report.study_tracking import StudyTracking
from isthmus.study.attempt import Assignment, Ending
from isthmus.study.director import Director
from isthmus.study.events import StudyEvent, TrialBegun
from isthmus.study.prospects import Prospects
from isthmus.study.search import PreparedSearch, prepare_search
from isthmus.study.standing import standing_of
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.events import TrialFinished, TrialListener, TrialStarted, tell_all
from isthmus.trial.propose import propose
from isthmus.trial.provenance import describe_machine
from isthmus.trial.replay import replay
from isthmus.trial.run import load_trial, run_trial
from isthmus.volumes.ingest import ingest


def main() -> None:
    """Run a search of sleeping trials and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=40, metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a trial")
    parser.add_argument("--slots", type=int, default=2, help="trials at a time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        experiment, model = one_real_trial(Path(folder), arguments.slots)
        lines = measure(experiment, model, arguments)
    versions = f"Ray {version('ray')}, Optuna {version('optuna')}"
    print(f"{describe_machine()}, Python {platform.python_version()}, {versions}.\n")
    print("\n".join(lines))


def measure(experiment: Experiment, model: Path, arguments: argparse.Namespace) -> list[str]:
    """Search, and lay out the times as Markdown."""
    space = space_of(arguments.trials)
    result = load_trial(model)
    work = partial(sleep_and_tell, model=model, seconds=arguments.seconds)
    began = time.perf_counter()
    prepared = prepare_search(experiment, space, fork=False)
    ledger = OptunaLedger(f"sqlite:///{prepared.folder}/study.db", "study", space, seed=0)
    with ledger, Outbox(print) as outbox:
        tracking = tracking_of(prepared, ledger, outbox)
        with ray_session(None):
            share = share_out_trials(experiment.config.execution, cluster_nodes())
            begun: list[StudyEvent] = []
            tell = tell_all_of(tracking, begun)
            threads = {"threads_per_worker": share.worker.threads}
            director = Director(
                space,
                ledger,
                Prospects(prepared.trial, space, threads, lambda _: None),
                RayStopper(space.scheduler, "minimize", len(prepared.trial.split.folds), seed=0),
                share.n_trials,
                lambda _: result,
                tell,
            )
            started = time.perf_counter()
            TuneExecutor(share, prepared.folder, work).run(director)
            searched = time.perf_counter() - started
        director.close()
        n_run = sum(isinstance(event, TrialBegun) for event in begun)
        waiting = outbox.n_waiting
    whole = time.perf_counter() - began
    slept = n_run * arguments.seconds
    ideal = slept / share.n_trials
    return [
        f"{n_run} trials of {arguments.seconds:g} s, {share.n_trials} at a time; "
        f"{waiting} events were still to be published when the last trial ended.",
        "",
        "| what | s | times the first row |",
        "|---|---|---|",
        f"| work of the trials / slots | {ideal:.1f} | 1 |",
        f"| the search, from its first question to its last answer | {searched:.1f} | "
        f"**{searched / ideal:.3f}** |",
        f"| the same with the start of Ray, study and MLflow, and until MLflow has everything | "
        f"{whole:.1f} | {whole / ideal:.3f} |",
    ]


def one_real_trial(folder: Path, slots: int) -> tuple[Experiment, Path]:
    """Make a cohort and run one trial on it, whose events the others tell."""
    print("running one real trial, whose events the others tell ...", flush=True)
    make_phantom(folder / "phantom", PhantomConfig(n_subjects=26, grid=(16, 16, 16)))
    file = folder / "experiment.yaml"
    write_text(file, propose(folder / "phantom", file, "smoke").text)
    settings = ["model.depth=2", "model.embedding_size=64", "training.epochs=4"]
    settings += [f"execution.concurrent_trials={slots}", "execution.threads_per_worker=1"]
    experiment = load_experiment(file, settings)
    ingest(experiment, load_participants(experiment))
    finished: list[Path] = []

    def remember(event: object) -> None:
        if isinstance(event, TrialFinished):
            finished.append(event.directory)

    run_trial(experiment, InProcessLauncher(), tell_all(draw_pictures, remember))
    return experiment, finished[0]


def space_of(n_trials: int) -> SearchSpace:
    """Vary something that makes every trial another one."""
    rate = {"kind": "float", "low": 1e-4, "high": 1e-2, "log": True}
    return SearchSpace.model_validate(
        {
            "name": "orchestration",
            "space": {"training.learning_rate": rate},
            "sampler": {"kind": "tpe"},
            "scheduler": {"kind": "asha", "unit": "fold", "reduction_factor": 2},
            "budget": {"n_trials": n_trials},
        }
    )


def sleep_and_tell(
    assignment: Assignment, tell: TrialListener, model: Path, seconds: float
) -> Ending:
    """Sleep for as long as a trial is to take, and tell what the real one told."""
    until = time.perf_counter()
    events = list(replay(model))
    for event in events:
        until += seconds / len(events)
        time.sleep(max(0.0, until - time.perf_counter()))
        if isinstance(event, TrialStarted):
            event = replace(event, digest=assignment.experiment.config.digest)
        tell(event)
    return Ending("finished")


def tracking_of(prepared: PreparedSearch, ledger: OptunaLedger, outbox: Outbox) -> StudyTracking:
    """Publish to MLflow on sqlite, as a search does."""
    store = MlflowRunStore(prepared.trial.experiment.tracking_uri)
    publisher = StudyPublisher(store, "study", prepared.study_id, "orchestration", {}, {})
    return StudyTracking(publisher, outbox, partial(standing_of, prepared, ledger))


def tell_all_of(tracking: StudyTracking, begun: list[StudyEvent]) -> Callable[[StudyEvent], None]:
    """Publish, and remember what was told."""

    def tell(event: StudyEvent) -> None:
        tracking(event)
        begun.append(event)

    return tell


if __name__ == "__main__":
    main()
