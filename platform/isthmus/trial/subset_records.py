"""What a fold says of each subset of its modalities, as records and as metrics."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

WITHOUT_DROPOUT = (
    "Trained without modality dropout: from subsets that no training subject had, the model "
    "answers outside of what it has seen."
)
Outcome = Literal["partition", "degenerate_partition", "non_convergence", "not_possible"]


@dataclass(frozen=True)
class SubsetScore:
    """How near one modality is reconstructed from one subset of the modalities.

    Attributes
    ----------
    given : tuple of str
        What the encoders were given.
    modality : str
        What is reconstructed.
    synthesised : bool
        Whether that was not given.
    mse : float
        Mean over held-out subjects of the MSE in the mask, normalised intensity.
    normalised_difference : float or None
        Likewise; None where it is undefined for all of them.
    mean_image_mse : float
        What the mean training image scores on the same subjects: a synthesis that is no nearer
        is worth nothing.
    """

    given: tuple[str, ...]
    modality: str
    synthesised: bool
    mse: float
    normalised_difference: float | None
    mean_image_mse: float


@dataclass(frozen=True)
class SubsetAgreement:
    """What the strata are when everybody is embedded from one subset.

    Attributes
    ----------
    given : tuple of str
        What the encoders were given.
    n_subjects : int
        Subjects clustered.
    outcome : str
        ``partition``, a way to have none, or ``not_possible``.
    n_strata : int or None
        Strata found; None where there is no partition.
    ari, ami : float or None
        Adjusted Rand index and adjusted mutual information with the partition of the full set;
        None where either is no partition.
    reason : str or None
        Why there is none.
    """

    given: tuple[str, ...]
    n_subjects: int
    outcome: Outcome
    n_strata: int | None
    ari: float | None
    ami: float | None
    reason: str | None


@dataclass(frozen=True)
class SubsetGrid:
    """Every subset of the fused modalities as input, on the same subjects.

    Attributes
    ----------
    modalities : tuple of str
        What the model fuses.
    n_held_out : int
        Held-out subjects with an image of every one, on whom `scores` are taken.
    scores : tuple of SubsetScore
        For each subset and modality; empty without such subjects.
    agreements : tuple of SubsetAgreement
        For each subset; the last is the full set.
    modality_dropout : float or None
        With which the model was trained; None in a record that does not say.
    """

    modalities: tuple[str, ...]
    n_held_out: int
    scores: tuple[SubsetScore, ...]
    agreements: tuple[SubsetAgreement, ...]
    modality_dropout: float | None = None

    @property
    def caution(self) -> str | None:
        """What to know where the model was never taught to do with less."""
        if self.modality_dropout != 0.0 or len(self.modalities) < 2:
            return None
        return WITHOUT_DROPOUT

    def agreement(self, given: tuple[str, ...], metric: Literal["ari", "ami"]) -> float | None:
        """Tell how far the partition of one subset agrees with that of the full set.

        Parameters
        ----------
        given : tuple of str
            The subset.
        metric : {"ari", "ami"}
            Adjusted Rand index, or adjusted mutual information.

        Returns
        -------
        float or None
            0 where the subset gave no partition: that agrees with nothing, as in the draws of the
            robustness job, and leaving it out would reward a model for failing. None where the
            full set has none either to agree with.
        """
        found = {item.given: item for item in self.agreements}
        full = found.get(self.modalities)
        if full is None or full.outcome != "partition":
            return None
        value: float | None = getattr(found[given], metric)
        return 0.0 if value is None else value

    def metrics(self) -> dict[str, float]:
        """Name what is compared between trials.

        Returns
        -------
        dict of str to float
            ``synthesis_mse/<modality>``: mean over the subsets that lack it;
            ``synthesis_delta_mse/<modality>``: the mean image's MSE less that, so above 0 where
            the synthesis is nearer; both also as the mean over modalities. ``subset_ari`` and
            ``subset_ami``: mean `agreement` over the smaller subsets.
        """
        found: dict[str, float] = {}
        for name in self.modalities:
            made = [item for item in self.scores if item.synthesised and item.modality == name]
            if made:
                error = float(np.mean([item.mse for item in made]))
                found[f"synthesis_mse/{name}"] = error
                found[f"synthesis_delta_mse/{name}"] = made[0].mean_image_mse - error
        for name in ("synthesis_mse", "synthesis_delta_mse"):
            own = [value for key, value in found.items() if key.startswith(f"{name}/")]
            if own:
                found[name] = float(np.mean(own))
        of_strata: tuple[Literal["ari", "ami"], ...] = ("ari", "ami")
        for metric in of_strata:
            values = [
                self.agreement(item.given, metric)
                for item in self.agreements
                if item.given != self.modalities
            ]
            defined = [value for value in values if value is not None]
            if defined:
                found[f"subset_{metric}"] = float(np.mean(defined))
        return found

    def to_json(self) -> dict[str, Any]:
        """Turn into JSON-serialisable values, which `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "SubsetGrid":
        """Read what `to_json` made.

        Parameters
        ----------
        content : Mapping
            Decoded JSON.

        Returns
        -------
        SubsetGrid
            The same record.
        """

        def read(item: Mapping[str, Any]) -> dict[str, Any]:
            return {**item, "given": tuple(item["given"])}

        return cls(
            modalities=tuple(content["modalities"]),
            n_held_out=content["n_held_out"],
            scores=tuple(SubsetScore(**read(item)) for item in content["scores"]),
            agreements=tuple(SubsetAgreement(**read(item)) for item in content["agreements"]),
            modality_dropout=content.get("modality_dropout"),
        )


def subsets_of(modalities: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """List the subsets of some modalities, the smallest first, the full set last.

    Parameters
    ----------
    modalities : tuple of str
        Labels.

    Returns
    -------
    tuple of tuple of str
        2^m - 1 of them, each in the order given.

    Examples
    --------
    >>> subsets_of(("T1w", "FA"))
    (('T1w',), ('FA',), ('T1w', 'FA'))
    """
    sizes = range(1, len(modalities) + 1)
    return tuple(subset for size in sizes for subset in combinations(modalities, size))
