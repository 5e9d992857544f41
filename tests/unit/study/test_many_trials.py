"""The Pareto front of many trials is that of all pairs, however many there are on it."""

import random
from collections.abc import Sequence

import pytest

from isthmus.study.ranking import pareto_front
from isthmus.study.records import Objective, TrialRecord

OBJECTIVES = tuple(
    Objective(name, direction)
    for name, direction in (("a", "minimize"), ("b", "maximize"), ("c", "minimize"))
)


def _trials(points: Sequence[tuple[float, ...]]) -> list[TrialRecord]:
    return [TrialRecord(i, {}, state="finished", values=point) for i, point in enumerate(points)]


def _of_all_pairs(trials: Sequence[TrialRecord], n_objectives: int) -> tuple[int, ...]:
    signs = (1, -1, 1)[:n_objectives]
    losses = [tuple(s * v for s, v in zip(signs, one.values, strict=True)) for one in trials]
    return tuple(
        one.number
        for one, mine in zip(trials, losses, strict=True)
        if not any(
            other != mine and all(a <= b for a, b in zip(other, mine, strict=True))
            for other in losses
        )
    )


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
@pytest.mark.parametrize("n_values", [2, 5, 10_000])
def test_the_front_is_that_of_all_pairs(n_objectives: int, n_values: int) -> None:
    rng = random.Random(n_objectives)
    points = [
        tuple(float(rng.randrange(n_values)) for _ in range(n_objectives)) for _ in range(120)
    ]
    trials = _trials(points)
    expected = _of_all_pairs(trials, n_objectives)
    assert pareto_front(trials, OBJECTIVES[:n_objectives]) == expected
    rng.shuffle(trials)
    assert pareto_front(trials, OBJECTIVES[:n_objectives]) == expected


def test_two_thousand_trials_can_all_be_on_the_front() -> None:
    trials = _trials([(float(i), float(i)) for i in range(2000)])
    assert pareto_front(trials, OBJECTIVES[:2]) == tuple(range(2000))
