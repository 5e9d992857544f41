"""Where studies are kept, as the pages ask for it: a folder of runs, or a tracking store."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from isthmus.core.errors import IsthmusError
from isthmus.study.ablation.findings import AblationResult
from isthmus.study.records import StudyResult
from isthmus.trial.records import TrialResult

Kind = Literal["search", "ablation", "trial"]


class Missing(IsthmusError):
    """A study, a trial or a file that is asked for and is not there."""


@dataclass(frozen=True)
class Entry:
    """One study, ablation or single trial in a list of them.

    Attributes
    ----------
    key : str
        Names it in addresses: a folder's name, or a run's identifier.
    kind : {"search", "ablation", "trial"}
        What it is.
    name : str
        What people call it.
    state : str
        In a word; empty where the list does not know it.
    started : float or None
        Seconds since 1970.
    """

    key: str
    kind: Kind
    name: str
    state: str = ""
    started: float | None = None


@dataclass(frozen=True)
class FoldProgress:
    """How far a fold of a trial is.

    Attributes
    ----------
    number : int
        From 0.
    state : str
        ``finished``, ``failed`` or ``not over``.
    epoch : int or None
        The last epoch that is over; None before the first.
    n_epochs : int or None
        Epochs planned.
    loss : float or None
        Training loss of that epoch.
    """

    number: int
    state: str
    epoch: int | None = None
    n_epochs: int | None = None
    loss: float | None = None


@dataclass(frozen=True)
class TrialEntry:
    """A trial of a study that has results, or may come to have some.

    Attributes
    ----------
    key : str
        Names it in addresses.
    label : str
        What people call it, such as ``trial 3``.
    state : str
        In a word.
    number : int or None
        Within a search.
    reason : str
        Why it is in that state, where that needs a reason.
    whole : bool
        Whether its result can be read.
    folds : tuple of FoldProgress
        Of a trial that is not over.
    """

    key: str
    label: str
    state: str
    number: int | None = None
    reason: str = ""
    whole: bool = False
    folds: tuple[FoldProgress, ...] = ()


@dataclass(frozen=True)
class Standing:
    """A study as it stands.

    Attributes
    ----------
    entry : Entry
        Which.
    study : StudyResult or None
        Of a search.
    ablation : AblationResult or None
        Of an ablation of which a sitting has ended.
    trials : tuple of TrialEntry
        Those that have a place of their own, by number.
    note : str
        What is not known, and why; may be empty.
    output : Path or None
        Folder of the trials' folders, where that is known.
    """

    entry: Entry
    study: StudyResult | None = None
    ablation: AblationResult | None = None
    trials: tuple[TrialEntry, ...] = field(default=())
    note: str = ""
    output: Path | None = None

    def trial(self, key: str) -> TrialEntry:
        """Look up a trial.

        Parameters
        ----------
        key : str
            As in an address.

        Returns
        -------
        TrialEntry
            One of `trials`.

        Raises
        ------
        Missing
            If the study has no such trial.
        """
        found = next((one for one in self.trials if one.key == key), None)
        if found is None:
            raise Missing(
                f"{self.entry.name} has no trial {key!r}. Choose one from the list on this page."
            )
        return found


class Source(Protocol):
    """Gives studies, trials and files; whatever is away raises an `IsthmusError`."""

    @property
    def place(self) -> str:
        """Say where the studies are, for people."""
        ...

    def entries(self) -> tuple[Entry, ...]:
        """List what there is, the newest first."""
        ...

    def standing(self, key: str) -> Standing:
        """Say how a study stands now; `Missing` if there is none of the key."""
        ...

    def trial(self, study: str, trial: str) -> TrialResult:
        """Read a trial's result; `Missing` if it has none yet."""
        ...

    def files(self, study: str, trial: str, fold: int | None, names: tuple[str, ...]) -> Path:
        """Give a folder with these files of a trial or a fold; `Missing` if one is not there."""
        ...
