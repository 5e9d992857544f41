"""What an experiment would do, without training: its cohort, its model and its cost."""

from dataclasses import asdict, dataclass
from typing import Any

from isthmus.cohort.column_notes import column_notes
from isthmus.cohort.excerpt import a_few
from isthmus.cohort.participants import load_participants
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import Experiment
from isthmus.core.errors import ConfigError
from isthmus.training.order import world_sizes
from isthmus.trial.facts import Facts, cohort_facts, model_facts, trial_facts
from isthmus.trial.run import prepare_trial
from isthmus.trial.subset_records import WITHOUT_DROPOUT
from isthmus.volumes.reference import resolve_settings
from isthmus.volumes.sources import ImageSource, Sources, image_sources, is_there
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
    """Look at an experiment without training or ingesting; whatever would stop it is an error.

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
    sources = image_sources(experiment, participants)
    absent, notes = _absent(experiment, sources)
    notes += column_notes(participants)
    complete = participants.select([name for name in participants.ids if name not in absent])
    if config.controls.subset_grid and not config.training.modality_dropout:
        notes.append(f"controls.subset_grid: {WITHOUT_DROPOUT}")
    if config.training.modality_dropout and len(config.fused_modalities) == 1:
        notes.append(
            "training.modality_dropout changes nothing: one image always stays, and a single "
            "modality is fused."
        )
    world_sizes(config.training, config.execution.workers, config.execution.min_workers)
    facts: Facts = {"n_listed": len(participants.ids)}
    try:
        open_store(experiment.store_url)
    except ConfigError as error:
        notes.append(str(error))
        grid, n_mask_voxels = _space(experiment, sources)
        facts |= cohort_facts(config, complete) | model_facts(config, grid, n_mask_voxels)
    else:
        trial = prepare_trial(experiment)
        facts |= trial_facts(config, trial.store, trial.participants, trial.split)
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
    return _space(experiment, image_sources(experiment, load_participants(experiment)))[0]


def _space(experiment: Experiment, sources: Sources) -> tuple[tuple[int, int, int], int | None]:
    """Find the cohort's grid, and the number of in-mask voxels where a mask is declared."""
    images = [image for own in sources.values() for image in own]
    settings, mask_DHW = resolve_settings(experiment, images)
    return settings.grid, None if mask_DHW is None else int(mask_DHW.sum())


def _absent(experiment: Experiment, sources: Sources) -> tuple[set[str], list[str]]:
    """Find who would be left out for want of images, and say who lacks what."""
    cohort = experiment.config.cohort
    lacking = {
        name: [image.modality for image in images if not _is_there(image)]
        for name, images in sources.items()
    }
    incomplete = {name: lacks for name, lacks in lacking.items() if lacks}
    if not incomplete:
        return set(), []
    counted = ", ".join(
        f"{modality} {sum(modality in lacks for lacks in incomplete.values())}"
        for modality in cohort.modalities
    )
    absent = set(incomplete)
    if cohort.missing_modalities == "keep":
        absent = {name for name, lacks in incomplete.items() if len(lacks) == len(sources[name])}
    n_kept = len(incomplete) - len(absent)
    kept = f"{n_kept} are kept with what they have" if n_kept else ""
    out = f"{len(absent)} would be left out: {a_few(sorted(absent))}" if absent else ""
    return absent, [
        f"{len(incomplete)} of {len(sources)} participants lack an image ({counted}); "
        f"{' and '.join(filter(None, (kept, out)))}."
    ]


def _is_there(image: ImageSource) -> bool:
    """Tell whether an image's file exists."""
    return image.path is not None and is_there(image.path)


def _cost(experiment: Experiment, facts: Facts) -> Facts:
    """Estimate work and memory of one trial."""
    config = experiment.config
    training, execution = config.training, config.execution
    # The fewer there are, the more subjects each holds at a time.
    least = world_sizes(training, execution.workers, execution.min_workers)[0]
    per_worker = training.global_batch_size / training.accumulation_steps / least
    memory_mib = float(facts["activation_mib_per_subject"]) * per_worker
    memory_mib += float(facts["n_parameters"]) * BYTES_PER_PARAMETER / 2**20
    # forward and backward: two multiplications of the forward's size for each gradient
    tera = 3 * 2 * float(facts["forward_giga_multiply_accumulates"]) / 1000
    n_updates = int(facts["n_steps_per_fold"]) * int(facts["n_folds"])
    return {
        **_grid_cost(config, int(facts["n_subjects"]), int(facts["n_folds"])),
        "workers": execution.workers,
        **({"min_workers": least} if least < execution.workers else {}),
        "memory_mib_per_worker": round(memory_mib, 1),
        "tera_operations_per_trial": round(tera * n_updates * training.global_batch_size, 2),
    }


def _grid_cost(config: ExperimentConfig, n_subjects: int, n_folds: int) -> Facts:
    """Count what looking at every subset of the modalities takes beside everything else."""
    if not config.has_subset_grid:
        return {}
    n_subsets = 2 ** len(config.fused_modalities) - 1
    folds = config.cross_validation
    held_out = folds.hold_out_share if folds.method == "hold_out" else 1.0
    return {
        "subset_grid": f"{n_subsets} subsets: about {round(n_subsets * held_out * n_subjects):,} "
        f"reconstructions, {(n_subsets - 1) * n_subjects * n_folds:,} embeddings, "
        f"{n_subsets * n_folds:,} clusterings"
    }
