"""What is to be convolved: sizes, and the problem that the input's gradient is."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

Triple = tuple[int, int, int]


def triple(values: Iterable[int]) -> Triple:
    """Make plain integers of three.

    Parameters
    ----------
    values : iterable of int
        Three, one for each axis.

    Returns
    -------
    tuple of int
        The same.
    """
    d, h, w = (int(value) for value in values)
    return d, h, w


@dataclass(frozen=True)
class Problem:
    """Sizes of a convolution of stride 1.

    Attributes
    ----------
    batch : int
        Subjects.
    groups : int
        Groups of channels; as many as input channels where it is depthwise.
    n_in, n_out : int
        Channels of one group, in and out.
    in_grid, out_grid : tuple of int
        (D, H, W) in voxels.
    before : tuple of int
        Zeros before each axis, less than the kernel's edge. What is added after follows from the
        grids.
    kernel : tuple of int
        Edges in voxels.
    itemsize : int
        Bytes of an element: 4 or 8.
    """

    batch: int
    groups: int
    n_in: int
    n_out: int
    in_grid: Triple
    out_grid: Triple
    before: Triple
    kernel: Triple
    itemsize: int = 4

    @property
    def products(self) -> int:
        """Multiplications, those with the zeros around the images included."""
        pairs = self.groups * self.n_in * self.n_out
        return self.batch * pairs * prod(self.kernel) * prod(self.out_grid)

    def mirrored(self) -> "Problem":
        """Return the convolution of the output's gradient that gives the input's gradient."""
        d, h, w = (edge - 1 - zeros for edge, zeros in zip(self.kernel, self.before, strict=True))
        return replace(
            self,
            n_in=self.n_out,
            n_out=self.n_in,
            in_grid=self.out_grid,
            out_grid=self.in_grid,
            before=(d, h, w),
        )
