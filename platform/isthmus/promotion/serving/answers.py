"""What a served model answers: one row a subject, in the order of the request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from isthmus.promotion.bundle.served import Prediction, ServedModel
from isthmus.promotion.serving.requests import (
    PARTICIPANT,
    SubjectRequest,
    inline,
    read_subject,
    require_size,
)

ColumnKind = Literal["string", "number", "boolean", "vector", "images"]


@dataclass(frozen=True)
class AnswerColumn:
    """A column of the answer.

    Attributes
    ----------
    name : str
        Its name.
    kind : {"string", "number", "boolean", "vector", "images"}
        What it holds; ``images``: by modality, as `isthmus.promotion.serving.requests.inline`
        writes them.
    nullable : bool
        Whether it may be null.
    """

    name: str
    kind: ColumnKind
    nullable: bool


ANSWER_COLUMNS = (
    AnswerColumn(PARTICIPANT, "string", True),
    AnswerColumn("embedding", "vector", False),
    AnswerColumn("stratum", "number", True),
    AnswerColumn("membership", "number", True),
    AnswerColumn("error", "number", False),
    AnswerColumn("error_percentile", "number", False),
    AnswerColumn("out_of_distribution", "boolean", False),
    AnswerColumn("reconstruction", "images", True),
)


def answer(
    rows: Iterable[Mapping[str, Any]],
    model: ServedModel,
    *,
    reconstruct: bool,
    images: Path | None,
) -> list[dict[str, Any]]:
    """Answer a request.

    Parameters
    ----------
    rows : iterable of Mapping
        One for each subject, values by column.
    model : ServedModel
        The model.
    reconstruct : bool
        Whether reconstructed images go into the answer.
    images : Path or None
        Folder whose files the request may name; None: no file is read.

    Returns
    -------
    list of dict
        One for each row, with the keys of `ANSWER_COLUMNS`; values are JSON's.

    Raises
    ------
    RequestRefused
        If any row cannot be answered: the whole request is refused then.

    Notes
    -----
    Every row is read before the first is computed, so that a mistake in the last one costs no
    time; the images of all rows are in memory at once.
    """
    listed = list(rows)
    require_size(len(listed))
    subjects = [read_subject(row, number, model, images) for number, row in enumerate(listed)]
    return [_answered(subject, model, reconstruct) for subject in subjects]


def _answered(subject: SubjectRequest, model: ServedModel, reconstruct: bool) -> dict[str, Any]:
    """Compute one subject's row."""
    found = model.predict(subject.x_MDHW, subject.given_M, reconstruct=reconstruct)
    return {
        PARTICIPANT: subject.participant_id,
        "embedding": [float(value) for value in found.embedding_E],
        "stratum": None if found.stratum is None else int(found.stratum),
        "membership": None if found.membership is None else float(found.membership),
        "error": float(found.error),
        "error_percentile": float(found.error_percentile),
        "out_of_distribution": bool(found.out_of_distribution),
        "reconstruction": _images(found, model),
    }


def _images(found: Prediction, model: ServedModel) -> dict[str, str] | None:
    """Write the reconstructed images, where they were asked for and are numbers."""
    if found.reconstruction_MDHW is None:
        return None
    affine = model.record.space.affine
    pairs = zip(model.modalities, found.reconstruction_MDHW, strict=True)
    return {name: inline(y_DHW, affine) for name, y_DHW in pairs if np.isfinite(y_DHW).all()}
