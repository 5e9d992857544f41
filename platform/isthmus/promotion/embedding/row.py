"""What came of one subject: a line of a part file, and a row of the output."""

import json
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isthmus.promotion.embedding.source import SubjectImages
from isthmus.volumes.subject import same_bytes

OK = "ok"


@dataclass(frozen=True)
class SubjectRow:
    """What came of one subject.

    Attributes
    ----------
    participant_id : str
        Who.
    verdict : str
        ``ok``; where the model does without an image, such as ``ok, without FA``; for a subject
        that could not be embedded, the reason.
    embedding : array of float or None
        Eight bytes a value, for all rows of a cohort are held at once in the end; None where the
        subject could not be embedded.
    stratum : int or None
        From 0; None also for a model without strata.
    membership : float or None
        In [0, 1], as `StrataRule.assign` defines it; None also for a model without strata.
    error : float or None
        Reconstruction error of the images that were given, as the bundle defines it.
    error_percentile : float or None
        Its place among those of the training subjects, in [0, 100].
    out_of_distribution : bool or None
        Whether the error is above the bundle's threshold.
    images : Mapping of str to (Mapping or None)
        By modality the state of the file that was read, and its ``sha256``; None for no file.
    reconstructions : Mapping of str to int
        Absolute files that were made, with their sizes in bytes.
    """

    participant_id: str
    verdict: str
    embedding: "array[float] | None"
    stratum: int | None
    membership: float | None
    error: float | None
    error_percentile: float | None
    out_of_distribution: bool | None
    images: Mapping[str, Mapping[str, Any] | None]
    reconstructions: Mapping[str, int]

    @property
    def is_embedded(self) -> bool:
        """Whether there is an embedding."""
        return self.embedding is not None

    def to_json(self) -> str:
        """Write as one line, from which the same numbers are read again.

        Returns
        -------
        str
            JSON without a line break.
        """
        embedding = None if self.embedding is None else self.embedding.tolist()
        content = asdict(self) | {"embedding": embedding}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "SubjectRow":
        """Read what `to_json` wrote.

        Parameters
        ----------
        line : str
            JSON.

        Returns
        -------
        SubjectRow
            Equal to the one that was written.

        Raises
        ------
        ValueError, TypeError
            If it is something else.
        """
        content = json.loads(line)
        if content["embedding"] is not None:
            content["embedding"] = array("d", content["embedding"])
        return cls(**content)


def refused(
    participant_id: str, reason: str, images: Mapping[str, Mapping[str, Any] | None]
) -> SubjectRow:
    """Make the row of a subject that could not be embedded.

    Parameters
    ----------
    participant_id : str
        Who.
    reason : str
        In words.
    images : Mapping
        As in the row.

    Returns
    -------
    SubjectRow
        Without numbers.
    """
    nothing = (None,) * 6
    return SubjectRow(participant_id, reason, *nothing, images, {})


def is_current(row: SubjectRow, subject: SubjectImages, reconstructions: Path | None) -> bool:
    """Tell whether a finished subject need not be done again.

    Parameters
    ----------
    row : SubjectRow
        What an earlier run of the same model found.
    subject : SubjectImages
        Where the images are now.
    reconstructions : Path or None
        Absolute folder in which reconstructed images must be; None: none are wanted.

    Returns
    -------
    bool
        Whether every image has the bytes that were read then (by its stamp, else by its digest),
        and the reconstructions that are wanted are there in full. What could not be read then is
        tried again.
    """
    if set(row.images) != {source.modality for source in subject.sources}:
        return False
    for source in subject.sources:
        then = row.images[source.modality]
        if then is None:
            if not source.is_missing:
                return False
        elif same_bytes(source.path, then, then.get("sha256")) is None:
            return False
    if reconstructions is None or not row.is_embedded:
        return True
    made = [Path(file) for file in row.reconstructions]
    return bool(made) and all(
        file.is_relative_to(reconstructions)
        and file.is_file()
        and file.stat().st_size == row.reconstructions[str(file)]
        for file in made
    )
