import json

import pytest

from isthmus.cohort.lockbox import lockbox_looks, open_lockbox
from isthmus.cohort.participants import Participants
from isthmus.cohort.seal import Seal, read_seal, write_seal
from isthmus.cohort.splits import draw_lockbox
from isthmus.core.errors import CohortError, LeakageError


@pytest.fixture
def sixty(people):
    """Twenty pairs, twenty singles; site B has a quarter."""
    families = [f"f{i // 2}" for i in range(40)] + [f"s{i}" for i in range(20)]
    return people(families, site=["AAAB"[(i // 2) % 4] for i in range(60)])


def families_of(participants, ids):
    return set(participants.families.loc[list(ids)])


def test_whole_families_are_set_aside_by_share(sixty):
    for seed in range(5):
        lockbox = draw_lockbox(sixty, 0.15, ["site"], seed)
        assert len(families_of(sixty, lockbox)) == 6
        rest = set(sixty.ids) - set(lockbox)
        assert not families_of(sixty, lockbox) & families_of(sixty, rest)


def test_the_draw_is_spread_over_sites(sixty):
    # 9 of 40 families are of site B and 8 are drawn: 1.8 by right, 0 to 5 by luck.
    for seed in range(20):
        lockbox = draw_lockbox(sixty, 0.2, ["site"], seed)
        at_b = sixty.table.loc[list(lockbox)].query("site == 'B'")
        assert at_b["family_id"].nunique() in {1, 2}


def test_the_declared_site_is_a_stratifier(sixty):
    at_site = Participants(sixty.table, sixty.group_by, "site")
    for seed in range(5):
        assert draw_lockbox(at_site, 0.2, [], seed) == draw_lockbox(sixty, 0.2, ["site"], seed)
    assert any(draw_lockbox(at_site, 0.2, [], s) != draw_lockbox(sixty, 0.2, [], s) for s in (0, 1))


def test_the_draw_follows_the_seed_and_not_the_order(sixty):
    turned = sixty.select(sixty.ids[::-1])
    assert draw_lockbox(sixty, 0.15, [], 0) == draw_lockbox(turned, 0.15, [], 0)
    assert draw_lockbox(sixty, 0.15, [], 0) != draw_lockbox(sixty, 0.15, [], 1)


def test_no_share_is_no_lockbox(sixty):
    assert draw_lockbox(sixty, 0.0, [], 0) == ()


def test_members_stay_and_only_new_families_are_added(sixty):
    early = sixty.select(sixty.ids[:30])
    first = draw_lockbox(early, 0.2, [], 0)
    developed = set(early.ids) - set(first)
    later = draw_lockbox(sixty, 0.2, [], 0, already=first, known=sorted(developed))
    assert set(first) < set(later)
    assert not set(later) & developed
    assert not families_of(sixty, later) & families_of(sixty, developed)
    assert len(families_of(sixty, later)) == 8


def test_a_repeated_draw_changes_nothing(sixty):
    first = draw_lockbox(sixty, 0.2, [], 0)
    known = sorted(set(sixty.ids) - set(first))
    assert draw_lockbox(sixty, 0.2, [], 5, already=first, known=known) == first
    # Nothing tells new from known here: nobody may be added.
    assert draw_lockbox(sixty, 0.4, [], 5, already=first) == first


def test_new_relatives_of_members_join_them(people):
    early = people(["a", "b", "c", "d"])
    late = people(["a", "b", "c", "d", "b"])
    first = ("sub-001",)
    known = ["sub-000", "sub-002", "sub-003"]
    assert draw_lockbox(late, 0.25, [], 0, already=first, known=known) == ("sub-001", "sub-004")
    assert draw_lockbox(early, 0.25, [], 0, already=first, known=known) == first


def test_members_that_left_the_table_stay_sealed(sixty):
    assert "sub-gone" in draw_lockbox(sixty, 0.1, [], 0, already=["sub-gone"], known=sixty.ids)


def test_a_family_on_both_sides_is_a_leak(people):
    with pytest.raises(LeakageError, match=r"family a has members in it and in development"):
        draw_lockbox(people(["a", "a", "b"]), 0.3, [], 0, already=["sub-000"], known=["sub-001"])


def test_development_must_keep_two_families(people):
    with pytest.raises(CohortError, match="at least two families for development"):
        draw_lockbox(people(["a", "b"]), 0.5, [], 0)


def test_opening_is_counted_and_needs_a_reason(tmp_path):
    write_seal(tmp_path, Seal(("sub-1", "sub-2"), 0.15, 0))
    assert lockbox_looks(tmp_path) == ()
    with pytest.raises(CohortError, match="must have a reason"):
        open_lockbox(tmp_path, " ")
    assert lockbox_looks(tmp_path) == ()
    assert open_lockbox(tmp_path, "promote trial 7") == ("sub-1", "sub-2")
    open_lockbox(tmp_path, "again\nand again")
    looks = lockbox_looks(tmp_path)
    assert [look.reason for look in looks] == ["promote trial 7", "again\nand again"]
    assert looks[0].time.endswith("+00:00")


def test_there_must_be_a_lockbox(tmp_path):
    assert read_seal(tmp_path) is None
    with pytest.raises(CohortError, match="there is no lockbox"):
        open_lockbox(tmp_path, "promotion")


def test_a_seal_frees_nobody(tmp_path):
    write_seal(tmp_path, Seal(("a", "b"), 0.15, 0))
    write_seal(tmp_path, Seal(("a", "b", "c"), 0.15, 0))
    with pytest.raises(CohortError, match=r"frees \['b'\]"):
        write_seal(tmp_path, Seal(("a", "c"), 0.15, 0))
    assert read_seal(tmp_path) == Seal(("a", "b", "c"), 0.15, 0)


def test_a_broken_seal_is_not_opened(tmp_path):
    write_seal(tmp_path, Seal(("a", "b"), 0.15, 0))
    path = tmp_path / "lockbox.json"
    content = json.loads(path.read_text())
    content["participant_ids"] = ["a"]
    path.write_text(json.dumps(content))
    with pytest.raises(CohortError, match="was edited"):
        open_lockbox(tmp_path, "promotion")
    path.write_text("[]")
    with pytest.raises(CohortError, match="cannot be read"):
        read_seal(tmp_path)
    assert lockbox_looks(tmp_path) == ()
