"""What a fold says of each subset of its modalities, as records and as metrics."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

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
    """

    modalities: tuple[str, ...]
    n_held_out: int
    scores: tuple[SubsetScore, ...]
    agreements: tuple[SubsetAgreement, ...]

    def metrics(self) -> dict[str, float]:
        """Name what is compared between trials.

        Returns
        -------
        dict of str to float
            ``synthesis_mse/<modality>``: mean over the subsets that lack it;
            ``synthesis_delta_mse/<modality>``: the mean image's MSE less that, so above 0 where
            the synthesis is nearer; both also as the mean over modalities. ``subset_ari`` and
            ``subset_ami``: mean agreement over the smaller subsets that have one.
        """
        found: dict[str, float] = {}
        for name in self.modalities:
            made = [item for item in self.scores if item.synthesised and item.modality == name]
            if made:
                error = float(np.mean([item.mse for item in made]))
                found[f"synthesis_mse/{name}"] = error
                found[f"synthesis_delta_mse/{name}"] = made[0].mean_image_mse - error
        for metric in ("synthesis_mse", "synthesis_delta_mse"):
            own = [value for name, value in found.items() if name.startswith(f"{metric}/")]
            if own:
                found[metric] = float(np.mean(own))
        smaller = [item for item in self.agreements if len(item.given) < len(self.modalities)]
        for metric in ("ari", "ami"):
            values = [getattr(item, metric) for item in smaller]
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
