"""The evidence on one trial that gates look at: one frozen record, without a subject's data.

It is gathered once (`isthmus.promotion.evidence.gather`); thresholds have no part in it, so other
gates can be asked of the same record later.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from isthmus.core.errors import ConfigError


@dataclass(frozen=True)
class StrataEvidence:
    """What the robustness job found on one fold's encoder.

    Attributes
    ----------
    outcome : {"partition", "degenerate_partition", "non_convergence"}
        What the clustering gave.
    kind : {"factor", "phenotype"} or None
        What was tested: factors, or phenotypes where there are none; None: nothing was testable.
    n_testable : int
        Targets of that kind that could be tested.
    robust : tuple of str
        Those with the verdict ``robust``.
    excess : float or None
        Mean adjusted Rand index over resamples above that of the matched nulls.
    p_value : float or None
        Of that excess; None without a partition, or with too few nulls.
    """

    outcome: Literal["partition", "degenerate_partition", "non_convergence"]
    kind: Literal["factor", "phenotype"] | None
    n_testable: int
    robust: tuple[str, ...]
    excess: float | None
    p_value: float | None


@dataclass(frozen=True)
class FoldEvidence:
    """One finished fold.

    Attributes
    ----------
    number : int
        From 0.
    encoder_id : str
        The encoder.
    n_train, n_validation : int
        Subjects trained on, and held out.
    n_parameters : int
        Trainable parameters.
    metrics : Mapping of str to float
        Squared errors and contrast ratios on the held-out subjects, by the trial's names.
    losses : tuple of float
        One an epoch: the monitored loss, else the training loss. Empty where no history is there.
    monitored : bool
        Whether it is the monitored one, by which the epoch was chosen whose weights are kept.
    leaky : bool
        The normalisation saw the held-out subjects, by any record of the fold.
    strata : StrataEvidence
        The robustness job.
    """

    number: int
    encoder_id: str
    n_train: int
    n_validation: int
    n_parameters: int
    metrics: Mapping[str, float]
    losses: tuple[float, ...]
    monitored: bool
    leaky: bool
    strata: StrataEvidence


@dataclass(frozen=True)
class SelectionEvidence:
    """The p-value of the trial's best association, as one of all that were looked at.

    Attributes
    ----------
    target : str or None
        Of the best association; None where nothing could be tested.
    p_naive, p_adjusted : float or None
        As if no other trial had been run, and over all trials of the study.
    n_trials : int
        Trials that the second is adjusted for; 1 without a study, where both are the same.
    of_study : bool
        Whether there was a study to adjust for.
    """

    target: str | None
    p_naive: float | None
    p_adjusted: float | None
    n_trials: int
    of_study: bool


@dataclass(frozen=True)
class PairEvidence:
    """Two groups of held-out subjects: how much larger one's error is than the other's.

    Attributes
    ----------
    group, other : str
        Values of the column.
    n_group, n_other : int
        Subjects of each.
    n_families_group, n_families_other : int
        Families of each: relatives within a group count as one, by their mean.
    log_ratio : float or None
        Estimate of log(error of `group` / error of `other`) within folds; None where no fold has
        both, or there are too few.
    standard_error : float or None
        Of that, robust to unequal variances.
    degrees_of_freedom : float or None
        Of its t distribution.
    """

    group: str
    other: str
    n_group: int
    n_other: int
    n_families_group: int
    n_families_other: int
    log_ratio: float | None
    standard_error: float | None
    degrees_of_freedom: float | None


@dataclass(frozen=True)
class GroupsEvidence:
    """All pairs of groups that one column makes.

    Attributes
    ----------
    column : str
        As it was asked for.
    pairs : tuple of PairEvidence
        Each pair once; empty where `reason` says why there is none.
    n_unknown : int
        Held-out subjects whose value is missing; they are left out.
    reason : str
        Why it cannot be judged; empty if it can.
    """

    column: str
    pairs: tuple[PairEvidence, ...]
    n_unknown: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Check:
    """One thing that two records say of a file, or of a trial.

    Attributes
    ----------
    file : str
        Which file, from the trial's folder.
    what : str
        What was compared, such as ``its digest in fold-0/fitted.json``.
    holds : bool
        Whether they agree.
    reason : str
        How they differ, or why they cannot be compared; empty where they agree.
    """

    file: str
    what: str
    holds: bool
    reason: str = ""


@dataclass(frozen=True)
class LatencyEvidence:
    """How long one subject takes.

    Attributes
    ----------
    seconds : tuple of float
        Each measured run, after one that is not counted.
    median_seconds : float
        Their median.
    device : str
        Such as ``cpu``.
    machine : str
        Where it was measured.
    """

    seconds: tuple[float, ...]
    median_seconds: float
    device: str
    machine: str


@dataclass(frozen=True)
class TrialEvidence:
    """All that gates are told of a trial.

    Attributes
    ----------
    digest, name : str
        Of the trial.
    number : int or None
        Within its study.
    identity : Mapping of str to str
        Digests of settings, images, participants and split.
    modalities : tuple of str
        Inputs, in order.
    embedding_size : int
        Values of the embedding.
    leaky : bool
        As the trial says.
    failures : tuple of str
        Folds that failed, and why.
    folds : tuple of FoldEvidence
        Finished folds.
    selection : SelectionEvidence or None
        Of the strata's associations.
    groups : tuple of GroupsEvidence
        One for each column that was asked for.
    integrity : tuple of Check
        All that was compared.
    latency : LatencyEvidence or None
        As it was measured.
    missing : Mapping of str to str
        Why evidence is missing, by what it is of: ``selection``, ``groups``, ``latency``.
    schema_version : int
        Version of this record.
    """

    digest: str
    name: str
    number: int | None
    identity: Mapping[str, str]
    modalities: tuple[str, ...]
    embedding_size: int
    leaky: bool
    failures: tuple[str, ...]
    folds: tuple[FoldEvidence, ...]
    selection: SelectionEvidence | None = None
    groups: tuple[GroupsEvidence, ...] = ()
    integrity: tuple[Check, ...] = ()
    latency: LatencyEvidence | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    schema_version: Literal[1] = 1

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Subjects trained on and held out, of each fold."""
        return tuple((fold.n_train, fold.n_validation) for fold in self.folds)

    def to_json(self) -> str:
        """Write the record as JSON; `from_json` gives an equal record back.

        Returns
        -------
        str
            Indented, keys in the order of the fields.
        """
        content = _EVIDENCE.dump_python(self, mode="json")
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrialEvidence":
        """Read a record that `to_json` wrote.

        Parameters
        ----------
        text : str
            JSON.

        Returns
        -------
        TrialEvidence
            Equal to the one written.

        Raises
        ------
        ConfigError
            If the text is no such record.
        """
        try:
            return _EVIDENCE.validate_python(json.loads(text))
        except (ValidationError, json.JSONDecodeError) as error:
            raise ConfigError(
                f"A trial's evidence must be what `to_json` wrote (schema version 1): {error}"
            ) from None


_EVIDENCE: TypeAdapter[TrialEvidence] = TypeAdapter(TrialEvidence)
