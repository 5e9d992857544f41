import json

import pandas as pd
import pytest

from isthmus.cohort.lockbox import open_lockbox
from isthmus.cohort.participants import Participants
from isthmus.cohort.seal import read_seal
from isthmus.core.errors import CohortError, ConfigError, ImageError, LeakageError
from isthmus.volumes.ingest import ingest
from isthmus.volumes.lockbox_store import open_lockbox_store
from isthmus.volumes.membership import require_fits
from isthmus.volumes.store import open_store


def ids_of(experiment, partition):
    if partition == "development":
        return set(open_store(experiment.store_url).participant_ids)
    ids = read_seal(experiment.folder / experiment.config.execution.store).participant_ids
    return set(open_lockbox_store(experiment.store_url, ids).participant_ids)


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


def test_a_store_fits_what_it_was_made_with(sealed):
    _, experiment, participants, _ = sealed
    require_fits(experiment.store_url, experiment, participants)


def test_a_family_found_after_the_ingest_is_no_development(sealed):
    cohort, experiment, _, _ = sealed
    regrouped = families(cohort, lambda name: str(int(name[-2:]) // 6))
    with pytest.raises(LeakageError, match="must keep families whole"):
        require_fits(experiment.store_url, experiment, regrouped)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"volumes__storage_dtype": "float16"}, r"storage_dtype was 'float32', is 'float16'"),
        ({"volumes__min_finite_share": 0.5}, r"min_finite_share was 1.0, is 0.5"),
        ({"cohort__lockbox_share": 0.1}, r"lockbox_share 0.34, got 0.1"),
    ],
)
def test_other_settings_do_not_fit(sealed, settings, named):
    cohort, _, participants, _ = sealed
    other = cohort.experiment(**{"cohort__lockbox_share": 0.34, **settings})
    with pytest.raises(ConfigError, match=rf"{named}.*another execution\.store and run isthmus"):
        require_fits(other.store_url, other, participants)


def test_a_mask_that_is_gone_does_not_fit(sealed):
    cohort, _, participants, _ = sealed
    other = cohort.experiment(cohort__lockbox_share=0.34, cohort__mask="gone.nii.gz")
    with pytest.raises(ImageError, match=r"cohort\.mask must be a file .*gone"):
        require_fits(other.store_url, other, participants)


def test_without_its_seal_a_store_does_not_fit(sealed, tmp_path):
    _, experiment, participants, _ = sealed
    (tmp_path / "store" / "lockbox.json").unlink()
    with pytest.raises(ConfigError, match=r"lockbox\.json must say who .*isthmus ingest again"):
        require_fits(experiment.store_url, experiment, participants)


def test_the_lockbox_is_read_by_the_ids_of_its_opening(sealed):
    _, experiment, _, _ = sealed
    ids = open_lockbox(experiment.folder / "store", "a test")
    store = open_lockbox_store(experiment.store_url, ids)
    assert store.participant_ids == ids
    assert store.read(ids[0], ["T1w"]).shape == (1, 8, 10, 8)
    with pytest.raises(LeakageError, match=rf"these lack \['{ids[0]}'\]"):
        open_lockbox_store(experiment.store_url, ids[1:])
    with pytest.raises(TypeError):
        open_store(experiment.store_url, "lockbox")
