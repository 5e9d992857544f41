"""The embeddings of one encoder, a row a subject: what the stratification job starts from."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from isthmus.core.digest import digest_array, digest_of
from isthmus.core.errors import StratificationError
from isthmus.core.files import write_atomically

Role = Literal["train", "monitor", "validation", "lockbox", "new", "unknown"]
ROLES: tuple[str, ...] = get_args(Role)
LOCKBOX: Role = "lockbox"
HELD_OUT: tuple[Role, ...] = ("validation", "new")
"""Roles of those whom the encoder did not see; the lockbox is left to promotion."""
METADATA_KEY = b"isthmus.encoder_id"
_PREFIX = "embedding_"
# 4 GiB as numbers of 64 bits. A few bytes of parquet can stand for any number of equal values.
_MOST_VALUES = 2**29


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """Embeddings that one encoder gave to a set of subjects.

    Embeddings of two encoders never share a table: their axes mean different things.

    Parameters
    ----------
    encoder_id : str
        The encoder that made them.
    participant_ids : tuple of str
        One for each row, each once.
    values : ndarray of float64, shape (n, d)
        Finite; kept as a copy that cannot be written to.
    roles : tuple of str
        What each subject was to this encoder: ``train`` (gave gradients), ``monitor`` (chose the
        best epoch), ``validation`` (held out), ``lockbox`` (set aside at ingest), ``new`` (of no
        part of its experiment) or ``unknown`` (another tool did not say).

    Raises
    ------
    StratificationError
        If an id is repeated, a value is not finite, a role is unknown, or the lengths differ.

    Examples
    --------
    >>> table = EmbeddingTable("e1", ("sub-1", "sub-2"), np.eye(2), ("train", "validation"))
    >>> table.select(["sub-2"]).values
    array([[0., 1.]])
    """

    encoder_id: str
    participant_ids: tuple[str, ...]
    values: npt.NDArray[np.float64]
    roles: tuple[str, ...]

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "participant_ids", tuple(self.participant_ids))
        object.__setattr__(self, "roles", tuple(self.roles))
        self._check()

    def _check(self) -> None:
        """Refuse a table that could not be clustered without guessing."""
        where = f"Embeddings of encoder {self.encoder_id!r}"
        n = len(self.participant_ids)
        if self.values.ndim != 2 or self.values.shape[0] != n or self.values.shape[1] == 0:
            raise StratificationError(
                f"{where} must be a table with a row for each of the {n} participants and at "
                f"least one column, got shape {self.values.shape}."
            )
        if len(self.roles) != n:
            raise StratificationError(
                f"{where} must have a role for each of the {n} participants, got {len(self.roles)}."
            )
        repeated = [name for name, count in Counter(self.participant_ids).items() if count > 1]
        if repeated:
            raise StratificationError(
                f"{where} must have each participant once, got {', '.join(repeated[:5])} more "
                f"than once ({len(repeated)} repeated). A subject has one embedding an encoder."
            )
        unknown = sorted(set(self.roles) - set(ROLES))
        if unknown:
            raise StratificationError(f"{where}: roles must be among {ROLES}, got {unknown}.")
        bad = np.flatnonzero(~np.isfinite(self.values).all(axis=1))
        if bad.size:
            names = ", ".join(self.participant_ids[i] for i in bad[:5])
            raise StratificationError(
                f"{where} must be finite, got NaN or infinity for {bad.size} participants "
                f"({names}). Look at the encoder's training history: it may have diverged."
            )

    @property
    def digest(self) -> str:
        """Digest of the encoder's name, the subjects, their roles and their embeddings."""
        names = [self.encoder_id, list(self.participant_ids), list(self.roles)]
        return digest_of([*names, digest_array(self.values)])

    def select(self, participant_ids: tuple[str, ...] | list[str]) -> "EmbeddingTable":
        """Take some subjects, in the order given.

        Parameters
        ----------
        participant_ids : sequence of str
            Whom to keep.

        Returns
        -------
        EmbeddingTable
            A new table.

        Raises
        ------
        StratificationError
            If the table has no such subject.
        """
        row = {name: i for i, name in enumerate(self.participant_ids)}
        unknown = [name for name in participant_ids if name not in row]
        if unknown:
            raise StratificationError(
                f"Subjects must have an embedding by encoder {self.encoder_id!r}, got "
                f"{', '.join(unknown[:5])} without one ({len(unknown)} in all)."
            )
        rows = [row[name] for name in participant_ids]
        roles = tuple(self.roles[i] for i in rows)
        return EmbeddingTable(self.encoder_id, tuple(participant_ids), self.values[rows], roles)

    @property
    def n_held_out(self) -> int:
        """Subjects whom the encoder did not see, the lockbox aside."""
        return sum(role in HELD_OUT for role in self.roles)

    def save_parquet(
        self,
        path: Path,
        more: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write the table as parquet, atomically.

        Parameters
        ----------
        path : Path
            File to make: columns ``participant_id``, ``role``, ``embedding_0`` and so on; the
            encoder's name is in the file's metadata.
        more : Mapping of str to pyarrow.Array, optional
            Further columns, of n values each, to stand before the embedding; `load_parquet` passes
            them over. Their names must not begin with ``embedding_``.
        metadata : Mapping of str to str, optional
            Further metadata of the file.
        """
        width = len(str(self.values.shape[1] - 1))
        columns: dict[str, Any] = {
            "participant_id": pa.array(self.participant_ids, pa.string()),
            "role": pa.array(self.roles, pa.string()),
            **(more or {}),
        }
        for number, column in enumerate(self.values.T):
            columns[f"{_PREFIX}{number:0{width}d}"] = pa.array(column)
        told = {METADATA_KEY.decode(): self.encoder_id, **(metadata or {})}
        table = pa.table(columns).replace_schema_metadata(told)
        write_atomically(path, lambda file: cast("None", pq.write_table(table, file)))


def require_readable(path: Path) -> None:
    """Refuse a parquet file that stands for more than embeddings ever are, before it is unpacked.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    StratificationError
        If it declares more than 2**29 values, or a column of lists or other nested values.
    OSError, pyarrow.ArrowException
        If it cannot be read, or is no parquet file.
    """
    declared = pq.read_metadata(path)
    fields = pq.read_schema(path)
    columns = [declared.schema.column(number) for number in range(declared.num_columns)]
    # A value of a list is a row too, and one row may have any number of them.
    nested = [field.name for field in fields if pa.types.is_nested(field.type)]
    nested += [column.path for column in columns if column.max_repetition_level > 0]
    if nested:
        raise StratificationError(
            f"{path}: every column must be of numbers or text, but {nested[0]!r} "
            "holds lists or records. Write each number into a column of its own."
        )
    n_values = _count_values(declared)
    if n_values > _MOST_VALUES:
        raise StratificationError(
            f"{path}: embeddings must have at most {_MOST_VALUES:,} values, but the file declares "
            f"{n_values:,} in {len(columns):,} columns. Leave out what is no embedding."
        )


def _count_values(declared: Any) -> int:
    """Count the values that a file's directory speaks of, whichever of its counts is larger."""
    n_values = 0
    for number in range(declared.num_row_groups):
        group = declared.row_group(number)
        for place in range(group.num_columns):
            n_values += max(int(group.column(place).num_values), int(group.num_rows), 0)
    return max(n_values, int(declared.num_rows) * int(declared.num_columns))


def load_parquet(path: Path) -> EmbeddingTable:
    """Read a table that ``EmbeddingTable.save_parquet`` wrote, and check it again.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    EmbeddingTable
        Values bit for bit as they were saved.

    Raises
    ------
    StratificationError
        If the file is missing, is no such table, or fails the table's checks.
    """
    try:
        require_readable(path)
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise StratificationError(f"{path}: there is no such embedding table.") from None
    except (OSError, pa.ArrowException) as error:
        raise StratificationError(f"{path}: must be a parquet file: {error}") from None
    encoder_id = (table.schema.metadata or {}).get(METADATA_KEY)
    names = [name for name in table.column_names if name.startswith(_PREFIX)]
    if encoder_id is None or not names or not _is_own(table):
        raise StratificationError(
            f"{path}: must be an embedding table (columns participant_id and role of text, "
            f"{_PREFIX}0 ... of numbers, encoder in the metadata), got columns "
            f"{table.column_names[:5]}."
        )
    values = np.column_stack([table.column(name).to_numpy() for name in names])
    return EmbeddingTable(
        encoder_id.decode(errors="replace"),
        tuple(table.column("participant_id").to_pylist()),
        values,
        tuple(table.column("role").to_pylist()),
    )


def _is_own(table: Any) -> bool:
    """Tell whether the columns that are read are there once, of the types that are written."""
    names, kinds = table.column_names, pa.types
    for name in ("participant_id", "role"):
        if names.count(name) != 1 or table.column(name).null_count:
            return False
        kind = table.schema.field(name).type
        kind = kind.value_type if kinds.is_dictionary(kind) else kind
        if not (kinds.is_string(kind) or kinds.is_large_string(kind)):
            return False
    numbers = [name for name in names if name.startswith(_PREFIX)]
    found = [table.schema.field(name).type for name in dict.fromkeys(numbers)]
    return len(found) == len(numbers) and all(
        kinds.is_floating(kind) or kinds.is_integer(kind) for kind in found
    )
