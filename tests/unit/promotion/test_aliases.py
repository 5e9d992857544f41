import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.core.errors import IsthmusError, PromotionRefused
from isthmus.promotion.registry.aliases import AliasPlan, AliasRefused, challenge, crown, roll_back
from isthmus.promotion.registry.history import (
    TAG_PREFIX,
    ChampionMove,
    HistoryDamaged,
    champions,
    read_history,
)

NOON = "2031-05-04T12:00:00+00:00"
ALL = ("1", "2", "3", "4")


class Held:
    """What a registry would hold: plans are written into it, whole or up to a crash."""

    def __init__(self):
        self.tags: dict[str, str] = {"owner": "neurology"}
        self.aliases: dict[str, str] = {}

    @property
    def history(self):
        return read_history(self.tags)

    def write(self, plan: AliasPlan, dies: bool = False) -> AliasPlan:
        if plan.move is not None:
            self.tags.update([plan.move.label])
        if not dies:
            self.aliases.update(plan.points)
            for alias in plan.drops:
                self.aliases.pop(alias, None)
        return plan

    def promote(self, version, passed=True, override=None, dies=False):
        plan = crown(
            self.history,
            self.aliases,
            version,
            passed=passed,
            decision="d1",
            override=override,
            at=NOON,
        )
        return self.write(plan, dies)

    def go_back(self, versions=ALL, reason="drift at site B", dies=False):
        plan = roll_back(self.history, self.aliases, versions, reason=reason, at=NOON)
        return self.write(plan, dies)


@pytest.fixture
def held():
    return Held()


def test_what_passed_becomes_the_champion_and_challenges_no_more(held):
    held.write(challenge(held.history, held.aliases, "1"))
    assert held.aliases == {"challenger": "1"}
    held.promote("1")
    assert held.aliases == {"champion": "1"}
    assert held.history == (ChampionMove(1, "promotion", "1", None, NOON, "", "d1"),)


def test_another_challenger_stays_where_it_is(held):
    held.write(challenge(held.history, held.aliases, "2"))
    held.promote("1")
    assert held.aliases == {"champion": "1", "challenger": "2"}
    assert challenge(held.history, held.aliases, "2").points == {}
    assert challenge(held.history, held.aliases, "1").points == {}


def test_what_did_not_pass_needs_a_reason(held):
    held.promote("1")
    with pytest.raises(PromotionRefused, match=r"version 2 did not.*--override") as refused:
        held.promote("2", passed=False)
    assert refused.value.exit_code == 3
    with pytest.raises(AliasRefused, match="blank"):
        held.promote("2", passed=False, override="  ")
    with pytest.raises(AliasRefused, match="at most 2000 characters, got 2001"):
        held.promote("2", passed=False, override="x" * 2001)
    assert held.aliases == {"champion": "1"}
    held.promote("2", passed=False, override=" only scanner with this coil ")
    assert held.aliases == {"champion": "2"}
    last = held.history[-1]
    assert (last.kind, last.reason, last.previous) == (
        "override",
        "only scanner with this coil",
        "1",
    )


def test_an_override_that_was_not_needed_is_recorded_as_a_promotion_with_its_reason(held):
    held.promote("1", override="in a hurry")
    assert (held.history[0].kind, held.history[0].reason) == ("promotion", "in a hurry")


def test_each_rollback_goes_one_further_back_until_there_is_none(held):
    for version in ("1", "2", "3"):
        held.promote(version)
    held.go_back()
    assert held.aliases["champion"] == "2"
    held.go_back(reason="worse still")
    assert held.aliases["champion"] == "1"
    with pytest.raises(AliasRefused, match="version 1 has none"):
        held.go_back()
    kinds = [move.kind for move in held.history]
    assert kinds == ["promotion"] * 3 + ["rollback"] * 2
    assert [move.previous for move in held.history] == [None, "1", "2", "3", "2"]
    assert held.history[-1].reason == "worse still"
    held.promote("4")
    held.go_back()
    assert held.aliases["champion"] == "1"


def test_a_version_may_be_champion_twice(held):
    for version in ("1", "2", "1"):
        held.promote(version)
    assert champions(held.history) == ("1", "2", "1")
    held.go_back()
    assert held.aliases["champion"] == "2"
    held.go_back()
    assert held.aliases["champion"] == "1"


def test_a_rollback_needs_a_champion_and_a_reason(held):
    with pytest.raises(AliasRefused, match="none is on record"):
        held.go_back()
    held.promote("1")
    held.promote("2")
    with pytest.raises(AliasRefused, match="reason"):
        held.go_back(reason="\n")
    assert len(held.history) == 2


def test_deleted_versions_are_passed_over(held):
    for version in ("1", "2", "3"):
        held.promote(version)
    held.go_back(versions=("1", "3"))
    assert held.aliases["champion"] == "1"
    assert champions(held.history) == ("1",)


def test_promoting_the_champion_again_writes_nothing(held):
    held.promote("1")
    plan = held.promote("1")
    assert (plan.move, dict(plan.points), plan.drops) == (None, {}, ())


def test_a_promotion_that_died_before_its_alias_is_finished_without_a_second_entry(held):
    held.promote("1")
    held.write(challenge(held.history, held.aliases, "2"))
    held.promote("2", dies=True)
    assert held.aliases == {"champion": "1", "challenger": "2"}
    held.promote("2")
    assert held.aliases == {"champion": "2"}
    assert len(held.history) == 2


def test_a_rollback_that_died_before_its_alias_is_finished_and_goes_no_further(held):
    for version in ("1", "2", "3"):
        held.promote(version)
    held.go_back(dies=True)
    assert held.aliases["champion"] == "3"
    plan = held.go_back()
    assert "not finished" in plan.words
    assert held.aliases["champion"] == "2"
    assert len(held.history) == 4
    held.go_back()
    assert held.aliases["champion"] == "1"


def test_going_back_over_a_promotion_that_died_before_its_alias(held):
    held.promote("1")
    held.promote("2", dies=True)
    held.go_back()
    assert held.aliases["champion"] == "1"
    assert champions(held.history) == ("1",)


def test_a_version_that_never_served_is_no_place_to_go_back_to(held):
    held.promote("1")
    held.promote("2", dies=True)
    held.promote("3")
    assert champions(held.history) == ("1", "3")
    held.go_back()
    assert held.aliases["champion"] == "1"
    assert len(held.history) == 4


def test_an_alias_set_past_isthmus_is_noticed(held):
    held.promote("1")
    held.promote("2")
    held.aliases["champion"] = "4"
    plan = held.go_back()
    assert "past isthmus; on record was version 2" in plan.words
    assert held.aliases["champion"] == "2"
    assert held.history[-1].previous == "4"
    assert champions(held.history) == ("1", "2")
    held.aliases["champion"] = "4"
    assert "pointed at version 4" in held.promote("2").words
    assert held.aliases["champion"] == "2"


def test_two_writers_at_once_lose_no_entry(held):
    held.promote("1")
    before = (held.history, dict(held.aliases))
    plans = [
        crown(*before, version, passed=True, decision=version, override=None, at=NOON)
        for version in ("2", "3")
    ]
    for plan in plans:
        held.write(plan)
    assert sorted(move.version for move in held.history) == ["1", "2", "3"]


def test_a_label_that_was_changed_is_not_taken_for_history(held):
    held.promote("1")
    held.promote("2", passed=False, override="urgent")
    key = next(key for key in held.tags if key.startswith(f"{TAG_PREFIX}000002"))
    record = json.loads(held.tags[key])
    for changed in (
        "nothing",
        "[1]",
        json.dumps({**record, "kind": "promotion"}),
        json.dumps({**record, "schema_version": 2}),
        json.dumps({**record, "more": 1}),
    ):
        with pytest.raises(HistoryDamaged, match="000002"):
            read_history({**held.tags, key: changed})


@given(st.lists(st.tuples(st.sampled_from("123r"), st.booleans()), max_size=12))
@settings(max_examples=200, deadline=None)
def test_whatever_dies_the_history_grows_and_a_rerun_brings_the_alias_to_it(steps):
    held = Held()
    for step, dies in steps:
        before = held.history

        def act(dies, step=step):
            return held.go_back(dies=dies) if step == "r" else held.promote(step, dies=dies)

        try:
            act(dies)
            if dies:
                act(False)
        except IsthmusError:
            assert step == "r"
            continue
        assert held.history[: len(before)] == before
        assert len(held.history) - len(before) <= 1
        assert held.aliases["champion"] == champions(held.history)[-1]
