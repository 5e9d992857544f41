"""Which subjects make up each optimiser step, and which worker computes which of them.

The order is a function of the seed and the epoch alone. It holds no state, so a resumed run and a
run on any number of workers see the same global batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.training import TrainingConfig
from isthmus.core.errors import ConfigError
from isthmus.core.seeds import generator


@dataclass(frozen=True)
class Slicing:
    """How a global batch is cut: into accumulation slices, and each of those among workers.

    Attributes
    ----------
    global_batch_size : int
        Subjects of one optimiser step.
    accumulation_steps : int
        Slices whose gradients are summed.
    world_size : int
        Workers that share each slice equally.
    """

    global_batch_size: int
    accumulation_steps: int
    world_size: int

    @property
    def part_size(self) -> int:
        """Subjects that one worker computes at a time."""
        return self.global_batch_size // (self.accumulation_steps * self.world_size)

    def parts(self, rank: int) -> tuple[range, ...]:
        """List the positions of a global batch that one worker computes.

        Parameters
        ----------
        rank : int
            The worker, from 0.

        Returns
        -------
        tuple of range
            Positions within the global batch, one range for each accumulation slice.

        Examples
        --------
        >>> Slicing(global_batch_size=8, accumulation_steps=2, world_size=2).parts(1)
        (range(2, 4), range(6, 8))
        """
        size = self.part_size
        slice_size = size * self.world_size
        starts = (s * slice_size + rank * size for s in range(self.accumulation_steps))
        return tuple(range(start, start + size) for start in starts)


def slicing(config: TrainingConfig, world_size: int) -> Slicing:
    """Cut the global batch for a number of workers.

    Parameters
    ----------
    config : TrainingConfig
        Global batch size and accumulation steps.
    world_size : int
        Workers.

    Returns
    -------
    Slicing
        Equal parts.

    Raises
    ------
    ConfigError
        If the parts would not be equal; names the three settings and what works.
    """
    size, steps = config.global_batch_size, config.accumulation_steps
    pieces = steps * world_size
    if size % pieces:
        works = [w for w in range(1, size // steps + 1) if (size // steps) % w == 0]
        nearest = sorted({max(pieces, size // pieces * pieces), -(-size // pieces) * pieces})
        raise ConfigError(
            f"training.global_batch_size ({size}) must be a multiple of "
            f"training.accumulation_steps ({steps}) x execution.workers ({world_size}) = {pieces}, "
            f"so that every worker computes as many subjects. Set training.global_batch_size to "
            f"{' or '.join(map(str, nearest))}, or execution.workers to one of {works}."
        )
    return Slicing(size, steps, world_size)


def world_sizes(config: TrainingConfig, workers: int, min_workers: int | None) -> tuple[int, ...]:
    """List with how many workers a training may go on while nodes come and go.

    Parameters
    ----------
    config : TrainingConfig
        Global batch size and accumulation steps.
    workers : int
        Asked for; never more.
    min_workers : int or None
        Never fewer; None: as many as `workers`.

    Returns
    -------
    tuple of int
        The numbers in that range which cut the global batch into equal parts, the fewest first;
        `workers` is the last.

    Raises
    ------
    ConfigError
        If `workers` do not cut it into equal parts, or fewer are allowed but no such number does.

    Notes
    -----
    With other numbers of workers the same subjects make up each step, and batch normalisation sees
    the same slices, so the same is trained up to the rounding of sums. Fewer workers hold more
    subjects each at a time.

    Examples
    --------
    >>> world_sizes(TrainingConfig(global_batch_size=16), workers=8, min_workers=2)
    (2, 4, 8)
    """
    slicing(config, workers)
    slice_size = config.global_batch_size // config.accumulation_steps
    least = workers if min_workers is None else min_workers
    sizes = tuple(n for n in range(least, workers + 1) if slice_size % n == 0)
    if least < workers and len(sizes) == 1:
        works = [n for n in range(1, workers) if slice_size % n == 0]
        raise ConfigError(
            f"execution.min_workers ({least}) must leave a number of workers below "
            f"execution.workers ({workers}) that cuts training.global_batch_size "
            f"({config.global_batch_size}) / training.accumulation_steps "
            f"({config.accumulation_steps}) into equal parts, but none from {least} to "
            f"{workers - 1} does. Set it to {works[-1]} or less, or leave it out."
        )
    return sizes


def smaller_micro_batch(config: ExperimentConfig, workers: int) -> dict[str, Any] | None:
    """Find the settings that put fewer subjects into memory at a time, for the same global batch.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment that did not fit.
    workers : int
        Workers that share each slice.

    Returns
    -------
    dict of str to Any or None
        ``training.accumulation_steps``, the next larger that cuts the global batch into equal
        parts, for fewer workers too where ``execution.min_workers`` allows them; None if a worker
        computes one subject at a time already.

    Notes
    -----
    The gradient of a step is the sum over its subjects however they are cut, so with group or
    instance normalisation the same is trained, up to the rounding of sums. Batch normalisation
    takes its statistics from one slice over all workers: with smaller slices it sees fewer
    subjects, which is another experiment. Either way the setting is part of the digest, so the
    change stands in the open and a training begun with larger slices is not gone on with.

    Examples
    --------
    >>> from isthmus.config.load import resolve
    >>> cohort = {"images": "{participant_id}_{modality}.nii", "modalities": ["T1w"]}
    >>> training = {"global_batch_size": 12, "accumulation_steps": 2}
    >>> smaller_micro_batch(resolve({"cohort": cohort, "training": training}), workers=2)
    {'training.accumulation_steps': 3}
    """
    size, now = config.training.global_batch_size, config.training.accumulation_steps
    least = min(config.execution.min_workers or workers, workers)
    for steps in range(now + 1, size // workers + 1):
        if size % (steps * workers) == 0 and (
            least == workers or any(size % (steps * n) == 0 for n in range(least, workers))
        ):
            return {"training.accumulation_steps": steps}
    return None


def steps_per_epoch(n_subjects: int, global_batch_size: int) -> int:
    """Count the optimiser steps of an epoch.

    Parameters
    ----------
    n_subjects : int
        Training subjects.
    global_batch_size : int
        Subjects of one step.

    Returns
    -------
    int
        Whole global batches; the subjects left over sit this epoch out.

    Raises
    ------
    ConfigError
        If there is not one whole batch.
    """
    if n_subjects < global_batch_size:
        raise ConfigError(
            f"training.global_batch_size must be at most the training fold's {n_subjects} "
            f"subjects, got {global_batch_size}. Make the batch smaller, or "
            f"cross_validation.n_folds or training.early_stopping.monitor_share leave more."
        )
    return n_subjects // global_batch_size


def epoch_batches(
    ids: Sequence[str], global_batch_size: int, seed: int, epoch: int
) -> tuple[tuple[str, ...], ...]:
    """Shuffle the training subjects for one epoch and cut them into global batches.

    Parameters
    ----------
    ids : sequence of str
        Training subjects; their order does not matter.
    global_batch_size : int
        Subjects of one optimiser step.
    seed : int
        Root of the fold's random streams.
    epoch : int
        Number of the epoch, from 1; each has its own permutation.

    Returns
    -------
    tuple of tuple of str
        The subjects of each step. An incomplete last batch is dropped, so that every step averages
        over as many subjects; whom that meets differs from epoch to epoch.

    Raises
    ------
    ConfigError
        If there is not one whole batch.

    Examples
    --------
    >>> first = epoch_batches(["a", "b", "c", "d", "e"], 2, seed=0, epoch=1)
    >>> [len(batch) for batch in first]
    [2, 2]
    >>> first == epoch_batches(["a", "b", "c", "d", "e"], 2, seed=0, epoch=1)
    True
    """
    n_steps = steps_per_epoch(len(ids), global_batch_size)
    ordered = sorted(ids)
    shuffled = [ordered[i] for i in generator(seed, "order", epoch).permutation(len(ordered))]
    return tuple(
        tuple(shuffled[step * global_batch_size : (step + 1) * global_batch_size])
        for step in range(n_steps)
    )
