"""Compilation by numba, kept for the next process where it can be."""

# mypy: disable-error-code="no-untyped-call, no-any-return, misc"

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

Function = Callable[..., Any]


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Make a decorator that has numba compile a function when it is first called.

    Parameters
    ----------
    **options
        For `numba.njit`. Python's lock is let go of in any case.

    Returns
    -------
    callable
        The decorator.

    Notes
    -----
    Machine code is kept where numba keeps it: `NUMBA_CACHE_DIR`, else beside the sources, else in
    the user's cache directory. Numba compares the function's own file alone, but what the
    kernels' loops inline is written in other files: code is kept under a digest of them all. Where
    nothing can be written, each process compiles for itself.
    """

    def decorate(function: Function) -> Function:
        dispatcher = njit(nogil=True, **options)(function)
        if not hasattr(dispatcher, "enable_caching"):  # with NUMBA_DISABLE_JIT: the function itself
            return dispatcher
        try:
            dispatcher._cache = _KeptCode(function)
        except RuntimeError:  # no directory that can be written to
            return dispatcher
        return dispatcher

    return decorate


class _KeptCode(FunctionCache):
    """Numba's files of machine code, found by what the sources of all kernels are, too."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        """Extend numba's key."""
        return (*super()._index_key(sig, codegen), _digest_of_sources())


@lru_cache(maxsize=1)
def _digest_of_sources() -> str:
    """Digest the files beside this one."""
    folder = resources.files(__package__)
    files = sorted((file.name, file.read_bytes()) for file in folder.iterdir() if file.is_file())
    digest = sha256()
    for name, content in files:
        if name.endswith(".py"):
            digest.update(name.encode() + b"\0" + sha256(content).digest())
    return digest.hexdigest()
