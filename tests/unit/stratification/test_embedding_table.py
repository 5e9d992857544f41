from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isthmus.core.errors import StratificationError
from isthmus.stratification.embedding_table import METADATA_KEY, EmbeddingTable, load_parquet

IDS = ("sub-1", "sub-2", "sub-3")
ROLES = ("train", "monitor", "validation")
VALUES = np.random.default_rng(0).standard_normal((3, 12))


def test_parquet_round_trip_is_exact(tmp_path: Path) -> None:
    table = EmbeddingTable("e0", IDS, VALUES, ROLES)
    path = tmp_path / "deep" / "embeddings.parquet"
    table.save_parquet(path)
    again = load_parquet(path)
    np.testing.assert_array_equal(again.values, VALUES)
    assert (again.encoder_id, again.participant_ids, again.roles) == ("e0", IDS, ROLES)
    assert again.digest == table.digest
    assert [entry.name for entry in path.parent.iterdir()] == ["embeddings.parquet"]


def test_the_file_opens_with_pandas(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.parquet"
    EmbeddingTable("e0", IDS, VALUES, ROLES).save_parquet(path)
    frame = pd.read_parquet(path)
    assert list(frame.columns[:3]) == ["participant_id", "role", "embedding_00"]
    assert frame["embedding_11"].tolist() == VALUES[:, 11].tolist()


def test_values_are_a_copy_that_cannot_be_written_to() -> None:
    values = VALUES.copy()
    table = EmbeddingTable("e0", IDS, values, ROLES)
    values[0, 0] = 99.0
    assert table.values[0, 0] == VALUES[0, 0]
    with pytest.raises(ValueError, match="read-only"):
        table.values[0, 0] = 99.0


def test_select_keeps_rows_together() -> None:
    chosen = EmbeddingTable("e0", IDS, VALUES, ROLES).select(["sub-3", "sub-1"])
    assert chosen.roles == ("validation", "train")
    np.testing.assert_array_equal(chosen.values, VALUES[[2, 0]])
    with pytest.raises(StratificationError, match="sub-9"):
        chosen.select(["sub-9"])


def test_digest_follows_the_content() -> None:
    table = EmbeddingTable("e0", IDS, VALUES, ROLES)
    other = VALUES.copy()
    other[2, 3] += 1e-12
    digests = {
        table.digest,
        EmbeddingTable("e1", IDS, VALUES, ROLES).digest,
        EmbeddingTable("e0", IDS, other, ROLES).digest,
        EmbeddingTable("e0", IDS, VALUES, ROLES[::-1]).digest,
    }
    assert len(digests) == 4


def test_nan_names_the_participant() -> None:
    values = VALUES.copy()
    values[1, 4] = np.nan
    with pytest.raises(StratificationError, match=r"finite.*sub-2"):
        EmbeddingTable("e0", IDS, values, ROLES)


def test_a_participant_listed_twice_is_named() -> None:
    with pytest.raises(StratificationError, match=r"once, got sub-1"):
        EmbeddingTable("e0", ("sub-1", "sub-2", "sub-1"), VALUES, ROLES)


@pytest.mark.parametrize(
    ("values", "roles", "message"),
    [
        (VALUES[:2], ROLES, "row for each of the 3"),
        (VALUES[:, 0], ROLES, "row for each of the 3"),
        (VALUES[:, :0], ROLES, "at least one column"),
        (VALUES, ROLES[:2], "role for each"),
        (VALUES, ("train", "train", "test"), r"roles must be among .* got \['test'\]"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    values: np.ndarray, roles: tuple[str, ...], message: str
) -> None:
    with pytest.raises(StratificationError, match=message):
        EmbeddingTable("e0", IDS, values, roles)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StratificationError, match="no such embedding table"):
        load_parquet(tmp_path / "none.parquet")
    text = tmp_path / "text.parquet"
    text.write_text("participant_id")
    with pytest.raises(StratificationError, match="must be a parquet file"):
        load_parquet(text)
    foreign = tmp_path / "foreign.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(foreign)
    with pytest.raises(StratificationError, match=r"must be an embedding table.*'a'"):
        load_parquet(foreign)


@pytest.mark.parametrize(
    "columns",
    [
        {"participant_id": [1, 2]},
        {"participant_id": ["a", None]},
        {"role": [1.0, 2.0]},
        {"embedding_0": ["x", "y"]},
        {"embedding_0": [b"x", b"y"]},
    ],
    ids=str,
)
def test_columns_of_other_types_are_no_embedding_table(tmp_path: Path, columns: dict) -> None:
    whole = {"participant_id": ["a", "b"], "role": ["new", "new"], "embedding_0": [0.0, 1.0]}
    path = tmp_path / "x.parquet"
    table = pa.table({**whole, **columns}).replace_schema_metadata({METADATA_KEY: b"e"})
    pq.write_table(table, path)
    with pytest.raises(StratificationError, match="must be an embedding table"):
        load_parquet(path)
