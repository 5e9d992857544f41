"""Where the subjects lie, for people to look at."""

import numpy as np
import numpy.typing as npt

from isthmus.stratification.record import Plane


def lay_out(points_NR: npt.NDArray[np.float64]) -> Plane | None:
    """Take the two leading principal components of a cloud.

    Parameters
    ----------
    points_NR : ndarray, shape (n, r)
        Principal components in falling order of variance, as `isthmus.stratification.cloud`
        makes them.

    Returns
    -------
    Plane or None
        Signs are set so that the coordinate largest in magnitude is positive; a cloud on a line
        has 0 for the second. None for a cloud without variance.

    Examples
    --------
    >>> lay_out(np.array([[-3.0, 1.0], [1.0, 1.0], [2.0, -2.0]])).coordinates[0]
    (3.0, -1.0)
    """
    if not points_NR.shape[1]:
        return None
    leading = points_NR[:, :2]
    extreme = leading[np.abs(leading).argmax(axis=0), np.arange(leading.shape[1])]
    coordinates = np.zeros((len(points_NR), 2))
    coordinates[:, : leading.shape[1]] = leading * np.where(extreme < 0, -1.0, 1.0)
    squares = (points_NR**2).sum(axis=0)
    shares = np.append(squares / squares.sum(), 0.0)
    return Plane(
        coordinates=tuple((x, y) for x, y in coordinates.round(6).tolist()),
        explained=(float(shares[0]), float(shares[1])),
    )
