"""Two workers' convolutions get the mean gradient, which one process gets from both halves.

The workers are this file run as a script: it needs no import by name and no pickling.
"""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from isthmus.model.convolution import SameConv3d

Gradients = dict[str, Tensor]


def gradients(rank: int, n_workers: int) -> Gradients:
    """Pass back the mean square of what two convolutions make of a share of the subjects."""
    torch.manual_seed(0)
    model = nn.Sequential(
        SameConv3d(3, 3, (3, 4, 3), groups=3), nn.ELU(), SameConv3d(3, 4, (5, 6, 5), bias=False)
    )
    x = torch.randn(4, 3, 6, 7, 8)[rank::n_workers]
    wrapped = DistributedDataParallel(model) if n_workers > 1 else model
    wrapped(x).square().mean().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def work(folder: Path, rank: int) -> None:
    """Be one worker."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2,
        timeout=timedelta(seconds=60),
    )  # fmt: skip
    torch.save(gradients(rank, 2), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_workers_get_the_gradient_of_the_whole(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([sys.executable, __file__, str(tmp_path), str(rank)], env=environment)
        for rank in range(2)
    ]
    try:
        codes = [process.wait(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert codes == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = gradients(0, 1)
    assert set(alone) == {"0.weight", "0.bias", "2.weight"}
    for name, gradient in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], gradient, rtol=1e-5, atol=1e-7)


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
