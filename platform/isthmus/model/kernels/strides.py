"""A convolution of stride s as s^3 convolutions of stride 1, each of every s-th voxel."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from isthmus.model.kernels.problem import Problem, triple

Steps = tuple[Any, ...]


@dataclass(frozen=True)
class Phase:
    """One of them.

    Attributes
    ----------
    images, kernel : tuple
        Which voxels of the last three axes of the images, and of the kernel, it takes.
    problem : Problem
        Its sizes.
    """

    images: Steps
    kernel: Steps
    problem: Problem


def phases(problem: Problem, stride: int) -> Iterator[Phase]:
    """Take a convolution apart.

    Parameters
    ----------
    problem : Problem
        Sizes of the convolution, its output's grid that of the stride.
    stride : int
        The same along each axis, at least 1.

    Yields
    ------
    Phase
        Their sum is the convolution. No voxel of the kernel is in two, nor one of the images.

    Notes
    -----
    Output o sums kernel voxel k times image voxel ``o s + k - before``. With ``k = s q + r`` and
    ``r - before = s e + m``, m in [0, s), that is voxel o + q + e of every s-th image voxel from
    m on: a convolution with every s-th kernel voxel from r on, and -e zeros before.
    """
    for firsts in product(range(stride), repeat=3):
        kernel = tuple(
            len(range(r, edge, stride)) for r, edge in zip(firsts, problem.kernel, strict=True)
        )
        moved = [divmod(r - b, stride) for r, b in zip(firsts, problem.before, strict=True)]
        grid = tuple(
            len(range(m, edge, stride)) for (_, m), edge in zip(moved, problem.in_grid, strict=True)
        )
        if min(kernel) == 0 or min(grid) == 0:
            continue
        yield Phase(
            (..., *(slice(m, None, stride) for _, m in moved)),
            (..., *(slice(r, None, stride) for r in firsts)),
            replace(
                problem,
                in_grid=triple(grid),
                before=triple([-e for e, _ in moved]),
                kernel=triple(kernel),
            ),
        )
