"""Importance of dimensions and hypervolume, where the answer is known."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kept_study import make_ledger
from small_space import make_space

from isthmus.backends.optuna_search import OptunaLedger
from isthmus.config.search_space import SearchSpace


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"journal:///{tmp_path}/study"


def _unit(*paths: str) -> dict[str, Any]:
    return {path: {"kind": "float", "low": 0.0, "high": 1.0} for path in paths}


def _space(space: Mapping[str, Any], *directions: str) -> SearchSpace:
    objectives = [{"metric": f"m{i}", "direction": d} for i, d in enumerate(directions)]
    return SearchSpace.model_validate(
        {"space": space, "objectives": objectives, "sampler": {"kind": "random"}}
    )


def _finish(
    ledger: OptunaLedger, n_trials: int, values: Callable[[Mapping[str, Any]], tuple[float, ...]]
) -> None:
    for _ in range(n_trials):
        record = ledger.suggest()
        assert record is not None
        ledger.save(replace(record, state="finished", values=values(record.point)))


def test_each_objective_has_its_own_dimension(url: str) -> None:
    with make_ledger(url, _space(_unit("a", "b", "c"), "minimize", "maximize")) as ledger:
        _finish(ledger, 40, lambda p: (p["a"] + 0.05 * p["c"], p["b"] ** 2 + 0.05 * p["c"]))
        found = ledger.importance()
        assert ledger.importance() == found
    expected = [("m0", "fANOVA"), ("m0", "PED-ANOVA"), ("m1", "fANOVA"), ("m1", "PED-ANOVA")]
    assert [(one.metric, one.method) for one in found] == expected
    for one in found:
        assert set(one.shares) == {"a", "b", "c"}
        assert sum(one.shares.values()) == pytest.approx(1.0)
        assert list(one.shares.values()) == sorted(one.shares.values(), reverse=True)
        top, share = next(iter(one.shares.items()))
        assert top == {"m0": "a", "m1": "b"}[one.metric]
        assert share > 0.6


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_ped_anova_looks_at_the_good_end(direction: str, url: str) -> None:
    # At the top of the values `b` decides, at the bottom `a` does.
    def values(p: Mapping[str, Any]) -> tuple[float, ...]:
        return (p["b"] if p["a"] > 0.3 else p["a"] - 1.0,)

    with make_ledger(url, _space(_unit("a", "b"), direction)) as ledger:
        _finish(ledger, 100, values)
        ped_anova = next(one for one in ledger.importance() if one.method == "PED-ANOVA")
    assert next(iter(ped_anova.shares)) == {"minimize": "a", "maximize": "b"}[direction]


def test_conditional_dimensions_are_in_ped_anova_alone(url: str) -> None:
    space = {
        "mode": {"kind": "categorical", "choices": ["x", "y"]},
        "b": {"kind": "float", "low": 0.0, "high": 1.0, "when": {"mode": "x"}},
        "fixed": {"kind": "int", "low": 2, "high": 2},
        **_unit("a"),
    }
    with make_ledger(url, _space(space, "minimize")) as ledger:
        _finish(ledger, 60, lambda p: (p.get("b", 1.5) + 0.2 * p["a"],))
        fanova, ped_anova = ledger.importance()
    assert set(fanova.shares) == {"a", "mode"}
    assert set(ped_anova.shares) == {"a", "b", "mode"}
    assert min(ped_anova.shares.values()) > 0.0


def test_too_few_or_equal_trials_have_no_importance(url: str) -> None:
    with make_ledger(url, _space(_unit("a", "b"), "minimize", "maximize")) as ledger:
        assert ledger.importance() == ()
        assert ledger.hypervolume((1.0, 0.0)) == ()
        _finish(ledger, 3, lambda p: (p["a"], 0.5))
        for state in ("stopped", "failed", "infeasible"):
            ledger.save(replace(ledger.suggest(), state=state))
        assert ledger.importance() == ()
        _finish(ledger, 1, lambda p: (p["a"], 0.5))
        assert {one.metric for one in ledger.importance()} <= {"m0"}


def test_points_that_are_the_same_count_once(url: str) -> None:
    with make_ledger(url, _space({"a": {"kind": "int", "low": 1, "high": 2}}, "minimize")) as one:
        _finish(one, 20, lambda p: (float(p["a"]),))
        assert one.importance() == ()


@pytest.mark.parametrize("n_trials", [4, 5, 11, 21])
def test_importance_of_few_trials_says_nothing_on_the_way(n_trials: int, url: str) -> None:
    with make_ledger(url, make_space("random")) as ledger:
        _finish(ledger, n_trials, lambda p: (p["training.learning_rate"] * p["model.depth"],))
        for one in ledger.importance():
            assert sum(one.shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("second", ["minimize", "maximize"])
def test_the_hypervolume_grows_by_what_a_trial_adds(second: str, url: str) -> None:
    sign = 1.0 if second == "minimize" else -1.0
    steps = [
        ((0.5, 0.5), 0.25),
        ((0.25, 0.75), 0.3125),
        ((0.6, 0.6), 0.3125),  # another one is better in both
        ((0.1, 1.5), 0.3125),  # worse than the reference point
        ((0.25, 0.25), 0.5625),
    ]
    with make_ledger(url, _space(_unit("a"), "minimize", second)) as ledger:
        for (first, other), _ in steps:
            ledger.save(replace(ledger.suggest(), state="failed"))
            _finish(ledger, 1, lambda _, at=(first, sign * other): at)
        done = ledger.trials()[1]
        again = replace(ledger.suggest(), state="repeated", values=done.values, same_as=1)
        ledger.save(again)
        history = ledger.hypervolume((1.0, sign))
    assert [number for number, _ in history] == [1, 3, 5, 7, 9]
    assert [volume for _, volume in history] == pytest.approx([volume for _, volume in steps])


def test_one_objective_has_no_hypervolume(url: str) -> None:
    with make_ledger(url, _space(_unit("a"), "minimize")) as ledger:
        _finish(ledger, 2, lambda p: (p["a"],))
        assert ledger.hypervolume((1.0,)) == ()
