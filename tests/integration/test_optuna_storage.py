"""Where a study is kept, for real: killed searches, full disks, locks, torn files, PostgreSQL."""

import json
import pickle
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kept_study import make_ledger, seen_by_optuna, start_python
from postgres_server import PostgresServer
from small_space import make_ending, make_space, search

from isthmus.backends import optuna_storage
from isthmus.backends.optuna_search import OptunaLedger
from isthmus.backends.optuna_study import open_ledger
from isthmus.backends.study_storage import StudyError
from isthmus.core.errors import ConfigError


@pytest.fixture(params=["sqlite", "journal"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:///{tmp_path}/study"


DRIVER = """if True:
    import sys
    from small_space import make_space, search
    from isthmus.backends.optuna_search import OptunaLedger
    with OptunaLedger(sys.argv[1], "study", make_space("random"), 0) as ledger:
        search(ledger, 100_000, told=True)
    """


@pytest.mark.slow
def test_a_killed_search_loses_nothing_and_leaves_nothing_half_done(url: str) -> None:
    told = []
    for milliseconds in (0, 3, 7):
        process = start_python(DRIVER, url)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(20)]
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGKILL)
        lines += process.communicate()[0].split("\n")[:-1]  # the last one may be torn
        assert process.returncode == -signal.SIGKILL
        told += [json.loads(line) for line in lines]
    suggested = {number: point for what, number, point in told if what == "suggested"}
    saved = {number: state for what, number, state in told if what == "saved"}
    assert len(saved) > 20
    with make_ledger(url, make_space("random")) as ledger:
        kept = {record.number: record for record in ledger.trials()}
        points = [dict(record.point) for record in ledger.trials()]
    assert sorted(kept) == list(range(len(kept)))
    assert len(suggested) <= len(kept) <= len(suggested) + 3
    assert {n: dict(kept[n].point) for n in suggested} == suggested
    assert {n: kept[n].state for n in saved} == saved
    with make_ledger(f"{url}-again", make_space("random")) as ledger:
        assert search(ledger, len(points)) == points
    for trial, record in zip(seen_by_optuna(url).trials, kept.values(), strict=True):
        states = {"running": "RUNNING", "finished": "COMPLETE", "stopped": "PRUNED"}
        assert trial.state.name == states.get(record.state, "FAIL")
        assert trial.params.keys() == record.point.keys()


KILLED_BETWEEN = """if True:
    import os, signal, sys
    import optuna
    from small_space import make_space, search
    from isthmus.backends.optuna_search import OptunaLedger
    with OptunaLedger(sys.argv[1], "study", make_space(), 0) as ledger:
        search(ledger, 1)
        optuna.Study.tell = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        search(ledger, 1)
    """


def test_killed_between_the_record_and_optuna_is_healed(url: str) -> None:
    process = start_python(KILLED_BETWEEN, url)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    with open_ledger(url, "study") as reader:
        killed = reader.trials()
    assert [record.state for record in killed] == ["finished", "finished"]
    assert [trial.state.name for trial in seen_by_optuna(url).trials] == ["COMPLETE", "RUNNING"]
    with make_ledger(url) as ledger:
        assert ledger.trials() == killed
        again = search(ledger, 1)
    healed = seen_by_optuna(url).trials
    assert [trial.state.name for trial in healed] == ["COMPLETE"] * 3
    assert healed[1].values == list(killed[1].values or ())
    with make_ledger(f"{url}-again") as ledger:
        assert search(ledger, 3)[2:] == again


def test_a_study_that_is_not_there_is_told_from_those_that_are(url: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no such file"):
        open_ledger(url, "study")
    assert list(tmp_path.iterdir()) == []
    for name in ("other", "another"):
        OptunaLedger(url, name, make_space(), 0).close()
    with pytest.raises(StudyError, match="There: another, other"):
        open_ledger(url, "study")


def test_a_study_of_other_objectives_or_of_something_else_is_refused(url: str) -> None:
    with make_ledger(url) as ledger:
        search(ledger, 1)
    with pytest.raises(StudyError, match="got minimize validation_mse, maximize robustness_score"):
        make_ledger(url, make_space("tpe", 2))
    study = seen_by_optuna(url)
    study.set_user_attr("isthmus", None)
    from optuna import create_study

    create_study(storage=study._storage, study_name="foreign").ask()
    with pytest.raises(StudyError, match="something else made it"):
        OptunaLedger(url, "foreign", make_space(), 0)


def test_a_reader_sees_what_a_driver_has_just_kept(url: str) -> None:
    with make_ledger(url) as ledger, open_ledger(url, "study") as reader:
        for _ in range(3):
            search(ledger, 1)
            assert reader.trials() == ledger.trials()


def test_a_locked_file_is_told_of_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_storage, "_SECONDS_FOR_A_LOCK", 0.2)
    url = f"sqlite:///{tmp_path}/study"
    with make_ledger(url) as ledger:
        record = ledger.suggest()
        assert record is not None
        other = sqlite3.connect(tmp_path / "study", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StudyError, match=r"database is locked.*is intact"):
            ledger.save(make_ending(record))
        other.close()
        ledger.save(make_ending(record))
        assert ledger.trials()[0].state == "finished"


def test_the_line_that_was_torn_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "study"
    with make_ledger(f"journal:///{file}") as ledger:
        search(ledger, 2)
        before = ledger.trials()
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"op_code":8,"worker_id":"x' + b"y" * 100_000)
    with open_ledger(f"journal:///{file}", "study") as reader:
        assert reader.trials() == before
    with make_ledger(f"journal:///{file}") as ledger:
        assert file.read_bytes() == whole
        assert ledger.trials() == before
        search(ledger, 1)
    with make_ledger(f"journal:///{file}") as ledger:
        assert len(ledger.trials()) == 3


@pytest.mark.parametrize("content", [b"notes of mine\nwithout an end", b"no line", b"{}\n{"])
def test_a_file_that_is_no_journal_stays_as_it_is(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_bytes(content)
    with pytest.raises(StudyError, match="must be a journal"):
        make_ledger(f"journal:///{file}")
    assert file.read_bytes() == content
    with pytest.raises(StudyError, match="file is not a database"):
        make_ledger(f"sqlite:///{file}")


def test_a_state_of_cma_es_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "planted",))

    url, space = f"journal:///{tmp_path}/study", make_space("cmaes")
    with make_ledger(url, space) as ledger:
        search(ledger, 12)
        record = ledger.suggest()
        states = [trial.system_attrs for trial in seen_by_optuna(url).trials]
        assert any("cma:optimizer:0" in state for state in states)
        study = seen_by_optuna(url)
        trial_id = study.trials[record.number]._trial_id
        study._storage.set_trial_system_attr(
            trial_id, "cma:optimizer:0", pickle.dumps(Planted()).hex()
        )
        ledger.save(make_ending(record))
        with pytest.raises(StudyError, match="Do not trust"):
            ledger.suggest()
    assert not (tmp_path / "planted").exists()


FULL_DISK = """if True:
    import sys
    from pathlib import Path
    from kept_study import make_ledger
    from small_space import search
    from isthmus.core.errors import DiskFull
    folder, url = Path(sys.argv[2]), sys.argv[1]

    def fill(filler):
        with filler.open("wb", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    pass

    with make_ledger(url) as ledger:
        search(ledger, 3)
        for n_bytes in (0, 600, 9000, 20000):
            filler = folder / "filler"
            fill(filler)
            with filler.open("rb+") as file:
                file.truncate(filler.stat().st_size - n_bytes)
            n_before = len(ledger.trials())
            try:
                search(ledger, 500)
            except DiskFull as error:
                print("full", len(ledger.trials()) - n_before, "intact" in str(error), flush=True)
            filler.unlink()
            for record in ledger.trials():
                if record.state == "running":
                    ledger.report(record.number, 1, 0.5)
            search(ledger, 2)
        kept = ledger.trials()
    with make_ledger(url) as ledger:
        assert ledger.trials() == kept
        search(ledger, 1)
    print("continued", flush=True)
    """


@pytest.mark.long
@pytest.mark.slow
def test_a_full_disk_is_told_of_and_leaves_the_study_intact(url: str, tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"'
    alone = ("unshare", "--user", "--map-root-user", "--mount")
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("a small disk needs `unshare` (util-linux) and user namespaces")
    before = (*alone, "sh", "-c", mount, str(tmp_path))
    process = start_python(FULL_DISK, url, str(tmp_path), before=before)
    told = process.communicate(timeout=200)[0].splitlines()
    assert process.returncode == 0, told
    assert told[-1] == "continued"
    assert [line.split()[0] for line in told[:-1]] == ["full"] * 4
    assert {line.split()[2] for line in told[:-1]} == {"True"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.mark.slow
def test_postgresql_keeps_a_study_like_a_file_does(server: PostgresServer, tmp_path: Path) -> None:
    for kind in ("multivariate_tpe", "grid", "nsga2"):
        space = make_space(kind, 2)
        kept = []
        for url in (server.url(), f"journal:///{tmp_path}/study-{kind}"):
            for _ in range(2):
                with OptunaLedger(url, kind, space, 0) as ledger:
                    search(ledger, 6, 2)
            with open_ledger(url, kind) as reader:
                kept.append((reader.trials(), reader.importance(), reader.hypervolume((9.0, 0.0))))
        assert kept[0] == kept[1]
        assert len(kept[0][0]) == 12
    with pytest.raises(StudyError, match="There: grid, multivariate_tpe, nsga2"):
        open_ledger(server.url(), "other")


@pytest.mark.slow
def test_a_server_that_goes_away_is_told_of_and_waited_for(server: PostgresServer) -> None:
    with OptunaLedger(server.url(), "away", make_space(), 0) as ledger:
        search(ledger, 2)
        record = ledger.suggest()
        server.stop()
        try:
            for call in (lambda: ledger.save(make_ending(record)), ledger.suggest, ledger.trials):
                with pytest.raises(StudyError, match="is intact") as failed:
                    call()
                assert "secret" not in str(failed.value)
            with pytest.raises(StudyError, match="must answer") as failed:
                open_ledger(server.url(), "away")
            assert "secret" not in str(failed.value)
        finally:
            server.start()
        ledger.save(make_ending(record))
        assert [one.state for one in ledger.trials()] == ["finished"] * 3


@pytest.mark.slow
def test_a_wrong_password_is_told_of_without_it(server: PostgresServer) -> None:
    with pytest.raises(StudyError, match="password authentication failed") as failed:
        OptunaLedger(server.url().replace("secret", "geheim"), "s", make_space(), 0)
    assert "geheim" not in str(failed.value)


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"postgresql://me@127.0.0.1:{listening.getsockname()[1]}/studies"
        with pytest.raises(ConfigError, match=r"pip install 'isthmus\[postgresql\]'"):
            make_ledger(url)
