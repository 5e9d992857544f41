"""Embedding a cohort with a model: what is finished is kept, the rest is done, all is gathered.

`source` finds the subjects, `row` and `parts` tell what is finished,
`subject` does one subject, `roles` says what it was to the model, and `files`
gathers.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from isthmus.core.errors import ConfigError
from isthmus.core.files import room_needed
from isthmus.promotion.embedding.files import (
    ModelLabel,
    verdicts_file,
    write_embeddings,
    write_verdicts,
)
from isthmus.promotion.embedding.parts import EmbedPlan, PartFolder
from isthmus.promotion.embedding.row import SubjectRow, is_current
from isthmus.promotion.embedding.source import EmbedCohort, SubjectImages
from isthmus.promotion.embedding.subject import EmbedJob
from isthmus.stratification.embedding_table import Role

# What a killed run may lose for each of its workers, and a file each for what is finished.
_SUBJECTS_A_PIECE = 4

Piece = tuple[SubjectImages, ...]
OnRows = Callable[[Sequence[SubjectRow]], None]
OnProgress = Callable[[int, int], None]


class EmbedRunner(Protocol):
    """Embeds pieces of a cohort somewhere: in this process, or on Ray's workers."""

    def run(self, job: EmbedJob, pieces: Sequence[Piece], on_done: OnRows) -> None:
        """Embed each piece; tell of its rows as they come, in any order, in this thread."""
        ...


@dataclass(frozen=True)
class EmbedReport:
    """What an embedding came to.

    Attributes
    ----------
    output, verdicts : str
        The table of embeddings, and that of verdicts.
    model, encoder_id, model_digest : str
        What embedded.
    n_subjects, n_embedded : int
        Who is listed, and who is in the table.
    n_found : int
        Who was finished by an earlier run.
    n_out_of_distribution : int
        Of those embedded.
    roles : Mapping of str to int
        How many of those embedded had which role.
    without : Mapping of str to int
        How many of those embedded lacked which image.
    refused : Mapping of str to str
        By participant_id, why not.
    reconstructions : str or None
        Folder of reconstructed images.
    notes : tuple of str
        What a reader must know.
    """

    output: str
    verdicts: str
    model: str
    encoder_id: str
    model_digest: str
    n_subjects: int
    n_embedded: int
    n_found: int
    n_out_of_distribution: int
    roles: Mapping[str, int]
    without: Mapping[str, int]
    refused: Mapping[str, str]
    reconstructions: str | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Turn into JSON-serialisable values.

        Returns
        -------
        dict
            An entry for each attribute.
        """
        return asdict(self)


def check_places(output: Path, reconstructions: Path | None, cohort: Path) -> None:
    """Refuse places that would be misread afterwards.

    Parameters
    ----------
    output : Path
        File to make.
    reconstructions : Path or None
        Folder to fill.
    cohort : Path
        Absolute folder of the cohort.

    Raises
    ------
    ConfigError
        If the output is no ``.parquet``, or reconstructions would lie among the images: they would
        be found there as another modality.
    """
    if output.suffix != ".parquet" or output.is_dir():
        raise ConfigError(f"-o must name a .parquet file, got {output}.")
    if reconstructions is not None and reconstructions.resolve().is_relative_to(cohort):
        raise ConfigError(
            f"--reconstructions must be a folder outside the cohort's ({cohort}), where they would "
            f"be taken for images of another modality, got {reconstructions}. Give another folder."
        )


def embed(
    cohort: EmbedCohort,
    model: ModelLabel,
    job: EmbedJob,
    roles: Mapping[str, Role] | None,
    output: Path,
    runner: EmbedRunner,
    on_progress: OnProgress,
    fresh: bool = False,
) -> EmbedReport:
    """Embed every subject of a cohort, continuing where an earlier call was ended.

    Parameters
    ----------
    cohort : EmbedCohort
        Whom.
    model : ModelLabel
        What the files say of the model.
    job : EmbedJob
        What workers are told.
    roles : Mapping of str to Role or None
        What subjects were to the model, as `roles_of` has it.
    output : Path
        The parquet file; ``<output>.verdicts.tsv`` and ``<output>.parts/`` go beside it.
    runner : EmbedRunner
        Where it is computed.
    on_progress : callable
        Hears how many subjects are done, and how many there are.
    fresh : bool
        Forget what an earlier call left.

    Returns
    -------
    EmbedReport
        What came of it; the files are written.

    Raises
    ------
    ConfigError
        If the output is of another model or another cohort.
    CohortError
        If nobody could be embedded; the verdicts are written.
    IsthmusError
        What ends a worker.

    Notes
    -----
    A subject is finished once a part file holds its row. Rows are sorted by participant_id and
    hold nothing of when or where they were made: however often a run is ended, the files have the
    same bytes in the end.
    """
    plan = EmbedPlan(model.digest, model.encoder_id, str(cohort.folder), cohort.images)
    parts = PartFolder(output)
    with room_needed(output.parent), parts.held(plan, fresh) as kept:
        done = _current(kept, cohort, job)
        n_found = len(done)
        _finish(done, cohort, job, runner, parts, on_progress)
        rows = [done[subject.participant_id] for subject in cohort.subjects]
        told: dict[str, Role] = {row.participant_id: _role(row, roles) for row in rows}
        write_verdicts(output, rows, told)
        write_embeddings(output, rows, told, model)
    return _report(output, job, model, rows, told, n_found)


def _current(
    kept: Mapping[str, SubjectRow], cohort: EmbedCohort, job: EmbedJob
) -> dict[str, SubjectRow]:
    """Take what an earlier call finished, where the images are still the same."""
    return {
        subject.participant_id: kept[subject.participant_id]
        for subject in cohort.subjects
        if subject.participant_id in kept
        and is_current(kept[subject.participant_id], subject, job.reconstructions)
    }


def _finish(
    done: dict[str, SubjectRow],
    cohort: EmbedCohort,
    job: EmbedJob,
    runner: EmbedRunner,
    parts: PartFolder,
    on_progress: OnProgress,
) -> None:
    """Embed who is left, and keep each piece as it comes."""
    total = len(cohort.subjects)
    on_progress(len(done), total)

    def keep(rows: Sequence[SubjectRow]) -> None:
        parts.write(rows)
        done.update({row.participant_id: row for row in rows})
        on_progress(len(done), total)

    waiting = [subject for subject in cohort.subjects if subject.participant_id not in done]
    if waiting:
        runner.run(job, _pieces(waiting), keep)


def _pieces(subjects: Sequence[SubjectImages]) -> list[Piece]:
    """Cut subjects into what is done, and kept, at a time."""
    step = _SUBJECTS_A_PIECE
    return [tuple(subjects[start : start + step]) for start in range(0, len(subjects), step)]


def _role(row: SubjectRow, roles: Mapping[str, Role] | None) -> Role:
    """Say what a subject was to the model."""
    return "unknown" if roles is None else roles.get(row.participant_id, "new")


def _report(
    output: Path,
    job: EmbedJob,
    model: ModelLabel,
    rows: Sequence[SubjectRow],
    roles: Mapping[str, Role],
    n_found: int,
) -> EmbedReport:
    """Count what was found."""
    kept = [row for row in rows if row.is_embedded]
    counted = Counter(str(roles[row.participant_id]) for row in kept)
    without = Counter(name for row in kept for name, image in row.images.items() if image is None)
    return EmbedReport(
        output=str(output),
        verdicts=str(verdicts_file(output)),
        model=model.reference,
        encoder_id=model.encoder_id,
        model_digest=model.digest,
        n_subjects=len(rows),
        n_embedded=len(kept),
        n_found=n_found,
        n_out_of_distribution=sum(row.out_of_distribution is True for row in kept),
        roles=dict(sorted(counted.items())),
        without=dict(sorted(without.items())),
        refused={row.participant_id: row.verdict for row in rows if not row.is_embedded},
        reconstructions=str(job.reconstructions) if job.reconstructions else None,
        notes=tuple(_notes(counted)),
    )


def _notes(counted: Mapping[str, int]) -> list[str]:
    """Say what must not be forgotten of whom the model has seen."""
    notes = []
    if counted.get("unknown"):
        notes.append(
            "Who of these subjects the model was trained on cannot be told (role: unknown): no "
            "trial of its digest lies beside the experiment. In subjects that it was trained on, "
            "associations come out too strong. Give the experiment.yaml of its study as COHORT, if "
            "it is the same cohort."
        )
    seen = counted.get("train", 0) + counted.get("monitor", 0)
    if seen:
        notes.append(
            f"{seen} of these subjects were in the model's training (roles train, monitor). For "
            "claims about others test those held out: stratification.subjects: held_out."
        )
    if counted.get("lockbox"):
        notes.append(
            f"{counted['lockbox']} of these subjects are in the study's lockbox; `isthmus "
            "stratify` leaves them out. Who looks at them elsewhere has opened it."
        )
    return notes
