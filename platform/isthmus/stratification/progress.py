"""Doing the pieces of a job that are not done yet, and keeping what is."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from isthmus.core.files import write_atomically
from isthmus.core.ports import TaskRunner
from isthmus.stratification.pieces import Piece, Problem, Results, forget, run_piece

OnProgress = Callable[[int, int], None]


def complete(
    problem: Problem,
    pieces: Sequence[Piece],
    runner: TaskRunner,
    directory: Path | None,
    on_progress: OnProgress | None,
) -> Mapping[Piece, Results]:
    """Run all pieces, but for those whose results an earlier run left.

    Parameters
    ----------
    problem : Problem
        What the pieces share.
    pieces : sequence of Piece
        All of them.
    runner : TaskRunner
        Where they run.
    directory : Path or None
        Folder for finished pieces; files of another problem in it are not read. None keeps
        nothing.
    on_progress : callable or None
        Hears how many pieces are done, of how many.

    Returns
    -------
    Mapping of Piece to dict
        In the order of `pieces`.
    """
    folder = None if directory is None else directory / problem.digest[:16]
    done: dict[Piece, Results] = {}
    for piece in pieces:
        found = None if folder is None else _read(folder / f"{piece.name}.npz")
        if found is not None:
            done[piece] = found

    def tell() -> None:
        """Say how far the job is."""
        if on_progress is not None:
            on_progress(len(done), len(pieces))

    def keep(piece: Piece, results: Results) -> None:
        """Keep what a piece gave."""
        if folder is not None:
            write_atomically(
                folder / f"{piece.name}.npz",
                lambda file: np.savez(file, **results),  # type: ignore[arg-type]
            )
        done[piece] = results
        tell()

    tell()
    runner.run(run_piece, problem, [piece for piece in pieces if piece not in done], keep)
    forget(problem)
    return {piece: done[piece] for piece in pieces}


def _read(path: Path) -> Results | None:
    """Read a finished piece; a file that cannot be read is made again."""
    try:
        # Opened here: of a file cut short, the library would leave its own open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, BadZipFile, EOFError):
        return None
