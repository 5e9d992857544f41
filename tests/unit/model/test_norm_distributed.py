"""Two workers compute what one process computes on the whole batch, gradients included.

The workers are this file run as a script: it needs no import by name and no pickling.
"""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel
from two_workers import found_by_two, joined

from isthmus.config.architecture import ModelConfig
from isthmus.config.training import LossConfig
from isthmus.model.dropout import set_dropout_keys
from isthmus.model.families import build_model
from isthmus.model.norm import WorkerBatchNorm
from isthmus.model.objective import add_kernel_penalty

N_STEPS, N_SUBJECTS = 3, 4
UNEVEN = (1, 3)


def train(rank: int, n_workers: int) -> dict[str, Any]:
    """Take a few steps of plain gradient descent; return losses, gradients and weights."""
    config = ModelConfig(
        embedding_size=32, depth=2, kernel_size=(2, 3, 3), mid_flow_blocks=1, dropout=0.2
    )
    stream = torch.Generator().manual_seed(0)
    model = build_model(config, ("T1w", "FA"), (8, 8, 8), stream).train()
    wrapped = DistributedDataParallel(model) if n_workers > 1 else model
    optimiser = torch.optim.SGD(wrapped.parameters(), lr=0.05)
    losses, gradients = [], {}
    for step in range(N_STEPS):
        x = torch.rand(N_SUBJECTS, 2, 8, 8, 8, generator=stream)[rank::n_workers]
        set_dropout_keys(wrapped, range(100 * step + rank, 100 * step + N_SUBJECTS, n_workers))
        optimiser.zero_grad()
        l_BM = model.loss(wrapped(x), x, None, LossConfig())
        loss = l_BM.sum(dim=1).mean()
        loss.backward()
        add_kernel_penalty(wrapped, 1e-3)
        if step == 0:
            gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        optimiser.step()
        losses.append(loss.item())
    return {"losses": losses, "gradients": gradients, "state": model.state_dict()}


def normalise(rank: int, n_workers: int) -> dict[str, Any]:
    """Normalise uneven shares of a batch in float64 and send a gradient back."""
    stream = torch.Generator().manual_seed(1)
    x = torch.randn(sum(UNEVEN), 3, 4, 5, 6, generator=stream, dtype=torch.float64)
    dy = torch.randn(x.shape, generator=stream, dtype=torch.float64)
    share = slice(None)
    if n_workers > 1:
        share = slice(sum(UNEVEN[:rank]), sum(UNEVEN[: rank + 1]))
    norm = WorkerBatchNorm(3, momentum=0.5).double()
    norm.weight.data[:] = torch.tensor([2.0, -1.0, 0.5])
    leaf = x[share].clone().requires_grad_()
    y = norm(leaf)
    (y * dy[share]).sum().backward()
    keys = ("y", "dx", "d_weight", "d_bias", "mean", "variance")
    values = (y.detach(), leaf.grad, norm.weight.grad, norm.bias.grad)
    return dict(zip(keys, (*values, norm.running_mean, norm.running_variance), strict=True))


def work(folder: Path, rank: int, n_workers: int) -> None:
    """Be one worker."""
    with joined(folder, rank):
        found = {"train": train(rank, n_workers), "normalise": normalise(rank, n_workers)}
        torch.save(found, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two workers found."""
    return found_by_two(__file__, tmp_path_factory.mktemp("workers"))


def test_training_with_two_workers_is_training_with_one(workers: list[dict[str, Any]]) -> None:
    alone, both = train(0, 1), [found["train"] for found in workers]
    losses = torch.tensor([found["losses"] for found in both], dtype=torch.float64).mean(dim=0)
    assert losses.tolist() == pytest.approx(alone["losses"], rel=1e-5)
    # Biases before a normalisation have no gradient but rounding: compare with the whole's size.
    size = torch.stack([g.norm() for g in alone["gradients"].values()]).norm()
    for name, gradient in alone["gradients"].items():
        assert torch.equal(both[0]["gradients"][name], both[1]["gradients"][name]), name
        difference = (both[0]["gradients"][name] - gradient).norm()
        assert difference <= 1e-5 * gradient.norm() + 1e-6 * size, name
    for name, value in alone["state"].items():
        assert torch.equal(both[0]["state"][name], both[1]["state"][name]), name
        torch.testing.assert_close(both[0]["state"][name], value, rtol=1e-5, atol=1e-6)


def test_normalisation_of_uneven_shares(workers: list[dict[str, Any]]) -> None:
    alone, both = normalise(0, 1), [found["normalise"] for found in workers]
    expected = {
        "y": torch.cat([found["y"] for found in both]),
        "dx": torch.cat([found["dx"] for found in both]),
        # A worker's own share of the parameters' gradient: the sum is the whole.
        "d_weight": both[0]["d_weight"] + both[1]["d_weight"],
        "d_bias": both[0]["d_bias"] + both[1]["d_bias"],
        "mean": both[1]["mean"],
        "variance": both[1]["variance"],
    }
    for name, value in expected.items():
        torch.testing.assert_close(value, alone[name], rtol=1e-10, atol=1e-10, msg=name)


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]), 2)
