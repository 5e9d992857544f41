"""Loading a bundle: every file verified, none unpickled."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from isthmus.core.digest import digest_file
from isthmus.core.errors import ConfigError
from isthmus.promotion.bundle.record import (
    BUNDLE_FILE,
    MASK_FILE,
    STRATA_RULE_FILE,
    BundleRecord,
    read_record,
)
from isthmus.promotion.bundle.served import ServedModel
from isthmus.promotion.bundle.strata_rule import StrataRule, load_strata_rule
from isthmus.training.card import ENCODER_FILE, NORMALISER_FILE, read_card
from isthmus.training.encoder import LoadedEncoder, load_encoder

_REMEDY = "Write the bundle again, or take it from where it was kept."
# An array that claims to be larger than any memory is no saved one either.
_NO_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, MemoryError)
_NO_NETWORK = (ValueError, TypeError, OverflowError, RuntimeError, MemoryError)


def load_bundle(
    folder: Path, device: str = "auto", expected_digest: str | None = None
) -> ServedModel:
    """Load a bundle to be used.

    Parameters
    ----------
    folder : Path
        As `write_bundle` made it; other files in it are not looked at.
    device : {'auto', 'cpu', 'cuda'}
        Where to compute.
    expected_digest : str, optional
        `BundleRecord.digest` of the bundle that is wanted, from where nobody could change both.

    Returns
    -------
    ServedModel
        Ready for use.

    Raises
    ------
    ConfigError
        If it is no bundle, a file of it was changed or is missing, files do not belong together,
        or the digest is another one.
    ResourceError
        If a GPU is asked for where there is none.

    Notes
    -----
    The digests in ``bundle.json`` show that a file was damaged, or exchanged by somebody who did
    not know of them. Whoever can write the folder can write new digests too: against that stands
    `expected_digest`, which a registry keeps. In neither case is anything executed: weights are
    safetensors, arrays are read with ``allow_pickle=False``, and the rest is JSON.
    """
    record = read_record(folder)
    if expected_digest is not None and record.digest != expected_digest:
        raise ConfigError(
            f"{folder}: must be the bundle of digest {expected_digest[:12]}, got "
            f"{record.digest[:12]}: it was written anew, or changed. {_REMEDY}"
        )
    verify_files(folder, record)
    encoder = _load_network(folder, device, record)
    _require_together(folder, record, encoder)
    mask_DHW = _load_mask(folder, record)
    rule = _load_rule(folder, record)
    return ServedModel(record, encoder, record.image_rules(mask_DHW), rule)


def verify_files(folder: Path, record: BundleRecord) -> None:
    """Compare every file of a bundle with its digest.

    Parameters
    ----------
    folder : Path
        The bundle.
    record : BundleRecord
        Its record.

    Raises
    ------
    ConfigError
        If one differs or cannot be read; the message names it.
    """
    for name, wanted in sorted(record.files.items()):
        path = folder / name
        try:
            found = digest_file(path)
        except OSError as error:
            raise ConfigError(
                f"{path}: is part of the bundle and must be readable, but is not "
                f"({error.strerror}). {_REMEDY}"
            ) from None
        if found != wanted:
            raise ConfigError(
                f"{path}: must have the SHA-256 {wanted[:12]}... that {BUNDLE_FILE} records, got "
                f"{found[:12]}...: it was changed after the bundle was written. {_REMEDY}"
            )


def _load_network(folder: Path, device: str, record: BundleRecord) -> LoadedEncoder:
    """Build the network, once what is said of it is known to be what the record says."""
    card = read_card(folder)
    _require_recorded(
        folder,
        (record.encoder_id, record.modalities, record.grid),
        (card.encoder_id, card.modalities, card.grid),
    )
    try:
        return load_encoder(folder, device)
    except _NO_NETWORK as error:
        # Whoever writes digests that fit can describe a network that nobody can build.
        raise ConfigError(
            f"{folder / ENCODER_FILE}: must describe a network that can be built, and "
            f"{NORMALISER_FILE} hold its normaliser, got: {_first_line(error):.120}. "
            f"{_REMEDY}"
        ) from None


def _first_line(error: BaseException) -> str:
    """Say what an error says, which may be nothing but its class."""
    return (str(error) or type(error).__name__).split("\n")[0]


def _require_recorded(folder: Path, recorded: object, network: object) -> None:
    """Refuse a network that is not the record's."""
    if network != recorded:
        raise ConfigError(
            f"{folder / ENCODER_FILE}: the network must be the one that {BUNDLE_FILE} describes, "
            f"{recorded}, got {network}. {_REMEDY}"
        )


def _require_together(folder: Path, record: BundleRecord, encoder: LoadedEncoder) -> None:
    """Refuse a network and a normaliser that are not those of the record."""
    normaliser = encoder.normaliser
    _require_recorded(folder, record.embedding_size, encoder.model.embedding_size)
    if (normaliser.modalities, normaliser.mask_DHW.shape) != (record.modalities, record.grid):
        raise ConfigError(
            f"{folder}: the normaliser must be of {record.modalities} on {record.grid}, got "
            f"{normaliser.modalities} on {normaliser.mask_DHW.shape}. {_REMEDY}"
        )


def _load_mask(folder: Path, record: BundleRecord) -> npt.NDArray[np.bool_] | None:
    """Read the cohort's mask, where there is one."""
    if MASK_FILE not in record.files:
        return None
    path = folder / MASK_FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            mask_DHW = content["mask_DHW"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, *_NO_ARCHIVE) as error:
        raise ConfigError(f"{path}: must be a saved mask, got: {error}. {_REMEDY}") from None
    if mask_DHW.dtype != np.bool_ or mask_DHW.shape != record.grid or not mask_DHW.any():
        raise ConfigError(f"{path}: must be a mask on the grid {record.grid}. {_REMEDY}")
    return np.asarray(mask_DHW, dtype=np.bool_)


def _load_rule(folder: Path, record: BundleRecord) -> StrataRule | None:
    """Read the rule of strata, where there is one."""
    if STRATA_RULE_FILE not in record.files:
        return None
    rule = load_strata_rule(folder / STRATA_RULE_FILE)
    if (rule.encoder_id, rule.embedding_size) != (record.encoder_id, record.embedding_size):
        raise ConfigError(
            f"{folder / STRATA_RULE_FILE}: must be of encoder {record.encoder_id} and "
            f"{record.embedding_size} columns, got {rule.encoder_id} and {rule.embedding_size}. "
            f"{_REMEDY}"
        )
    return rule
