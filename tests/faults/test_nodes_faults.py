"""A search on a cluster of three nodes, to which one thing after the other happens.

Each test runs the same search of two trials, one a node, and does something to it while they
train. What is found must be what a search finds that runs on one machine and is left alone: weights
and tables to the byte, and all that MLflow has.

The shared folder is mounted by each node for itself, so that no file lock reaches from one to
another, as on network file systems that are mounted so: what holds here holds where locks work.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from disturbed_search import what_it_found
from fault_record import FaultClock, record_fault
from node_cluster import HEAD, ClusterOptions, NodeCluster, node_cluster
from node_network import wait_until, why_not
from tiny_search import Command, isthmus, write_search

NO_NODES = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    # MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(NO_NODES is not None, reason=str(NO_NODES)),
    pytest.mark.skipif(
        shutil.which("bindfs") is None, reason="mounts of each node need: apt-get install bindfs"
    ),
]

SEARCH = ("search", "experiment.yaml", "space.yaml")
N_TRIALS = 2
WORKERS = (1, 2)
SECONDS = 400.0
"""Within which any of these searches is over on a busy machine; 30 s on an idle one."""


@dataclass
class Shared:
    """A search to be run, and where."""

    cluster: NodeCluster
    runs: Path
    undisturbed: Mapping[str, Any]

    def search(self) -> AbstractContextManager[Command]:
        """Start it, or go on with it."""
        address = ("--address", self.cluster.address)
        return self.cluster.isthmus(*SEARCH, *address, *to(self.runs, n_at_a_time=2))

    def wait_for_training(self, command: Command) -> int:
        """Wait for a trial of which a checkpoint is written; return the node it is on."""
        found: list[int] = []

        def is_training() -> bool:
            found[:] = [n for n in WORKERS if self.cluster.training(n, self.runs)]
            return bool(found)

        command.wait_until(is_training, SECONDS)
        return found[0]

    def require_same(self) -> None:
        """Compare all that was found with what the undisturbed search found."""
        found = what_it_found(self.runs, f"sqlite:///{self.runs}/mlflow.db")
        assert sorted(found["trials"]) == list(range(N_TRIALS))
        for run in found["runs"].values():
            run["tags"].pop("isthmus.retried", None)  # what it says is true, and all that differs
        for part, expected in self.undisturbed.items():
            assert found[part] == expected, part


def to(runs: Path, n_at_a_time: int) -> tuple[str, ...]:
    """Say where results go, and how many trials run at a time."""
    places = (f"execution.output={runs}", f"execution.concurrent_trials={n_at_a_time}")
    return tuple(part for place in places for part in ("--set", place))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a search, and an MLflow store in which nothing is yet, to be copied."""
    import mlflow

    folder = tmp_path_factory.mktemp("shared")
    write_search(folder, N_TRIALS, {"training.epochs": 20})
    mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> Mapping[str, Any]:
    """What is found on one machine, one trial at a time."""
    runs = fresh(folder, "undisturbed")
    done = isthmus(*SEARCH, *to(runs, n_at_a_time=1), folder=folder, seconds=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return what_it_found(runs, f"sqlite:///{runs}/mlflow.db")


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[NodeCluster]:
    """A head and two workers."""
    with node_cluster(folder, ClusterOptions(locks_end_at_nodes=True)) as made:
        yield made


@pytest.fixture
def shared(
    cluster: NodeCluster,
    folder: Path,
    undisturbed: Mapping[str, Any],
    request: pytest.FixtureRequest,
) -> Shared:
    """The search, of which nothing is done yet."""
    return Shared(cluster, fresh(folder, request.node.name), undisturbed)


def fresh(folder: Path, name: str) -> Path:
    """Have a folder for results, with an MLflow store: making one takes longer than a trial."""
    runs = folder / f"runs-{name}"
    runs.mkdir()
    shutil.copy(folder / "mlflow.db", runs / "mlflow.db")
    return runs


def finish(shared: Shared, command: Command, clock: FaultClock) -> None:
    """Wait for a search's end, which must be a good one, and compare."""
    assert command.wait(SECONDS) == 0, command.said()
    clock.finish()
    shared.require_same()


def notice(command: Command, clock: FaultClock, line: str) -> None:
    """Wait until a log tells of a fault."""
    command.wait_until(lambda: line in command.said(), SECONDS)
    clock.notice()


def test_a_search_over_nodes_finds_what_one_machine_finds(shared):
    with shared.search() as command:
        seen: set[int] = set()

        def were_all_at_work() -> bool:
            seen.update(n for n in (HEAD, *WORKERS) if shared.cluster.working(n))
            return seen >= set(WORKERS)

        command.wait_until(were_all_at_work, SECONDS)
        assert HEAD not in seen
        finish(shared, command, FaultClock())
    assert "begun again" not in command.said()


def test_a_trial_s_process_is_killed(shared):
    clock = FaultClock()
    with shared.search() as command:
        shared.cluster.working(shared.wait_for_training(command))[0].kill()
        clock.start()
        notice(command, clock, "its process died")
        finish(shared, command, clock)
    record_fault(
        "nodes",
        "a trial's process killed",
        "the trial is begun again on a free node, from its checkpoint",
        clock,
        order=1,
    )


def test_a_node_is_lost_with_a_trial_on_it(shared):
    clock = FaultClock()
    with shared.search() as command:
        node = shared.wait_for_training(command)
        shared.cluster.kill_raylet(node)
        clock.start()
        notice(command, clock, "its node is gone")
        finish(shared, command, clock)
    shared.cluster.come_back(node)
    record_fault(
        "nodes",
        "a node lost (its raylet killed) with a trial on it",
        "the trial is begun again on a node that is left, from its checkpoint",
        clock,
        order=2,
    )


def test_a_link_is_cut_for_two_seconds(shared):
    clock = FaultClock()
    with shared.search() as command:
        node = shared.wait_for_training(command)
        shared.cluster.network.cut(node)
        clock.start()
        with pytest.raises(psutil.TimeoutExpired):  # the node lives on meanwhile
            shared.cluster.raylet(node).wait(timeout=2)
        shared.cluster.network.restore(node)
        finish(shared, command, clock)
    record_fault(
        "nodes",
        "a node's link cut for 2 s with a trial on it, before the node is taken for dead",
        "the trial goes on; what it had to tell comes late",
        clock,
        order=3,
    )


def test_a_link_is_cut_until_the_node_is_taken_for_dead(shared):
    """The trial's first process lives on, and sees the folder that the second one writes."""
    clock, cluster = FaultClock(), shared.cluster
    with shared.search() as command:
        node = shared.wait_for_training(command)
        (orphan,) = cluster.working(node)
        cluster.network.cut(node)
        clock.start()
        notice(command, clock, "its node is gone")
        orphan.wait(timeout=30)
        # of itself: its node has not heard yet that it is taken for dead, so nobody ended it
        assert cluster.raylet(node).is_running()
        cluster.network.restore(node)
        finish(shared, command, clock)
    cluster.come_back(node)
    record_fault(
        "nodes",
        "a node's link cut for longer; the node is taken for dead, the process on it is not",
        "the trial is begun again elsewhere from its checkpoint; the first process finds its "
        "permit withdrawn and ends by itself; the node joins again by `ray start`",
        clock,
        order=4,
    )


def test_the_driver_is_killed(shared):
    clock = FaultClock()
    with shared.search() as command:
        shared.wait_for_training(command)
        command.process.kill()
        clock.start()
        command.process.wait(timeout=30)
        clock.notice()
    with shared.search() as command:
        finish(shared, command, clock)
    record_fault(
        "nodes",
        "the driver killed, and the same command given again",
        "what was over stays over; what was running is begun again from its checkpoints",
        clock,
        order=5,
    )


def test_the_head_is_killed_and_started_again(shared):
    """The last of this file: it needs a new cluster."""
    clock, cluster = FaultClock(), shared.cluster
    with shared.search() as command:
        shared.wait_for_training(command)
        cluster.kill_head()
        clock.start()
        command.process.wait(timeout=30)
        clock.notice()
    cluster.start([HEAD])
    # The new head knows none of the old one's nodes: they end, with all that runs on them.
    wait_until(
        lambda: not cluster.raylets(set(WORKERS)),
        SECONDS,
        "the old head's nodes end at the new one",
    )
    for node in WORKERS:
        cluster.network.end_processes(node)
    cluster.start(WORKERS)
    with shared.search() as command:
        finish(shared, command, clock)
    record_fault(
        "nodes",
        "the head killed with the driver on it, without Redis; the head and the nodes started "
        "again, and the same command given again",
        "the nodes end when the new head does not know them; the search goes on from the shared "
        "folder",
        clock,
        order=6,
    )
