"""What is read of a large search: a number of questions that does not grow, and all of its runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from kept_study import make_ledger
from mlflow import MlflowClient
from sqlalchemy import event

import isthmus.backends.mlflow_reader as reader_module
from isthmus.backends.mlflow_reader import MlflowRunReader
from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.backends.optuna_search import OptunaLedger
from isthmus.promotion.tracked import TRIAL_TAG, find_run
from isthmus_dashboard.runs_below import SKEW_SECONDS, WHOLE_SECONDS, RunsBelow

FEW, MANY = 20, 80


@contextmanager
def _statements(ledger: OptunaLedger) -> Iterator[list[str]]:
    """Collect what a study's database is asked."""
    asked: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    engine = ledger._storage.engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", hear)


def _grow(ledger: OptunaLedger, n_trials: int) -> None:
    """Have a search of as many finished trials, which chose their points themselves."""
    while len(ledger.trials()) < n_trials:
        record = ledger.suggest()
        assert record is not None
        value = float(record.number % 7)
        ledger.save(replace(record, state="finished", values=(value,), digest=str(record.number)))


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, OptunaLedger]]:
    folder = tmp_path_factory.mktemp("studies")
    found = {n: make_ledger(f"sqlite:///{folder}/{n}.db") for n in (FEW, MANY)}
    try:
        for n, ledger in found.items():
            _grow(ledger, n)
        yield found
    finally:
        for ledger in found.values():
            ledger.close()


def _suggest_and_end(ledger: OptunaLedger) -> None:
    record = ledger.suggest()
    assert record is not None
    ledger.save(replace(record, state="failed", reason="no room"))


@pytest.mark.parametrize("act", [OptunaLedger.trials, _suggest_and_end])
def test_questions_do_not_grow_with_the_trials(
    act: Callable[[OptunaLedger], object], ledgers: dict[int, OptunaLedger]
) -> None:
    counts = {}
    for n, ledger in ledgers.items():
        with _statements(ledger) as asked:
            act(ledger)
        counts[n] = len(asked)
    assert 0 < counts[MANY] <= counts[FEW]


def test_opening_a_study_reads_it_in_as_many_questions(tmp_path: Path) -> None:
    counts = []
    for n in (10, 40):
        url = f"sqlite:///{tmp_path}/{n}.db"
        with make_ledger(url) as ledger:
            _grow(ledger, n)
        with make_ledger(url) as ledger, _statements(ledger) as asked:
            assert len(ledger.trials()) == n
            counts.append(len(asked))
    assert counts[0] == counts[1]


def test_who_keeps_each_standing_keeps_each_record_once(
    ledgers: dict[int, OptunaLedger],
) -> None:
    before = ledgers[MANY].trials()
    after = ledgers[MANY].trials()
    assert all(a is b for a, b in zip(before, after, strict=True))


def test_a_search_of_more_runs_than_a_page_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    search = MlflowRunStore(uri).open_run("load", "search", "5eed", {"isthmus.study_id": "5eed"})
    for number in range(7):
        tags = {"isthmus.trial_number": str(number), TRIAL_TAG: f"digest-{number}"}
        search.child(f"trial {number}", tags)
    reader = MlflowRunReader(uri)
    monkeypatch.setattr(reader_module, "_RUNS_PER_PAGE", 3)
    names = [f"trial {number}" for number in range(7)]
    assert [run.name for run in reader.children(search.run_id)] == names
    assert sorted(run.name for run in reader.tagged(TRIAL_TAG)) == names
    assert reader.tagged(TRIAL_TAG, alone=True) == ()
    assert [run.name for run in reader.tagged("isthmus.study_id", alone=True)] == ["search"]
    oldest = find_run(reader, TRIAL_TAG, "digest-0")
    assert oldest is not None
    assert oldest.name == "trial 0"


def test_a_second_look_fetches_what_is_open_or_has_ended_since(tmp_path: Path) -> None:
    uri, now = f"sqlite:///{tmp_path}/mlflow.db", 1_800_000_000.0
    store = MlflowRunStore(uri)
    search = store.open_run("load", "search", "5eed", {"isthmus.study_id": "5eed"})
    runs = [search.child(f"trial {number}", {}).run_id for number in range(5)]
    client = MlflowClient(uri)
    ends = [now - 2 * SKEW_SECONDS, now - 0.9 * SKEW_SECONDS, now]
    for run_id, ended in zip(runs, ends, strict=False):  # the last two stay open
        client.set_terminated(run_id, end_time=int(1000 * ended))
    clock, below, reader = [0.0], RunsBelow(lambda: clock[0]), MlflowRunReader(uri)

    def look() -> tuple[list[str], list[str]]:
        """Look again; return who is known, and how their labels read."""
        seen = below.of(reader, search.run_id)
        return [run.name for run in seen], [run.tags.get("label", "") for run in seen]

    everybody = [f"trial {number}" for number in range(5)]
    assert look() == (everybody, [""] * 5)
    for run_id in runs:
        client.set_tag(run_id, "label", "new")
    since = now - SKEW_SECONDS
    assert [run.name for run in reader.children(search.run_id, since)] == everybody[1:]
    assert look() == (everybody, ["", "new", "new", "new", "new"])
    client.set_terminated(runs[3], end_time=int(1000 * (now + 3 * SKEW_SECONDS)))
    search.child("trial 5", {})
    names, _ = look()
    assert names == [*everybody, "trial 5"]
    found = {run.name: run for run in below.of(reader, search.run_id)}
    assert found["trial 3"].finished
    assert found["trial 3"].ended == now + 3 * SKEW_SECONDS
    # by a clock that is far behind: no longer open, and not among what ended since
    client.set_terminated(runs[4], end_time=int(1000 * (now - 9 * SKEW_SECONDS)))
    found = {run.name: run for run in below.of(reader, search.run_id)}
    assert found["trial 4"].finished
    client.set_tag(runs[0], "label", "newer")
    assert look()[1][0] == "new"
    client.delete_run(runs[2])
    clock[0] = WHOLE_SECONDS + 1
    assert look()[0] == ["trial 0", "trial 1", "trial 3", "trial 4", "trial 5"]
    assert look()[1][0] == "newer"
