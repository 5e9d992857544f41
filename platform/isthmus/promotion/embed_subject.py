"""One subject embedded: the work of one step, in this process or in a worker.

Shape suffixes: M modality, D H W the grid, E value of the embedding.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from isthmus.core.digest import digest_file
from isthmus.core.errors import ImageError
from isthmus.core.files import write_bytes
from isthmus.promotion.bundle.served import Prediction, ServedModel, load_bundle
from isthmus.promotion.embed_source import SubjectImages
from isthmus.volumes.subject import file_stamp

OK = "ok"


@dataclass(frozen=True)
class EmbedJob:
    """What each worker is told once.

    Attributes
    ----------
    bundle : Path
        Absolute folder of the model.
    model_digest : str
        Digest that the bundle had when the job was planned.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    reconstructions : Path or None
        Absolute folder for reconstructed images; None: none are made.
    """

    bundle: Path
    model_digest: str
    device: str
    reconstructions: Path | None


@dataclass(frozen=True)
class SubjectRow:
    """What came of one subject; a line of a part file.

    Attributes
    ----------
    participant_id : str
        Who.
    verdict : str
        ``ok``; where the model does without an image, ``ok, without FA``; for a subject that could
        not be embedded, the reason.
    embedding : tuple of float or None
        None where the subject could not be embedded.
    stratum : int or None
        From 0; None also for a model without strata.
    membership : float or None
        In [0, 1], as `isthmus.promotion.bundle` defines it; None also for a model without strata.
    error : float or None
        Reconstruction error, in the units of the loss that the bundle states.
    error_percentile : float or None
        Its place among the errors of the training subjects, in [0, 100].
    out_of_distribution : bool or None
        Whether the error is above the bundle's threshold.
    images : Mapping of str to (Mapping or None)
        By modality, the state in which the file was read and its ``sha256``; None for no image.
    reconstructions : Mapping of str to int
        By the file's path from the folder of reconstructions, its size in bytes.
    """

    participant_id: str
    verdict: str
    embedding: tuple[float, ...] | None
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
        """Write as one line; numbers are read back as they were."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
