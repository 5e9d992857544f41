"""Which reconstruction errors were seen, and what is beyond them.

Shape suffixes: N subjects, M modalities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Part = Literal["validation", "monitor", "train"]
# Nearest first to what a new subject is to the encoder.
PARTS: tuple[Part, ...] = ("validation", "monitor", "train")
FEWEST = 10
"""Subjects below which a part is too small to set a threshold, while there is another one."""
ALL = "all"
_SHARES = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class PartErrors:
    """The errors of one part of the subjects.

    Attributes
    ----------
    n : int
        Subjects.
    quantiles : tuple of float, length 101
        Errors at the shares 0, 0.01, ..., 1 of the subjects, rising.
    """

    n: int
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class SeenErrors:
    """The errors of one modality, or of all together, and the threshold beyond them.

    Attributes
    ----------
    parts : Mapping of str to PartErrors
        ``train`` (gave gradients), ``monitor`` (chose the epoch) and ``validation`` (held out),
        as far as there are such subjects.
    reference : {"validation", "monitor", "train"}
        The part that new subjects are compared with.
    threshold : float
        The least error of that part that at least `ErrorsSeen.quantile` of it do not exceed.
    """

    parts: Mapping[Part, PartErrors]
    reference: Part
    threshold: float

    @property
    def false_alarms(self) -> float:
        """Share of new subjects of the same kind that are beyond the largest error of n: 1/(n+1).

        With few subjects the threshold is the largest error, and this is what it comes to; no
        quantile can promise less.
        """
        return 1.0 / (self.parts[self.reference].n + 1)

    def percentile(self, error: float) -> float:
        """Tell which share of the reference has a smaller error, in percent.

        Parameters
        ----------
        error : float
            A new subject's, at least 0.

        Returns
        -------
        float
            In [0, 100]; interpolated between the quantiles kept.
        """
        quantiles = self.parts[self.reference].quantiles
        return float(100.0 * np.interp(error, quantiles, _SHARES, left=0.0, right=1.0))


@dataclass(frozen=True)
class Judgement:
    """A subject's reconstruction error beside those that were seen.

    Attributes
    ----------
    error : float
        Mean squared error in the mask on the normalised scale, the mean over the given images.
    errors : Mapping of str to float
        That of each given image.
    percentile : float
        In [0, 100]: the share of the reference with a smaller error.
    out_of_distribution : bool
        Whether the error is beyond the threshold.
    """

    error: float
    errors: Mapping[str, float]
    percentile: float
    out_of_distribution: bool


@dataclass(frozen=True)
class ErrorsSeen:
    """Reconstruction errors of the subjects that an encoder knows, for judging new ones.

    Attributes
    ----------
    quantile : float
        Share of the reference that a threshold keeps below it, such as 0.99.
    by_name : Mapping of str to SeenErrors
        Of each modality of which there are images, and of ``all``: the mean over modalities of
        subjects who have every one.

    Notes
    -----
    Errors of subjects who gave gradients are too small: a network reconstructs better what it was
    trained on, and a threshold made of them calls too many new subjects strange. So the reference
    is the held-out subjects where there are at least 10 of them, else those of the monitor part,
    whose say in the training was the choice of an epoch, else those trained on.

    A large error says that an image is unlike those seen: another scanner, a lesion, a wrong
    modality, a bad registration. A small one does not say that the subject is like those seen:
    skip connections carry images past the embedding, so that strange ones may come out well.
    """

    quantile: float
    by_name: Mapping[str, SeenErrors]

    def judge(self, errors: Mapping[str, float], complete: bool) -> Judgement:
        """Compare a subject's errors with those seen.

        Parameters
        ----------
        errors : Mapping of str to float
            Of each given image, by modality.
        complete : bool
            Whether these are all of the model's modalities.

        Returns
        -------
        Judgement
            Of a complete subject the mean error is compared with that of complete subjects. With
            images lacking there is no such mean to compare with, so each image is compared with
            its modality, and the strangest one counts: a little more readily beyond, then, since
            it is the largest of several, and embeds less.
        """
        mean = float(np.mean(list(errors.values())))
        compared = {ALL: mean} if complete and ALL in self.by_name else errors
        pairs = [(self.by_name[name], error) for name, error in compared.items()]
        return Judgement(
            error=mean,
            errors=dict(errors),
            percentile=max(seen.percentile(error) for seen, error in pairs),
            out_of_distribution=any(error > seen.threshold for seen, error in pairs),
        )


def gather_errors(
    errors: Mapping[Part, FloatArray], modalities: Sequence[str], quantile: float
) -> ErrorsSeen:
    """Keep the quantiles of all errors, and find the thresholds.

    Parameters
    ----------
    errors : Mapping of str to ndarray, shape (n, m)
        By part: an error for each subject and modality, NaN where there is no image. Every
        modality has an image somewhere in ``train``.
    modalities : sequence of str, length m
        The columns.
    quantile : float
        Share below a threshold, in (0, 1).

    Returns
    -------
    ErrorsSeen
        Without ``all`` where nobody has every image.

    Examples
    --------
    >>> seen = gather_errors({"train": np.arange(1.0, 101.0)[:, None]}, ["T1w"], 0.95)
    >>> seen.by_name["T1w"].threshold, seen.judge({"T1w": 50.5}, complete=True).percentile
    (96.0, 50.0)
    """
    columns: dict[str, dict[Part, FloatArray]] = {
        name: {part: errors_NM[:, m] for part, errors_NM in errors.items()}
        for m, name in enumerate(modalities)
    }
    # The mean of a row with a NaN is NaN: of complete subjects alone.
    columns[ALL] = {part: errors_NM.mean(axis=1) for part, errors_NM in errors.items()}
    found = {name: _seen(by_part, quantile) for name, by_part in columns.items()}
    return ErrorsSeen(quantile, {name: seen for name, seen in found.items() if seen is not None})


def _seen(by_part: Mapping[Part, FloatArray], quantile: float) -> SeenErrors | None:
    """Summarise the errors of one column; None where there are none."""
    known = {part: values[np.isfinite(values)] for part, values in by_part.items()}
    known = {part: values for part, values in known.items() if len(values)}
    if not known:
        return None
    enough = [part for part in PARTS if len(known.get(part, ())) >= FEWEST]
    # Where no part is large enough, the largest has to do.
    reference = enough[0] if enough else max(known, key=lambda part: len(known[part]))
    return SeenErrors(
        parts={
            part: PartErrors(len(values), tuple(np.quantile(values, _SHARES).tolist()))
            for part, values in known.items()
        },
        reference=reference,
        threshold=float(np.quantile(known[reference], quantile, method="higher")),
    )
