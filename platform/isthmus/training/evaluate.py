"""How faithfully held-out subjects are reconstructed, subject by subject and modality by modality.

All metrics are taken within the mask. Errors, PSNR and SSIM are on the normalised scale, where
1 is the range; the contrast-to-noise ratio is in image units.

Legend: M modality, D H W the grid.
"""

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from isthmus.core.errors import ImageError
from isthmus.training.encoder import LoadedEncoder
from isthmus.training.prefetch import prefetch
from isthmus.volumes import fidelity
from isthmus.volumes.store import VolumeStore
from isthmus.volumes.tissue import TissueSplit, split_tissue

_log = logging.getLogger("isthmus.training")

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Tissue = Literal["kmeans", "none"]

Predictor = Callable[[str, FloatArray], FloatArray | None]
"""From a participant and its normalised images (M, D, H, W) to a reconstruction; None: has none."""

METRICS = (
    "mse",
    "rmse",
    "mae",
    "psnr",
    "ssim",
    "normalised_difference",
    "symmetric_difference",
    "cnr_ratio",
)
TISSUE_MODALITY = "T1w"
ALL = "all"


def evaluate(
    encoder: LoadedEncoder, store: VolumeStore, ids: Sequence[str], tissue: Tissue = "kmeans"
) -> pd.DataFrame:
    """Measure how faithfully an encoder reconstructs subjects.

    Fidelity says nothing of the embedding where skip connections pass the image around it: see
    `controls.run_controls`.

    Parameters
    ----------
    encoder : LoadedEncoder
        Whose reconstructions are measured.
    store : VolumeStore
        Holds the subjects.
    ids : sequence of str
        Participants; for an honest number, none the encoder was trained on.
    tissue : {'kmeans', 'none'}
        ``kmeans`` splits each subject's T1w into tissues and adds ``cnr_ratio`` for every
        modality; without a T1w in the store, and with ``none``, there is no such metric.

    Returns
    -------
    DataFrame
        Columns ``participant_id``, ``modality``, ``metric``, ``value``: a row for each image that
        there is. An undefined value is NaN or infinite, never left out: so the contrast of a
        subject without a T1w.
    """
    predictors: dict[str, Predictor] = {
        "model": lambda name, x_MDHW: encoder.reconstruct_volume(
            x_MDHW, given_M=encoder.given(store, name)
        )
    }
    table = score_predictors(encoder, store, ids, predictors, tissue, with_ssim=predictors)
    return table.drop(columns="control")


def score_predictors(
    encoder: LoadedEncoder,
    store: VolumeStore,
    ids: Sequence[str],
    predictors: Mapping[str, Predictor],
    tissue: Tissue,
    with_ssim: Collection[str],
) -> pd.DataFrame:
    """Measure several predictors on the same subjects, reading each subject once.

    Parameters
    ----------
    encoder : LoadedEncoder
        Its normalisation and mask are used.
    store : VolumeStore
        Holds the subjects.
    ids : sequence of str
        Participants.
    predictors : Mapping of str to callable
        By name. One that answers None for a subject has undefined metrics there.
    tissue : {'kmeans', 'none'}
        As for `evaluate`.
    with_ssim : collection of str
        Predictors whose SSIM is computed too; it takes longer than all other metrics together.

    Returns
    -------
    DataFrame
        Columns ``control`` (the predictor's name), ``participant_id``, ``modality``, ``metric``,
        ``value``.
    """
    normaliser, modalities = encoder.normaliser, encoder.card.modalities
    with_tissue = tissue == "kmeans" and TISSUE_MODALITY in store.modalities

    def read(participant_id: str) -> tuple[FloatArray, FloatArray]:
        """Read a subject as stored and as normalised."""
        original_MDHW = store.read(participant_id, modalities)
        return original_MDHW, normaliser.apply(original_MDHW)

    rows: list[tuple[str, str, str, str, float]] = []
    with closing(prefetch(read, ids, encoder.reading)) as volumes:
        for participant_id, (original_MDHW, x_MDHW) in zip(ids, volumes, strict=True):
            split = _tissue(store, participant_id, normaliser.mask_DHW) if with_tissue else None
            known = np.flatnonzero(store.known(participant_id, modalities))
            for name, predict in predictors.items():
                y_MDHW = predict(participant_id, x_MDHW)
                back_MDHW = None if y_MDHW is None else normaliser.invert(y_MDHW, original_MDHW)
                for m in known:
                    values = dict.fromkeys(METRICS, math.nan)
                    if y_MDHW is not None and back_MDHW is not None:
                        values |= _errors(x_MDHW[m], y_MDHW[m], normaliser.mask_DHW)
                        if name in with_ssim:
                            values["ssim"] = _similarity(x_MDHW[m], y_MDHW[m], normaliser.mask_DHW)
                        values["cnr_ratio"] = _contrast(original_MDHW[m], back_MDHW[m], split)
                    left_out = {"cnr_ratio": not with_tissue, "ssim": name not in with_ssim}
                    row = (name, participant_id, modalities[m])
                    rows += [(*row, k, v) for k, v in values.items() if not left_out.get(k)]
    columns = ["control", "participant_id", "modality", "metric", "value"]
    return pd.DataFrame(rows, columns=columns).astype({"value": np.float64})


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Average each metric over subjects, and say for how many it was undefined.

    Parameters
    ----------
    table : DataFrame
        As `evaluate` or `run_controls` returns it.

    Returns
    -------
    DataFrame
        A row for each (control,) modality and metric, in order of appearance, with ``mean`` over
        finite values (NaN where there are none), ``n`` of these, and ``n_undefined``. Modality
        ``all`` is the mean over modalities, with their numbers added up; of one modality, itself.

    Examples
    --------
    >>> table = pd.DataFrame({"modality": "T1w", "metric": "psnr", "value": [20.0, np.inf, 30.0]})
    >>> summarise(table).iloc[0].to_dict()
    {'modality': 'T1w', 'metric': 'psnr', 'mean': 25.0, 'n': 2, 'n_undefined': 1}
    """
    above = ["control"] if "control" in table else []
    finite = table.assign(
        value=table["value"].where(np.isfinite(table["value"])),
        undefined=~np.isfinite(table["value"]),
    )
    by_modality = (
        finite.groupby([*above, "modality", "metric"], sort=False)
        .agg(mean=("value", "mean"), n=("value", "count"), n_undefined=("undefined", "sum"))
        .reset_index()
    )
    together = (
        by_modality.groupby([*above, "metric"], sort=False)
        .agg(mean=("mean", "mean"), n=("n", "sum"), n_undefined=("n_undefined", "sum"))
        .reset_index()
        .assign(modality=ALL)
    )
    return pd.concat([by_modality, together[by_modality.columns]], ignore_index=True)


def _errors(x_DHW: FloatArray, y_DHW: FloatArray, mask_DHW: Mask) -> dict[str, float]:
    """Compute what needs no tissue, on the normalised scale."""
    return {
        "mse": fidelity.mse(x_DHW, y_DHW, mask_DHW),
        "rmse": fidelity.rmse(x_DHW, y_DHW, mask_DHW),
        "mae": fidelity.mae(x_DHW, y_DHW, mask_DHW),
        "psnr": fidelity.psnr(x_DHW, y_DHW, mask_DHW, data_range=1.0),
        "normalised_difference": fidelity.normalised_difference(x_DHW, y_DHW, mask_DHW),
        "symmetric_difference": fidelity.symmetric_difference(x_DHW, y_DHW, mask_DHW),
    }


def _similarity(x_DHW: FloatArray, y_DHW: FloatArray, mask_DHW: Mask) -> float:
    """Compute the structural similarity, on the normalised scale."""
    return fidelity.ssim(x_DHW, y_DHW, mask_DHW, data_range=1.0)


def _contrast(x_DHW: FloatArray, y_DHW: FloatArray, split: TissueSplit | None) -> float:
    """Compare the contrast of grey and white matter, in image units."""
    if split is None:
        return math.nan
    return fidelity.cnr_ratio(x_DHW, y_DHW, split.grey_DHW, split.white_DHW)


def _tissue(store: VolumeStore, participant_id: str, mask_DHW: Mask) -> TissueSplit | None:
    """Split a subject's T1w; None where it cannot be split, or there is none."""
    if not store.known(participant_id, (TISSUE_MODALITY,))[0]:
        return None
    t1w_DHW = store.read(participant_id, (TISSUE_MODALITY,))[0]
    try:
        return split_tissue(t1w_DHW, mask_DHW)
    except ImageError as error:
        _log.warning("%s has no contrast-to-noise ratio: %s", participant_id, error)
        return None
