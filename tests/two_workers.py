"""Two processes that train together, each a test file run as a script."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed


@contextmanager
def joined(folder: Path, rank: int) -> Iterator[None]:
    """Be one of two workers, on one thread, which meet by a file in a folder."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    yield
    distributed.destroy_process_group()


def found_by_two(script: str, folder: Path) -> list[Any]:
    """Run a script twice, with a folder and a rank, and load what each saved as ``<rank>.pt``."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    started = [
        subprocess.Popen([sys.executable, script, str(folder), str(rank)], env=environment)
        for rank in range(2)
    ]
    try:
        codes = [process.wait(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert codes == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
