import json

import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.cohort.seal import read_seal
from isthmus.core.errors import CohortError, ConfigError, ImageError, LeakageError
from isthmus.volumes.ingest import ingest
from isthmus.volumes.store import open_store


def ids_of(experiment, partition):
    return set(open_store(experiment.store_url, partition).participant_ids)


def families(cohort, pairs):
    """Participants in families of two, or as given."""
    table = pd.DataFrame({"family_id": [pairs(name) for name in cohort.ids]})
    table.index = pd.Index(cohort.ids, name="participant_id")
    return Participants(table, group_by="family_id")


@pytest.fixture
def sealed(make_cohort):
    cohort = make_cohort(12, ("T1w",))
    experiment = cohort.experiment(cohort__lockbox_share=0.34)
    participants = families(cohort, lambda name: str(int(name[-2:]) // 2))
    report = ingest(experiment, participants)
    return cohort, experiment, participants, report


def test_lockbox_is_sealed_apart_and_keeps_families_whole(sealed, tmp_path):
    _, experiment, participants, report = sealed
    lockbox, development = (ids_of(experiment, name) for name in ("lockbox", "development"))
    assert lockbox | development == set(participants.ids)
    assert not lockbox & development
    assert len(lockbox) == report.n_lockbox == 4
    families = participants.families
    assert not set(families[list(lockbox)]) & set(families[list(development)])
    assert set(read_seal(tmp_path / "store").participant_ids) == lockbox
    with pytest.raises(ImageError, match="is in the other partition"):
        open_store(experiment.store_url).read(min(lockbox), ["T1w"])


def test_another_seed_is_not_another_lockbox(sealed):
    cohort, experiment, participants, _ = sealed
    before = ids_of(experiment, "lockbox")
    for seed in range(1, 6):
        other = cohort.experiment(cohort__lockbox_share=0.34, seed=seed)
        assert ingest(other, participants).n_read == 0
    assert ids_of(experiment, "lockbox") == before
    fresh = [
        cohort.experiment(cohort__lockbox_share=0.34, seed=seed, execution__store=f"s{seed}")
        for seed in range(1, 6)
    ]
    for one in fresh:
        ingest(one, participants)
    assert any(ids_of(one, "lockbox") != before for one in fresh)


def test_another_share_is_refused(sealed):
    cohort, _, participants, _ = sealed
    with pytest.raises(ConfigError, match=r"sealed with cohort.lockbox_share 0.34, got 0.1"):
        ingest(cohort.experiment(cohort__lockbox_share=0.1), participants)


def test_whoever_was_developed_on_stays_out_of_the_lockbox(sealed):
    cohort, experiment, _, _ = sealed
    lockbox, development = (ids_of(experiment, name) for name in ("lockbox", "development"))
    relative = min(lockbox)
    for number in range(20, 32):
        cohort.add(f"sub-{number}", number)
    participants = families(
        cohort, lambda name: str(int((relative if name == "sub-20" else name)[-2:]) // 2)
    )
    ingest(experiment, participants)
    now = ids_of(experiment, "lockbox")
    assert lockbox <= now
    assert "sub-20" in now
    assert not now & development
    assert len(now) > len(lockbox) + 1


def test_a_seal_that_was_edited_is_refused(sealed, tmp_path):
    _, experiment, participants, _ = sealed
    path = tmp_path / "store" / "lockbox.json"
    content = json.loads(path.read_text())
    content["participant_ids"] = content["participant_ids"][1:]
    path.write_text(json.dumps(content))
    with pytest.raises(CohortError, match="edited"):
        ingest(experiment, participants)


def test_seal_and_index_must_agree(sealed, tmp_path):
    _, experiment, participants, _ = sealed
    path = tmp_path / "store" / "index.json"
    index = json.loads(path.read_text())
    moved = min(index["lockbox"])
    index["development"][moved] = 99
    del index["lockbox"][moved]
    path.write_text(json.dumps(index))
    with pytest.raises(LeakageError, match=f"must agree on who is in the lockbox.*{moved}"):
        ingest(experiment, participants)


def test_a_family_found_later_cannot_be_divided(sealed):
    cohort, experiment, _, _ = sealed
    with pytest.raises(LeakageError, match="must keep families whole"):
        ingest(experiment, families(cohort, lambda name: str(int(name[-2:]) // 6)))


def test_a_lost_seal_is_written_again_the_same(sealed, tmp_path):
    _, experiment, participants, _ = sealed
    path = tmp_path / "store" / "lockbox.json"
    before = path.read_text()
    path.unlink()
    ingest(experiment, participants)
    assert path.read_text() == before
