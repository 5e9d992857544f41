"""What a study makes of its trials, beside the definitions written out."""

from dataclasses import replace

import pytest
from example_study import MSE, SCORE, SSIM, make_importance, make_study
from hypothesis import given
from hypothesis import strategies as st

from isthmus.config.search_space import SearchSpace
from isthmus.study.ranking import (
    best_trial,
    pareto_front,
    ranked,
    reference_point,
    smallest_embedding,
    spent,
    summarise_study,
    within_one_standard_error,
)
from isthmus.study.records import Importance, Objective, TrialRecord

STATES = ("running", "finished", "stopped", "failed", "infeasible", "repeated")
OTHER_WAY = {"minimize": "maximize", "maximize": "minimize"}
# few distinct values, so that ties are common; and any others
numbers = st.one_of(
    st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, allow_nan=False, allow_subnormal=False)
)


@st.composite
def studies(draw, n_objectives=None):
    """Objectives, and trials in any state and order."""
    k = n_objectives or draw(st.integers(1, 3))
    directions = st.sampled_from(("minimize", "maximize"))
    objectives = tuple(Objective(f"m{i}", draw(directions)) for i in range(k))
    records = []
    for number in range(draw(st.integers(0, 12))):
        state = draw(st.sampled_from(("finished", "finished", *STATES)))
        has_values = state in ("finished", "repeated")
        values = tuple(draw(numbers) for _ in range(k)) if has_values else None
        errors = tuple(draw(st.one_of(st.none(), st.floats(0, 10))) for _ in range(k))
        record = TrialRecord(number, {}, state, values=values)
        record = replace(record, same_as=0 if state == "repeated" else None)
        records.append(replace(record, standard_errors=errors if has_values else None))
    return objectives, draw(st.permutations(records))


def finished(records):
    return [one for one in records if one.state == "finished"]


def is_better(a, b, objective, i):
    a, b = a.values[i], b.values[i]
    return a < b if objective.direction == "minimize" else a > b


def beats(a, b, objectives):
    nowhere_worse = not any(is_better(b, a, of, i) for i, of in enumerate(objectives))
    return nowhere_worse and any(is_better(a, b, of, i) for i, of in enumerate(objectives))


def flipped(objectives, records):
    turned = tuple(replace(of, direction=OTHER_WAY[of.direction]) for of in objectives)
    return turned, [
        replace(one, values=tuple(-v for v in one.values)) if one.values else one for one in records
    ]


@given(studies())
def test_the_front_is_what_nothing_beats(study):
    objectives, records = study
    done = finished(records)
    expected = {b.number for b in done if not any(beats(a, b, objectives) for a in done)}
    front = pareto_front(records, objectives)
    assert set(front) == expected
    assert list(front) == sorted(expected)


@given(studies())
def test_turning_every_objective_round_changes_nothing(study):
    objectives, records = study
    turned = flipped(objectives, records)
    assert pareto_front(records, objectives) == pareto_front(turned[1], turned[0])
    assert best_trial(records, objectives[0]) == best_trial(turned[1], turned[0][0])
    assert within_one_standard_error(records, objectives[0]) == within_one_standard_error(
        turned[1], turned[0][0]
    )
    corner = reference_point(records, objectives)
    assert reference_point(turned[1], turned[0]) == (corner and tuple(-v for v in corner))


@given(studies(), st.randoms())
def test_the_order_of_the_records_does_not_matter(study, random):
    objectives, records = study
    shuffled = list(records)
    random.shuffle(shuffled)
    for of_all in (pareto_front, reference_point):
        assert of_all(records, objectives) == of_all(shuffled, objectives)
    for of_first in (best_trial, ranked, within_one_standard_error):
        assert of_first(records, objectives[0]) == of_first(shuffled, objectives[0])
    assert spent(records) == spent(shuffled)


@given(studies())
def test_the_best_is_in_front_and_within_its_own_error(study):
    objectives, records = study
    done, best = finished(records), best_trial(records, objectives[0])
    assert (best is None) == (not done)
    within = within_one_standard_error(records, objectives[0])
    if best is not None:
        chosen = next(one for one in done if one.number == best)
        assert not any(is_better(one, chosen, objectives[0], 0) for one in done)
        equals = {one.number for one in done if one.values[0] == chosen.values[0]}
        assert best == min(equals)
        assert equals <= set(within) <= {one.number for one in done}
        assert equals & set(pareto_front(records, objectives))


@given(studies())
def test_every_finished_trial_is_inside_the_reference_point(study):
    objectives, records = study
    corner = reference_point(records, objectives)
    assert (corner is None) == (len(objectives) < 2 or not finished(records))
    for i, objective in enumerate(objectives if corner else ()):
        for one in finished(records):
            if objective.direction == "minimize":
                assert one.values[i] < corner[i]
            else:
                assert one.values[i] > corner[i]


def trial(number, value, error=None, **more):
    return TrialRecord(number, {}, "finished", values=(value,), standard_errors=(error,), **more)


@pytest.mark.parametrize(("objective", "sign"), [(MSE, 1.0), (SCORE, -1.0)])
def test_one_standard_error_of_the_best_and_not_of_the_others(objective, sign):
    values = {4: (1.0, 0.5), 2: (1.5, 9.0), 7: (1.6, 9.0), 9: (1.25, None)}
    records = [trial(n, sign * v, e) for n, (v, e) in values.items()]
    assert within_one_standard_error(records, objective) == (2, 4, 9)
    assert [one.number for one in ranked(records, objective)] == [4, 9, 2, 7]


def test_without_a_standard_error_only_equals_are_as_good():
    records = [trial(5, 1.0), trial(3, 1.0), trial(1, 1.0 + 1e-9, 5.0)]
    assert within_one_standard_error(records, MSE) == (3, 5)
    assert best_trial(records, MSE) == 3
    # the error of the equal with the lowest number counts
    assert within_one_standard_error([*records, trial(0, 1.0, 0.1)], MSE) == (0, 1, 3, 5)


def test_an_experiment_counts_once():
    again = replace(trial(1, 0.5, 0.1), state="repeated", same_as=0)
    records = [trial(0, 0.5, 0.1), again, trial(2, 0.55)]
    assert within_one_standard_error(records, MSE) == (0, 2)
    assert pareto_front(records, (MSE,)) == (0,)
    # also where a ledger calls it finished
    records[1] = replace(again, state="finished")
    assert [one.number for one in ranked(records, MSE)] == [0, 2]


def test_the_smallest_embedding_then_the_fewest_parameters_then_the_first():
    def of(number, size=None, n_parameters=None):
        facts = {"embedding_size": size, "n_parameters": n_parameters, "grid": "8x8x8"}
        return trial(number, 1.0, facts={k: v for k, v in facts.items() if v is not None})

    records = [of(0), of(1, 64, 10), of(2, 32, 20), of(3, 32, 10), of(4, 32, 10), of(5, 8, 1)]
    assert smallest_embedding(records, (0, 1, 2, 3, 4)) == 3
    assert smallest_embedding(records, (0, 1)) == 1
    assert smallest_embedding(records, (0,)) == 0
    assert smallest_embedding(records, ()) is None


def test_a_reference_point_is_a_tenth_outwards():
    records = [
        replace(trial(0, 1.0), values=(1.0, 0.0, 4.0)),
        replace(trial(1, 3.0), values=(3.0, 0.0, 4.0)),
    ]
    assert reference_point(records, (MSE, SCORE, SSIM)) == pytest.approx((3.2, -1e-9, 3.6))


def test_values_that_differ_by_rounding_alone_still_leave_room():
    records = [
        replace(trial(i, 0.0), values=(1.0 + i * 2.0**-52, 1.0 - i * 2.0**-53)) for i in (0, 1)
    ]
    x, y = reference_point(records, (MSE, SCORE))
    assert (x, y) == pytest.approx((1.1, 0.9))


def test_infeasible_and_repeated_trials_cost_nothing():
    study = make_study(24)
    cost = spent(study.trials)
    states = [one.state for one in study.trials]
    assert {"infeasible", "repeated", "failed", "stopped", "running"} <= set(states)
    assert cost.n_trials == 24 - states.count("infeasible") - states.count("repeated")
    assert cost.seconds == sum(one.seconds for one in study.trials)
    assert cost.gpu_seconds == 300.0 * cost.n_trials


class Kept:
    """A ledger of trials that are there already."""

    def __init__(self, trials):
        self.kept, self.asked = trials, []

    def trials(self):
        return self.kept

    def importance(self):
        return make_importance((MSE,))

    def hypervolume(self, reference_point):
        self.asked.append(reference_point)
        return ((0, 1.0),)


def space(*objectives):
    return SearchSpace.model_validate(
        {
            "space": {"model.embedding_size": {"kind": "categorical", "choices": [64, 128]}},
            "objectives": [{"metric": o.metric, "direction": o.direction} for o in objectives],
            "budget": {"n_trials": 30},
        }
    )


def test_a_study_is_summarised_from_its_ledger():
    expected = make_study(24)
    kept = Kept(tuple(reversed(expected.trials)))
    result = summarise_study(
        "architecture", expected.study_id, "small", space(MSE, SCORE), kept, 5400.0
    )
    assert kept.asked == [expected.reference_point]
    assert all(isinstance(one, Importance) for one in result.importance)
    assert result.hypervolume == ((0, 1.0),)
    shared = {"n_trials": 30, "hypervolume": (), "importance": (), "selection": None}
    assert replace(result, **shared) == replace(expected, **shared)


@pytest.mark.parametrize("trials", [(), make_study(6, (MSE,), only="failed").trials])
def test_a_study_without_a_finished_trial_has_no_best(trials):
    kept = Kept(trials)
    result = summarise_study("s", "0", "small", space(MSE, SCORE), kept, 0.0)
    assert (result.best, result.smallest, result.reference_point) == (None, None, None)
    assert (result.within_one_se, result.front, result.hypervolume) == ((), (), ())
    assert kept.asked == []
    assert result.trials == tuple(trials)
