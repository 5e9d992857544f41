"""Running the pieces of a job one after another, in this process."""

from collections.abc import Callable, Sequence
from typing import TypeVar

SharedT = TypeVar("SharedT")
PieceT = TypeVar("PieceT")
ResultT = TypeVar("ResultT")


class InProcessRunner:
    """Run pieces in this process, in their order (`isthmus.core.ports.TaskRunner`)."""

    def run(
        self,
        function: Callable[[SharedT, PieceT], ResultT],
        shared: SharedT,
        pieces: Sequence[PieceT],
        on_done: Callable[[PieceT, ResultT], None],
    ) -> None:
        """Apply a function to each piece, and tell of each result.

        Parameters
        ----------
        function : callable
            Takes what all pieces share, and one piece.
        shared : object
            Given to each call.
        pieces : sequence
            What is to be done.
        on_done : callable
            Hears of each piece and its result.
        """
        for piece in pieces:
            on_done(piece, function(shared, piece))
