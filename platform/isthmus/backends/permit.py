"""Whether somebody still waits for an attempt, told through the folder that it writes into.

A node that is cut off from the cluster is taken for dead, and its trial is begun again elsewhere.
But the process that ran it is alive, and may see the shared folder as before: it would hold the
trial's lock, or, where a file system's locks do not reach from node to node, write beside the new
attempt. Ray cannot tell it to end, for Ray cannot reach it. So each attempt has a permit, a file of
its own in the shared folder; whoever gives the attempt up removes the file first, and the process
that misses it ends.
"""

import os
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A process that is not wanted any more is gone after twice that.
LOOK_SECONDS = 1.0
_EXIT_CODE = 75
_held: list[Path] = []


def grant(folder: Path) -> Path:
    """Permit an attempt.

    Parameters
    ----------
    folder : Path
        Made when missing; whoever makes the attempt must see it.

    Returns
    -------
    Path
        A file that nothing else is called.
    """
    folder.mkdir(parents=True, exist_ok=True)
    permit = folder / uuid.uuid4().hex
    permit.touch()
    return permit


def withdraw(permit: Path) -> None:
    """Give an attempt up, before another one is permitted in its stead.

    Parameters
    ----------
    permit : Path
        As `grant` returned it; it may be gone already.
    """
    permit.unlink(missing_ok=True)


@contextmanager
def permitted(permit: Path) -> Iterator[None]:
    """Do something for as long as it is permitted: else this process ends, at once.

    Parameters
    ----------
    permit : Path
        As `grant` returned it, on whichever node.

    Yields
    ------
    None
        While it is watched.

    Notes
    -----
    The process is ended in the middle of whatever it does, which costs no more than a kill does:
    files are written beside and renamed. A folder that cannot be looked into is no withdrawal: only
    a file that is missing twice in a row is. A network file system may show a file for as long as
    it keeps names in memory, a minute by NFS's defaults.
    """
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(permit, over), name="permit", daemon=True)
    watch.start()
    _held.append(permit)
    try:
        yield
    finally:
        _held.remove(permit)
        over.set()


def held() -> Path | None:
    """Name the permit by which this process works, for processes that work for it.

    Returns
    -------
    Path or None
        The innermost of `permitted`; None outside of it.
    """
    return _held[-1] if _held else None


def _watch(permit: Path, over: threading.Event) -> None:
    """Look for the permit now and then; end the process once it is gone for good."""
    n_missing = 0
    while not over.wait(LOOK_SECONDS):
        n_missing = 0 if _is_there(permit) else n_missing + 1
        if n_missing >= 2 and not over.is_set():
            print(
                f"isthmus: {permit} is withdrawn: this attempt was given up, its process ends.",
                file=sys.stderr,
                flush=True,
            )
            os._exit(_EXIT_CODE)


def _is_there(permit: Path) -> bool:
    """Open it, for a network file system asks the server then."""
    try:
        permit.open("rb").close()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
