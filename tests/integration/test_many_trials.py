"""What is read of a large search: a number of questions that does not grow, and all of its runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from kept_study import make_ledger
from sqlalchemy import event

import isthmus.backends.mlflow_reader as reader_module
from isthmus.backends.mlflow_reader import MlflowRunReader
from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.backends.optuna_search import OptunaLedger
from isthmus.promotion.tracked import TRIAL_TAG, find_run

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
