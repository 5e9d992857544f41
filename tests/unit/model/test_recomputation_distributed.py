"""Two workers that compute levels again stay in step, also where one has no image to encode.

The workers are this file run as a script: it needs no import by name and no pickling.
"""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from two_workers import found_by_two, joined

from isthmus.config.architecture import ModelConfig
from isthmus.config.training import LossConfig
from isthmus.model.dropout import set_dropout_keys
from isthmus.model.families import build_model
from isthmus.model.recomputation import recompute_levels

# By worker: two subjects each; the second worker's have no image of the second modality.
GIVEN = (
    torch.tensor([[True, True], [False, True]]),
    torch.tensor([[True, False], [True, False]]),
)


def train(rank: int, again: bool, missing: bool) -> dict[str, Any]:
    """Take two steps of plain gradient descent in slices; return all that came of it."""
    config = ModelConfig(
        embedding_size=32,
        depth=2,
        kernel_size=3,
        mid_flow_blocks=1,
        dropout=0.2,
        fusion={"operation": "mean"},
    )
    stream = torch.Generator().manual_seed(0)
    model = build_model(config, ("T1w", "FA"), (8, 8, 8), stream).train()
    recompute_levels(model, again)
    wrapped = DistributedDataParallel(model, forward_sync_buffers=False)
    optimiser = torch.optim.SGD(wrapped.parameters(), lr=0.05)
    masks = {"given_BM": GIVEN[rank]} if missing else {}
    losses = []
    for step in range(2):
        optimiser.zero_grad()
        for part in range(2):
            x = torch.rand(4, 2, 8, 8, 8, generator=stream)[rank::2]
            set_dropout_keys(wrapped, range(100 * step + 10 * part + rank, 1000, 2)[:2])
            loss = model.loss(wrapped(x, **masks), x, None, LossConfig()).sum()
            with wrapped.no_sync() if part == 0 else torch.enable_grad():
                loss.backward()
            losses.append(loss.detach())
        optimiser.step()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return {"losses": torch.stack(losses), **gradients, **model.state_dict()}


def work(folder: Path, rank: int) -> None:
    """Be one worker, and count what it exchanges."""
    with joined(folder, rank):
        reduce, n_exchanges = distributed.all_reduce, 0

        def counted(*args: Any, **options: Any) -> Any:
            nonlocal n_exchanges
            n_exchanges += 1
            return reduce(*args, **options)

        distributed.all_reduce = counted
        found: dict[str, Any] = {}
        for missing in (False, True):
            for again in (False, True):
                n_exchanges = 0
                result = train(rank, again, missing)
                found[f"{missing} {again}"] = {"result": result, "exchanges": n_exchanges}
        torch.save(found, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two workers found."""
    return found_by_two(__file__, tmp_path_factory.mktemp("workers"))


@pytest.mark.parametrize("missing", [False, True])
def test_workers_stay_in_step_and_change_no_bit(
    missing: bool, workers: list[dict[str, Any]]
) -> None:
    for found in workers:
        kept, again = (found[f"{missing} {on}"]["result"] for on in (False, True))
        assert kept.keys() == again.keys()
        for name, value in kept.items():
            assert torch.equal(value, again[name]), name
    first, second = (
        [found[f"{missing} {on}"]["exchanges"] for on in (False, True)] for found in workers
    )
    assert first == second
    assert first[1] > first[0] > 0


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
