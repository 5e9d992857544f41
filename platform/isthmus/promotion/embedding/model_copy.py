"""The folder beside an output into which a registered model is copied for as long as it is used."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from isthmus.training.lock import LOCK_FILE, lock_folder

_PREFIX = "model-"
_TURN = ".model-copies"


@contextmanager
def folder_for_copy(parts: Path) -> Iterator[Path]:
    """Make a folder for the copy of a model, and clear away those that killed commands left.

    Parameters
    ----------
    parts : Path
        Folder of an output's parts, where workers on other machines reach it too; made when
        missing.

    Yields
    ------
    Path
        Empty, of this command alone; gone afterwards.

    Raises
    ------
    FolderBusy
        If others hold the folder for too long.

    Notes
    -----
    A copy is locked for as long as its command lives. One that nobody holds was left by a command
    that could not clear it away; another command's, which may be waiting for its turn to write,
    stays.
    """
    with ExitStack() as kept:
        # One at a time, so that none is found between being made and being locked.
        with lock_folder(parts, _TURN):
            for left in parts.glob(f"{_PREFIX}*"):
                if not _is_held(left):
                    shutil.rmtree(left, ignore_errors=True)
            folder = Path(kept.enter_context(TemporaryDirectory(dir=parts, prefix=_PREFIX)))
            kept.enter_context(lock_folder(folder))
        yield folder


def _is_held(folder: Path) -> bool:
    """Tell whether the command that made a copy lives."""
    with (folder / LOCK_FILE).open("w") as opened:
        try:
            fcntl.flock(opened.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
