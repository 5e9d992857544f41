"""Workers that come and go, on nodes that are lost, replaced and announced to go."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import node_network
import pytest
from elastic_driver import EIGHT, epochs_told, group_sizes, open_gate
from fault_record import FaultClock, record_fault
from node_cluster import HEAD, NodeCluster, node_cluster
from node_network import wait_until
from small_cohort import make_task, write_cohort

from isthmus.training.fit import fit
from isthmus.training.history import read_history

TESTS = Path(__file__).parents[1]
WHY_NOT = node_network.why_not()
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(580),
    # A cluster's processes are ended by their namespace.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]

N_EPOCHS = 10
"""Of two steps each: as many as `tests/integration/test_ddp.py` compares."""
SECONDS = 180.0
"""Within which a group has begun, or been replaced, on a busy machine."""
SETTINGS = (
    f"training.epochs={N_EPOCHS}",
    "training.global_batch_size=4",
    "training.early_stopping.monitor_share=0.2",
    "model.norm=group",
    "execution.workers=2",
    "execution.min_workers=1",
    "execution.max_failures=0",
    "execution.checkpoint_every_steps=100",
)

_ANNOUNCE = """
import sys, time
from ray._raylet import GcsClient
gcs = GcsClient(address=sys.argv[1])
[node] = [
    each.node_id.hex()
    for each in gcs.get_all_node_info(timeout=10).values()
    if each.state == 0 and each.node_manager_address == sys.argv[2]
]
is_taken, why_not = gcs.drain_node(node, 2, "taken back", int(1000 * (time.time() + 600)))
assert is_taken, why_not
"""
"""What `ray drain-node` and a `ray start --block` that is told to end ask of Ray: preemption."""


@dataclass(frozen=True)
class Training:
    """A training that was started on the head."""

    place: Path
    process: "object"
    said: Path

    def until(self, condition, what: str, seconds: float = SECONDS) -> None:  # type: ignore[no-untyped-def]
        """Wait for something while the training runs."""

        def so() -> bool:
            code = self.process.poll()  # type: ignore[attr-defined]
            assert code is None or condition(), f"over with {code}:\n{self.said.read_text()}"
            return bool(condition())

        wait_until(so, seconds, lambda: f"{what}; groups {self.sizes}:\n{self.said.read_text()}")

    def told(self, epoch: int) -> None:
        """Wait until the driver has heard of an epoch."""
        self.until(lambda: epoch in epochs_told(self.place), f"epoch {epoch}")

    def begun(self, *sizes: int) -> None:
        """Wait until groups of these sizes have begun, one after another."""
        self.until(lambda: self.sizes == list(sizes), f"groups {sizes}")

    def wished(self) -> None:
        """Wait until the workers are asked to save, because others are to take over."""
        self.until(lambda: any(self.place.glob("fold/ray/*/wish")), "a wish for a checkpoint")

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        self.until(lambda: self.process.poll() is not None, "the end")  # type: ignore[attr-defined]
        return int(self.process.wait(1))  # type: ignore[attr-defined]

    @property
    def sizes(self) -> list[int]:
        """Sizes of the groups so far."""
        return group_sizes(self.place) if (self.place / "groups").exists() else []


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeCluster]:
    """A head without cores and two nodes of one core, and a cohort that all of them see."""
    folder = tmp_path_factory.mktemp("elastic")
    (folder / "cohort").mkdir()
    write_cohort(folder / "cohort")
    with node_cluster(folder) as made:
        yield made


@pytest.fixture(scope="module")
def alone(cluster: NodeCluster) -> Path:
    """What one worker trains that nothing disturbs; its folder."""
    folder = cluster.folder / "alone"
    settings = (*SETTINGS, "execution.workers=1")
    fit(make_task(cluster.folder / "cohort" / "experiment.yaml", folder, *settings, fold=EIGHT))
    return folder


@contextmanager
def training(cluster: NodeCluster, name: str, *settings: str, gate: int) -> Iterator[Training]:
    """Train on the cluster up to an epoch; nothing of the driver is left after the block."""
    place = cluster.folder / name
    place.mkdir(exist_ok=True)
    open_gate(place, gate)
    folders = [str(TESTS.parent / "platform"), str(TESTS)]
    file = cluster.folder / "cohort" / "experiment.yaml"
    command = [sys.executable, TESTS / "elastic_driver.py", file, cluster.address, place / "fold"]
    said = place / "said"
    with said.open("wb") as out:
        process = cluster.network.popen(
            HEAD,
            [*command, *SETTINGS, *settings],
            {**cluster.environment, "PYTHONPATH": os.pathsep.join(folders)},
            cluster.folder,
            out,
        )
    try:
        yield Training(place, process, said)
    finally:
        process.kill()
        process.wait(30)


def require_same(alone: Path, run: Training) -> None:
    """Hold a disturbed training against an undisturbed one: each step, once, to the tolerance."""
    assert epochs_told(run.place) == list(range(1, N_EPOCHS + 1))
    here, there = read_history(alone), read_history(run.place / "fold")
    assert [record["epoch"] for record in there] == list(range(1, N_EPOCHS + 1))
    for one, other in zip(here, there, strict=True):
        for name in ("train_loss", "train_loss_FA", "monitor_loss", "monitor_mse_T1w"):
            assert other[name] == pytest.approx(one[name], rel=1e-5)
        assert other["learning_rate"] == one["learning_rate"]
    digests = [json.loads((f / "fitted.json").read_text()) for f in (alone, run.place / "fold")]
    assert digests[0]["task_digest"] == digests[1]["task_digest"]


def test_a_lost_node_is_done_without_and_its_replacement_is_used(
    cluster: NodeCluster, alone: Path
) -> None:
    clock = FaultClock()
    with training(cluster, "lost", gate=2) as run:
        run.told(2)
        assert run.sizes == [2]
        clock.start()
        cluster.kill_raylet(2)
        run.begun(2, 1)
        clock.notice()
        open_gate(run.place, 4)
        run.told(4)
        cluster.come_back(2)
        run.wished()
        open_gate(run.place, 5)
        run.begun(2, 1, 2)
        open_gate(run.place, N_EPOCHS + 1)
        assert run.wait() == 0, run.said.read_text()
        clock.finish()
    assert run.said.read_text() == ""
    require_same(alone, run)
    record_fault(
        "elastic",
        "a training on two nodes loses one, which is later replaced (`min_workers: 1`)",
        "goes on with one worker from the last checkpoint, and with two once the other node is "
        "there; costs none of `max_failures`",
        clock,
        "equal to one undisturbed worker's within 1e-5, each step once",
        order=1,
    )


def test_a_node_that_is_announced_to_go_costs_no_step(cluster: NodeCluster, alone: Path) -> None:
    clock = FaultClock()
    with training(cluster, "announced", gate=2) as run:
        run.told(2)
        clock.start()
        notice = cluster.network.run(
            HEAD,
            [sys.executable, "-c", _ANNOUNCE, cluster.address, cluster.network.address(1)],
            cluster.environment,
            cluster.folder,
        )
        assert notice.returncode == 0, notice.stdout
        run.wished()
        clock.notice()
        open_gate(run.place, 3)
        run.begun(2, 1)
        open_gate(run.place, N_EPOCHS + 1)
        assert run.wait() == 0, run.said.read_text()
        clock.finish()
    require_same(alone, run)
    cluster.wait_for_nodes({1}, alive=False)  # it has ended by itself, once nothing ran there
    record_fault(
        "elastic",
        "a node with a worker of a training on it is announced to go",
        "the workers save after the step they are in and go on on the other node",
        clock,
        "equal to one undisturbed worker's within 1e-5, each step once",
        order=2,
    )


def test_too_few_nodes_are_waited_for_so_long_and_gone_on_from(
    cluster: NodeCluster, alone: Path
) -> None:
    if cluster.raylets({1}):
        cluster.kill_raylet(1)
    cluster.wait_for_nodes({1}, alive=False)
    clock = FaultClock()
    with training(cluster, "nobody", "execution.worker_wait_minutes=0.2", gate=2) as run:
        run.told(2)
        assert run.sizes == [1]
        clock.start()
        cluster.raylet(2).terminate()
        assert run.wait() == 2
        clock.notice()
        said = run.said.read_text()
    assert "The 2 workers (or 1: execution.min_workers) of fold 0 must find room" in said
    assert "for 0.2 minutes (execution.worker_wait_minutes)" in said
    assert f"go on from the last checkpoint in {run.place / 'fold'}" in said
    cluster.come_back(2)
    with training(cluster, "nobody", gate=N_EPOCHS + 1) as run:
        assert run.wait() == 0, run.said.read_text()
        clock.finish()
    assert run.sizes == [1, 1]
    require_same(alone, run)
    record_fault(
        "elastic",
        "all nodes of a training are lost and none comes (`worker_wait_minutes: 0.2`)",
        "ends in an error that says what was waited for and how long; the same command goes on "
        "from the last checkpoint once there is a node",
        clock,
        "equal to one undisturbed worker's within 1e-5, each step once",
        order=3,
    )
