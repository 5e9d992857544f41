"""Gathering finished subjects into the output: a table of embeddings, and one of verdicts."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from isthmus.core.errors import CohortError
from isthmus.core.files import write_text
from isthmus.promotion.embedding.row import SubjectRow
from isthmus.stratification.embedding_table import EmbeddingTable, Role


@dataclass(frozen=True)
class ModelLabel:
    """What an output says of the model that made it.

    Attributes
    ----------
    encoder_id : str
        The encoder, and so the space of the embeddings.
    digest : str
        Of the whole bundle.
    reference : str
        How the model is called: a folder, or a version in the registry.
    """

    encoder_id: str
    digest: str
    reference: str


def verdicts_file(output: Path) -> Path:
    """Name the table of verdicts of an output.

    Parameters
    ----------
    output : Path
        Such as ``embeddings.parquet``.

    Returns
    -------
    Path
        Beside it, such as ``embeddings.verdicts.tsv``.
    """
    return output.with_suffix(".verdicts.tsv")


def write_verdicts(output: Path, rows: Sequence[SubjectRow], roles: Mapping[str, Role]) -> None:
    """Write what became of every subject, atomically.

    Parameters
    ----------
    output : Path
        The table of embeddings, beside which it goes.
    rows : sequence of SubjectRow
        Everybody, in order.
    roles : Mapping of str to Role
        What each was to the model.
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["participant_id", "role", "embedded", "verdict"])
    for row in rows:
        embedded = "yes" if row.is_embedded else "no"
        role = roles[row.participant_id]
        writer.writerow([row.participant_id, role, embedded, " ".join(row.verdict.split())])
    write_text(verdicts_file(output), text.getvalue())


def write_embeddings(
    output: Path, rows: Sequence[SubjectRow], roles: Mapping[str, Role], model: ModelLabel
) -> None:
    """Write the table of embeddings, atomically.

    Parameters
    ----------
    output : Path
        The parquet file.
    rows : sequence of SubjectRow
        Everybody, in order; those who could not be embedded are left out, for a row without
        numbers would have to be told apart by whoever reads the file.
    roles : Mapping of str to Role
        What each was to the model.
    model : ModelLabel
        Goes into the file's metadata.

    Raises
    ------
    CohortError
        If nobody could be embedded.
    """
    kept = [row for row in rows if row.is_embedded]
    if not kept:
        first = f" The first, {rows[0].participant_id}: {rows[0].verdict}" if rows else ""
        raise CohortError(
            f"{output}: at least one subject must be embedded, but all {len(rows)} were refused; "
            f"{verdicts_file(output).name} says why.{first}"
        )
    ids = tuple(row.participant_id for row in kept)
    table = EmbeddingTable(
        model.encoder_id,
        ids,
        np.array([row.embedding for row in kept], dtype=np.float64),
        tuple(roles[name] for name in ids),
    )
    columns: dict[str, Any] = {
        "stratum": pa.array([row.stratum for row in kept], pa.int32()),
        "membership": pa.array([row.membership for row in kept], pa.float64()),
        "error": pa.array([row.error for row in kept], pa.float64()),
        "error_percentile": pa.array([row.error_percentile for row in kept], pa.float64()),
        "out_of_distribution": pa.array([row.out_of_distribution for row in kept], pa.bool_()),
        "verdict": pa.array([row.verdict for row in kept], pa.string()),
    }
    metadata = {"isthmus.model": model.reference, "isthmus.model_digest": model.digest}
    table.save_parquet(output, columns, metadata)
