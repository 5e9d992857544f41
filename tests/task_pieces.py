"""Pieces of work for tests of runners; in a module of their own, so that a worker can import it."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from isthmus.core.errors import StratificationError


def weigh(shared: np.ndarray, piece: int) -> tuple[float, int]:
    """Give a number that needs all that is shared, and the process that did it."""
    return float(shared.sum()) + piece, os.getpid()


def count_threads(shared: np.ndarray, piece: int) -> int:
    """Give the threads that linear algebra would use."""
    shared @ shared
    return max(int(pool["num_threads"]) for pool in threadpool_info())


def write_to_shared(shared: np.ndarray, piece: int) -> bool:
    """Try to change what others read."""
    try:
        shared[0] = piece
    except ValueError:
        return False
    return True


def meet(shared: tuple[str, float], piece: int) -> int:
    """Wait a while for another at work at the same time, and count those there are."""
    folder, seconds = Path(shared[0]), shared[1]
    mine = folder / f"piece-{piece}"
    mine.touch()
    limit, n_at_work = time.monotonic() + seconds, 1
    while n_at_work == 1 and time.monotonic() < limit and not (folder / "met").exists():
        n_at_work = len(list(folder.glob("piece-*")))
        time.sleep(0.02)
    if n_at_work > 1:
        (folder / "met").touch()
        time.sleep(0.1)
    mine.unlink()
    return n_at_work


def refuse(folder: str, piece: int) -> int:
    """Refuse one piece, and note the others as done, slowly."""
    if piece == 1:
        raise StratificationError("piece 1 must not be")
    time.sleep(1.0)
    (Path(folder) / str(piece)).touch()
    return piece


def fail(shared: None, piece: int) -> int:
    """Have a fault."""
    raise ZeroDivisionError("a bug")


def die_once(folder: str, piece: int) -> int:
    """Kill the worker at the first attempt at piece 2."""
    flag = Path(folder) / "died"
    if piece == 2 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return piece


def die(shared: None, piece: int) -> int:
    """Kill the worker, always."""
    os.kill(os.getpid(), signal.SIGKILL)
    return piece


def take_long(folder: str, piece: int) -> int:
    """Be at work until somebody ends it."""
    (Path(folder) / f"{os.getpid()}").touch()
    time.sleep(100)
    return piece
