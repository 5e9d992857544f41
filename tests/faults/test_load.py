"""Hundreds of trials and thousands of subjects: all of it counted, and how the work grows."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import optuna
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from isthmus.backends.mlflow_reader import MlflowRunReader
from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.cli.compare import load_study
from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import make_phantom
from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.config.load import load_experiment
from isthmus.promotion.contest import contest_of_search
from isthmus.promotion.tracked import TRIAL_TAG, find_run
from isthmus.report.study_publish import StudyPublisher
from isthmus.study.search import storage_of
from isthmus.trial.replay import replay
from isthmus.trial.run import prepare_trial
from isthmus.volumes.ingest import ingest
from isthmus.volumes.store import open_store
from isthmus_dashboard.tracked_source import TrackedSource

TESTS = Path(__file__).parents[1]
N_TRIALS, N_PUBLISHED, N_FILLED = 200, 30, 1030
N_SUBJECTS, N_EMBEDDED = 2000, 16_000
SECONDS = 600
# A thousand runs are a page: what is read a page at a time takes some questions more.
QUESTIONS_A_PAGE = 20

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(2 * SECONDS),
    # MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect what any database is asked."""
    asked: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


@dataclass(frozen=True)
class Grown:
    """A search of `N_TRIALS`; how often ten of its trials asked, by those before; a reading."""

    folder: Path
    study: Any
    n_asked: dict[int, int]
    n_to_read_few: int


@pytest.fixture(scope="module")
def made() -> Iterator[ModuleType]:
    """The benchmarks' way to make a search; they are scripts, and find each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS.parent / "benchmarks"))
        import made_study

        yield made_study


@pytest.fixture(scope="module")
def grown(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    """Run the search in two sittings, trial after trial through its own director."""
    root = tmp_path_factory.mktemp("load")
    model = made.train_one(root)
    study = made.open_study(root, model, "random", N_TRIALS)
    n_asked, n_to_read = {}, 0
    try:
        for begin in (20, N_TRIALS - 10):
            study.go_on(begin, time.process_time)
            if begin == 20:
                study.close()
                with statements() as asked:
                    assert len(load_study(study.prepared.folder).trials) == begin
                n_to_read = len(asked)
                study = made.open_study(root, model, "random", N_TRIALS)
            with statements() as asked:
                study.go_on(begin + 10, time.process_time)
            n_asked[begin] = len(asked)
        yield Grown(study.prepared.folder, study, n_asked, n_to_read)
    finally:
        study.close()


def test_each_trial_is_there_once_in_the_study_and_on_disk(grown: Grown) -> None:
    standing = grown.study.standing()
    numbers = list(range(N_TRIALS))
    assert [one.number for one in standing.trials] == numbers
    assert {one.state for one in standing.trials} == {"finished"}
    assert len({one.digest for one in standing.trials}) == N_TRIALS
    assert grown.study.director.next() == "done"
    prepared = grown.study.prepared
    experiment = prepared.trial.experiment
    known = optuna.load_study(
        study_name=prepared.study_name, storage=storage_of(experiment, grown.folder)
    ).trials
    assert [one.number for one in known] == numbers
    assert {one.state for one in known} == {optuna.trial.TrialState.COMPLETE}
    left = [experiment.output / str(one.folder) / "trial.json" for one in standing.trials]
    assert len(set(left)) == N_TRIALS
    assert all(file.is_file() for file in left)


def test_a_late_trial_asks_the_study_no_more_than_an_early_one(grown: Grown) -> None:
    early, late = grown.n_asked[20], grown.n_asked[N_TRIALS - 10]
    assert 0 < late <= 1.1 * early


def test_a_study_is_read_in_questions_that_do_not_grow(grown: Grown) -> None:
    with statements() as asked:
        found = load_study(grown.folder)
    assert len(found.trials) == N_TRIALS
    assert 0 < len(asked) <= grown.n_to_read_few + QUESTIONS_A_PAGE
    with statements() as asked:
        assert len(contest_of_search(grown.folder, found).directories) == N_TRIALS
    assert len(asked) <= QUESTIONS_A_PAGE


@pytest.fixture(scope="module")
def tracked(grown: Grown, made: ModuleType) -> Iterator[dict[int, tuple[str, str]]]:
    """Stores with few runs below a search and with more than MLflow lists on a page."""
    from load_tracking import fill

    uris = {}
    result = grown.study.standing()
    for n in (N_PUBLISHED, N_FILLED):
        database = grown.folder.parent / f"mlflow-{n}.db"
        publisher = StudyPublisher(
            MlflowRunStore(f"sqlite:///{database}"),
            grown.folder.name,
            grown.study.prepared.study_id,
            "load",
            {},
            {"isthmus.study": grown.folder.name, "isthmus.study_id": "5eed"},
        )
        publisher.open()
        parent = str(publisher.run_id)
        published = result.trials[: min(n, N_PUBLISHED)]
        for record in published:
            begun = next(iter(replay(grown.folder.parent / str(record.folder))))
            publisher.trial(record.number, record.point)(begun)
            publisher.after_trial(record, result)
        others = [
            SimpleNamespace(number=k, digest=f"digest-{k}", values=(float(k),))
            for k in range(len(published), n)
        ]
        fill(database, parent, others)
        publisher.finish(succeeded=False)
        uris[n] = (f"sqlite:///{database}", parent)
    return uris


def test_every_run_is_found_and_pages_not_runs_are_asked_for(
    tracked: dict[int, tuple[str, str]], grown: Grown, tmp_path: Path
) -> None:
    counts: dict[str, dict[int, int]] = {"children": {}, "run": {}, "list": {}, "live": {}}
    for n, (uri, parent) in tracked.items():
        reader = MlflowRunReader(uri)
        with statements() as asked:
            below = reader.children(parent)
        counts["children"][n] = len(asked)
        assert sorted(int(one.tags["isthmus.trial_number"]) for one in below) == list(range(n))
        assert len({one.run_id for one in below}) == n
        first = str(grown.study.standing().trials[0].digest)
        with statements() as asked:
            found = find_run(reader, TRIAL_TAG, first)
        counts["run"][n] = len(asked)
        assert found is not None
        assert found.tags["isthmus.trial_number"] == "0"
        source = TrackedSource(uri, lambda reader=reader: reader, tmp_path / str(n), None)
        with statements() as asked:
            assert [one.key for one in source.entries()] == [parent]
        counts["list"][n] = len(asked)
        with statements() as asked:
            assert len(source.standing(parent).trials) == n
        counts["live"][n] = len(asked)
    print(counts)
    for asked_at in counts.values():
        assert asked_at[N_FILLED] <= asked_at[N_PUBLISHED] + QUESTIONS_A_PAGE


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 subjects of 8 x 8 x 8 voxels with their families, ingested."""
    from isthmus.core.files import write_text
    from isthmus.trial.propose import propose

    root = tmp_path_factory.mktemp("cohort")
    file = root / "experiment.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # files that are read at once and deleted
        make_phantom(root / "images", PhantomConfig(n_subjects=N_SUBJECTS, grid=(8, 8, 8)))
        write_text(file, propose(root / "images", file, "smoke").text)
        experiment = load_experiment(file, SETTINGS)
        ingest(experiment, load_participants(experiment))
    return file


SETTINGS = ("model.depth=2", "execution.ingest_processes=1", "execution.device=cpu")


def test_everybody_is_ingested_and_families_stay_whole(cohort: Path) -> None:
    experiment = load_experiment(cohort, SETTINGS)
    everybody = load_participants(experiment)
    trial = prepare_trial(experiment)
    store = open_store(experiment.store_url)
    assert len(everybody.ids) == N_SUBJECTS
    family = dict(zip(everybody.ids, everybody.families.tolist(), strict=True))
    seen = set()
    for fold in trial.split.folds:
        parts = [set(ids) for ids in fold.parts.values()]
        assert len(set().union(*parts)) == sum(map(len, parts)) == len(trial.participants.ids)
        owners = [{family[name] for name in part} for part in parts]
        assert len(set().union(*owners)) == sum(map(len, owners))
        seen |= set(fold.parts["validation"])
    assert seen == set(trial.participants.ids)
    n_files = sum(len(files) for _, _, files in os.walk(cohort.parent / "store"))
    assert n_files <= 3 * N_SUBJECTS + 20
    assert store.read(next(iter(seen)), store.modalities).shape[-3:] == (8, 8, 8)


def test_a_job_with_landmarks_holds_no_pairs_of_subjects(cohort: Path) -> None:
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent / "platform")])
    done = subprocess.run(
        [sys.executable, str(TESTS / "load_job.py"), str(cohort), str(N_EMBEDDED)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(told)
    assert (told["strata"], told["robustness"]) == ("partition", True)
    assert told["n_validated"] == N_EMBEDDED
    # Up to 4,096 subjects pairs are held on purpose, some 0.4 GB: a triangle of these is 0.5 GB.
    assert told["more_bytes"] < N_EMBEDDED**2 * 4 / 2
