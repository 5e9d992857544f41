"""Named, independent random streams derived from one seed: no global seed anywhere."""

import hashlib

import numpy as np


def derive_seed(seed: int, *names: str | int) -> int:
    """Derive the seed of a named stream.

    Parameters
    ----------
    seed : int
        The experiment's seed.
    *names : str or int
        What the stream is for, such as ``"fold", 2, "init"``.

    Returns
    -------
    int
        A seed in [0, 2**63), a function of the arguments alone.

    Examples
    --------
    >>> derive_seed(0, "fold", 1) == derive_seed(0, "fold", 1)
    True
    >>> derive_seed(0, "fold", 1) == derive_seed(0, "fold", 2)
    False
    """
    text = "\x1f".join([str(seed), *(f"{type(name).__name__}:{name}" for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Make the random generator of a named stream.

    Parameters
    ----------
    seed : int
        The experiment's seed.
    *names : str or int
        What the stream is for.

    Returns
    -------
    numpy.random.Generator
        A fresh PCG64 generator.
    """
    return np.random.default_rng(derive_seed(seed, *names))
