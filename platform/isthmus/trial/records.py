"""What a trial leaves: one record a fold, one for the whole, both as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from isthmus.stratification.across import AcrossEncoders
from isthmus.stratification.record import RobustnessReport
from isthmus.trial.probe import ProbeScore
from isthmus.trial.subset_records import SubsetGrid

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class FoldResult:
    """One fold, finished.

    Attributes
    ----------
    number : int
        Number of the fold, from 0.
    encoder_id : str
        Identifier of the encoder and so of the space of its embeddings.
    n_train, n_monitor, n_validation : int
        Subjects in each part.
    n_epochs, best_epoch : int
        Epochs run, and the one whose weights are kept.
    n_parameters : int
        Trainable parameters.
    training_seconds : float
        Time spent in epochs, over all sittings.
    leaky : bool
        Normalisation saw the held-out subjects.
    metrics : dict of str to float
        ``<subject>_<metric>`` over modalities, ``<subject>_<metric>/<modality>`` for each; finite.
    undefined : dict of str to int
        Metrics that were undefined for some held-out subjects, with their number.
    probes : tuple of ProbeScore
        For each target and representation.
    strata, random_strata : RobustnessReport
        The robustness job on the encoder's embeddings, and on an untrained encoder's.
    subset_grid : SubsetGrid or None
        Every subset of the modalities as input; None where it was not asked for.
    """

    number: int
    encoder_id: str
    n_train: int
    n_monitor: int
    n_validation: int
    n_epochs: int
    best_epoch: int
    n_parameters: int
    training_seconds: float
    leaky: bool
    metrics: dict[str, float]
    undefined: dict[str, int]
    probes: tuple[ProbeScore, ...]
    strata: RobustnessReport
    random_strata: RobustnessReport
    subset_grid: SubsetGrid | None = None

    def to_json(self) -> dict[str, Any]:
        """Turn into JSON-serialisable values.

        Returns
        -------
        dict
            What `from_json` reads.
        """
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content["probes"] = [asdict(score) for score in self.probes]
        content["strata"] = json.loads(self.strata.to_json())
        content["random_strata"] = json.loads(self.random_strata.to_json())
        # Left out where there is none: such a record is what it was before there were any.
        del content["subset_grid"]
        if self.subset_grid is not None:
            content["subset_grid"] = self.subset_grid.to_json()
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "FoldResult":
        """Read what `to_json` made.

        Parameters
        ----------
        content : Mapping
            Decoded JSON.

        Returns
        -------
        FoldResult
            The same record.
        """
        grid = content.get("subset_grid")
        return cls(
            **{
                **content,
                "subset_grid": None if grid is None else SubsetGrid.from_json(grid),
                "probes": tuple(ProbeScore(**score) for score in content["probes"]),
                "strata": RobustnessReport.from_json(json.dumps(content["strata"])),
                "random_strata": RobustnessReport.from_json(json.dumps(content["random_strata"])),
            }
        )


@dataclass(frozen=True)
class FoldFailure:
    """One fold that ended in a typed failure. It is shown, never averaged away.

    Attributes
    ----------
    number : int
        Number of the fold, from 0.
    kind : str
        Class of the error, such as ``TrainingDiverged``.
    message : str
        What it said.
    """

    number: int
    kind: str
    message: str


@dataclass(frozen=True)
class Estimate:
    """A metric over folds.

    Attributes
    ----------
    mean : float
        Mean over folds.
    standard_error : float or None
        Standard deviation over folds / sqrt(folds); None with one fold. Training folds overlap, so
        this understates the uncertainty: it is for display, comparisons use corrected tests.
    n_folds : int
        Folds in which the metric was defined.
    """

    mean: float
    standard_error: float | None
    n_folds: int


@dataclass(frozen=True)
class TrialResult:
    """One experiment, cross-validated.

    Attributes
    ----------
    digest : str
        Identity of the trial: settings, images, participants and split together.
    name : str
        The experiment's name.
    identity : dict of str to str
        The digests that ``digest`` is made of, by what they identify.
    facts : dict of str to str, int or float
        Model and cohort in numbers: parameters, compression, subjects, strata settings.
    leaky : bool
        Normalisation saw the held-out subjects; every number is to be labelled so.
    folds : tuple of FoldResult
        Finished folds.
    failures : tuple of FoldFailure
        Folds that failed.
    across : AcrossEncoders or None
        What the folds' encoders have in common; None where a fold failed.
    """

    digest: str
    name: str
    identity: dict[str, str]
    facts: dict[str, str | int | float]
    leaky: bool
    folds: tuple[FoldResult, ...]
    failures: tuple[FoldFailure, ...]
    across: AcrossEncoders | None = None

    @property
    def succeeded(self) -> bool:
        """Whether every fold finished."""
        return not self.failures

    @property
    def summary(self) -> dict[str, Estimate]:
        """Each metric over folds; empty when a fold failed."""
        return summarise([fold.metrics for fold in self.folds]) if self.succeeded else {}

    def to_json(self) -> dict[str, Any]:
        """Turn into JSON-serialisable values, with the summary written out.

        Returns
        -------
        dict
            What `from_json` reads.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "digest": self.digest,
            "name": self.name,
            "identity": self.identity,
            "facts": self.facts,
            "leaky": self.leaky,
            "succeeded": self.succeeded,
            "summary": {name: asdict(value) for name, value in self.summary.items()},
            "folds": [fold.to_json() for fold in self.folds],
            "failures": [asdict(failure) for failure in self.failures],
            "across": json.loads(self.across.to_json()) if self.across else None,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "TrialResult":
        """Read what `to_json` made.

        Parameters
        ----------
        content : Mapping
            Decoded JSON.

        Returns
        -------
        TrialResult
            The same record.
        """
        across = content["across"]
        return cls(
            digest=content["digest"],
            name=content["name"],
            identity=content["identity"],
            facts=content["facts"],
            leaky=content["leaky"],
            folds=tuple(FoldResult.from_json(fold) for fold in content["folds"]),
            failures=tuple(FoldFailure(**failure) for failure in content["failures"]),
            across=AcrossEncoders.from_json(json.dumps(across)) if across else None,
        )


def summarise(metrics_of_folds: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    """Average each metric over folds.

    Parameters
    ----------
    metrics_of_folds : sequence of Mapping
        One mapping a fold; a metric that is undefined in a fold is absent there.

    Returns
    -------
    dict of str to Estimate
        Sorted by name, with the number of folds behind each.

    Examples
    --------
    >>> summarise([{"mse": 1.0}, {"mse": 3.0}])["mse"]
    Estimate(mean=2.0, standard_error=1.0, n_folds=2)
    """
    names = sorted({name for metrics in metrics_of_folds for name in metrics})
    estimates = {}
    for name in names:
        values = np.array([metrics[name] for metrics in metrics_of_folds if name in metrics])
        n = len(values)
        error = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else None
        estimates[name] = Estimate(float(values.mean()), error, n)
    return estimates
