"""Which workers make up a training on Ray, and when it is given up: asked by Ray's controller.

Ray Train has policies for both, but no setting for what is needed here. Its elastic policy takes
any number of workers in a range, waits for ever where there are too few, and ends a group that it
makes larger without a word, so that the steps since the last checkpoint are done again. Its
failure policy counts a node that is lost like a training that crashes.
"""

import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError
from ray.train import ControllerError, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchTrainer

# Ray Train has no public way to bring a policy of one's own; these are of the pinned version.
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
)
from ray.train.v2._internal.execution.failure_handling import FailureDecision, FailurePolicy
from ray.train.v2._internal.execution.scaling_policy import (
    ElasticScalingPolicy,
    FixedScalingPolicy,
    NoopDecision,
    ResizeDecision,
    ScalingDecision,
)
from ray.train.v2.api.exceptions import PreemptionError

from isthmus.backends.group_rules import GroupFailure, GroupRules, n_charged
from isthmus.backends.ray_worker import killed_for_memory
from isthmus.core.errors import FolderBusy, IsthmusError

# Ray asks a node every 3 s, waits 10 s for an answer, and takes it for dead after five without.
_VERDICT_SECONDS = 75.0
_VERDICT_POLL_SECONDS = 0.5
# Ray's controller asks again at once, and would keep a core busy.
_WAITING_POLL_SECONDS = 0.5
# Whether nodes are about to go is asked this often.
_NOTICE_SECONDS = 1.0
# A step that is under way must end before its state can be saved.
_CHECKPOINT_SECONDS = 300.0
# A node that is about to go and cannot be done without: save again after so long.
_SAVE_AGAIN_SECONDS = 10.0
# What lies on a network that works takes a connection within this time.
_ANSWER_SECONDS = 3.0
# What a group that cannot be started says may be passing, but not for ever.
_STARTS = 3


class _Patience:
    """Wait for room for a while, not for ever; nor for a driver that has gone."""

    def __init__(self, scaling_config: ScalingConfig, rules: GroupRules) -> None:
        super().__init__(scaling_config)  # type: ignore[call-arg]
        self._rules = rules
        self._waiting_since: float | None = None

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        """Start workers, or wait."""
        rules, now = self._rules, time.monotonic()
        if rules.board.is_over:
            raise RuntimeError("refused by a worker, or halted by the driver")
        if self._waiting_since is None:
            self._waiting_since = now
        rules.board.take_nodes()  # of a group that is over
        if now - self._waiting_since > 60.0 * rules.wait_minutes:
            raise rules.no_room(self.scaling_config.resources_per_worker)  # type: ignore[attr-defined]
        decision = super().make_decision_for_non_running_worker_group()  # type: ignore[misc]
        if isinstance(decision, NoopDecision):
            time.sleep(_WAITING_POLL_SECONDS)
        return decision

    def make_decision_for_running_worker_group(
        self, worker_group_state: Any, worker_group_status: Any
    ) -> ScalingDecision:
        """Remember that there was room."""
        self._waiting_since = None
        return super().make_decision_for_running_worker_group(  # type: ignore[misc]
            worker_group_state, worker_group_status
        )


class FixedSize(_Patience, FixedScalingPolicy):  # type: ignore[misc]
    """As many workers as were asked for, or none."""


class AnySize(_Patience, ElasticScalingPolicy):  # type: ignore[misc]
    """The most workers that there is room for, of the numbers that will do."""

    def __init__(self, scaling_config: ScalingConfig, rules: GroupRules) -> None:
        super().__init__(scaling_config, rules)
        self._intended: ResizeDecision | None = None
        self._since = 0.0
        self._looks_again = 0.0
        self._saves_again = 0.0
        self._present: frozenset[str] = frozenset()

    def _count_possible_workers(self, reserved_resources: Mapping[str, Any]) -> int:
        """Count on no node that is about to go, or that is gone and not yet taken for dead."""
        left_out = _going_nodes()
        # Ray would wait a minute for workers there. One with a worker may be silent for a while.
        left_out |= _silent_nodes(set(reserved_resources) - left_out - self._present)
        staying = {node: has for node, has in reserved_resources.items() if node not in left_out}
        return self._rules.fitting(super()._count_possible_workers(staying))

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        """Start workers, or wait; what was wished of the group before is void."""
        self._rules.board.grant()
        self._intended, self._present = None, frozenset()
        return super().make_decision_for_non_running_worker_group()

    def make_decision_for_running_worker_group(
        self, worker_group_state: Any, worker_group_status: Any
    ) -> ScalingDecision:
        """Go on, or begin anew with other workers once those that run have saved."""
        now = time.monotonic()
        self._present = frozenset(one.metadata.node_id for one in worker_group_state.workers)
        if self._intended is not None:
            if self._rules.board.is_wished and now - self._since < _CHECKPOINT_SECONDS:
                return NoopDecision()
            intended, self._intended = self._intended, None
            self._rules.board.take_nodes()  # this group ends now
            return intended
        decision = super().make_decision_for_running_worker_group(
            worker_group_state, worker_group_status
        )
        if isinstance(decision, NoopDecision) and now >= self._looks_again:
            self._looks_again = now + _NOTICE_SECONDS
            decision = self._without_going(worker_group_state)
        if isinstance(decision, ResizeDecision):
            self._intended, self._since = decision, now
            self._rules.board.wish()
        return NoopDecision()

    def _without_going(self, group: Any) -> ScalingDecision:
        """Leave the nodes that are about to go, if the others will do; else save now and then."""
        if not _going_nodes() & {worker.metadata.node_id for worker in group.workers}:
            return NoopDecision()
        n_staying = self._count_possible_workers(self._get_reserved_resources() or {})
        if n_staying:
            return self._get_resize_decision(n_staying)
        if time.monotonic() >= self._saves_again:
            self._saves_again = time.monotonic() + _SAVE_AGAIN_SECONDS
            self._rules.board.wish()
        return NoopDecision()


class OwnFailures(FailurePolicy):  # type: ignore[misc]
    """Try again, unless it would change nothing or the training has failed too often by itself."""

    def __init__(
        self,
        failure_config: Any,
        rules: GroupRules,
        dead_nodes: Callable[[], frozenset[str]] | None = None,
    ) -> None:
        super().__init__(failure_config)
        self._rules = rules
        self._dead_nodes = dead_nodes or _dead_nodes
        self._failures: list[GroupFailure] = []
        self._n_unstarted, self._unstarted_mark = 0, 0
        self._busy_since: float | None = None

    def make_decision(self, training_failed_error: Exception) -> FailureDecision:
        """Say whether to start a group again."""
        if self._rules.board.is_over:
            return FailureDecision.RAISE
        if isinstance(training_failed_error, PreemptionError):
            return FailureDecision.RETRY
        if isinstance(training_failed_error, WorkerGroupError):
            again = self._is_borne(training_failed_error)
        else:
            again = self._may_start(training_failed_error)
        return FailureDecision.RETRY if again else FailureDecision.RAISE

    def _may_start(self, error: Exception) -> bool:
        """Tell whether a group that did not come to work may be tried again."""
        cause = getattr(error, "controller_failure", None)
        if not isinstance(error, ControllerError) or isinstance(cause, IsthmusError):
            return False
        if isinstance(cause, WorkerGroupStartupTimeoutError):
            return True  # the scaling policy sees to it that this ends
        if self._unstarted_mark != self._rules.mark:  # workers have come further since
            self._n_unstarted, self._unstarted_mark = 0, self._rules.mark
        self._n_unstarted += 1
        passing = isinstance(cause, WorkerGroupStartupFailedError | RayError)
        return passing and self._n_unstarted <= _STARTS

    def _is_borne(self, error: WorkerGroupError) -> bool:
        """Tell whether workers that failed may be started again."""
        raised = [refused(each) for each in error.worker_failures.values()]
        busy = [each for each in raised if isinstance(each, FolderBusy)]
        if busy and len(busy) == len(raised) and self._failures:
            # The group before holds the folder, from a node that is cut off.
            now = time.monotonic()
            self._busy_since = now if self._busy_since is None else self._busy_since
            return now - self._busy_since < 60.0 * self._rules.wait_minutes
        if any(each is not None for each in raised):
            return False
        self._busy_since, self._n_unstarted = None, 0
        self._failures.append(GroupFailure(self._rules.board.take_nodes(), self._rules.mark))
        return self._is_within(error)

    def _is_within(self, error: WorkerGroupError) -> bool:
        """Tell whether failures are few enough, once it is known whether a node was lost."""
        deadline = time.monotonic() + (0.0 if self._is_known(error) else _VERDICT_SECONDS)
        while n_charged(self._failures, self._dead_nodes()) > self._rules.max_failures:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_VERDICT_POLL_SECONDS)
        return True

    def _is_known(self, error: WorkerGroupError) -> bool:
        """Tell whether Ray knows what became of the workers, or none was on another node."""
        # With a lost node Ray says so of its workers only once it is taken for dead.
        for failure in error.worker_failures.values():
            if isinstance(getattr(failure, "health_check_failure", failure), ActorDiedError):
                return True
        here = ray.get_runtime_context().get_node_id()
        return killed_for_memory(error) or self._failures[-1].nodes <= {here}


class GroupTrainer(TorchTrainer):  # type: ignore[misc]
    """Ray's trainer with the policies of this module."""

    def __init__(self, rules: GroupRules, *arguments: Any, **options: Any) -> None:
        self._rules = rules
        super().__init__(*arguments, **options)

    def _initialize_and_run_controller(self, **given: Any) -> Any:
        """Give the controller other policies."""
        kind = AnySize if self._rules.is_elastic else FixedSize
        given["scaling_policy"] = kind(self.scaling_config, self._rules)
        given["failure_policy"] = OwnFailures(self.run_config.failure_config, self._rules)
        return super()._initialize_and_run_controller(**given)


def refused(error: BaseException) -> IsthmusError | None:
    """Take fit's refusal out of what Ray makes of it, if it is one.

    Parameters
    ----------
    error : BaseException
        What a worker failed with.

    Returns
    -------
    IsthmusError or None
        What the worker raised, if it is of ours.
    """
    # Public is only the text of it.
    raised = getattr(error, "_base_exc", error)
    return raised if isinstance(raised, IsthmusError) else None


def _going_nodes() -> set[str]:
    """List the nodes of which Ray was told that they are about to go."""
    return set(ray._private.state.state.get_draining_nodes())


def _silent_nodes(nodes: set[str]) -> set[str]:
    """Find the nodes on which Ray takes no connection."""
    places = {
        node["NodeID"]: (node["NodeManagerAddress"], int(node["NodeManagerPort"]))
        for node in ray.nodes()
        if node["NodeID"] in nodes
    }
    with ThreadPoolExecutor(max_workers=32) as pool:
        answers = dict(zip(places, pool.map(_answers, places.values()), strict=True))
    return {node for node in nodes if not answers.get(node)}


def _answers(place: tuple[str, int]) -> bool:
    """Tell whether something listens there."""
    try:
        socket.create_connection(place, _ANSWER_SECONDS).close()
    except OSError:
        return False
    return True


def _dead_nodes() -> frozenset[str]:
    """List the nodes that are lost."""
    return frozenset(node["NodeID"] for node in ray.nodes() if not node["Alive"])
