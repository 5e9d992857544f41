"""Whom to embed, and where their images are: of an experiment, a folder, or a table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.cohort.image_layout import find_layout
from isthmus.cohort.participants import Participants, load_participants
from isthmus.cohort.tables import as_frame, read_table
from isthmus.config.execution import ExecutionConfig
from isthmus.config.load import Experiment, load_experiment, resolve
from isthmus.core.errors import CohortError, ConfigError
from isthmus.volumes.sources import ImageSource, image_sources, is_there

_EXPERIMENT_ENDINGS = (".yaml", ".yml")
_PEOPLE = "participants.tsv"


@dataclass(frozen=True)
class SubjectImages:
    """One subject, and where the images are that a model may be given.

    Attributes
    ----------
    participant_id : str
        Who.
    sources : tuple of ImageSource
        One for each of the model's modalities, in its order; files need not exist.
    """

    participant_id: str
    sources: tuple[ImageSource, ...]


@dataclass(frozen=True)
class EmbedCohort:
    """A cohort whose images are in files, ingested or not.

    Attributes
    ----------
    folder : Path
        Absolute; no image lies outside.
    participants : Path
        The table that lists the subjects.
    images : str
        The pattern or the manifest that says where images are, from the folder.
    subjects : tuple of SubjectImages
        Sorted by participant_id.
    execution : ExecutionConfig
        The experiment's, or the defaults.
    tracking_uri : str or None
        MLflow's address, where an experiment says it, or leaves it to be beside its trials.
    """

    folder: Path
    participants: Path
    images: str
    subjects: tuple[SubjectImages, ...]
    execution: ExecutionConfig
    tracking_uri: str | None


@dataclass(frozen=True)
class CohortPlace:
    """A cohort that has been looked up, before it is known which images a model wants.

    Attributes
    ----------
    experiment : Experiment
        The user's; for a folder or a table, one that stands in for it and was written by nobody.
    is_declared : bool
        Whether it is the user's.
    people : Participants
        Who is listed.
    """

    experiment: Experiment
    is_declared: bool
    people: Participants

    @property
    def execution(self) -> ExecutionConfig:
        """How to run: as the experiment says, or the defaults."""
        return self.experiment.config.execution

    @property
    def tracking_uri(self) -> str | None:
        """MLflow's address, where an experiment says it or leaves it to its default."""
        return self.experiment.tracking_uri if self.is_declared else None


def find_cohort(given: Path, pattern: str | None = None) -> CohortPlace:
    """Look up a cohort.

    Parameters
    ----------
    given : Path
        An experiment's YAML; a folder with ``participants.tsv``; or a participants table, whose
        folder is then the cohort's.
    pattern : str, optional
        Where images are, with ``{participant_id}`` and ``{modality}``, from the cohort's folder;
        it replaces the experiment's. None: the experiment's, or the one that fits most files.

    Returns
    -------
    CohortPlace
        With the table read. No image has been opened.

    Raises
    ------
    ConfigError
        If the experiment or the pattern cannot be used.
    CohortError
        If there is no such place or table, or no pattern fits its files.
    """
    if given.suffix.lower() in _EXPERIMENT_ENDINGS:
        return _declared(given, pattern)
    table = given / _PEOPLE if given.is_dir() else given
    if not table.is_file():
        raise CohortError(
            f"{given}: COHORT must be an experiment.yaml, a folder with a {_PEOPLE}, or such a "
            f"table, but there is no {table}."
        )
    folder = table.parent.resolve()
    people = Participants(as_frame(read_table(table)))
    cohort = {
        "root": str(folder),
        "participants": table.name,
        "images": pattern or _found_pattern(folder, people),
        "modalities": ["T1w"],  # replaced by the model's
    }
    config = resolve({"cohort": cohort}, source="--images")
    return CohortPlace(Experiment(config, folder), False, people)


def subjects_of(place: CohortPlace, modalities: Sequence[str], needs_all: bool) -> EmbedCohort:
    """List the images of a cohort that a model may be given.

    Parameters
    ----------
    place : CohortPlace
        Who is listed, and by which pattern or manifest files are named.
    modalities : sequence of str
        The model's.
    needs_all : bool
        Whether the model needs an image of each.

    Returns
    -------
    EmbedCohort
        Every subject of the table, sorted.

    Raises
    ------
    ConfigError
        If the pattern has an unknown field.
    CohortError
        If a path leaves the cohort's folder, the manifest does not fit, or there is not one file
        of a modality that the model needs.
    """
    experiment = place.experiment
    cohort = experiment.config.cohort
    # A manifest may list more modalities than the model takes, and a model may take some that the
    # experiment does not list.
    every = tuple(
        dict.fromkeys([*modalities, *cohort.modalities] if cohort.manifest else modalities)
    )
    wanted = cohort.model_copy(update={"modalities": every})
    config = experiment.config.model_copy(update={"cohort": wanted})
    sources = image_sources(Experiment(config, experiment.folder), place.people)
    subjects = tuple(
        SubjectImages(label, tuple(_chosen(sources[label], modalities)))
        for label in sorted(sources)
    )
    if needs_all:
        _require_some(subjects, modalities, experiment.cohort_root)
    return EmbedCohort(
        folder=experiment.cohort_root,
        participants=experiment.cohort_root / cohort.participants,
        images=cohort.images or f"manifest {cohort.manifest}",
        subjects=subjects,
        execution=place.execution,
        tracking_uri=place.tracking_uri,
    )


def _declared(file: Path, pattern: str | None) -> CohortPlace:
    """Take the cohort of an experiment."""
    experiment = load_experiment(file)
    if pattern is not None:
        if experiment.config.cohort.manifest is not None:
            raise ConfigError(
                f"{file}: --images must be for a cohort whose images follow a pattern, but "
                f"cohort.manifest is {experiment.config.cohort.manifest}. Leave one of them out."
            )
        experiment = load_experiment(file, [f"cohort.images={json.dumps(pattern)}"])
    return CohortPlace(experiment, True, load_participants(experiment))


def _found_pattern(folder: Path, people: Participants) -> str:
    """Find the pattern that most images of a folder follow."""
    layout = find_layout(folder, people.ids)
    if layout is None:
        raise CohortError(
            f"{folder}: must hold NIfTI files (.nii, .nii.gz) named after the participants, such "
            f"as {people.ids[0]}/{people.ids[0]}_T1w.nii.gz, and more than half of them must have "
            "one modality. Say where images are with --images "
            "'{participant_id}/{participant_id}_{modality}.nii.gz', or give an experiment.yaml."
        )
    return layout.pattern


def _chosen(sources: Sequence[ImageSource], modalities: Sequence[str]) -> list[ImageSource]:
    """Take the sources of the model's modalities, in its order."""
    by_name = {source.modality: source for source in sources}
    return [by_name[name] for name in modalities]


def _require_some(subjects: Sequence[SubjectImages], modalities: Sequence[str], root: Path) -> None:
    """Refuse a cohort in which a modality has another name than the model knows it by."""
    for position, name in enumerate(modalities):
        paths = (subject.sources[position].path for subject in subjects)
        if not any(path is not None and is_there(path) for path in paths):
            raise CohortError(
                f"{root}: the model needs {', '.join(modalities)}, and there must be a {name} "
                "image of somebody, but not one of the files that the pattern or the manifest "
                "names for it is there. Is it called otherwise here? Say where images are with "
                "--images, or list them in a cohort.manifest."
            )
