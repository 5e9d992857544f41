"""Small files of a store that are damaged: said so, or mended by ingest, and never a bug."""

import json
from pathlib import Path

import numpy as np
import pytest

from isthmus.core.errors import ConfigError
from isthmus.volumes.ingest import ingest
from isthmus.volumes.store import open_store

RECORD = "development/records/000000.json"


@pytest.fixture
def store(make_cohort):
    """A small store, and what ingests into it again."""
    cohort = make_cohort(2)
    experiment = cohort.experiment()

    def again():
        return ingest(experiment, cohort.participants())

    return Path(again().store_url), again


@pytest.mark.parametrize(
    "content",
    [
        [],
        "x",
        {},
        {"participant_id": "sub-00"},
        {"participant_id": 1, "images": {}},
        {"participant_id": "sub-00", "images": []},
        {"participant_id": "sub-00", "images": {"T1w": 1}},
        {"participant_id": "sub-00", "images": {"T1w": {}}},
        {"participant_id": "sub-00", "images": {"T1w": {"stored_digest": []}}},
        {"participant_id": "sub-00", "images": {"other": {"stored_digest": None}}},
    ],
    ids=str,
)
def test_a_record_that_is_none_is_said_so_and_made_anew(store, content):
    folder, again = store
    (folder / RECORD).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=rf"{RECORD}: must be the record .*ingest again"):
        open_store(str(folder))
    assert again().n_reused == 2
    assert open_store(str(folder)).participant_ids == ("sub-00", "sub-01")


def test_what_a_system_put_beside_the_records_is_of_nobody(store):
    folder, again = store
    (folder / "development/records/._000000.json").write_bytes(b"\0\5\x16\7")
    (folder / "development/records/notes.json").write_text("{}")
    assert len(open_store(str(folder)).participant_ids) == 2
    assert again().n_reused == 4


def test_a_record_of_a_row_that_there_is_not_is_refused_and_removed(store):
    folder, again = store
    stray = folder / "development/records/000099.json"
    stray.write_bytes((folder / RECORD).read_bytes())
    with pytest.raises(ConfigError, match="000099"):
        open_store(str(folder))
    again()
    assert not stray.exists()
    opened = open_store(str(folder))
    assert np.isfinite(opened.read("sub-00", opened.modalities)).all()


@pytest.mark.parametrize(
    "content",
    [
        [],
        3,
        {"development": []},
        {"development": {"sub-00": "0"}},
        {"development": {"sub-00": -1}},
        {"development": {"sub-00": 2**40}},
        {"development": {"sub-00": True}},
        {"development": {"sub-00": 1, "sub-01": 1}},
        {"other": {}},
    ],
    ids=str,
)
def test_an_index_that_is_none_is_said_so(store, content):
    folder, again = store
    (folder / "index.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"index\.json: must give each participant"):
        again()


def test_an_array_that_is_not_as_the_settings_say_is_not_written_to(store):
    folder, again = store
    file = folder / "store.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "grid": [8, 10, 9]}))
    with pytest.raises(ConfigError, match=r"must be .* as store\.json says"):
        again()
