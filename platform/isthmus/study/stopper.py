"""The seam through which a scheduler decides which trials are stopped early."""

from typing import Protocol


class Stopper(Protocol):
    """Compares trials at equal levels: finished folds, or epochs of the first fold."""

    def report(self, number: int, level: int, value: float) -> bool:
        """Hear how a trial stands at a level; tell whether it is to go on."""
        ...

    def recall(self, number: int, level: int, value: float) -> None:
        """Be told again of what was decided before, so that others are compared with it."""
        ...


class NeverStop:
    """Lets every trial come to its end."""

    def report(self, number: int, level: int, value: float) -> bool:
        """Let it go on.

        Parameters
        ----------
        number, level : int
            The trial, and where it is.
        value : float
            How it stands.

        Returns
        -------
        bool
            True.
        """
        return True

    def recall(self, number: int, level: int, value: float) -> None:
        """Forget it.

        Parameters
        ----------
        number, level : int
            The trial, and where it was.
        value : float
            How it stood.
        """
