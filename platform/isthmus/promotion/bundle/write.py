"""Writing a bundle: beside, checked, then renamed."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import isthmus
from isthmus.core.digest import digest_file
from isthmus.core.errors import ConfigError
from isthmus.core.files import name_beside, room_needed, write_atomically
from isthmus.promotion.bundle.errors_seen import PARTS, ErrorsSeen, gather_errors
from isthmus.promotion.bundle.inputs import BundleInputs
from isthmus.promotion.bundle.load import load_bundle
from isthmus.promotion.bundle.record import (
    BUNDLE_FILE,
    MASK_FILE,
    STRATA_RULE_FILE,
    BundleRecord,
    ImageRules,
    Origin,
    StrataSummary,
    read_record,
    write_record,
)
from isthmus.promotion.bundle.strata_rule import StrataRule
from isthmus.stratification.partition import Partition
from isthmus.training.encoder import LoadedEncoder, load_encoder
from isthmus.training.evaluate import score_predictors
from isthmus.training.fitted import FittedEncoder, read_fitted
from isthmus.training.prefetch import plan_reading
from isthmus.training.ranks import alone, choose_device, compute_settings
from isthmus.volumes.examine import Rules
from isthmus.volumes.layout import read_rules, require_settings
from isthmus.volumes.location import StoreLocation

THRESHOLD_QUANTILE = 0.99
# Embeddings of one subject by one network on two machines, relative to the largest value.
_SAME_EMBEDDING = 1e-3


def write_bundle(
    inputs: BundleInputs, destination: Path, quantile: float = THRESHOLD_QUANTILE
) -> BundleRecord:
    """Write a folder with all that a served model needs.

    Parameters
    ----------
    inputs : BundleInputs
        What it is made from.
    destination : Path
        The folder to make. An earlier bundle of the same encoder there is replaced.
    quantile : float, default 0.99
        Share of the reference subjects whose reconstruction error the threshold lies above; see
        `ErrorsSeen`.

    Returns
    -------
    BundleRecord
        As ``bundle.json`` has it.

    Raises
    ------
    ConfigError
        If the training is not finished or was changed since, the inputs do not belong together,
        or the destination holds something else. The destination is then as it was.
    IsthmusError
        If images cannot be read, or the disk is full.

    Notes
    -----
    Every subject of `ids` is reconstructed once, which takes most of the time. The normaliser and
    the strata name participants by their ids; whoever hands a bundle on hands these on.
    """
    if not 0.0 < quantile < 1.0:
        raise ConfigError(f"A threshold's quantile must be between 0 and 1, got {quantile}.")
    fitted = _require_fitted(inputs)
    _require_free(destination, fitted.encoder_id)
    beside = name_beside(destination, "tmp")
    execution = inputs.experiment.config.execution
    try:
        with room_needed(destination.parent), compute_settings(execution, alone(execution)):
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            record = _fill(beside, inputs, fitted, quantile)
            _require_same_embedding(beside, inputs)
            _put_in_place(beside, destination)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return record


def _require_fitted(inputs: BundleInputs) -> FittedEncoder:
    """Read the finished training, whose files, table and strata must belong together."""
    directory = inputs.encoder_directory
    fitted = read_fitted(directory)
    if fitted is None:
        raise ConfigError(
            f"{directory}: must hold a finished training whose files are as it left them, by the "
            "digests in fitted.json; it is not finished, or a file was changed. Train it again."
        )
    table, report = inputs.table, inputs.report
    if table.encoder_id != fitted.encoder_id:
        raise ConfigError(
            f"The embeddings must be by the encoder in {directory}, {fitted.encoder_id}, got "
            f"those of {table.encoder_id}."
        )
    if report is not None and report.table_digest != table.digest:
        raise ConfigError(
            f"The strata must be of the embeddings given, of digest {table.digest[:12]}, got those "
            f"of {report.table_digest[:12]}. Run `isthmus stratify` again."
        )
    return fitted


def _require_free(destination: Path, encoder_id: str) -> None:
    """Refuse to replace anything but a bundle of the same encoder."""
    if not destination.exists():
        return
    if destination.is_dir() and not any(destination.iterdir()):
        return
    if not (destination / BUNDLE_FILE).is_file():
        raise ConfigError(
            f"{destination}: must be free for a bundle, but holds something else. Name another "
            "folder."
        )
    there = read_record(destination).encoder_id
    if there != encoder_id:
        raise ConfigError(
            f"{destination}: holds the bundle of another model, {there}, which that of "
            f"{encoder_id} does not replace. Name another folder."
        )


def _fill(
    folder: Path, inputs: BundleInputs, fitted: FittedEncoder, quantile: float
) -> BundleRecord:
    """Write every file, the record last."""
    config = inputs.experiment.config
    for name in fitted.digests:
        shutil.copyfile(inputs.encoder_directory / name, folder / name)
    location = StoreLocation(inputs.store.url)
    rules = read_rules(location, require_settings(location))
    if rules.mask_DHW is not None:
        _save_mask(folder / MASK_FILE, rules.mask_DHW)
    rule, why_not = _rule(inputs)
    if rule is not None:
        rule.save(folder / STRATA_RULE_FILE)
    device = config.execution.device
    reading = plan_reading(config.execution, choose_device(device))
    encoder = load_encoder(folder, device, reading)
    withheld = config.training.modality_dropout > 0
    first, second, third, fourth = inputs.store.affine.tolist()
    record = BundleRecord(
        encoder_id=fitted.encoder_id,
        origin=_origin(inputs, fitted),
        leaky=fitted.leaky,
        modalities=encoder.card.modalities,
        grid=inputs.store.grid,
        affine=(tuple(first), tuple(second), tuple(third), tuple(fourth)),
        rules=_image_rules(rules),
        accepts_missing=encoder.model.accepts_missing and (withheld or rules.keep_incomplete),
        embedding_size=encoder.model.embedding_size,
        n_parameters=fitted.n_parameters,
        errors=_errors(encoder, inputs, quantile),
        strata=None if rule is None else StrataSummary(rule.clusterer, rule.sizes, rule.agreement),
        without_strata=why_not,
        made_with={"isthmus": isthmus.__version__, "torch": torch.__version__},
        files={path.name: digest_file(path) for path in sorted(folder.iterdir())},
    )
    write_record(record, folder)
    return record


def _origin(inputs: BundleInputs, fitted: FittedEncoder) -> Origin:
    """Say which training it is."""
    return Origin(
        kind="refit" if inputs.fold is None else "fold",
        fold=inputs.fold,
        experiment=inputs.experiment.config.name,
        trial_digest=inputs.trial_digest,
        identity=dict(inputs.identity),
        task_digest=fitted.task_digest,
    )


def _image_rules(rules: Rules) -> ImageRules:
    """Keep what the store asked of an image, besides its space and its mask."""
    return ImageRules(rules.resample, rules.min_finite_share, rules.min_mask_coverage, rules.dtype)


def _save_mask(path: Path, mask_DHW: npt.NDArray[np.bool_]) -> None:
    """Write the cohort's mask."""
    write_atomically(path, lambda file: np.savez_compressed(file, mask_DHW=mask_DHW))


def _rule(inputs: BundleInputs) -> tuple[StrataRule | None, str | None]:
    """Make the rule of strata, or say why there is none."""
    report = inputs.report
    if report is None:
        return None, "The robustness job was not run on this encoder's embeddings."
    if not isinstance(report.strata, Partition):
        return None, report.strata.reason
    return StrataRule.of(inputs.table, report.strata, report.config), None


def _errors(encoder: LoadedEncoder, inputs: BundleInputs, quantile: float) -> ErrorsSeen:
    """Reconstruct every subject that the encoder knows, and keep the errors' quantiles."""
    modalities = encoder.card.modalities
    ids = [name for part in PARTS for name in inputs.ids.get(part, ())]
    predictors = {
        "model": lambda name, x_MDHW: encoder.reconstruct_volume(
            x_MDHW, given_M=encoder.given(inputs.store, name)
        )
    }
    table = score_predictors(encoder, inputs.store, ids, predictors, "none", with_ssim=())
    mse = table[table["metric"] == "mse"].pivot(
        index="participant_id", columns="modality", values="value"
    )
    errors = {
        part: mse.reindex(index=list(own), columns=list(modalities)).to_numpy(np.float64)
        for part in PARTS
        if (own := inputs.ids.get(part, ()))
    }
    return gather_errors(errors, modalities, quantile)


def _require_same_embedding(folder: Path, inputs: BundleInputs) -> None:
    """Refuse a bundle that embeds a subject otherwise than the trial did."""
    served = load_bundle(folder, inputs.experiment.config.execution.device)
    name = next(name for part in PARTS for name in inputs.ids.get(part, ()))
    found_E = served.embed(inputs.store.read(name, served.modalities))
    known_E = inputs.table.select([name]).values[0]
    apart = float(np.abs(found_E - known_E).max() / max(np.abs(known_E).max(), 1e-30))
    if not apart <= _SAME_EMBEDDING:
        raise ConfigError(
            f"The bundle must embed {name} as the table of {inputs.table.encoder_id} has it, but "
            f"differs by {apart:.3g} of the largest value. Were store or weights replaced since? "
            "Train the fold again."
        )


def _put_in_place(beside: Path, destination: Path) -> None:
    """Rename the finished folder, with an earlier bundle out of the way."""
    if not destination.exists():
        beside.rename(destination)
        return
    old = name_beside(destination, "old")
    destination.rename(old)
    try:
        beside.rename(destination)
    except OSError:
        old.rename(destination)
        raise
    shutil.rmtree(old)
