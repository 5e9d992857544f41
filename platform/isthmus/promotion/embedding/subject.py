"""One subject embedded: the work of one step, in this process or in a worker.

Shape suffixes: M modality, D H W the grid.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus.core.digest import digest_file
from isthmus.core.errors import ConfigError, ImageError
from isthmus.promotion.bundle.load import load_bundle
from isthmus.promotion.embedding.row import OK, SubjectRow, refused
from isthmus.promotion.embedding.source import SubjectImages
from isthmus.volumes.sources import ImageSource
from isthmus.volumes.subject import file_stamp, same_state


@dataclass(frozen=True)
class EmbedJob:
    """What each worker is told once.

    Attributes
    ----------
    bundle : Path
        Absolute folder of the model, where every worker reaches it.
    model_digest : str
        Digest of the bundle that the output is of.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    reconstructions : Path or None
        Absolute folder for reconstructed images, where every worker reaches it; None: none.
    threads : int or None
        Compute threads of each worker; None: torch's choice.
    """

    bundle: Path
    model_digest: str
    device: str
    reconstructions: Path | None
    threads: int | None


class Embedder:
    """A worker: the model, loaded once, and what is done with each subject.

    Parameters
    ----------
    job : EmbedJob
        What it is told.

    Raises
    ------
    ConfigError
        If the bundle cannot be used, or is no longer the one that the job is about.
    """

    def __init__(self, job: EmbedJob) -> None:
        if job.threads is not None:
            torch.set_num_threads(job.threads)
        self._job = job
        self._model = load_bundle(job.bundle, job.device, job.model_digest)

    def __call__(self, subjects: Sequence[SubjectImages]) -> list[SubjectRow]:
        """Embed some subjects.

        Parameters
        ----------
        subjects : sequence of SubjectImages
            Whom.

        Returns
        -------
        list of SubjectRow
            One for each, in order; an image that cannot be used costs its subject alone.

        Raises
        ------
        ResourceError
            If there is no memory to read an image.
        OSError
            If a reconstruction cannot be written.
        """
        return [self._embed(subject) for subject in subjects]

    def _embed(self, subject: SubjectImages) -> SubjectRow:
        """Embed one subject, and see that its files stayed the same meanwhile."""
        before = {source.modality: file_stamp(source.path) for source in subject.sources}
        try:
            found: SubjectRow | str = self._predicted(subject)
        except ImageError as error:
            found = str(error)
        images = {source.modality: _read_state(source, before) for source in subject.sources}
        changed = [
            source.shown
            for source in subject.sources
            if before[source.modality] is not None
            and not same_state(before[source.modality], file_stamp(source.path))
        ]
        if changed:
            found = f"{', '.join(changed)}: was changed while it was read; run the same again."
            images |= {name: {"sha256": None} for name, image in images.items() if image}
        if isinstance(found, str):
            return refused(subject.participant_id, found, images)
        return replace(found, images=images)

    def _predicted(self, subject: SubjectImages) -> SubjectRow:
        """Read a subject's images and give them to the model."""
        model, record = self._model, self._model.record
        lacking = [source for source in subject.sources if source.is_missing]
        if lacking and (not record.accepts_missing or len(lacking) == len(subject.sources)):
            named = ", ".join(source.modality for source in lacking)
            looked = ", ".join(source.shown for source in lacking if source.shown)
            where = f" (looked for {looked})" if looked else ""
            raise ImageError(f"The model needs {named}, but there is no such image{where}.")
        paths = {s.modality: s.path for s in subject.sources if s not in lacking and s.path}
        x_MDHW = model.read_images(paths)
        given_M = np.array([source not in lacking for source in subject.sources])
        wanted = self._job.reconstructions
        prediction = model.predict(x_MDHW, given_M, reconstruct=wanted is not None)
        made: dict[str, int] = {}
        if wanted is not None and prediction.reconstruction_MDHW is not None:
            for name, y_DHW in zip(record.modalities, prediction.reconstruction_MDHW, strict=True):
                # An image that was not given may have no units to come back to.
                if np.isfinite(y_DHW).all():
                    file = reconstruction_file(wanted, subject.participant_id, name)
                    model.save_reconstruction(prediction, name, file)
                    made[str(file)] = file.stat().st_size
        without = f", without {', '.join(source.modality for source in lacking)}" if lacking else ""
        return SubjectRow(
            participant_id=subject.participant_id,
            verdict=f"{OK}{without}",
            embedding=array("d", prediction.embedding_E.tolist()),
            stratum=prediction.stratum,
            membership=prediction.membership,
            error=prediction.error,
            error_percentile=prediction.error_percentile,
            out_of_distribution=prediction.out_of_distribution,
            images={},
            reconstructions=made,
        )


class InProcessEmbedRunner:
    """Embed piece after piece in this process (`isthmus.promotion.embedding.run.EmbedRunner`)."""

    def run(
        self,
        job: EmbedJob,
        pieces: Sequence[tuple[SubjectImages, ...]],
        on_done: Callable[[Sequence[SubjectRow]], None],
    ) -> None:
        """Embed each piece, and tell of its rows.

        Parameters
        ----------
        job : EmbedJob
            What to embed with.
        pieces : sequence of tuple of SubjectImages
            Whom.
        on_done : callable
            Hears of the rows of each piece.
        """
        before = torch.get_num_threads()
        try:
            embedder = Embedder(job)
            for piece in pieces:
                on_done(embedder(piece))
        finally:
            torch.set_num_threads(before)


def reconstruction_file(folder: Path, participant_id: str, modality: str) -> Path:
    """Name the file of a reconstructed image.

    Parameters
    ----------
    folder : Path
        Of all reconstructions.
    participant_id, modality : str
        Whose, and of what.

    Returns
    -------
    Path
        In a folder of the subject's own.

    Raises
    ------
    ConfigError
        If a label would lead elsewhere.
    """
    name = f"{participant_id}_{modality}_reconstruction.nii.gz"
    if Path(name).name != name or participant_id.startswith("."):
        raise ConfigError(
            f"Labels become part of file names, so they must have no '/', got {participant_id!r} "
            f"and {modality!r}."
        )
    return folder / participant_id / name


def _read_state(
    source: ImageSource, before: Mapping[str, Mapping[str, Any] | None]
) -> Mapping[str, Any] | None:
    """Say of which bytes a result is; None for no image, no digest where they cannot be had."""
    if source.is_missing:
        return None
    try:
        sha256 = None if source.path is None else digest_file(source.path)
    except OSError:
        sha256 = None
    return {**(before[source.modality] or {}), "sha256": sha256}
