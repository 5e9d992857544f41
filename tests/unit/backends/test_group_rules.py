"""When workers are begun again, with how many, and what a failure is counted as."""

import os
from pathlib import Path

import pytest

from isthmus.backends.group_rules import GroupFailure, GroupRules, n_charged
from isthmus.backends.ray_worker import Noticeboard
from isthmus.training.checkpoint import LAST_FILE


def rules(folder: Path, sizes: tuple[int, ...] = (2, 4, 8)) -> GroupRules:
    return GroupRules(sizes, 2, 0.5, 3, folder, Noticeboard(folder))


def failures(*groups: tuple[str, int]) -> list[GroupFailure]:
    return [GroupFailure(frozenset(nodes), mark) for nodes, mark in groups]


@pytest.mark.parametrize(
    ("happened", "dead", "charged"),
    [
        ([], "", 0),
        ([("ab", 1)], "", 1),
        ([("ab", 1)], "b", 0),
        ([("ab", 0)], "b", 0),  # before there was a checkpoint
        ([("ab", 1), ("a", 2)], "b", 1),  # the second is a crash: b was not of that group
        ([("ab", 1), ("ab", 2)], "b", 1),  # b died by the second; the first is a crash
        ([("ab", 1), ("ac", 2), ("ad", 3)], "bcd", 0),
        ([("ab", 1), ("ac", 1), ("ad", 1)], "bcd", 2),  # gets nowhere, and takes nodes with it
        ([("ab", 1), ("cd", 2)], "abcd", 0),
        ([("", 1)], "abc", 1),  # failed before any worker began
    ],
)
def test_a_lost_node_is_no_failure_while_the_training_gets_further(happened, dead, charged):
    assert n_charged(failures(*happened), frozenset(dead)) == charged


def test_only_numbers_that_will_do_are_begun_with(tmp_path):
    fitting = rules(tmp_path).fitting
    assert [fitting(room) for room in range(10)] == [0, 0, 2, 2, 4, 4, 4, 4, 8, 8]
    assert not rules(tmp_path, (3,)).is_elastic


def test_the_mark_is_another_one_with_another_checkpoint(tmp_path):
    mine = rules(tmp_path)
    assert mine.mark == 0
    (tmp_path / LAST_FILE).touch()
    before = mine.mark
    os.utime(tmp_path / LAST_FILE, ns=(before + 1, before + 1))
    assert 0 < before < mine.mark


def test_what_was_waited_for_is_said_with_what_to_do(tmp_path):
    said = str(rules(tmp_path).no_room({"CPU": 2.0}))
    for part in (
        "The 8 workers (or 2: execution.min_workers) of fold 3",
        "for 0.5 minutes (execution.worker_wait_minutes)",
        "each needs {'CPU': 2.0}",
        f"go on from the last checkpoint in {tmp_path}",
    ):
        assert part in said
    assert "min_workers" not in str(rules(tmp_path, (8,)).no_room({"CPU": 2.0}))


def test_a_wish_stands_until_it_is_granted_and_nodes_are_told_once(tmp_path):
    board = Noticeboard(tmp_path)
    assert not board.is_wished
    board.grant()
    board.wish()
    assert board.is_wished
    board.grant()
    assert not board.is_wished
    for node in ("a1", "b2", "a1"):
        board.join(node)
    assert board.take_nodes() == {"a1", "b2"}
    assert board.take_nodes() == frozenset()
    assert not board.is_over
