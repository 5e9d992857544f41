"""Digests that identify settings, files and arrays by their content."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_BLOCK_BYTES = 1 << 20


def digest_of(value: Any) -> str:
    """Digest a JSON-serialisable value, independent of the order of its keys.

    Parameters
    ----------
    value : Any
        Mappings, sequences, strings, numbers, booleans or None.

    Returns
    -------
    str
        64 hexadecimal digits (SHA-256 of the canonical JSON).

    Raises
    ------
    ValueError
        If a number is not finite: such a value has no canonical JSON.

    Examples
    --------
    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Digest a file's bytes.

    Parameters
    ----------
    path : Path
        An existing file.

    Returns
    -------
    str
        64 hexadecimal digits (SHA-256).
    """
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            sha.update(block)
    return sha.hexdigest()


def digest_array(array: npt.NDArray[Any]) -> str:
    """Digest an array's type, shape and values.

    Parameters
    ----------
    array : ndarray, any shape
        An array of numbers or booleans.

    Returns
    -------
    str
        64 hexadecimal digits (SHA-256).
    """
    header = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(array).tobytes()).hexdigest()
