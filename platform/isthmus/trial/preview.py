"""What an experiment would do, without training: its cohort, its model and its cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isthmus.cohort.images import image_paths
from isthmus.cohort.participants import load_participants
from isthmus.config.load import Experiment
from isthmus.core.errors import CohortError, ConfigError, ImageError
from isthmus.trial.facts import Facts, cohort_facts, model_facts
from isthmus.volumes.nifti import read_header
from isthmus.volumes.store import open_store

BYTES_PER_PARAMETER = 16  # value, gradient and Adam's two moments, in float32


@dataclass(frozen=True)
class Preview:
    """What an experiment means and costs.

    Attributes
    ----------
    digest : str
        Digest of the settings.
    facts : dict
        Cohort, model and cost in numbers.
    notes : tuple of str
        What a user should know before starting.
    """

    digest: str
    facts: Facts
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Turn into JSON-serialisable values.

        Returns
        -------
        dict
            The fields by name.
        """
        return asdict(self)


def preview(experiment: Experiment) -> Preview:
    """Look at an experiment without training or ingesting.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings.

    Returns
    -------
    Preview
        Numbers of the cohort as it is on disk, of the model at the cohort's grid, and the cost.

    Raises
    ------
    IsthmusError
        If participants, image paths, images' headers or the model's settings cannot be used.
    """
    config = experiment.config
    participants = load_participants(experiment)
    paths = image_paths(experiment, participants)
    absent = {name for name, images in paths.items() if not _all_exist(images)}
    notes = []
    if absent:
        notes.append(
            f"{len(absent)} of {len(participants.ids)} participants lack an image of "
            f"{', '.join(config.cohort.modalities)} and would be left out: "
            f"{', '.join(sorted(absent)[:5])}{' ...' if len(absent) > 5 else ''}."
        )
    complete = participants.select([name for name in participants.ids if name not in absent])
    if not complete.ids:
        raise CohortError(
            f"At least one participant must have an image of each modality, but none of "
            f"{len(participants.ids)} has; {experiment.cohort_root} was searched with "
            f"{config.cohort.images or config.cohort.manifest}. Check cohort.images and "
            "cohort.modalities."
        )
    n_mask_voxels = None
    try:
        store = open_store(experiment.store_url)
    except ConfigError as error:
        notes.append(str(error))
        grid = config.volumes.grid or first_grid(paths)
    else:
        grid, complete = store.grid, participants.select(store.participant_ids)
        n_mask_voxels = None if store.mask_DHW is None else int(store.mask_DHW.sum())
    facts: Facts = {
        "n_listed": len(participants.ids),
        **cohort_facts(config, complete),
        **model_facts(config, grid, n_mask_voxels),
    }
    return Preview(config.digest, {**facts, **_cost(experiment, facts)}, tuple(notes))


def first_grid(paths: Mapping[str, Mapping[str, Path]]) -> tuple[int, int, int]:
    """Read the grid off the first image whose header can be read.

    Parameters
    ----------
    paths : Mapping of str to Mapping of str to Path
        Image paths by participant and modality.

    Returns
    -------
    tuple of int
        Voxels along each axis.

    Raises
    ------
    ImageError
        If no image can be read.
    """
    reason = "there is none"
    for images in paths.values():
        for path in images.values():
            try:
                return read_header(path).space.grid
            except ImageError as error:
                reason = str(error)
    raise ImageError(f"No image's header could be read: {reason}")


def _all_exist(images: Mapping[str, Path]) -> bool:
    """Tell whether every file is there."""
    return all(path.exists() for path in images.values())


def _cost(experiment: Experiment, facts: Facts) -> Facts:
    """Estimate work and memory of one trial."""
    config = experiment.config
    training, execution = config.training, config.execution
    per_worker = training.global_batch_size / training.accumulation_steps / execution.workers
    memory_mib = float(facts["activation_mib_per_subject"]) * per_worker
    memory_mib += float(facts["n_parameters"]) * BYTES_PER_PARAMETER / 2**20
    # forward and backward: two multiplications of the forward's size for each gradient
    tera = 3 * 2 * float(facts["forward_giga_multiply_accumulates"]) / 1000
    n_updates = int(facts["n_steps_per_fold"]) * int(facts["n_folds"])
    return {
        "workers": execution.workers,
        "memory_mib_per_worker": round(memory_mib, 1),
        "tera_operations_per_trial": round(tera * n_updates * training.global_batch_size, 2),
    }
