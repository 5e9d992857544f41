"""What a bundle says of itself: ``bundle.json``, a frozen record that names every other file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter

from isthmus.config.stratification import Clusterer
from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError
from isthmus.promotion.bundle.errors_seen import ErrorsSeen
from isthmus.study.kept_json import KeptJson
from isthmus.training.card import ENCODER_FILE, NORMALISER_FILE, WEIGHTS_FILE
from isthmus.volumes.examine import Rules
from isthmus.volumes.space import Space

BUNDLE_FILE = "bundle.json"
MASK_FILE = "mask.npz"
STRATA_RULE_FILE = "strata.npz"
SCHEMA_VERSION = 1
_NEEDED = frozenset((WEIGHTS_FILE, ENCODER_FILE, NORMALISER_FILE))
_ALLOWED = _NEEDED | {MASK_FILE, STRATA_RULE_FILE}

Positive = Annotated[int, Field(gt=0)]
Row = tuple[float, float, float, float]


@dataclass(frozen=True)
class Origin:
    """Which training the weights are of.

    Attributes
    ----------
    kind : {"fold", "refit"}
        A fold of a trial, with subjects held out, or one more training on all development
        subjects, with nobody held out.
    fold : int or None
        The fold's number; None for a refit.
    experiment : str
        The experiment's name.
    trial_digest : str
        Identity of the trial, or of the trial that a refit follows.
    identity : dict of str to str
        The digests that it is made of: settings, images, participants, split.
    task_digest : str
        What was trained, as ``fitted.json`` has it.
    """

    kind: Literal["fold", "refit"]
    fold: int | None
    experiment: str
    trial_digest: str
    identity: dict[str, str]
    task_digest: str


@dataclass(frozen=True)
class ImageRules:
    """What an image must be, as the store that trained the encoder asked it.

    Attributes
    ----------
    resample : bool
        Images on another grid are resampled, else refused.
    min_finite_share, min_mask_coverage : float
        Least shares, in [0, 1]; the latter of the cohort's mask, where there is one.
    storage_dtype : {"float32", "float16"}
        Precision to which an image is rounded first, because the store did.
    """

    resample: bool
    min_finite_share: float
    min_mask_coverage: float
    storage_dtype: Literal["float32", "float16"]


@dataclass(frozen=True)
class StrataSummary:
    """The strata in a few numbers; the rule itself is in ``strata.npz``.

    Attributes
    ----------
    clusterer : str
        How they were found.
    sizes : tuple of int
        Subjects clustered into each.
    agreement : float
        Share of these that the rule puts where the clusterer did; see `StrataRule`.
    """

    clusterer: Clusterer
    sizes: tuple[int, ...]
    agreement: float


@dataclass(frozen=True)
class BundleRecord:
    """All that a bundle says of itself.

    Attributes
    ----------
    encoder_id : str
        Identifier of the encoder, and so of the space of its embeddings.
    origin : Origin
        Which training it is of.
    leaky : bool
        The normalisation saw the held-out subjects; every number is to be labelled so.
    modalities : tuple of str
        Inputs, in order.
    grid : tuple of int
        D, H, W in voxels.
    affine : tuple of tuple of float
        4 x 4, from voxel indices to mm.
    rules : ImageRules
        What an image must be.
    accepts_missing : bool
        Whether some of a subject's images may be lacking: the network can do without, and its
        training had subjects who lacked some, or withheld some.
    embedding_size, n_parameters : int
        Values of the embedding; trainable parameters.
    errors : ErrorsSeen
        Reconstruction errors of the subjects that the encoder knows.
    strata : StrataSummary or None
        None where a subject is put into no stratum; `without_strata` says why.
    without_strata : str or None
        Why there are no strata.
    made_with : dict of str to str
        Versions of isthmus and torch.
    files : dict of str to str
        SHA-256 of every other file, by name.
    """

    encoder_id: str
    origin: Origin
    leaky: bool
    modalities: tuple[str, ...]
    grid: tuple[Positive, Positive, Positive]
    affine: tuple[Row, Row, Row, Row]
    rules: ImageRules
    accepts_missing: bool
    embedding_size: Positive
    n_parameters: int
    errors: ErrorsSeen
    strata: StrataSummary | None
    without_strata: str | None
    made_with: dict[str, str]
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """Digest of the whole bundle: of this record, and so of every file that it names."""
        return digest_of(record_to_json(self))

    @property
    def space(self) -> Space:
        """Grid and affine."""
        return Space(self.grid, np.array(self.affine, dtype=np.float64))

    def image_rules(self, mask_DHW: npt.NDArray[np.bool_] | None) -> Rules:
        """Put together what `isthmus.volumes.examine` asks of an image.

        Parameters
        ----------
        mask_DHW : ndarray of bool, shape (D, H, W), or None
            The cohort's mask, where one was declared.

        Returns
        -------
        Rules
            Those of the store, as `isthmus.volumes.layout.read_rules` reads them.
        """
        asked = self.rules
        return Rules(
            self.space,
            mask_DHW,
            asked.resample,
            asked.min_finite_share,
            asked.min_mask_coverage,
            asked.storage_dtype,
            self.accepts_missing,
        )


_KEPT = KeptJson(
    TypeAdapter(BundleRecord),
    BUNDLE_FILE,
    SCHEMA_VERSION,
    what="the record of a bundle",
    folder="a bundle",
    remedy="Write the bundle again.",
)
record_to_json, write_record = _KEPT.to_json, _KEPT.write


def read_record(folder: Path) -> BundleRecord:
    """Read a bundle's record, without a look at its other files.

    Parameters
    ----------
    folder : Path
        The bundle.

    Returns
    -------
    BundleRecord
        As `write_bundle` left it.

    Raises
    ------
    ConfigError
        If there is none, it cannot be read, or it names files that a bundle does not have.
    """
    record, where = _KEPT.read(folder), folder / BUNDLE_FILE
    named = frozenset(record.files)
    if not _NEEDED <= named <= _ALLOWED:
        # Above all no path that leads out of the folder.
        raise ConfigError(
            f"{where}: a bundle's files must be {', '.join(sorted(_NEEDED))}, and perhaps "
            f"{MASK_FILE} and {STRATA_RULE_FILE}, got {', '.join(sorted(named)) or 'none'}. "
            "Write the bundle again."
        )
    known = {*record.modalities, "all"} >= set(record.errors.by_name) >= set(record.modalities)
    if not known or (STRATA_RULE_FILE in named) != (record.strata is not None):
        raise ConfigError(f"{where}: the record is at odds with itself. Write the bundle again.")
    return record
