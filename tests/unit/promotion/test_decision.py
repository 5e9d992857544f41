"""The record of a decision, and how it is told."""

import math
from dataclasses import replace

import pytest
from example_evidence import make_evidence, make_lockbox

from isthmus.config.promotion.load import load_gates
from isthmus.core.errors import ConfigError
from isthmus.promotion.decision import (
    ChosenEncoder,
    JudgedTrial,
    PromotionDecision,
    Registered,
    count_decisions,
    decision_from_json,
    decision_to_json,
    keep_decision,
    read_decision,
)
from isthmus.promotion.gates.judge import judge
from isthmus.promotion.promote import FOLDER, refusal_of
from isthmus.promotion.story import promotion_parts
from isthmus.promotion.verdict import GateVerdict
from isthmus.promotion.words import decision_tables, gates_in_words, outcome_in_words

GATES = load_gates("standard")
MISSED = GateVerdict("lockbox.mean_image", False, 1.2, 1.0, "It is 0.2 above 1.", {})


def decision(**changes: object) -> PromotionDecision:
    evidence = make_evidence()
    poor = replace(evidence, number=4, leaky=True)
    judged = tuple(
        JudgedTrial(number, f"example-{number}", one, judge(one, GATES))
        for number, one in ((3, evidence), (4, poor))
    )
    made = PromotionDecision(
        study="example-search",
        key="k" * 64,
        time="2026-01-02T03:04:05+00:00",
        gates=GATES.model_dump(mode="json"),
        judged=judged,
        chosen=ChosenEncoder(3, "4f6e2a1c0d3b-fold2", 2, ("It passed.", "It is the middle one.")),
        succession=None,
        lockbox=make_lockbox(),
        lockbox_verdicts=(GateVerdict("lockbox.looks", True, 1.0, 1.0, "1 look.", {}),),
        outcome="champion",
    )
    return replace(made, **changes)


def test_a_decision_is_read_back_as_it_was_written(tmp_path):
    made = decision()
    keep_decision(made, tmp_path)
    assert read_decision(tmp_path) == made
    assert decision_from_json(decision_to_json(made)) == made


def test_all_decisions_are_kept_the_latest_in_its_place(tmp_path):
    assert count_decisions(tmp_path) == 0
    keep_decision(decision(outcome="refused"), tmp_path)
    keep_decision(decision(n_earlier=count_decisions(tmp_path)), tmp_path)
    names = sorted(path.name for path in (tmp_path / "decisions").iterdir())
    assert names == ["0001-refused.json", "0002-champion.json"]
    latest = read_decision(tmp_path)
    assert latest.outcome == "champion"
    assert outcome_in_words(latest).endswith(" 1 decision on this study came before.")


def test_a_decision_whose_file_is_gone_is_counted_and_none_is_overwritten(tmp_path):
    for n_earlier in range(3):
        keep_decision(decision(n_earlier=n_earlier), tmp_path)
    (tmp_path / "decisions" / "0001-champion.json").unlink()
    assert count_decisions(tmp_path) == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_kept_as_nothing(tmp_path, value):
    odd = GateVerdict("lockbox.mean_image", False, value, value, "Infinitely.", {"mean": value})
    keep_decision(decision(lockbox_verdicts=(odd,), outcome="refused"), tmp_path)
    (kept,) = read_decision(tmp_path).lockbox_verdicts
    assert (kept.found, kept.threshold, kept.evidence) == (None, None, {"mean": None})


def test_a_card_says_how_it_stands_to_its_gates_and_not_what_an_alias_points_at():
    told = gates_in_words(decision(outcome="challenger", override="needless", n_earlier=2))
    assert told == (
        f"It passed every gate of 'standard' that was asked, {len(decision().verdicts)} in all. "
        "Decisions on this study that came before: 2."
    )
    missed = decision(lockbox_verdicts=(MISSED,), override="the only one for this scanner")
    assert gates_in_words(missed) == (
        f"It did not pass 1 of {len(missed.verdicts)} gates of 'standard': lockbox.mean_image. "
        "They were overridden, for this reason: the only one for this scanner"
    )


def test_the_digest_is_of_what_was_decided_and_not_of_where_the_model_went():
    made = decision()
    placed = replace(made, registered=Registered("example", "7", ("Version 7.",)))
    assert placed.digest == made.digest
    assert decision(override="because").digest != made.digest


def test_it_passed_only_if_all_that_was_asked_of_the_chosen_model_passed():
    assert decision().passed  # of the other trial a gate failed, which is no matter
    assert not decision(lockbox_verdicts=(MISSED,)).passed
    assert not decision(succession=replace(MISSED, gate="champion")).passed
    assert not decision(chosen=None).passed
    gates = [verdict.gate for verdict in decision(succession=MISSED).verdicts]
    assert gates[-2:] == ["lockbox.mean_image", "lockbox.looks"]
    assert gates[0] == "integrity"


def test_refused_it_names_the_gates_and_by_how_much():
    refused = decision(lockbox_verdicts=(MISSED,), outcome="refused")
    assert outcome_in_words(refused) == "Refused: lockbox.mean_image."
    error = refusal_of(refused)
    assert error.exit_code == 3
    assert "Trial 3 does not pass 1 of 13 gates:\n  lockbox.mean_image: It is 0.2" in str(error)
    nobody = refusal_of(decision(chosen=None, outcome="refused"))
    assert "No trial can be promoted." in str(nobody)
    assert "Trial 4 does not pass 1 of 12 gates:\n  not_leaky:" in str(nobody)


def test_an_override_is_told_with_what_it_overrides():
    made = decision(lockbox_verdicts=(MISSED,), override="the only one for this scanner")
    placed = replace(made, registered=Registered("example", "7", ("Version 7.",)))
    said = outcome_in_words(placed)
    assert said.startswith("Promoted: example version 7 is the champion. Overridden were: lockbox.")
    assert said.endswith("The reason given: the only one for this scanner")
    assert "Overridden" not in outcome_in_words(decision(override="needless"))


def test_tables_show_every_trial_beside_every_gate_and_name_no_lockbox_subject(tmp_path):
    made = decision()
    trials, gates, *lockbox = decision_tables(made)
    assert [row[:2] for row in trials.rows] == [("3", "yes"), ("4", "no")]
    assert trials.rows[1][trials.columns.index("not_leaky")] == "FAILED"
    assert [row[0] for row in gates.rows][-1] == "lockbox.looks"
    assert lockbox
    keep_decision(made, tmp_path / FOLDER)
    parts = promotion_parts(tmp_path)
    assert [part.key for part in parts] == ["gates", "lockbox"]
    assert made.lockbox is not None
    told = "\n".join(table.to_markdown() for part in parts for table in part.tables)
    assert made.lockbox.subjects
    assert not any(one.participant_id in told for one in made.lockbox.subjects)


def test_nothing_decided_makes_no_part_of_a_report(tmp_path):
    assert promotion_parts(tmp_path) == ()


def test_another_version_of_the_record_is_refused(tmp_path):
    content = decision_to_json(decision()) | {"schema_version": 99}
    with pytest.raises(ConfigError, match="schema_version 1, got 99"):
        decision_from_json(content)
