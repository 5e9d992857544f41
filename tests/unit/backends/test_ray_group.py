"""What Ray's controller is told when workers fail, are too few, or others come."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.train import ControllerError, FailureConfig, ScalingConfig, WorkerGroupError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
)
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision
from ray.train.v2.api.exceptions import PreemptionError
from ray.train.v2.api.preemption import PreemptionInfo

from isthmus.backends import ray_group
from isthmus.backends.group_rules import GroupRules
from isthmus.backends.ray_group import AnySize, OwnFailures
from isthmus.backends.ray_worker import Noticeboard
from isthmus.core.errors import FolderBusy, ResourceError, TrainingDiverged
from isthmus.training.checkpoint import LAST_FILE

RETRY, RAISE = FailureDecision.RETRY, FailureDecision.RAISE
DIED = WorkerHealthCheckFailedError("worker 1", ActorDiedError())
UNKNOWN = WorkerHealthCheckFailedError("worker 1", ActorUnavailableError("connection lost", None))
COLLATERAL = RuntimeError("connection closed by peer")


def rules(folder: Path, max_failures: int = 1, wait_minutes: float = 10.0) -> GroupRules:
    return GroupRules((1, 2, 4), max_failures, wait_minutes, 0, folder, Noticeboard(folder))


def failed(*errors: BaseException) -> WorkerGroupError:
    return WorkerGroupError("workers failed", dict(enumerate(errors)))


class Cluster:
    """Stands for the nodes that Ray takes for dead, and for time."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, **rule: float) -> None:
        self.rules = rules(folder, **rule)  # type: ignore[arg-type]
        self.dead: Callable[[], frozenset[str]] = frozenset
        self.now = 0.0
        self.policy = OwnFailures(FailureConfig(), self.rules, lambda: self.dead())
        context = SimpleNamespace(get_node_id=lambda: "head")
        patch.setattr(ray_group.ray, "get_runtime_context", lambda: context)
        patch.setattr(ray_group.time, "monotonic", lambda: self.now)
        patch.setattr(ray_group.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def fail(self, nodes: str, *errors: BaseException) -> FailureDecision:
        for node in nodes:
            self.rules.board.join(node)
        (self.rules.directory / LAST_FILE).unlink(missing_ok=True)
        (self.rules.directory / LAST_FILE).write_text("another")
        return self.policy.make_decision(failed(*errors))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(tmp_path, monkeypatch)


def test_crashes_are_counted_and_given_up_at_once(cluster):
    assert [cluster.fail("ab", DIED) for _ in range(2)] == [RETRY, RAISE]
    assert cluster.now == 0.0


def test_a_lost_node_is_recognised_when_ray_comes_to_know_of_it(cluster):
    assert cluster.fail("ab", DIED) is RETRY
    cluster.dead = lambda: frozenset("b" if cluster.now > 20 else "")
    assert cluster.fail("ab", COLLATERAL, UNKNOWN) is RETRY
    assert 20 < cluster.now < 30
    assert cluster.fail("ac", DIED) is RAISE  # a crash again, the second


def test_what_no_node_was_lost_by_is_a_failure_after_a_while(cluster):
    assert cluster.fail("ab", COLLATERAL) is RETRY
    assert cluster.fail("ab", COLLATERAL) is RAISE
    assert 60 < cluster.now < 120


def test_on_the_controllers_own_node_nothing_is_waited_for(cluster):
    cluster.rules.board.join("head")
    cluster.policy.make_decision(failed(COLLATERAL))
    cluster.rules.board.join("head")
    assert cluster.policy.make_decision(failed(COLLATERAL)) is RAISE
    assert cluster.now == 0.0


def test_a_refusal_and_a_halt_are_not_tried_again(cluster):
    assert cluster.fail("ab", COLLATERAL, TrainingDiverged("nan")) is RAISE
    cluster.rules.board.halt()
    assert cluster.fail("ab", DIED) is RAISE


def test_a_folder_held_by_the_group_before_is_waited_for_but_not_for_ever(cluster):
    busy = FolderBusy("held")
    assert cluster.fail("ab", busy, busy) is RAISE  # by another command: nothing failed before
    assert cluster.fail("ab", DIED) is RETRY
    assert cluster.fail("a", busy) is RETRY
    cluster.now += 599
    assert cluster.fail("a", busy) is RETRY
    cluster.now += 2
    assert cluster.fail("a", busy) is RAISE


def test_workers_that_do_not_start_are_tried_again_a_few_times(cluster):
    decide = cluster.policy.make_decision
    timeout = ControllerError(WorkerGroupStartupTimeoutError(2))
    assert {decide(timeout) for _ in range(20)} == {RETRY}  # its end is the scaling policy's
    unstarted = ControllerError(WorkerGroupStartupFailedError("died in its beginnings"))
    assert [decide(unstarted) for _ in range(4)] == [RETRY, RETRY, RETRY, RAISE]
    assert decide(ControllerError(ResourceError("no room"))) is RAISE
    assert decide(ControllerError(KeyError("a bug"))) is RAISE
    assert decide(PreemptionError(PreemptionInfo(None, {}))) is RETRY


def test_groups_that_came_further_in_between_are_tried_again_anew(cluster):
    decide = cluster.policy.make_decision
    unstarted = ControllerError(WorkerGroupStartupFailedError("died in its beginnings"))
    for mark in range(5):
        (cluster.rules.directory / LAST_FILE).touch()
        os.utime(cluster.rules.directory / LAST_FILE, ns=(0, 10**9 * (mark + 1)))
        assert [decide(unstarted) for _ in range(3)] == [RETRY] * 3
    assert decide(unstarted) is RAISE


class Room(AnySize):
    """Sizes decided on nodes that a test names."""

    def __init__(self, own: GroupRules) -> None:
        options = {"num_workers": (1, 4), "elastic_resize_monitor_interval_s": 5.0}
        super().__init__(ScalingConfig(**options, resources_per_worker={"CPU": 1.0}), own)
        self.nodes = "ab"

    def _maybe_send_resource_request(self) -> None:
        """No coordinator is there to be asked."""

    def _get_reserved_resources(self) -> dict[str, dict[str, float]]:
        return {node: {"CPU": 1.0} for node in self.nodes}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    from ray.train.v2._internal.execution.scaling_policy import elastic

    clock = Clock()
    monkeypatch.setattr(ray_group.time, "monotonic", clock)
    monkeypatch.setattr(ray_group.time, "sleep", clock.sleep)
    monkeypatch.setattr(elastic, "time_monotonic", clock)
    return clock


@pytest.fixture
def going(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    nodes: set[str] = set()
    monkeypatch.setattr(ray_group, "_going_nodes", lambda: set(nodes))
    monkeypatch.setattr(ray_group, "_silent_nodes", lambda _: set())
    return nodes


def group(nodes: str) -> SimpleNamespace:
    workers = [SimpleNamespace(metadata=SimpleNamespace(node_id=node)) for node in nodes]
    return SimpleNamespace(workers=workers, num_workers=len(nodes), start_time=0.0)


def size(decision: object) -> int | None:
    return decision.num_workers if isinstance(decision, ResizeDecision) else None


def test_a_group_begins_with_a_number_that_will_do(tmp_path, clock, going):
    policy = Room(rules(tmp_path))
    for nodes, begun in (("ab", 2), ("abc", 2), ("abcd", 4), ("abcdefg", 4), ("a", 1)):
        policy.nodes = nodes
        assert size(policy.make_decision_for_non_running_worker_group()) == begun
    going.add("a")
    policy.nodes = "abc"
    assert size(policy.make_decision_for_non_running_worker_group()) == 2
    policy.nodes = "a"
    assert size(policy.make_decision_for_non_running_worker_group()) is None


def test_a_node_that_is_gone_is_not_counted_on_before_ray_knows(
    tmp_path, clock, going, monkeypatch
):
    policy = Room(rules(tmp_path))
    monkeypatch.setattr(ray_group, "_silent_nodes", lambda nodes: nodes & {"b"})
    assert size(policy.make_decision_for_non_running_worker_group()) == 1
    # Ray's count has it for a while yet: a larger group would wait for it
    for _ in range(20):
        clock.now += 1.0
        assert size(policy.make_decision_for_running_worker_group(group("a"), None)) is None
    assert not Noticeboard(tmp_path).is_wished


def test_a_node_with_a_worker_that_is_silent_for_a_while_is_kept(
    tmp_path, clock, going, monkeypatch
):
    policy = Room(rules(tmp_path))
    policy.make_decision_for_non_running_worker_group()
    monkeypatch.setattr(ray_group, "_silent_nodes", lambda nodes: nodes & {"b"})
    for _ in range(20):
        clock.now += 1.0
        assert size(policy.make_decision_for_running_worker_group(group("ab"), None)) is None
    assert not Noticeboard(tmp_path).is_wished


def test_nodes_that_take_no_connection_are_silent(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        ports = {"a": one.getsockname()[1], "b": other.getsockname()[1]}
        other.close()
        nodes = [
            {"NodeID": node, "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": port}
            for node, port in ports.items()
        ]
        monkeypatch.setattr(ray_group.ray, "nodes", lambda: nodes)
        assert ray_group._silent_nodes({"a", "b", "forgotten"}) == {"b", "forgotten"}
        assert ray_group._silent_nodes({"a"}) == set()


def test_too_few_are_waited_for_so_long(tmp_path, clock, going):
    policy = Room(rules(tmp_path, wait_minutes=0.5))
    policy.nodes = ""
    begun = clock.now
    decide = policy.make_decision_for_non_running_worker_group
    # Without an error it would ask for ever; a thousand times is longer than half a minute.
    with pytest.raises(ResourceError, match=r"for 0\.5 minutes \(execution\.worker_wait_minutes"):
        assert {type(decide()) for _ in range(1000)} == {NoopDecision}
    assert 30 < clock.now - begun < 32
    policy = Room(rules(tmp_path, wait_minutes=0.5))
    for _ in range(3):  # what there was room for meanwhile is not counted
        clock.now += 20
        policy.make_decision_for_non_running_worker_group()
        policy.make_decision_for_running_worker_group(group("ab"), None)


def test_a_halted_driver_is_not_waited_for(tmp_path, clock, going):
    policy = Room(rules(tmp_path))
    policy.nodes = ""
    policy.make_decision_for_non_running_worker_group()
    policy._rules.board.halt()
    with pytest.raises(RuntimeError, match="halted"):
        policy.make_decision_for_non_running_worker_group()


def test_a_larger_group_begins_once_the_smaller_one_has_saved(tmp_path, clock, going):
    policy, board = Room(rules(tmp_path)), Noticeboard(tmp_path)

    def decide() -> int | None:
        clock.now += 1.0
        return size(policy.make_decision_for_running_worker_group(group("ab"), None))

    assert [decide() for _ in range(12)] == [None] * 12
    assert not board.is_wished
    policy.nodes = "abcd"
    assert [decide() for _ in range(12)] == [None] * 12
    assert board.is_wished
    board.grant()
    board.join("a")
    assert decide() == 4
    assert not board.take_nodes()  # what the next group fails by is no fault of this one's nodes
    policy.make_decision_for_non_running_worker_group()
    policy.nodes = "abcdefgh"
    assert [decide() for _ in range(12)][-1] is None


def test_a_step_that_never_ends_is_not_waited_for(tmp_path, clock, going):
    policy = Room(rules(tmp_path))
    policy.nodes = "abcd"
    assert size(policy.make_decision_for_running_worker_group(group("ab"), None)) is None
    clock.now += 301
    assert size(policy.make_decision_for_running_worker_group(group("ab"), None)) == 4


def test_a_node_that_is_about_to_go_is_left_at_once(tmp_path, clock, going):
    policy, board = Room(rules(tmp_path)), Noticeboard(tmp_path)
    policy.make_decision_for_running_worker_group(group("ab"), None)
    going.add("b")
    clock.now += 1.5  # the next look at what has come is 3.5 s away
    assert size(policy.make_decision_for_running_worker_group(group("ab"), None)) is None
    assert board.is_wished
    board.grant()
    assert size(policy.make_decision_for_running_worker_group(group("ab"), None)) == 1


def test_a_node_that_cannot_be_done_without_is_saved_on_until_it_goes(tmp_path, clock, going):
    policy, board = Room(rules(tmp_path)), Noticeboard(tmp_path)
    policy.nodes = "b"
    policy.make_decision_for_running_worker_group(group("b"), None)
    going.add("b")
    n_wishes = 0
    for _ in range(60):
        clock.now += 0.5
        assert size(policy.make_decision_for_running_worker_group(group("b"), None)) is None
        n_wishes += board.is_wished
        board.grant()
    assert n_wishes == 3
