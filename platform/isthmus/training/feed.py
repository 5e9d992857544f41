"""What the training loop reads, and in which order each worker reads it.

Legend: B subject, M modality, D H W the grid.
"""

from collections.abc import Callable, Iterator, Sequence

import torch

from isthmus.training.order import Slicing
from isthmus.training.task import TrainTask
from isthmus.volumes.dataset import VolumeDataset
from isthmus.volumes.intensity import Normaliser


def reader(
    task: TrainTask, normaliser: Normaliser, pinned: bool = False
) -> Callable[[Sequence[str]], torch.Tensor]:
    """Make a function from participants to their normalised images, for any number of threads.

    Parameters
    ----------
    task : TrainTask
        Whose training and monitor subjects are read.
    normaliser : Normaliser
        Fitted on the training fold.
    pinned : bool
        Read into page-locked memory, which a GPU copies from while it computes.

    Returns
    -------
    callable
        From a sequence of participants to a tensor (B, M, D, H, W); NaN where there is no image.

    Notes
    -----
    Volumes are not kept for the next epoch: at 64x64x64 voxels, reading and normalising a subject
    takes about a hundredth of the processor time of a step on it, and less at larger grids
    (benchmarks/input.py).
    """
    ids = sorted((*task.fold.train, *task.fold.monitor))
    dataset = VolumeDataset(task.store_url, ids, normaliser, task.config.fused_modalities)
    index = {name: i for i, name in enumerate(ids)}

    def read(names: Sequence[str]) -> torch.Tensor:
        """Read each subject straight to its place in the part."""
        x_BMDHW = torch.empty((len(names), *dataset.shape), pin_memory=pinned)
        for name, x_MDHW in zip(names, x_BMDHW, strict=True):
            dataset.read_into(index[name], x_MDHW)
        return x_BMDHW

    return read


def parts_of(
    batches: Sequence[tuple[str, ...]], slicing: Slicing, rank: int
) -> Iterator[tuple[str, ...]]:
    """List the subjects that a worker reads, part by part.

    Parameters
    ----------
    batches : sequence of tuple of str
        Global batches.
    slicing : Slicing
        How each is cut.
    rank : int
        The worker, from 0.

    Yields
    ------
    tuple of str
        One part of one accumulation slice.

    Examples
    --------
    >>> list(parts_of([("a", "b"), ("c", "d")], Slicing(2, 1, 2), rank=1))
    [('b',), ('d',)]
    """
    for batch in batches:
        for positions in slicing.parts(rank):
            yield tuple(batch[i] for i in positions)
