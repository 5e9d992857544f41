"""What a bundle says of itself: ``bundle.json``, a frozen record that names every other file.

Legend: M modality, D H W the grid.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError
from isthmus.promotion.bundle.errors_seen import ErrorsSeen
from isthmus.training.card import ENCODER_FILE, NORMALISER_FILE, WEIGHTS_FILE
from isthmus.volumes.examine import Rules
from isthmus.volumes.space import Space

BUNDLE_FILE = "bundle.json"
MASK_FILE = "mask.npz"
STRATA_RULE_FILE = "strata.npz"
NEEDED = (WEIGHTS_FILE, ENCODER_FILE, NORMALISER_FILE)
ALLOWED = (*NEEDED, MASK_FILE, STRATA_RULE_FILE)
SCHEMA_VERSION = 1


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

    clusterer: str
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
        Whether some of a subject's images may be lacking: the network can do without, and was
        trained on subjects who lacked some.
    embedding_size, n_parameters : int
        Values of the embedding; trainable parameters.
    errors : ErrorsSeen
        Reconstruction errors of the subjects it was trained on, and of those held out.
    strata : StrataSummary or None
        None where a subject is put into no stratum; `without_strata` says why.
    without_strata : str or None
        Why there are no strata.
    made_with : dict of str to str
        Versions of isthmus and torch.
    files : dict of str to str
        SHA-256 of every other file, by name.
    schema_version : int
        Version of this record.
    """

    encoder_id: str
    origin: Origin
    leaky: bool
    modalities: tuple[str, ...]
    grid: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    rules: ImageRules
    accepts_missing: bool
    embedding_size: int
    n_parameters: int
    errors: ErrorsSeen
    strata: StrataSummary | None
    without_strata: str | None
    made_with: dict[str, str]
    files: dict[str, str]
    schema_version: Literal[1] = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """Digest of the whole bundle: of this record, and so of every file that it names."""
        return digest_of(self.to_json())

    @property
    def space(self) -> Space:
        """Grid and affine."""
        return Space(self.grid, np.array(self.affine, dtype=np.float64))

    def image_rules(self, mask_DHW: np.ndarray[Any, np.dtype[np.bool_]] | None) -> Rules:
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

    def to_json(self) -> dict[str, Any]:
        """Turn into JSON-serialisable values.

        Returns
        -------
        dict
            What `from_json` reads.
        """
        content: dict[str, Any] = _RECORD.dump_python(self, mode="json")
        return content

    @classmethod
    def from_json(cls, content: bytes | str, where: str) -> "BundleRecord":
        """Read what `to_json` made, distrusting it.

        Parameters
        ----------
        content : bytes or str
            JSON.
        where : str
            The file, for messages.

        Returns
        -------
        BundleRecord
            The same record.

        Raises
        ------
        ConfigError
            If it is none, or names files that a bundle does not have.
        """
        try:
            record = _RECORD.validate_json(content, strict=True, extra="forbid")
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ConfigError(
                f"{where}: must be the record of a bundle, but {place or 'the file'}: "
                f"{first['msg']}. Another version of isthmus wrote it, or it was changed; write "
                "the bundle again."
            ) from None
        record._check(where)
        return record

    def _check(self, where: str) -> None:
        """Refuse files that are none of a bundle's, above all paths out of its folder."""
        strange = sorted(set(self.files) - set(ALLOWED))
        lacking = sorted(set(NEEDED) - set(self.files))
        if strange or lacking:
            raise ConfigError(
                f"{where}: a bundle's files must be {', '.join(NEEDED)}, and perhaps {MASK_FILE} "
                f"and {STRATA_RULE_FILE}; got {', '.join(strange) or 'no others'}, without "
                f"{', '.join(lacking) or 'none'}. Write the bundle again."
            )
        affine = np.array([row for row in self.affine if len(row) == 4])
        names = self.errors.modalities == self.modalities
        shapes = affine.shape == (4, 4) and min(self.grid) > 0 and len(self.modalities) > 0
        has_rule = (STRATA_RULE_FILE in self.files) == (self.strata is not None)
        if not (shapes and names and has_rule):
            raise ConfigError(f"{where}: the record is at odds with itself; write the bundle again.")


_RECORD = TypeAdapter(BundleRecord)


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
        If there is none, or it cannot be used.
    """
    path = folder / BUNDLE_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{folder}: must be a bundle's folder, with {BUNDLE_FILE}, but it cannot be read "
            f"({error.strerror})."
        ) from None
    return BundleRecord.from_json(content, str(path))
