"""A volume store that lies is refused before anything of it is decoded."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from phantom_experiment import write_experiment
from zarr.codecs import BloscCodec
from zarr.storage import MemoryStore

from isthmus.cohort.participants import load_participants
from isthmus.config.load import load_experiment
from isthmus.core.errors import ConfigError, ImageError
from isthmus.volumes.ingest import ingest
from isthmus.volumes.store import open_store
from isthmus.volumes.stored_chunks import ChunkForm, require_own_array

SOURCES = Path(__file__).resolve().parents[2] / "platform"
CHUNK = "development/volumes/c/0/0/0/0/0"
METADATA = "development/volumes/zarr.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A store of a small cohort."""
    folder = tmp_path_factory.mktemp("cohort")
    experiment = load_experiment(write_experiment(folder))
    ingest(experiment, load_participants(experiment))
    return Path(experiment.store_url)


@pytest.fixture
def store(made: Path):
    """The same, put back as it was after each test."""
    kept = {name: (made / name).read_bytes() for name in (CHUNK, METADATA, "store.json")}
    yield made
    for name, content in kept.items():
        (made / name).write_bytes(content)
    (made / "development/volumes/.zarray").unlink(missing_ok=True)


def read(store: Path) -> np.ndarray:
    opened = open_store(str(store))
    return opened.read(_first(store), opened.modalities)


def _first(store: Path) -> str:
    return json.loads((store / "development/records/000000.json").read_text())["participant_id"]


def test_the_checksum_of_these_tests_is_the_one_that_is_kept(store):
    raw = (store / CHUNK).read_bytes()
    assert struct.unpack("<I", raw[-4:]) == (crc32c(raw[:-4]),)


def test_a_sound_store_is_read_and_each_chunk_has_a_checksum(store):
    assert np.isfinite(read(store)).all()
    codecs = json.loads((store / METADATA).read_text())["codecs"]
    assert [codec["name"] for codec in codecs] == ["bytes", "blosc", "crc32c"]


def crc32c(content: bytes) -> int:
    """What zarr keeps behind a chunk."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def damaged(raw: bytes, how: str) -> bytes:
    match how:
        case "cut":
            return raw[: len(raw) // 2]
        case "cut within the header":
            return raw[:10]
        case "empty":
            return b""
        case "one bit":
            return raw[:-100] + bytes([raw[-100] ^ 1]) + raw[-99:]
        case "another checksum":
            return raw[:-4] + bytes(4)
        case "comes out as 2 GiB":
            return raw[:4] + struct.pack("<I", 2**31 - 17) + raw[8:]
        case "comes out as nothing":
            return raw[:4] + struct.pack("<I", 0) + raw[8:]
        case "goes on into its checksum":  # which is right of what stands before it
            body = raw[:12] + struct.pack("<I", len(raw)) + raw[16:-4]
            return body + struct.pack("<I", crc32c(body))
        case "goes on for 2 GiB":
            return raw[:12] + struct.pack("<I", 2**31 - 1) + raw[16:]
        case _:
            return bytes(len(raw))


@pytest.mark.parametrize(
    "how",
    [
        "cut",
        "cut within the header",
        "empty",
        "one bit",
        "another checksum",
        "comes out as 2 GiB",
        "comes out as nothing",
        "goes on for 2 GiB",
        "goes on into its checksum",
        "zeros",
    ],
)
def test_a_chunk_that_lies_is_no_image(store, how):
    chunk = store / CHUNK
    chunk.write_bytes(damaged(chunk.read_bytes(), how))
    with pytest.raises(ImageError, match=r"lost or damaged; remove development/records/000000"):
        read(store)


def test_no_more_of_a_chunk_is_read_than_there_may_be(store):
    """A file with a hole in it takes no room, and is of any length."""
    with (store / CHUNK).open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(ImageError, match="lost or damaged"):
        read(store)


# Values that do not compress are copied as they are, and Blosc copies as many as its header says.
_OVERREAD = """
import sys
import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import LocalStore
from isthmus.volumes.location import StoreLocation
from isthmus.volumes.layout import open_volumes
folder, edge = sys.argv[1], 32
array = zarr.create_array(
    LocalStore(folder), name="development/volumes", shape=(1, 1, edge, edge, edge),
    chunks=(1, 1, edge, edge, edge), dtype="float32", fill_value=float("nan"),
    compressors=[BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")],
)
raw = np.random.default_rng(0).integers(0, 2**32, edge**3, dtype=np.uint32)
array[0, 0] = raw.view(np.float32).reshape(edge, edge, edge)
chunk = f"{folder}/development/volumes/c/0/0/0/0/0"
content = open(chunk, "rb").read()
assert len(content) == 4 * edge**3 + 16, "it must not compress"
open(chunk, "wb").write(content[:200])
try:
    open_volumes(StoreLocation(folder), "development")[0, 0]
except Exception as error:
    print(type(error).__name__)
"""


def test_blosc_is_not_let_read_beyond_a_chunk(tmp_path):
    """Without the check the rest comes from elsewhere in memory, or the process dies of it.

    Stores made before there were checksums are read like this too.
    """
    done = subprocess.run(
        [sys.executable, "-c", _OVERREAD, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": str(SOURCES), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stdout.strip()) == (0, "DamagedChunkError"), done.stderr


def changed(content: dict, how: str) -> dict:
    match how:
        case "lost chunks read as 0":
            return {**content, "fill_value": 0.0}
        case "another codec":
            return {**content, "codecs": [content["codecs"][0], {"name": "numcodecs.lzma"}]}
        case "no compression":
            return {**content, "codecs": content["codecs"][:1]}
        case "many volumes a chunk":
            grid = {"name": "regular", "configuration": {"chunk_shape": [9, *content["shape"][1:]]}}
            return {**content, "chunk_grid": grid}
        case "a huge grid":
            shape = [content["shape"][0], 1, 10**6, 10**6, 10**6]
            grid = {"name": "regular", "configuration": {"chunk_shape": [1, 1, *shape[2:]]}}
            return {**content, "shape": shape, "chunk_grid": grid}
        case "text":
            return {**content, "data_type": "string"}
        case "chunks elsewhere":
            return {**content, "chunk_key_encoding": {"name": "v2"}}
        case "chunks elsewhere, with our separator":
            encoding = {"name": "v2", "configuration": {"separator": "/"}}
            return {**content, "chunk_key_encoding": encoding}
        case "edges without end":
            return {**content, "shape": [float("inf"), *content["shape"][1:]]}
        case "edges that are no whole numbers":
            return {**content, "shape": [float(edge) for edge in content["shape"]]}
        case "a codec that cannot be set so":
            codecs = [dict(codec) for codec in content["codecs"]]
            codecs[1]["configuration"] = {"cname": "none"}
            return {**content, "codecs": codecs}
        case "a group":
            return {**content, "node_type": "group"}
        case _:
            return {}


@pytest.mark.parametrize(
    "how",
    [
        "lost chunks read as 0",
        "another codec",
        "no compression",
        "many volumes a chunk",
        "a huge grid",
        "text",
        "chunks elsewhere",
        "chunks elsewhere, with our separator",
        "edges without end",
        "edges that are no whole numbers",
        "a codec that cannot be set so",
        "a group",
        "nothing",
    ],
)
def test_another_array_than_ours_is_refused(store, how):
    file = store / METADATA
    file.write_text(json.dumps(changed(json.loads(file.read_text()), how)))
    with pytest.raises(ConfigError, match="Remove the store and ingest again"):
        read(store)


def test_an_array_of_the_second_format_is_not_opened(store):
    """There a store's own metadata may ask for its chunks to be unpickled."""
    (store / METADATA).unlink()
    old = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": ""}
    filters = [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 5}]
    (store / "development/volumes/.zarray").write_text(
        json.dumps({**old, "order": "C", "compressor": None, "filters": filters})
    )
    with pytest.raises(zarr.errors.ArrayNotFoundError):
        open_store(str(store))


@pytest.mark.parametrize(
    "change",
    [
        {"grid": [1, 2]},
        {"grid": None},
        {"grid": [float("inf"), 16, 16]},
        {"grid": [16.0, 16, 16]},
        {"grid": [10**5] * 3},
        {"affine": "x"},
        {"affine": [[float("inf")] * 4] * 4},
        {"affine": [[0.0] * 4] * 4},
        {"affine": [[10**400] * 4] * 4},
        {"declared": None},
        {"declared": {}},
        {"modalities": 3},
        {"modalities": []},
        {"modalities": [[]]},
        {"reference": None},
        {"mask_digest": 1},
    ],
)
def test_settings_that_cannot_be_are_said_so(store, change):
    file = store / "store.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ConfigError, match=r"store\.json: must be as isthmus ingest wrote it"):
        open_store(str(store))


@pytest.mark.parametrize(
    "change",
    [
        {"mask": 1},
        {"resample": "no"},
        {"min_finite_share": float("nan")},
        {"min_mask_coverage": 2},
        {"storage_dtype": "object"},
        {"storage_dtype": []},
        {"missing_modalities": {}},
        {"more": float("inf")},
    ],
    ids=str,
)
def test_declared_settings_that_cannot_be_are_said_so(store, change):
    file = store / "store.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "declared": {**content["declared"], **change}}))
    with pytest.raises(ConfigError, match=r"store\.json: must be as isthmus ingest wrote it"):
        open_store(str(store))


@pytest.mark.parametrize("name", ["store.json", METADATA])
@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b"9" * 5000, b"{", b""])
def test_a_file_that_is_no_json_is_said_so(store, name, content):
    (store / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"{name}: must be JSON as isthmus ingest wrote it"):
        open_store(str(store))


def test_a_small_file_that_is_large_is_not_read(store):
    os.truncate(store / "store.json", 2**40)
    with pytest.raises(ConfigError, match=r"store\.json: must have at most"):
        open_store(str(store))


def test_rows_that_are_not_as_the_settings_say_are_refused(store):
    file = store / "store.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "modalities": ["T1w", "FA", "more"]}))
    with pytest.raises(ConfigError, match=r"must be .* as store\.json says"):
        open_store(str(store))


def test_stores_of_before_there_were_checksums_are_ours():
    shape = (3, 2, 4, 5, 6)
    array = zarr.create_array(
        MemoryStore(),
        name="volumes",
        shape=shape,
        chunks=(1, 1, *shape[2:]),
        dtype="float16",
        compressors=[BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")],
        fill_value=float("nan"),
    )
    metadata = json.loads(json.dumps(array.metadata.to_dict()))
    assert require_own_array(metadata, "here") == ChunkForm(4 * 5 * 6 * 2, checksum_bytes=0)
