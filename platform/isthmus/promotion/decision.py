"""What promotion decided, on what evidence: one frozen record, written as JSON and read back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from isthmus.core.digest import digest_of
from isthmus.promotion.evidence.record import TrialEvidence
from isthmus.promotion.lockbox.record import LockboxReport
from isthmus.promotion.verdict import GateVerdict, failed
from isthmus.study.kept_json import KeptJson

DECISION_FILE = "decision.json"
DECISIONS_FOLDER = "decisions"
SCHEMA_VERSION = 1

Outcome = Literal["refused", "champion", "challenger", "already"]


@dataclass(frozen=True)
class JudgedTrial:
    """A finished trial and what its gates said.

    Attributes
    ----------
    number : int
        Within the search; 0 for a trial by itself.
    folder : str
        Name of its folder.
    evidence : TrialEvidence
        What the gates were told.
    verdicts : tuple of GateVerdict
        What they said.
    """

    number: int
    folder: str
    evidence: TrialEvidence
    verdicts: tuple[GateVerdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate that was asked let it pass."""
        return not failed(self.verdicts)


@dataclass(frozen=True)
class ChosenEncoder:
    """The encoder that stands for the trial.

    Attributes
    ----------
    trial : int
        Number of the trial.
    encoder_id : str
        The encoder.
    fold : int or None
        Whose it is; None of a refit.
    steps : tuple of str
        How the trial and the encoder were chosen, in sentences.
    """

    trial: int
    encoder_id: str
    fold: int | None
    steps: tuple[str, ...]

    @property
    def is_refit(self) -> bool:
        """Whether it was trained once more, on all development subjects."""
        return self.fold is None


@dataclass(frozen=True)
class Registered:
    """Where the model went.

    Attributes
    ----------
    model : str
        Name of the registered model.
    version : str
        Its version.
    words : tuple of str
        What became of the aliases.
    """

    model: str
    version: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class PromotionDecision:
    """From a study to a model in the registry, or to a refusal.

    Attributes
    ----------
    study, key : str
        Name and identity of the search, or of the trial.
    time : str
        ISO 8601, UTC.
    gates : Mapping of str to Any
        The gates' file as it was used, every threshold written out.
    judged : tuple of JudgedTrial
        Every finished trial.
    chosen : ChosenEncoder or None
        None where no trial passed.
    succession : GateVerdict or None
        The challenger beside the champion; None where there is none, or it was not asked.
    lockbox : LockboxReport or None
        What the lockbox showed; None where it was not opened.
    lockbox_verdicts : tuple of GateVerdict
        What the lockbox's gates said.
    outcome : {"refused", "champion", "challenger", "already"}
        ``already``: this very model is the champion.
    override : str
        Why it goes on although gates failed; empty where none was overridden.
    registered : Registered or None
        None until it is in the registry.
    n_earlier : int
        Decisions on this study that were made before. Gates that are eased until a model passes
        show in it.
    """

    study: str
    key: str
    time: str
    gates: Mapping[str, Any]
    judged: tuple[JudgedTrial, ...]
    chosen: ChosenEncoder | None
    succession: GateVerdict | None
    lockbox: LockboxReport | None
    lockbox_verdicts: tuple[GateVerdict, ...]
    outcome: Outcome
    override: str = ""
    registered: Registered | None = None
    n_earlier: int = 0

    @property
    def digest(self) -> str:
        """Digest of the decision, wherever the model went."""
        return digest_of(decision_to_json(replace(self, registered=None)))

    @property
    def chosen_trial(self) -> JudgedTrial | None:
        """The trial that was chosen."""
        number = None if self.chosen is None else self.chosen.trial
        return next((one for one in self.judged if one.number == number), None)

    @property
    def verdicts(self) -> tuple[GateVerdict, ...]:
        """All that was asked of the chosen model, in the order in which it was asked."""
        trial = self.chosen_trial
        own = trial.verdicts if trial else ()
        return (*own, *((self.succession,) if self.succession else ()), *self.lockbox_verdicts)

    @property
    def passed(self) -> bool:
        """Whether a model was chosen and every gate let it pass."""
        return self.chosen is not None and not failed(self.verdicts)


_DECISION = KeptJson(
    TypeAdapter(PromotionDecision),
    DECISION_FILE,
    SCHEMA_VERSION,
    what="the record of a promotion",
    folder="a promotion",
    remedy="Run `isthmus promote` again: it writes the record anew.",
)
decision_to_json, decision_from_json = _DECISION.to_json, _DECISION.from_json
write_decision, read_decision = _DECISION.write, _DECISION.read


def count_decisions(folder: Path) -> int:
    """Count the decisions on a study so far.

    Parameters
    ----------
    folder : Path
        Where they are kept.

    Returns
    -------
    int
        Refused ones count too, and so do those before the last whose files are gone.
    """
    files = (folder / DECISIONS_FOLDER).glob("*.json")
    numbers = (file.name.partition("-")[0] for file in files)
    return max((int(number) for number in numbers if number.isdigit()), default=0)


def keep_decision(decision: PromotionDecision, folder: Path) -> None:
    """Write a decision down as the latest, and beside those before it.

    Parameters
    ----------
    decision : PromotionDecision
        Refused or not.
    folder : Path
        Where decisions are kept.
    """
    name = f"{decision.n_earlier + 1:04d}-{decision.outcome}.json"
    replace(_DECISION, file=name).write(decision, folder / DECISIONS_FOLDER)
    write_decision(decision, folder)
