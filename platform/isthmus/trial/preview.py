"""What an experiment would do, without training: its cohort, its model and its cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isthmus.cohort.images import image_paths
from isthmus.cohort.participants import Participants, load_participants
from isthmus.config.load import Experiment
from isthmus.core.errors import CohortError, ConfigError
from isthmus.trial.facts import Facts, cohort_facts, model_facts
from isthmus.volumes.reference import resolve_settings
from isthmus.volumes.sources import image_sources
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
    grid, n_mask_voxels = _space(experiment, participants)
    try:
        complete = participants.select(open_store(experiment.store_url).participant_ids)
    except ConfigError as error:
        notes.append(str(error))
    facts: Facts = {
        "n_listed": len(participants.ids),
        **cohort_facts(config, complete),
        **model_facts(config, grid, n_mask_voxels),
    }
    return Preview(config.digest, {**facts, **_cost(experiment, facts)}, tuple(notes))


def cohort_grid(experiment: Experiment) -> tuple[int, int, int]:
    """Find the grid of a cohort, from its mask or from its images' headers.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings.

    Returns
    -------
    tuple of int
        Voxels along each axis.
    """
    return _space(experiment, load_participants(experiment))[0]


def _space(
    experiment: Experiment, participants: Participants
) -> tuple[tuple[int, int, int], int | None]:
    """Find the cohort's grid, and the number of in-mask voxels where a mask is declared."""
    sources = image_sources(experiment, participants)
    images = [image for own in sources.values() for image in own]
    settings, mask_DHW = resolve_settings(experiment, images)
    return settings.grid, None if mask_DHW is None else int(mask_DHW.sum())


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
