"""Where the robustness job's pieces run: in this process, or on Ray."""

from contextlib import ExitStack

from isthmus.config.execution import ExecutionConfig
from isthmus.core.ports import TaskRunner
from isthmus.stratification.runner import InProcessRunner


def task_runner(execution: ExecutionConfig, open_things: ExitStack) -> TaskRunner:
    """Choose by the settings; one process, unless it is to be on a cluster, is this one.

    Parameters
    ----------
    execution : ExecutionConfig
        `stratification_workers` and `address` are read.
    open_things : ExitStack
        Closes the Ray session, if one is started.

    Returns
    -------
    TaskRunner
        Which it is has no influence on a result.
    """
    if execution.stratification_workers == 1 and execution.address is None:
        return InProcessRunner()
    # Ray takes seconds to import: only what is used is.
    from isthmus.backends.ray_tasks import RayTaskRunner  # noqa: PLC0415

    runner = RayTaskRunner(execution.stratification_workers, execution.address)
    return open_things.enter_context(runner)
