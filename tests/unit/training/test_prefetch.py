"""Reading ahead: bounded, in order, with nothing left behind, and no matter to what is trained."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import ImageError
from isthmus.training.feed import reader
from isthmus.training.fit import fit
from isthmus.training.prefetch import Reading, plan_reading, prefetch
from isthmus.training.task import TrainTask
from isthmus.volumes import dataset
from isthmus.volumes.intensity import fit_normaliser
from isthmus.volumes.store import VolumeStore, open_store

MakeTask = Callable[..., TrainTask]
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("isthmus-read")] == []


class Books:
    """Notes what is being read; the first is given out at once, the others when they are let."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.let = threading.Event()
        self.lock = threading.Lock()

    def read(self, number: int) -> int:
        with self.lock:
            self.begun.append(number)
        assert number == 0 or self.let.wait(20)
        return -number

    def await_begun(self, n: int) -> None:
        limit = time.monotonic() + 20
        while len(self.begun) < n and time.monotonic() < limit:
            time.sleep(0.001)


@pytest.mark.parametrize("reading", [None, Reading(3, 3), Reading(2, 5), Reading(4, 40)])
def test_order_is_kept_whichever_reader_is_first(reading: Reading | None) -> None:
    def read(number: int) -> int:
        time.sleep(0.004 * (number % 3 == 0))  # those behind it are done before
        return -number

    assert list(prefetch(read, range(20), reading)) == [-n for n in range(20)]
    assert list(prefetch(read, [], reading)) == []


def test_readers_read_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=20)  # broken, and so an error, unless three come
    assert list(prefetch(lambda _: together.wait() >= 0, range(6), Reading(3, 3))) == [True] * 6


def test_no_further_ahead_than_asked() -> None:
    books = Books()
    books.let.set()
    taken: list[int] = []

    def keys() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    with closing(prefetch(books.read, keys(), Reading(2, 4))) as values:
        assert taken == books.begun == []
        for n in range(1, 11):
            next(values)
            assert len(taken) == n + 4
            books.await_begun(n + 4)
            assert sorted(books.begun) == list(range(n + 4))


def test_values_given_out_are_not_kept() -> None:
    alive: set[int] = set()

    class Volume:
        def __init__(self, number: int) -> None:
            self.number = number
            alive.add(number)

        def __del__(self) -> None:
            alive.discard(self.number)

    most = 0
    with closing(prefetch(Volume, range(30), Reading(1, 3))) as values:
        for _ in range(30):
            assert next(values).number >= 0
            most = max(most, len(alive))
    assert 1 <= most <= 4  # the three ahead, and the one that was just looked at
    assert alive == set()


def test_an_error_is_raised_in_its_turn_and_nothing_is_read_after_it() -> None:
    begun: list[int] = []

    def read(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ValueError("two")
        return number

    values = prefetch(read, range(100), Reading(2, 3))
    assert [next(values), next(values)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(values)
    assert max(begun) <= 5
    assert list(values) == []


def test_closing_waits_for_what_was_begun_and_drops_the_rest() -> None:
    books = Books()
    values = prefetch(books.read, range(100), Reading(2, 6))
    assert next(values) == 0
    books.await_begun(3)
    letting = threading.Timer(0.05, books.let.set)
    letting.start()
    values.close()
    assert books.let.is_set()
    assert sorted(books.begun) == [0, 1, 2]
    letting.join()


def test_a_loop_that_fails_ends_the_readers(make_task: MakeTask) -> None:
    def stop(_number: int, _loss: float) -> None:
        raise InterruptedError("enough")

    # The traceback keeps the training's frames alive, and with them what reads for it.
    with pytest.raises(InterruptedError) as caught:
        fit(make_task("execution.readers=2"), on_step=stop)
    assert caught.value.__traceback__ is not None
    assert not [t for t in threading.enumerate() if t.name.startswith("isthmus-read")]


@pytest.mark.parametrize(
    ("readers", "ahead", "device", "cores", "world", "expected"),
    [
        (None, None, CPU, 1, 1, (1, 1)),
        (None, None, CPU, 2, 1, (2, 2)),
        (None, None, CPU, 64, 1, (2, 2)),
        (None, None, CPU, 2, 4, (1, 1)),
        (None, None, GPU, 16, 1, (8, 8)),
        (None, None, GPU, 16, 4, (4, 4)),
        (None, 1, GPU, 16, 1, (1, 1)),
        (None, 20, GPU, 16, 1, (8, 20)),
        (5, None, CPU, 2, 1, (5, 5)),
        (3, 7, CPU, 2, 1, (3, 7)),
    ],
)
def test_readers_suit_the_machine(
    monkeypatch: pytest.MonkeyPatch,
    readers: int | None,
    ahead: int | None,
    device: torch.device,
    cores: int,
    world: int,
    expected: tuple[int, int],
) -> None:
    monkeypatch.setattr("isthmus.training.prefetch.usable_cores", lambda: cores)
    config = ExecutionConfig(readers=readers, read_ahead=ahead)
    plan = plan_reading(config, device, world)
    assert plan == Reading(*expected, pinned=device.type == "cuda")


def test_readers_without_work_are_refused() -> None:
    ExecutionConfig(readers=4, read_ahead=4)
    with pytest.raises(ValueError, match=r"execution\.readers \(4\) may be at most .*\(3\)"):
        ExecutionConfig(readers=4, read_ahead=3)


def _reader(task: TrainTask) -> tuple[VolumeStore, Callable[[tuple[str, ...]], torch.Tensor]]:
    """Make a reader of a task's images."""
    store = open_store(task.store_url)
    config = task.config
    fitted = fit_normaliser(
        store, task.fold.train, config.fused_modalities, config.volumes.normalisation
    )
    return store, reader(task, fitted)


def test_threads_share_one_store(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()
    _, read = _reader(task)
    expected = [read((name,)) for name in task.fold.train]
    opened: list[str] = []

    def open_slowly(url: str) -> VolumeStore:
        opened.append(url)
        time.sleep(0.05)
        return open_store(url)

    monkeypatch.setattr(dataset, "open_store", open_slowly)
    _, fresh = _reader(task)
    parts = list(prefetch(fresh, [(name,) for name in task.fold.train], Reading(4, 4)))
    assert opened == [task.store_url]
    for found, part in zip(parts, expected, strict=True):
        assert torch.equal(found, part)
    assert torch.equal(read(task.fold.train), torch.cat(expected))


def test_a_damaged_volume_is_named_in_its_turn(make_task: MakeTask) -> None:
    task = make_task()
    store, read = _reader(task)
    broken = task.fold.train[2]
    chunk = Path(task.store_url, "development", "volumes", "c", str(store._row(broken)), *"1000")
    bytes_before = chunk.read_bytes()
    keys = [(name,) for name in task.fold.train]
    try:
        # What another program wrote, what a full disk left, and nothing at all.
        for content in (b"?" * len(bytes_before), b"", None):
            chunk.unlink() if content is None else chunk.write_bytes(content)
            values = prefetch(read, keys, Reading(2, 4))
            assert all(torch.isfinite(next(values)).all() for _ in range(2))
            with pytest.raises(ImageError, match=f"volumes of {broken} are lost or damaged"):
                next(values)
    finally:
        chunk.write_bytes(bytes_before)


def test_reading_ahead_changes_no_bit(make_task: MakeTask) -> None:
    overrides = ("training.epochs=2", "model.dropout=0.1")
    plain = make_task(*overrides, "execution.readers=1", "execution.read_ahead=1", directory="a")
    ahead = make_task(*overrides, "execution.readers=3", "execution.read_ahead=9", directory="b")
    assert plain.config.digest == ahead.config.digest
    one, other = fit(plain), fit(ahead)
    assert one.digests["model.safetensors"] == other.digests["model.safetensors"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
def test_a_gpu_is_read_for_into_pinned_memory(make_task: MakeTask) -> None:
    task = make_task()
    store, read = _reader(task)
    config = task.config
    fitted = fit_normaliser(
        store, task.fold.train, config.fused_modalities, config.volumes.normalisation
    )
    pinned = reader(task, fitted, pinned=True)
    for part in prefetch(pinned, [(name,) for name in task.fold.train], Reading(2, 2, True)):
        assert part.is_pinned()
        assert part.to(GPU, non_blocking=True).is_cuda
    assert torch.equal(pinned(task.fold.train), read(task.fold.train))
