"""How trials ended whose processes Ray killed, by what Ray 2.60 said when it did so."""

import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError

from isthmus.backends.process_endings import (
    Process,
    ending_of_error,
    endings_of_kill,
    process_of,
)

# Two trials on one machine, of which the second took 6 GB; shortened where dots stand.
SAID = """2 worker(s) were killed due to the node running low on memory. Memory on the node \
(IP: 192.0.2.2, ID: ea838fa67f107840a13f63b3aa59a1c5a0b1635ad6884e2fe8bdca01) was 13.26GB used / \
23.54GB limit (0.563247)
OOM kill reason: Memory usage 14132043776B exceeded threshold of 14104297472B (55.8% of \
25276518400B limit)
Object store memory usage: [- objects spillable: 0
...
Ray killed 2 worker(s) based on the killing policy
Considered workers: [
Selected to kill: (Actor(a1c182b3228597c437431ea801000000): job ID=01000000, lease ID=01000000521c,\
 task name=ImplicitFunc.__init__, required resources={bundle_group_0_6e22: 0.001, \
CPU_group_6e22fb08525c7da4df43287e1ed501000000: 1}, pid=671, actual memory used=0.11GB, \
worker ID=f7375d6209e4cc4a3bf7ce35c2bd886d66f710969128e11e9cb9406b)
Selected to kill: (Actor(b65f9acc4279b1e990fe942d01000000): job ID=01000000, lease ID=000000003dd1,\
 task name=ImplicitFunc.__init__, required resources={bundle_group_a7e3: 0.001, \
CPU_group_a7e36c3ae6f226f4c458be672c5d01000000: 1}, pid=672, actual memory used=5.92GB, \
worker ID=4c5275ba1e220cae40bd679ea50a6ee69e0f8047382d9cb32e339e25)
]
Total non-selected idle workers: 0
Top 10 memory users: PID\tMEM(GB)\tCOMMAND
672\t5.92\tray::ImplicitFunc.train
28811\t0.72\tray::ImplicitFunc.train
"""
HERE = "192.0.2.2"
SMALL, LARGE, OTHER = Process(HERE, 671), Process(HERE, 672), Process(HERE, 28811)


def kinds(running: dict[int, Process | None]) -> dict[int, str]:
    return {number: ending.kind for number, ending in endings_of_kill(SAID, running).items()}


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        # The small one was killed too, and had no part in it.
        ({0: SMALL, 1: LARGE, 2: OTHER, 3: None}, {0: "lost", 1: "memory", 2: "lost", 3: "lost"}),
        # The large one was no trial: what is killed again and again must come to an end.
        ({0: SMALL, 2: OTHER}, {0: "died", 2: "lost"}),
        ({2: OTHER, 3: None}, {2: "died", 3: "died"}),
        # The same number on another node is another process.
        ({1: Process("192.0.2.3", 672), 0: SMALL}, {1: "lost", 0: "died"}),
        ({}, {}),
    ],
)
def test_the_largest_is_held_to_account_and_somebody_always_is(running, expected):
    assert kinds(running) == expected


def test_where_ray_names_no_process_all_may_have_been_killed():
    endings = endings_of_kill("the node is low on memory", {0: SMALL, 1: None})
    assert [ending.kind for ending in endings.values()] == ["died", "died"]


def test_tune_says_where_a_report_came_from():
    assert process_of({"pid": 672, "node_ip": HERE, "event": "{}"}) == LARGE
    assert process_of({"event": "{}"}) is None


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("The actor died because its node has died. Node Id: 5eed", "gone"),
        ("The actor is dead because its worker process has died.", "died"),
    ],
)
def test_a_lost_node_is_told_from_a_killed_process(why: str, kind: str) -> None:
    told = ActorDiedError(ActorDiedErrorContext(error_message=why, actor_id=b"a" * 16))
    assert why in str(told)
    assert ending_of_error(told).kind == kind
