"""Training steps in a process of their own, which waits between turns and tells what it found."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from machine import peak_mib, synchronise
from networks import experiment, network
from torch import nn
from torch.profiler import profile, record_function

from isthmus.config.execution import ExecutionConfig
from isthmus.model.convolution import SameConv3d
from isthmus.model.kernels.choice import Kernels
from isthmus.model.kernels.problem import Triple
from isthmus.training.order import Slicing
from isthmus.training.ranks import Ranks, alone, compute_settings
from isthmus.training.step import StepPlan, make_learner, take_step

_NODE = "autograd::engine::evaluate_function: "


@dataclass(frozen=True)
class Variant:
    """A network as it is trained.

    Attributes
    ----------
    preset : str
        Its settings.
    kernels : {"auto", "torch"}
        `model.kernels`.
    channels_last : bool
        Whether kernels, and with them all maps, have channels last.
    execution : dict
        Settings of `execution`, beside threads and device.
    """

    preset: str
    kernels: Kernels
    channels_last: bool
    execution: dict[str, Any]


class Stepper:
    """Takes steps on a batch of noise: neither time nor memory depends on what images show.

    Parameters
    ----------
    variant : Variant
        What is trained.
    grid : tuple of int
        Voxels.
    execution : ExecutionConfig
        Device and threads.
    n_subjects : int
        Subjects that this process computes in a step.
    ranks : Ranks, optional
        Its place among workers that train together; none given: it trains alone.
    """

    def __init__(
        self,
        variant: Variant,
        grid: Triple,
        execution: ExecutionConfig,
        n_subjects: int = 1,
        ranks: Ranks | None = None,
    ) -> None:
        ranks = ranks or alone(execution)
        self.device = ranks.device
        self.before_mib = peak_mib(self.device)
        config = experiment(variant.preset, grid, variant.kernels)
        model = network(config, grid)
        if variant.channels_last:
            model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        mask_DHW = torch.ones(grid, dtype=torch.bool)
        cut = Slicing(n_subjects * ranks.world_size, 1, ranks.world_size)
        self.learner = make_learner(
            model, mask_DHW, config.training, cut, ranks, 0, execution=execution
        )
        draw = torch.Generator().manual_seed(0)
        self.x_BMDHW = torch.rand(n_subjects, 2, *grid, generator=draw)
        self._batch = tuple(f"sub-{number}" for number in range(cut.global_batch_size))
        self.n_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self._n_steps = 0

    def take(self, n_steps: int) -> dict[str, Any]:
        """Take steps; return the seconds of each, on the clock and of all threads."""
        seconds, of_processor = [], []
        for _ in range(n_steps):
            started, busy = time.perf_counter(), time.process_time()
            self._step()
            seconds.append(time.perf_counter() - started)
            of_processor.append(time.process_time() - busy)
        return {
            "step_s": seconds,
            "step_processor_s": of_processor,
            "peak_mib": peak_mib(self.device),
        }

    def profile(self) -> dict[str, Any]:
        """Take a step under the profiler; return the share that convolutions take."""
        announced = _announced(self.learner.model)
        with announced, _silence(), profile() as taken, record_function("step"):
            self._step()
        events = [e for e in taken.events() if e.device_type.name == "CPU"]
        forward = [event for event in events if event.name == "convolution"]
        # What is computed forward and its gradient have a number in common.
        numbers = {inner.sequence_nr for event in forward for inner in _within(event)} - {-1}
        nodes = (event for event in events if event.name.startswith(_NODE))
        backward = [event for event in nodes if event.sequence_nr in numbers]
        spent = "device_time_total" if self.device.type == "cuda" else "cpu_time_total"
        whole = sum(event.cpu_time_total for event in events if event.name == "step")
        averages = taken.key_averages()
        order = f"self_{spent}"
        return {
            "forward": sum(getattr(event, spent) for event in forward) / whole,
            "backward": sum(getattr(event, spent) for event in backward) / whole,
            "table": averages.table(sort_by=order, row_limit=24, max_name_column_width=64),
        }

    def _step(self) -> None:
        """Take one step, to its very end."""
        self._n_steps += 1
        rate = self.learner.config.learning_rate
        plan = StepPlan(self._batch, 0, 1, self._n_steps, rate)
        take_step(self.learner, plan, iter([self.x_BMDHW]))
        synchronise(self.device)


@contextmanager
def _announced(model: nn.Module) -> Iterator[None]:
    """Tell the profiler of each convolution."""
    open_now: list[Any] = []

    def begin(*_: Any) -> None:
        open_now.append(record_function("convolution"))
        open_now[-1].__enter__()

    def end(*_: Any) -> None:
        open_now.pop().__exit__(None, None, None)

    handles = []
    for module in model.modules():
        if isinstance(module, SameConv3d):
            handles.append(module.register_forward_pre_hook(begin))
            handles.append(module.register_forward_hook(end))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what libraries write to the standard error, as the profiler does at start and end."""
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _within(event: Any) -> Iterator[Any]:
    """Go through all that an event called."""
    for inner in event.cpu_children:
        yield inner
        yield from _within(inner)


class Worker:
    """A process that takes steps when it is told to.

    Parameters
    ----------
    variant : Variant
        What it trains.
    grid : tuple of int
        Voxels.
    n_threads : int
        Compute threads.
    device : str
        As `execution.device`.
    """

    def __init__(self, variant: Variant, grid: Triple, n_threads: int, device: str) -> None:
        self._given = (variant, grid, n_threads, device)
        self._process: Any = None
        self._pipe: Any = None

    @property
    def is_running(self) -> bool:
        """Whether there is such a process now."""
        return self._process is not None

    def start(self) -> dict[str, Any]:
        """Start the process and let it take its first step; return what that took."""
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, *self._given), daemon=True)
        self._process.start()
        other.close()
        return self._heard()

    def ask(self, act: str, *arguments: Any) -> dict[str, Any]:
        """Have a method of its `Stepper` called."""
        self._pipe.send((act, arguments))
        return self._heard()

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._pipe.close()
            self._process.join()
            self._process = None

    def _heard(self) -> dict[str, Any]:
        """Wait for an answer."""
        try:
            answer: dict[str, Any] = self._pipe.recv()
        except EOFError as error:
            self._process.join()
            raise SystemExit(
                f"The process of {self._given[0]} ended with code {self._process.exitcode}."
            ) from error
        return answer


def _serve(pipe: Connection, variant: Variant, grid: Triple, n_threads: int, device: str) -> None:
    """Take a first step, then answer until nobody asks any more."""
    execution = ExecutionConfig(threads_per_worker=n_threads, device=device, **variant.execution)
    with compute_settings(execution, alone(execution)):
        stepper = Stepper(variant, grid, execution)
        first = stepper.take(1)
        pipe.send(
            {
                "first_step_s": first["step_s"][0],
                "before_mib": stepper.before_mib,
                "peak_mib": first["peak_mib"],
                "n_parameters": stepper.n_parameters,
            }
        )
        while True:
            try:
                act, arguments = pipe.recv()
            except EOFError:
                return
            pipe.send(getattr(stepper, act)(*arguments))
