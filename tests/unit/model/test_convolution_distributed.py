"""Two workers' convolutions get the mean gradient, which one process gets from both halves.

The workers are this file run as a script: it needs no import by name and no pickling.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from two_workers import found_by_two, joined

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
    with joined(folder, rank):
        torch.save(gradients(rank, 2), folder / f"{rank}.pt")


def test_two_workers_get_the_gradient_of_the_whole(tmp_path: Path) -> None:
    first, second = found_by_two(__file__, tmp_path)
    alone = gradients(0, 1)
    assert set(alone) == {"0.weight", "0.bias", "2.weight"}
    for name, gradient in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], gradient, rtol=1e-5, atol=1e-7)


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
