"""Small files that stand for large or other things: refused, soon, and in little memory."""

import gzip
import io
import struct
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isthmus.backends.mlflow_fetch import _artifacts
from isthmus.backends.tracking_uri import TrackingError
from isthmus.cohort.tables import as_frame, read_table
from isthmus.config.load import load_experiment
from isthmus.core.errors import CohortError, ConfigError, ImageError, StratificationError
from isthmus.stratification import embedding_table
from isthmus.stratification.foreign_table import load_embeddings
from isthmus.volumes.nifti import TooLargeError, read_image

MEBIBYTE = 2**20


@contextmanager
def at_most(n_bytes: int):
    """Hold a block to an amount of memory."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n_bytes, f"{peak / MEBIBYTE:.1f} MiB"


def header(grid=(8, 8, 8), **fields) -> bytes:
    """A NIfTI-1 header of bytes, and four bytes that say whether extensions follow."""
    made = nib.Nifti1Header()
    made.set_data_dtype(np.uint8)
    made["dim"] = [3, *grid, 1, 1, 1, 1]
    made["magic"], made["vox_offset"] = b"n+1", 352
    made.set_sform(np.eye(4), code=1)
    for name, value in fields.items():
        made[name] = value
    return made.binaryblock


def packed(path: Path, content: bytes, n_zeros: int = 0) -> Path:
    """Write content and then zeros, a MiB of which takes a KiB."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(content)
        for _ in range(n_zeros // MEBIBYTE):
            file.write(bytes(MEBIBYTE))
    return path


def test_a_small_file_that_inflates_beyond_its_header_is_left_at_once(tmp_path):
    path = packed(tmp_path / "a.nii.gz", header() + bytes(4), 64 * MEBIBYTE)
    assert path.stat().st_size < MEBIBYTE
    with at_most(4 * MEBIBYTE), pytest.raises(ImageError, match="must end where its header says"):
        read_image(path)


def test_a_small_file_that_declares_what_it_inflates_to_is_weighed_before(tmp_path):
    """A GiB in a few MiB, and honestly so: the limit on memory decides, not the reading."""
    path = tmp_path / "a.nii.gz"
    # deflate cannot do better than a thousandth, so there must be that much
    path.write_bytes(gzip.compress(header((1024, 1024, 1024)) + bytes(4)) + bytes(2 * MEBIBYTE))
    with at_most(4 * MEBIBYTE), pytest.raises(TooLargeError, match=r"needs 1\d.* GiB of memory"):
        read_image(path, memory_limit_bytes=2**30)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"vox_offset": 10_000.0}, "readable to its last byte"),
        ({"vox_offset": 1e30}, "cannot hold"),
        ({"vox_offset": -352.0}, "vox_offset must be at least 348"),
        ({"vox_offset": np.nan}, "vox_offset must be at least 348"),
        ({"vox_offset": np.inf}, "vox_offset must be at least 348"),
        ({"dim": [3, -8, 8, 8, 1, 1, 1, 1]}, "at least 4 voxels"),
        ({"dim": [7, 8, 8, 8, 32767, 32767, 32767, 32767]}, "got 7D with"),
        ({"dim": [-1, 8, 8, 8, 1, 1, 1, 1]}, "1 to 7 axes"),
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "2\\^31 voxels"),
        ({"datatype": 32000}, "none of NIfTI's"),
        ({"srow_x": [np.nan] * 4}, "finite"),
        ({"srow_x": [1e38] * 4, "srow_y": [1e38] * 4}, "invertible|finite"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": np.nan}, "affine|finite"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 9.0}, "affine must be usable"),
        ({"sform_code": 0, "qform_code": 1, "pixdim": [1, 0, 0, 0, 0, 0, 0, 0]}, "affine|edges"),
        ({"scl_slope": np.inf}, "must be finite"),
    ],
)
def test_a_header_that_cannot_be_is_refused_by_what_it_says(tmp_path, fields, reason):
    path = packed(tmp_path / "a.nii.gz", header(**fields) + bytes(4 + 8**3))
    with at_most(4 * MEBIBYTE), pytest.raises(ImageError, match=reason):
        read_image(path)


def test_extensions_are_stepped_over_whatever_size_they_claim(tmp_path):
    extension = bytes([1, 0, 0, 0]) + struct.pack("<ii", 2**31 - 16, 6) + b"text" * 4
    content = header(vox_offset=348.0 + len(extension)) + extension + bytes(range(256)) * 2
    path = packed(tmp_path / "a.nii.gz", content)
    with at_most(4 * MEBIBYTE):
        image = read_image(path)
    assert image.voxels_DHW.max() == 255


# Nine times nine times nine ...: what it stands for would fill the memory, and take for ever.
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        f"{LAUGHS}model: {{embedding_size: *a9}}\n",
        f"{LAUGHS}cohort: {{modalities: *a9}}\n",
        "cohort: &c {modalities: *c}\n",
        "m0: &m0 {a: 1}\n"
        + "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 9)),
        "cohort: " + "[" * 5000 + "]" * 5000,
        "cohort: " + "{a: " * 500 + "1" + "}" * 500,
        "name: " + "9" * 5000,
        "x: y\n" * 300_000,
        '!!python/object/apply:os.system ["exit 1"]',
        "cohort: !!binary aGVsbG8=\n",
        "name: a\nname: b\n",
        "name: \0\n",
    ],
)
def test_yaml_that_stands_for_more_than_it_is_says_so(tmp_path, text):
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_experiment(path)
    assert len(str(refused.value)) < 10_000


def test_the_description_of_a_model_is_no_bomb_either(tmp_path):
    path = tmp_path / "MLmodel"
    flavors = "flavors: {python_function: {artifacts: {bundle: {path: *a9}}}}\n"
    path.write_text(LAUGHS + flavors)
    with pytest.raises(TrackingError, match="its MLmodel names none"):
        _artifacts(path, "brain, version 1")
    path.write_text('x: !!python/object/apply:os.system ["exit 1"]\n')
    with pytest.raises(TrackingError, match="its MLmodel names none"):
        _artifacts(path, "brain, version 1")


def test_a_table_of_many_equal_numbers_is_counted_before_it_is_read(tmp_path, monkeypatch):
    """A thousandth of the limit, so that the test itself need not make what it warns of."""
    monkeypatch.setattr(embedding_table, "_MOST_VALUES", 2**19)
    n_rows = 2**18
    ids = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n_rows, np.int32)), ["sub-01"])
    zeros = pa.array(np.zeros(n_rows))
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"participant_id": ids, "z0": zeros, "z1": zeros}), path)
    assert path.stat().st_size < n_rows // 16
    before = pa.total_allocated_bytes()
    with at_most(MEBIBYTE), pytest.raises(StratificationError, match="at most 524,288 values"):
        load_embeddings(path)
    assert pa.total_allocated_bytes() - before < MEBIBYTE


def test_columns_of_objects_are_no_numbers_and_are_not_unpickled(tmp_path):
    """Parquet has no objects: what a tool pickled arrives as bytes, and stays that."""
    path = tmp_path / "x.parquet"
    planted = b"cos\nsystem\n(S'exit 1'\ntR."
    pq.write_table(pa.table({"participant_id": ["a", "b"], "z": [planted, planted]}), path)
    with pytest.raises(StratificationError, match="must be of numbers"):
        load_embeddings(path)


@pytest.mark.parametrize("encoder", [{}, {"isthmus.encoder_id": "e"}])
@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float64()),
        pa.large_list(pa.float64()),
        pa.list_(pa.float64(), 2_000_000),
        pa.struct({"a": pa.list_(pa.float64())}),
        pa.map_(pa.int32(), pa.float64()),
    ],
    ids=str,
)
def test_one_row_of_many_values_is_refused_before_it_is_read(tmp_path, kind, encoder):
    """Some hundred bytes that become 16 MB: a row of a list may hold any number of values."""
    zeros = np.zeros(2_000_000)
    if pa.types.is_struct(kind):
        rows = [{"a": zeros}]
    elif pa.types.is_map(kind):
        rows = [[(n, 0.0) for n in range(1000)]]
    else:
        rows = [zeros]
    path = tmp_path / "bomb.parquet"
    table = pa.table({"participant_id": ["a"], "role": ["train"], "z": pa.array(rows, kind)})
    pq.write_table(table.replace_schema_metadata(encoder), path)
    del table, rows, zeros
    before = pa.total_allocated_bytes()
    with at_most(MEBIBYTE), pytest.raises(StratificationError, match="'z' holds lists or records"):
        load_embeddings(path)
    assert pa.total_allocated_bytes() - before < MEBIBYTE


def test_values_are_counted_by_column_and_group_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_table, "_MOST_VALUES", 20)
    path = tmp_path / "x.parquet"
    ids = [f"s{n}" for n in range(10)]
    pq.write_table(pa.table({"participant_id": ids, "z": np.arange(10.0)}), path, row_group_size=3)
    assert load_embeddings(path).values.shape == (10, 1)
    monkeypatch.setattr(embedding_table, "_MOST_VALUES", 19)
    with pytest.raises(StratificationError, match="at most 19 values, but the file declares 20"):
        load_embeddings(path)


@pytest.mark.parametrize("label", ["=1+1", "@SUM(1)", "+1", "=cmd|' -C calc'!A0", "../x", "a\0b"])
def test_a_label_that_a_spreadsheet_would_compute_is_refused(tmp_path, label):
    """Labels stand first in the lines of every table that is written."""
    path = tmp_path / "participants.tsv"
    path.write_text(f"participant_id\tage\n{label}\t1\n")
    with pytest.raises(CohortError, match=r"becomes part of file names|tab-separated"):
        as_frame(read_table(path))


def test_arrays_that_would_be_unpickled_are_not(tmp_path):
    """numpy's own files: `allow_pickle` is off wherever isthmus reads one."""
    file = io.BytesIO()
    np.savez(file, x=np.array([{}], dtype=object))
    file.seek(0)
    with np.load(file, allow_pickle=False) as content, pytest.raises(ValueError, match="pickle"):
        content["x"]
    package = Path(__file__).resolve().parents[2] / "platform"
    sources = {path: path.read_text() for path in package.rglob("*.py")}
    assert [str(path) for path, text in sources.items() if "allow_pickle=True" in text] == []
    loads = [line for text in sources.values() for line in text.splitlines() if "np.load(" in line]
    assert loads
    assert all("allow_pickle=False" in line for line in loads)
    assert not [path for path, text in sources.items() if "weights_only=False," in text]
