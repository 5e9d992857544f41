"""Two workers train as one where a worker lacks a modality that the other has, or both lack it.

The workers are this file run as a script: it needs no import by name and no pickling.
"""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel
from two_workers import found_by_two, joined

from isthmus.config.architecture import MASKED_OPERATIONS, ModelConfig
from isthmus.config.training import LossConfig
from isthmus.model.dropout import set_dropout_keys
from isthmus.model.families import build_model

MODALITIES = ("T1w", "FA", "NDI")
# Of each step's four subjects; worker 0 has the first and the third. FA: both workers have one;
# then worker 0 has none; then nobody has.
STEPS = (
    ((1, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 0)),
    ((1, 0, 1), (1, 1, 1), (0, 0, 1), (0, 1, 1)),
    ((1, 0, 1), (1, 0, 0), (0, 0, 1), (1, 0, 1)),
)
FUSIONS: dict[str, dict[str, Any]] = {
    **{name: {"operation": name} for name in MASKED_OPERATIONS},
    "early": {"operation": "mean", "positions": [1, "bottleneck"]},
    "gradual": {"operation": "attention", "positions": [1, "bottleneck"], "timing": "gradual"},
}


def train(fusion: dict[str, Any], rank: int, n_workers: int) -> dict[str, Any]:
    """Take a few steps of plain gradient descent; return losses, gradients and weights."""
    config = ModelConfig(
        embedding_size=32, depth=2, kernel_size=3, mid_flow_blocks=1, dropout=0.2, fusion=fusion
    )
    stream = torch.Generator().manual_seed(0)
    model = build_model(config, MODALITIES, (8, 8, 8), stream).train()
    wrapped = DistributedDataParallel(model) if n_workers > 1 else model
    optimiser = torch.optim.SGD(wrapped.parameters(), lr=0.02)
    losses, gradients = [], []
    for step, given in enumerate(STEPS):
        given_BM = torch.tensor(given, dtype=torch.bool)[rank::n_workers]
        x = torch.rand(4, 3, 8, 8, 8, generator=stream)[rank::n_workers]
        set_dropout_keys(wrapped, range(100 * step + rank, 100 * step + 4, n_workers))
        optimiser.zero_grad()
        hidden = torch.where(given_BM[:, :, None, None, None], x, torch.nan)
        l_BM = model.loss(wrapped(hidden, given_BM=given_BM), x, None, LossConfig())
        loss = l_BM.sum() * n_workers / 4
        loss.backward()
        losses.append(loss.item())
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters()})
        optimiser.step()
    return {"losses": losses, "gradients": gradients, "state": model.state_dict()}


def work(folder: Path, rank: int) -> None:
    """Be one of two workers."""
    with joined(folder, rank):
        torch.save({name: train(f, rank, 2) for name, f in FUSIONS.items()}, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two workers found."""
    return found_by_two(__file__, tmp_path_factory.mktemp("workers"))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_two_workers_are_one(fusion: str, workers: list[dict[str, Any]]) -> None:
    alone, both = train(FUSIONS[fusion], 0, 1), [found[fusion] for found in workers]
    losses = torch.tensor([found["losses"] for found in both], dtype=torch.float64).mean(dim=0)
    assert losses.tolist() == pytest.approx(alone["losses"], rel=1e-5)
    for step, expected in enumerate(alone["gradients"]):
        # Biases before a normalisation have no gradient but rounding: compare with the whole's.
        size = torch.stack([g.norm() for g in expected.values()]).norm()
        for name, gradient in expected.items():
            found = both[0]["gradients"][step][name]
            assert torch.equal(found, both[1]["gradients"][step][name]), name
            difference = (found - gradient).norm()
            assert difference <= 1e-4 * gradient.norm() + 1e-5 * size, (step, name)
    for name, value in alone["state"].items():
        assert torch.equal(both[0]["state"][name], both[1]["state"][name]), name
        torch.testing.assert_close(both[0]["state"][name], value, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
