"""Tables of embeddings that other tools wrote: read as they are meant, or refused by place."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isthmus.core.errors import StratificationError
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.foreign_table import load_embeddings

IDS = ("sub-01", "0002", "3")
VALUES = np.array([[0.1, 2.0], [1.0 / 3.0, -4e-17], [5.0, 6.0]])


def frame(**columns: object) -> pd.DataFrame:
    content = {"participant_id": IDS, "PC1": VALUES[:, 0], "latent z": VALUES[:, 1]}
    return pd.DataFrame({**content, **columns})


def write(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, sep="," if path.suffix == ".csv" else "\t", index=False)
    return path


@pytest.mark.parametrize("ending", [".parquet", ".tsv", ".csv", ".TSV"])
def test_any_column_of_numbers_is_part_of_the_embedding(tmp_path, ending):
    table = load_embeddings(write(frame(), tmp_path / f"vae{ending}"))
    assert table.encoder_id == "vae"
    assert table.participant_ids == IDS
    np.testing.assert_array_equal(table.values, VALUES)
    assert table.roles == ("unknown",) * 3


def test_whole_numbers_and_single_precision_are_numbers_too(tmp_path):
    table = frame(count=np.array([1, 2, 3], np.int16), single=np.float32([0.1, 0.2, 0.3]))
    loaded = load_embeddings(write(table, tmp_path / "x.parquet"))
    np.testing.assert_array_equal(loaded.values[:, 2], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(loaded.values[:, 3], np.float32([0.1, 0.2, 0.3]))


def test_ids_that_are_numbers_become_labels(tmp_path):
    table = frame(participant_id=[1001, 1002, 1003])
    assert load_embeddings(write(table, tmp_path / "x.parquet")).participant_ids[0] == "1001"


def test_our_own_table_keeps_encoder_and_roles(tmp_path):
    own = EmbeddingTable("4f6e-fold0", IDS, VALUES, ("train", "monitor", "validation"))
    own.save_parquet(tmp_path / "embeddings.parquet")
    again = load_embeddings(tmp_path / "embeddings.parquet")
    assert again.digest == own.digest


def test_a_column_role_says_who_was_held_out(tmp_path):
    table = frame(role=["train", "validation", None])
    roles = load_embeddings(write(table, tmp_path / "x.tsv")).roles
    assert roles == ("train", "validation", "unknown")
    with pytest.raises(StratificationError, match=r"'role' must say one of.*got 'case'"):
        load_embeddings(write(frame(role=["case"] * 3), tmp_path / "y.tsv"))


@pytest.mark.parametrize(
    ("table", "named"),
    [
        (frame().rename(columns={"participant_id": "participantid"}), "Did you mean|Rename it"),
        (frame().rename(columns={"participant_id": "eid"}), "must be a column 'participant_id'"),
        (frame(participant_id=["a", "b", "a"]), "'a' has several"),
        (frame(participant_id=["a", None, "c"]), "row 2 must give a participant_id"),
        (frame(group=["x", "y", "z"]), r"'group' is not \('group' holds 'x'\)"),
        (frame(PC1=[1.0, np.nan, 2.0]), "the first of 0002 in column 'PC1'"),
        (frame(PC1=[1.0, np.inf, 2.0]), "1 values of 1 participants are missing or infinite"),
        (frame(PC1=4.0, **{"latent z": 1.0}), "at least one column must vary"),
        (frame()[["participant_id"]], "must be a column of numbers"),
    ],
)
@pytest.mark.parametrize("ending", [".tsv", ".parquet"])
def test_what_cannot_be_clustered_is_refused_with_the_place(tmp_path, table, named, ending):
    path = write(table, tmp_path / f"table{ending}")
    with pytest.raises(StratificationError, match=named) as refused:
        load_embeddings(path)
    assert str(path) in str(refused.value)


def test_a_row_number_is_not_taken_for_a_dimension(tmp_path):
    frame().to_csv(tmp_path / "x.csv")  # with pandas' index as its first column
    with pytest.raises(StratificationError, match="is a row number"):
        load_embeddings(tmp_path / "x.csv")
    frame().iloc[[2, 0, 1]].to_parquet(tmp_path / "x.parquet")
    with pytest.raises(StratificationError, match="is a row number"):
        load_embeddings(tmp_path / "x.parquet")


def test_truth_values_are_no_numbers(tmp_path):
    with pytest.raises(StratificationError, match="'case' is not"):
        load_embeddings(write(frame(case=[True, False, True]), tmp_path / "x.parquet"))


def test_a_column_that_is_named_twice_is_refused(tmp_path):
    (tmp_path / "x.tsv").write_text("participant_id\tz\tz\na\t1\t2\n")
    with pytest.raises(StratificationError, match="several of 'z'"):
        load_embeddings(tmp_path / "x.tsv")
    table = pa.table(
        [pa.array(["a"]), pa.array([1.0]), pa.array([2.0])], ["participant_id", "z", "z"]
    )
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(StratificationError, match="several of 'z'"):
        load_embeddings(tmp_path / "x.parquet")


def test_names_that_end_in_a_number_are_no_repetition(tmp_path):
    table = frame(**{"PC1.1": [1.0, 2.0, 3.0]})
    assert load_embeddings(write(table, tmp_path / "x.csv")).values.shape == (3, 3)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("x.npy", b"", r"\.parquet, \.tsv or \.csv"),
        ("x.parquet", b"no parquet", "must be a parquet file"),
        ("x.tsv", b"", "must be a table|must be a column"),
        ("x.tsv", b"participant_id\tz\n\xff\t1\n", "must be a table in UTF-8"),
        ("x.tsv", b"participant_id\tz\na\t1\t2\nb\t1\n", "must be a table"),
        ("x.csv", b"participant_id\tz\na\t1\n", "must be a column 'participant_id'"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, name, content, named):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StratificationError, match=named):
        load_embeddings(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for name in ("gone.tsv", "gone.parquet"):
        with pytest.raises(StratificationError, match=f"{name}: there is no such file"):
            load_embeddings(tmp_path / name)
