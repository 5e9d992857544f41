"""Ray's schedulers on the ledger's bookkeeping: equal levels, and the same after a restart."""

import numpy as np
import pytest

import isthmus.backends  # noqa: F401 - sets Ray's switches before Ray is imported
from isthmus.backends.ray_stopper import RayStopper
from isthmus.config.search_space import SchedulerConfig


def asha(direction="minimize", **settings):
    settings = {"kind": "asha", "unit": "fold", "grace": 1, "reduction_factor": 2, **settings}
    return RayStopper(SchedulerConfig(**settings), direction, n_levels=4, seed=0)


def test_half_of_those_that_have_come_as_far_go_on():
    stopper = asha()
    assert stopper.report(0, 1, 3.0)  # nobody to compare with
    assert not stopper.report(1, 1, 4.0)
    assert stopper.report(2, 1, 2.0)
    assert not stopper.report(3, 1, 3.5)


def test_larger_is_better_when_it_is_maximised():
    stopper = asha("maximize")
    assert stopper.report(0, 1, 3.0)
    assert stopper.report(1, 1, 4.0)
    assert not stopper.report(2, 1, 2.0)


def test_trials_are_compared_at_equal_levels_alone():
    stopper = asha()
    assert stopper.report(0, 1, 3.0)
    assert stopper.report(0, 2, 0.5)
    # worse than trial 0 is now, but better than it was after as many folds
    assert stopper.report(1, 1, 2.9)


def test_between_rungs_nobody_is_judged():
    stopper = asha()
    for number, value in enumerate((1.0, 0.9, 0.8)):
        assert stopper.report(number, 1, value)
        assert stopper.report(number, 2, value)
    assert stopper.report(2, 3, 99.0)


def test_the_median_rule_needs_others_that_have_come_as_far():
    config = SchedulerConfig(kind="median", unit="fold", grace=1, min_trials=2)
    stopper = RayStopper(config, "minimize", n_levels=4, seed=0)
    assert stopper.report(0, 1, 1.0)
    assert stopper.report(1, 1, 9.0)  # one other only
    assert stopper.report(2, 1, 0.5)
    assert not stopper.report(3, 1, 5.0)


def test_the_last_level_is_judged_like_a_rung_not_stopped_as_an_end():
    stopper = asha()
    assert all(stopper.report(0, level, 1.0) for level in (1, 2, 3, 4))


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
@pytest.mark.parametrize("cut", [1, 7, 19])
def test_a_restart_changes_no_decision(kind, cut):
    extra = {"min_trials": 3} if kind == "median" else {"reduction_factor": 2}
    config = SchedulerConfig(kind=kind, unit="epoch", grace=1, **extra)

    def fresh():
        return RayStopper(config, "minimize", n_levels=8, seed=3)

    values = np.random.default_rng(0).random((30, 8))
    alive = dict.fromkeys(range(30), 0)
    order = [int(i) for i in np.random.default_rng(1).integers(0, 30, 400)]
    told, decisions, again = [], [], []
    whole, restarted = fresh(), fresh()
    for number in order:
        if number not in alive or alive[number] >= 8:
            continue
        alive[number] += 1
        level = alive[number]
        value = float(values[number, level - 1])
        decisions.append(whole.report(number, level, value))
        if len(told) == cut:
            restarted = fresh()
            for earlier in told:
                restarted.recall(*earlier)
        again.append(restarted.report(number, level, value))
        told.append((number, level, value))
        if not decisions[-1]:
            del alive[number]
    assert again == decisions
    assert False in decisions
    assert True in decisions


def test_numpy_s_global_stream_is_left_as_it_was():
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    config = SchedulerConfig(kind="hyperband", unit="epoch", reduction_factor=2)
    RayStopper(config, "minimize", n_levels=8, seed=1).report(0, 1, 1.0)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
