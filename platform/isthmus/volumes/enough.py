"""On how many subjects an intensity normalisation can be fitted, known without a look at images."""

from collections.abc import Sequence

import numpy as np

from isthmus.config.experiment import NormalisationConfig
from isthmus.core.errors import ConfigError
from isthmus.volumes.store import VolumeStore


def fewest_subjects(config: NormalisationConfig) -> int:
    """Say how many subjects a fit needs at least.

    Parameters
    ----------
    config : NormalisationConfig
        `method` is read.

    Returns
    -------
    int
        Two for `voxelwise_minmax`, since one alone has no range at a voxel; else one.
    """
    return 2 if config.method == "voxelwise_minmax" else 1


def require_enough_images(
    store: VolumeStore,
    ids: Sequence[str],
    modalities: Sequence[str],
    config: NormalisationConfig,
) -> None:
    """Refuse a modality that too few training subjects have an image of.

    Parameters
    ----------
    store : VolumeStore
        Where they are.
    ids : sequence of str
        Training subjects.
    modalities : sequence of str
        What is fused.
    config : NormalisationConfig
        `method` is read.

    Raises
    ------
    ConfigError
        If fewer than `fewest_subjects` have an image of some modality.
    """
    least = fewest_subjects(config)
    n_M = np.sum([store.known(name, modalities) for name in ids], axis=0)
    few = {name: int(n) for name, n in zip(modalities, n_M, strict=True) if n < least}
    if few:
        raise ConfigError(
            f"Normalisation by {config.method} must be fitted on at least {least} training "
            f"subjects with an image of each modality, but of {len(ids)} there are {few}. Draw "
            "other folds (cross_validation), or leave the modality out (model.modalities)."
        )
