"""What a training costs: a few straight lines, fitted where they were measured, asked elsewhere.

A step of one worker is arithmetic on voxels; a step of several is that and messages; a subject is
read at some bytes a second. Each of these is a line with two numbers, both at least zero, fitted so
that *relative* errors are least. What they foretell for a case that was not fitted is held against
a measurement of that case (`scale.py`), and the error is printed beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, log2

import numpy as np
from scipy.optimize import nnls

GRADIENT_BYTES = 4
"""A parameter's gradient, which workers exchange in float32."""


@dataclass(frozen=True)
class Line:
    """``at_zero + per_unit * x``.

    Attributes
    ----------
    at_zero : float
        What is paid whatever the size.
    per_unit : float
        What each unit of the size adds.
    """

    at_zero: float
    per_unit: float

    def at(self, size: float) -> float:
        """Read the line at a size."""
        return self.at_zero + self.per_unit * size

    @classmethod
    def fitted(cls, sizes: Sequence[float], found: Sequence[float]) -> "Line":
        """Fit it with the least sum of squared relative errors, and neither number below zero."""
        x, y = np.asarray(sizes, float), np.asarray(found, float)
        if x.size < 2 or (y <= 0).any():
            raise ValueError(f"a line needs two measurements above zero, got {list(found)}")
        scale = x.max() or 1.0
        (at_zero, per_scale), _ = nnls(np.stack([1 / y, x / scale / y], axis=1), np.ones_like(y))
        return cls(float(at_zero), float(per_scale / scale))


@dataclass(frozen=True)
class Link:
    """What carries messages between workers.

    Attributes
    ----------
    latency_s : float
        Of a message however short.
    bytes_per_s : float
        What one worker sends, while it receives as much.
    """

    latency_s: float
    bytes_per_s: float

    def all_reduce_s(self, n_bytes: float, n_workers: int) -> float:
        """Seconds in which workers have the sum of what each of them has.

        A ring moves ``2 (W - 1) / W`` times the bytes through each worker's link; short messages go
        through a tree, up and down. Sources: R. Thakur, R. Rabenseifner, W. Gropp, Optimization of
        collective communication operations in MPICH, 2005.
        """
        if n_workers == 1:
            return 0.0
        moved = 2 * (n_workers - 1) / n_workers * n_bytes
        return ceil(log2(n_workers)) * self.latency_s + moved / self.bytes_per_s

    @classmethod
    def fitted(cls, sizes: Sequence[float], found: Sequence[float]) -> "Link":
        """Fit it to all-reduces between two workers, of which each moves its bytes once."""
        line = Line.fitted(sizes, found)
        return cls(line.at_zero, 1 / line.per_unit)


@dataclass(frozen=True)
class Network:
    """What training one network costs on the device that was measured.

    Attributes
    ----------
    preset : str
        Its settings.
    n_parameters : int
        Trainable.
    n_sums : int
        Short sums over all workers in a step, beside the gradient: the normalisations', forward
        and backward, and the losses.
    step_s : Line
        Seconds of a worker's step over voxels times subjects.
    step_bytes : Line
        Memory beyond the libraries', over the same.
    lockstep_s : float
        What each short sum costs beyond the link's latency, because workers come to it one after
        the other; of the device that was measured.
    """

    preset: str
    n_parameters: int
    n_sums: int
    step_s: Line
    step_bytes: Line
    lockstep_s: float = 0.0

    def messages_s(self, link: Link, n_workers: int, times: float = 1.0) -> float:
        """Seconds of a step in which workers wait for each other's messages.

        The gradient is counted whole, behind the backward pass: it is smaller than the 25 MB at
        which PyTorch would begin to send it earlier.
        """
        if n_workers == 1:
            return 0.0
        each = link.all_reduce_s(0.0, n_workers) + self.lockstep_s / times
        short = self.n_sums * each
        return short + link.all_reduce_s(GRADIENT_BYTES * self.n_parameters, n_workers)

    def group_step_s(
        self, n_voxels: float, n_subjects: int, n_workers: int, link: Link, times: float = 1.0
    ) -> float:
        """Seconds of a step of a group.

        Parameters
        ----------
        n_voxels : float
            Of a padded image.
        n_subjects : int
            Of each worker.
        n_workers : int
            In the group.
        link : Link
            Between them.
        times : float
            How many times as fast as the one that was measured each device computes.
        """
        computing = self.step_s.at(n_voxels * n_subjects) / times
        return computing + self.messages_s(link, n_workers, times)

    def in_lockstep(self, n_voxels: float, link: Link, found_s: float) -> "Network":
        """Fit what sums cost, to a step of two workers of one subject each.

        Parameters
        ----------
        n_voxels : float
            Of a padded image.
        link : Link
            Between them.
        found_s : float
            What the step took.
        """
        beyond = max(0.0, found_s - self.group_step_s(n_voxels, 1, 2, link))
        return replace(self, lockstep_s=beyond / self.n_sums)
