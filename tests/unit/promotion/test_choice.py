"""Among trials that passed: the front, one standard error, the smallest, each step in words."""

from dataclasses import replace

import pytest
from example_study import MSE, SCORE, make_study, study_of

from isthmus.promotion.choice import Candidate, Choice, choose
from isthmus.promotion.verdict import GateVerdict
from isthmus.study.records import Objective, TrialRecord

OPEN = (GateVerdict("size", True, 1.0, 2.0, "Small."),)
SHUT = (*OPEN, GateVerdict("pca", False, 2.0, 1.0, "Worse."))


def _record(number: int, mse: float, score: float, size: int, error: float | None = 0.5):
    return TrialRecord(
        number=number,
        point={},
        state="finished",
        values=(mse, score),
        standard_errors=(error, 0.1),
        facts={"embedding_size": size, "n_parameters": 10 * size},
    )


def _choose(*records: TrialRecord, objectives: tuple[Objective, ...] = (MSE, SCORE)) -> Choice:
    return choose([Candidate(record, OPEN) for record in records], objectives)


def test_front_then_one_standard_error_then_smallest() -> None:
    choice = _choose(
        _record(0, 1.0, 0.5, 640),
        _record(1, 1.4, 0.6, 320),
        _record(2, 1.45, 0.55, 64),  # beaten by trial 1
        _record(3, 2.0, 0.9, 32),  # more than a standard error away
    )
    assert choice.passed == (0, 1, 2, 3)
    assert choice.front == (0, 1, 3)
    assert choice.within_one_se == (0, 1)
    assert choice.chosen == 1
    passed, front, near, chosen = choice.steps
    assert passed == "4 of 4 finished trials passed every gate: trials 0, 1, 2, 3."
    assert front.startswith("Of these, 3 of 4 are beaten by none of the others in all of ")
    assert front.endswith(": trials 0, 1, 3.")
    assert "trial 0 (1 +- 0.5); within one standard error of it: trials 0, 1." in near
    assert (
        chosen == "Trial 1 is chosen: the smallest of 2 (320 embedding values and 3200 parameters)."
    )


def test_a_trial_that_was_refused_neither_wins_nor_beats() -> None:
    best, second = _record(0, 1.0, 0.9, 64), _record(1, 1.1, 0.8, 640)
    choice = choose([Candidate(best, SHUT), Candidate(second, OPEN)], (MSE, SCORE))
    assert (choice.passed, choice.front, choice.chosen) == ((1,), (1,), 1)
    assert choice.steps[0] == "1 of 2 finished trials passed every gate: trial 1."
    assert choice.steps[-1].endswith("no other is left.")


def test_with_one_objective_the_second_step_still_has_something_to_choose_from() -> None:
    choice = _choose(_record(0, 1.0, 0.5, 640), _record(1, 1.4, 0.6, 320), objectives=(MSE,))
    assert choice.front == (0, 1)
    assert choice.chosen == 1
    assert "so there is no front to take" in choice.steps[1]


def test_without_a_standard_error_only_equals_stay() -> None:
    choice = _choose(_record(0, 1.0, 0.5, 640, None), _record(1, 1.1, 0.6, 32), objectives=(MSE,))
    assert choice.chosen == 0
    assert (
        "it has no standard error (one fold), so only its equals stay: trial 0." in choice.steps[2]
    )


@pytest.mark.parametrize(
    ("candidates", "words"),
    [
        ([], "No trial has finished, so none could be asked anything."),
        ([Candidate(_record(0, 1, 1, 1), SHUT)], "None of 1 finished trials passed every gate."),
        ([Candidate(_record(0, 1, 1, 1), ())], "None of 1 finished trials passed every gate."),
        (
            [Candidate(replace(_record(0, 1, 1, 1), state="stopped"), OPEN)],
            "No trial has finished, so none could be asked anything.",
        ),
    ],
)
def test_nothing_is_chosen_where_nothing_passed(candidates: list[Candidate], words: str) -> None:
    choice = choose(candidates, (MSE, SCORE))
    assert choice == Choice((), (), (), None, (words,))


def test_where_all_pass_it_is_the_studys_own_rule() -> None:
    study = make_study(objectives=(MSE,))
    choice = choose([Candidate(record, OPEN) for record in study.trials], study.objectives)
    assert choice.within_one_se == study.within_one_se
    assert choice.chosen == study.smallest
    both = study_of(make_study().trials, (MSE, SCORE))
    assert choose([Candidate(r, OPEN) for r in both.trials], both.objectives).front == both.front
