"""One training on two nodes, over the network between them, and an ablation over them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_cluster import HEAD, NodeCluster, node_cluster
from node_network import why_not
from tiny_ablation import ablation_folder, result_of, write_ablation
from tiny_search import isthmus

from isthmus.study.ablation.findings import AblationResult
from isthmus.training.history import read_history
from isthmus.training.order import steps_per_epoch

NO_NODES = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    pytest.mark.skipif(NO_NODES is not None, reason=str(NO_NODES)),
]

SECONDS = 400.0
"""Within which each of these commands is over on a busy machine; 30 s on an idle one."""
N_EPOCHS, GLOBAL_BATCH_SIZE = 4, 2
# Gradients of 1 MB a step: what Ray itself sends meanwhile is little beside them.
TRAINING = ("model.base_channels=16", "model.norm=group", f"training.epochs={N_EPOCHS}")
BYTES_A_PARAMETER = 4
ABLATE = ("ablate", "experiment.yaml", "skips.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort that is ingested, an experiment and an ablation."""
    folder = tmp_path_factory.mktemp("shared")
    write_ablation(folder)
    return folder


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[NodeCluster]:
    """A head and two workers of one core each."""
    with node_cluster(folder) as made:
        yield made


def settings(*given: str) -> tuple[str, ...]:
    """Write settings as options."""
    return tuple(part for setting in given for part in ("--set", setting))


def only_trial(runs: Path) -> Path:
    """The folder of the one trial that is kept there."""
    (trial,) = {file.parent for file in runs.glob("small-*/trial.json")}
    return trial


def test_two_nodes_train_what_one_process_trains_over_their_link(cluster, folder):
    one, two = folder / "runs-one", folder / "runs-two"
    train = ("train", "experiment.yaml", *settings(*TRAINING))
    alone = isthmus(*train, *settings(f"execution.output={one}"), folder=folder, seconds=SECONDS)
    assert alone.returncode == 0, alone.stderr
    before = {node: cluster.network.traffic(node) for node in (1, 2)}
    together = settings(f"execution.output={two}", "execution.workers=2")
    with cluster.isthmus(*train, *together, "--address", cluster.address) as command:
        command.wait_until(lambda: bool(cluster.working(1)) and bool(cluster.working(2)), SECONDS)
        assert command.wait(SECONDS) == 0, command.said()
    after = {node: cluster.network.traffic(node) for node in (1, 2)}

    gradients = 0
    for number in (0, 1):
        here, there = (read_history(only_trial(runs) / f"fold-{number}") for runs in (one, two))
        assert len(here) == len(there) == N_EPOCHS
        for epoch_here, epoch_there in zip(here, there, strict=True):
            assert epoch_there["train_loss"] == pytest.approx(epoch_here["train_loss"], rel=1e-5)
        fold = json.loads((only_trial(two) / f"fold-{number}" / "fold.json").read_text())
        n_steps = N_EPOCHS * steps_per_epoch(fold["n_train"], GLOBAL_BATCH_SIZE)
        gradients += n_steps * fold["n_parameters"] * BYTES_A_PARAMETER
    # Of two workers that add up their gradients in a ring each sends all of them once.
    for node in (1, 2):
        received, sent = (now - then for now, then in zip(after[node], before[node], strict=True))
        print(f"node {node}: {gradients=} {received=} {sent=}")
        assert gradients < sent < 2 * gradients
        assert gradients < received < 2 * gradients


def test_an_ablation_over_nodes_finds_what_one_machine_finds(cluster, folder):
    found: list[tuple[AblationResult, dict[str, bytes]]] = []
    alone = isthmus(*ABLATE, folder=folder, seconds=SECONDS)
    assert alone.returncode == 0, alone.stdout + alone.stderr
    found.append((result_of(ablation_folder(folder)), weights(folder / "runs")))
    (folder / "runs").rename(folder / "runs-alone")

    limit = settings("execution.concurrent_trials=2")
    with cluster.isthmus(*ABLATE, *limit, "--address", cluster.address) as command:
        command.wait_until(lambda: bool(cluster.working(1)) and bool(cluster.working(2)), SECONDS)
        assert not cluster.working(HEAD)
        assert command.wait(SECONDS) == 0, command.said()
    found.append((result_of(ablation_folder(folder)), weights(folder / "runs")))
    (here, weights_here), (there, weights_there) = found
    assert here.findings == there.findings
    assert len(weights_here) == 4
    assert weights_here == weights_there


def weights(runs: Path) -> dict[str, bytes]:
    """Read the weights of all folds."""
    return {
        str(file.relative_to(runs)): file.read_bytes()
        for file in runs.glob("small-*/fold-*/model.safetensors")
    }
