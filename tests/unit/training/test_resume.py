"""A run killed by SIGKILL and started again ends with the bits of one left alone."""

import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from isthmus.config.load import Experiment
from isthmus.core.seeds import generator

FOLDER = Path(__file__).parent
PLATFORM = FOLDER.parents[2] / "platform"


@pytest.fixture(scope="module", autouse=True)
def prepared() -> Iterator[None]:
    """Processes are forked from a server that has imported everything: they start at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{PLATFORM}:{FOLDER}:{FOLDER.parents[1]}")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr(sys, "path", [str(FOLDER), *sys.path])
        multiprocessing.set_forkserver_preload(["killable_fit"])
        yield


def start(experiment: Experiment, directory: Path, when: str, number: int = 0) -> BaseProcess:
    import killable_fit

    log = directory.with_suffix(".log")
    where = (experiment.folder / "experiment.yaml", directory, log)
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=killable_fit.run, args=(*where, when, number))
    process.start()
    return process


def run(
    experiment: Experiment, directory: Path, when: str, number: int = 0
) -> tuple[int | None, str]:
    process = start(experiment, directory, when, number)
    process.join(timeout=200)
    code = process.exitcode
    process.close()
    return code, directory.with_suffix(".log").read_text()


def outcome(directory: Path) -> tuple[bytes, list[dict[str, float]]]:
    lines = (directory / "history.jsonl").read_text().splitlines()
    timed = ("seconds", "subjects_per_second")
    history = [{k: v for k, v in json.loads(line).items() if k not in timed} for line in lines]
    return (directory / "model.safetensors").read_bytes(), history


@pytest.fixture(scope="module")
def undisturbed(
    experiment: Experiment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, list[dict[str, float]]]:
    directory = tmp_path_factory.mktemp("undisturbed") / "fold"
    code, output = run(experiment, directory, "never")
    assert code == 0, output
    return outcome(directory)


def test_repeats_to_the_bit(
    experiment: Experiment, undisturbed: tuple[bytes, list[dict[str, float]]], tmp_path: Path
) -> None:
    assert run(experiment, tmp_path / "again", "never")[0] == 0
    assert outcome(tmp_path / "again") == undisturbed


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param([("step", 1)], id="before-the-first-checkpoint"),
        pytest.param([("step", 2), ("step", 5)], id="mid-epoch-twice"),
        pytest.param([("saved", 3), ("saved", 1)], id="best-written-last-not"),
        pytest.param([("saved", 4)], id="epoch-saved-history-not"),
        pytest.param([("epoch", 2)], id="epoch-announced"),
        pytest.param([("halfway", 2)], id="half-a-checkpoint-written"),
        pytest.param([("finish", 0), ("finish", 0)], id="weights-written-marker-not"),
    ],
)
def test_killed_and_resumed(
    experiment: Experiment,
    undisturbed: tuple[bytes, list[dict[str, float]]],
    tmp_path: Path,
    kills: list[tuple[str, int]],
) -> None:
    for when in kills:
        code, output = run(experiment, tmp_path / "fold", *when)
        assert code == -signal.SIGKILL, output
        assert not (tmp_path / "fold" / "fitted.json").exists()
    code, output = run(experiment, tmp_path / "fold", "never")
    assert code == 0, output
    resumed = kills != [("step", 1)]
    assert ("resumed at epoch" in output) == resumed, output
    assert outcome(tmp_path / "fold") == undisturbed
    assert not list((tmp_path / "fold").glob(".*.tmp"))


def test_killed_at_random_times(
    experiment: Experiment,
    undisturbed: tuple[bytes, list[dict[str, float]]],
    tmp_path: Path,
) -> None:
    delays = generator(0, "kill").uniform(0.0, 0.5, size=5)
    for delay in delays:
        process = start(experiment, tmp_path / "fold", "never")
        while process.is_alive() and not (tmp_path / "fold").exists():
            time.sleep(0.01)
        time.sleep(delay)
        process.kill()
        process.join()
    code, output = run(experiment, tmp_path / "fold", "never")
    assert code == 0, output
    assert outcome(tmp_path / "fold") == undisturbed


def test_a_damaged_last_checkpoint_costs_time_alone(
    experiment: Experiment,
    undisturbed: tuple[bytes, list[dict[str, float]]],
    tmp_path: Path,
) -> None:
    assert run(experiment, tmp_path / "fold", "step", 5)[0] == -signal.SIGKILL
    last = tmp_path / "fold" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    code, output = run(experiment, tmp_path / "fold", "never")
    assert code == 0, output
    assert "last.pt: must be a checkpoint of isthmus, but cannot be read" in output
    assert "resumed at epoch 2 step 0" in output
    assert outcome(tmp_path / "fold") == undisturbed
