"""What one look into the lockbox found: one frozen record, written as JSON and read back."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from isthmus.cohort.lockbox import Look
from isthmus.core.errors import ConfigError
from isthmus.promotion.lockbox.replicated import TargetReplication
from isthmus.promotion.lockbox.replicated import Verdict as ReplicationVerdict
from isthmus.training.controls import MODEL
from isthmus.training.evaluate import ALL

RECORD_FILES = "lockbox-look-{number}.json"
TABLE_FILES = "lockbox-look-{number}-fidelity.tsv"


@dataclass(frozen=True)
class FidelityMean:
    """One metric of the model or of a control, averaged over lockbox subjects.

    Attributes
    ----------
    control : str
        ``model``, or one of `isthmus.training.controls.CONTROLS`.
    modality : str
        ``all`` is the mean over modalities.
    metric : str
        Such as ``mse``, and ``delta_mse`` for a control: its error less the model's.
    mean : float or None
        Over images where it is defined; None where there are none.
    n, n_undefined : int
        Images behind the mean, and images without a value.
    """

    control: str
    modality: str
    metric: str
    mean: float | None
    n: int
    n_undefined: int


@dataclass(frozen=True)
class ErrorRatio:
    """How much larger the error is than that on held-out development subjects.

    Attributes
    ----------
    modality : str
        ``all`` is the mean over modalities.
    lockbox_mse, validation_mse : float
        Means over subjects, by the same weights, on the normalised scale.
    ratio : float or None
        The first / the second; 1 where unseen subjects are as well reconstructed as validation
        subjects were. None where the second is 0.
    """

    modality: str
    lockbox_mse: float
    validation_mse: float
    ratio: float | None


@dataclass(frozen=True)
class LockboxSubject:
    """One subject of the lockbox.

    Attributes
    ----------
    participant_id : str
        Who.
    stratum : int or None
        Development's stratum that the subject falls into; None where there are no strata.
    membership : float or None
        In [0, 1]: how much nearer it is than the next (`StrataRule.assign`); no probability.
    mse : dict of str to (float or None)
        For the model and each control: mean over the subject's modalities.
    """

    participant_id: str
    stratum: int | None
    membership: float | None
    mse: dict[str, float | None]


@dataclass(frozen=True)
class StratumCount:
    """One stratum, in development and in the lockbox.

    Attributes
    ----------
    stratum : int
        Its number in development.
    exemplar_id : str
        Development's subject that stands for it.
    n_development, n_lockbox : int
        Members.
    share_development, share_lockbox : float
        Of all subjects there.
    mean_membership : float or None
        Of its lockbox members; None without any.
    """

    stratum: int
    exemplar_id: str
    n_development: int
    n_lockbox: int
    share_development: float
    share_lockbox: float
    mean_membership: float | None


@dataclass(frozen=True)
class LockboxReport:
    """All that one look found.

    Attributes
    ----------
    encoder_id : str
        The encoder.
    label : str
        ``fold 0`` and so on, or ``refit``.
    leaky : bool
        Normalisation saw held-out development subjects (never the lockbox).
    looks : tuple of Look
        Every opening of this lockbox so far; the last is this one.
    store_digest : str
        Digest of the lockbox's images.
    n_sealed : int
        Subjects set aside.
    n_unlisted, n_without_images : int
        Of these, subjects whom the participants table no longer lists, and listed ones of whom no
        image can be used.
    n_subjects, n_families : int
        Subjects evaluated, and their families.
    fidelity : tuple of FidelityMean
        Of the model and of every control.
    ratios : tuple of ErrorRatio
        For a refit, of those whom the folds' encoders held out. Empty where nobody was.
    subjects : tuple of LockboxSubject
        A row each, sorted; all metrics of all images stand in the table beside the record.
    strata : tuple of StratumCount
        Empty where development has no strata.
    no_strata_because : str or None
        Why development has none.
    rule_agreement : float or None
        Share of development's subjects whom the rule that assigned the lockbox's puts where the
        clusterer did.
    table_digest : str
        Embeddings that development's report is of.
    n_development_subjects, n_development_tests : int
        Subjects of that report, and targets that could be tested in it.
    alpha : float
        Level of both tests.
    replications : tuple of TargetReplication
        One a finding that was significant in development; empty where none was.
    """

    encoder_id: str
    label: str
    leaky: bool
    looks: tuple[Look, ...]
    store_digest: str
    n_sealed: int
    n_unlisted: int
    n_without_images: int
    n_subjects: int
    n_families: int
    fidelity: tuple[FidelityMean, ...]
    ratios: tuple[ErrorRatio, ...]
    subjects: tuple[LockboxSubject, ...]
    strata: tuple[StratumCount, ...]
    no_strata_because: str | None
    rule_agreement: float | None
    table_digest: str
    n_development_subjects: int
    n_development_tests: int
    alpha: float
    replications: tuple[TargetReplication, ...]
    schema_version: Literal[1] = 1

    @property
    def number(self) -> int:
        """How many times this lockbox was opened, this time included."""
        return len(self.looks)

    @property
    def reason(self) -> str:
        """What it was opened for."""
        return self.looks[-1].reason

    def count(self, verdict: ReplicationVerdict) -> int:
        """Count the findings with one verdict.

        Parameters
        ----------
        verdict : {"replicated", "not_replicated", "untestable"}
            Which.

        Returns
        -------
        int
            How many.
        """
        return sum(found.verdict == verdict for found in self.replications)

    def mean(self, control: str, metric: str, modality: str = ALL) -> float | None:
        """Look up an average.

        Parameters
        ----------
        control : str
            ``model`` or a control.
        metric : str
            Such as ``mse``.
        modality : str
            By default the mean over modalities.

        Returns
        -------
        float or None
            None where there is none.
        """
        key = (control, metric, modality)
        return next(
            (f.mean for f in self.fidelity if (f.control, f.metric, f.modality) == key), None
        )

    def metrics(self) -> dict[str, float]:
        """Pick out single numbers, for a table of runs. What could not be computed is absent.

        Returns
        -------
        dict of str to float
            Such as ``lockbox_mse``, ``lockbox_mse/T1w``, ``lockbox_mean_image_mse``,
            ``lockbox_error_ratio`` and ``lockbox_n_replicated``.
        """
        numbers: dict[str, float | None] = {
            "lockbox_look": self.number,
            "lockbox_n_subjects": self.n_subjects,
            "lockbox_n_asked": len(self.replications),
            "lockbox_n_replicated": self.count("replicated"),
            "lockbox_n_untestable": self.count("untestable"),
        }
        for found in self.fidelity:
            of = "" if found.control == MODEL else f"{found.control}_"
            at = "" if found.modality == ALL else f"/{found.modality}"
            numbers[f"lockbox_{of}{found.metric}{at}"] = found.mean
        for ratio in self.ratios:
            at = "" if ratio.modality == ALL else f"/{ratio.modality}"
            numbers[f"lockbox_error_ratio{at}"] = ratio.ratio
        return {name: float(value) for name, value in numbers.items() if value is not None}

    def to_json(self) -> str:
        """Write the record as JSON; `from_json` gives an equal record back.

        Returns
        -------
        str
            Indented, keys in the order of the fields.
        """
        content = _ADAPTER.dump_python(self, mode="json")
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "LockboxReport":
        """Read a record that `to_json` wrote.

        Parameters
        ----------
        text : str
            JSON.

        Returns
        -------
        LockboxReport
            Equal to the one written.

        Raises
        ------
        ConfigError
            If the text is no such record.
        """
        try:
            return _ADAPTER.validate_python(json.loads(text))
        except (ValidationError, ValueError) as error:
            raise ConfigError(
                "A record of a look into the lockbox must be what `to_json` wrote (schema version "
                f"1): {error!s:.300}"
            ) from None


def finished_look(folder: Path, encoder_id: str, table_digest: str) -> LockboxReport | None:
    """Read the latest look at one encoder and its strata, so that none is spent twice.

    Reading what a look found is no further look.

    Parameters
    ----------
    folder : Path
        Where records were written.
    encoder_id : str
        The encoder.
    table_digest : str
        The embeddings whose strata were asked about.

    Returns
    -------
    LockboxReport or None
        None where there is no record of it.

    Raises
    ------
    ConfigError
        If a record there cannot be read.
    """
    found = []
    for file in folder.glob(RECORD_FILES.format(number="*")):
        try:
            report = LockboxReport.from_json(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            raise ConfigError(f"{file}: {error}") from None
        if (report.encoder_id, report.table_digest) == (encoder_id, table_digest):
            found.append(report)
    return max(found, key=lambda report: report.number, default=None)


_ADAPTER: TypeAdapter[LockboxReport] = TypeAdapter(LockboxReport)
