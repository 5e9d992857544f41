"""Our fANOVA is Optuna's, number for number, where Optuna's can still be waited for."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from isthmus.backends.fanova import main_effects
from isthmus.backends.optuna_samplers import experimental

SPACE = {
    "choice": CategoricalDistribution(["a", "b", "c", "d"]),
    "depth": IntDistribution(2, 9),
    "rate": FloatDistribution(1e-5, 1e-1, log=True),
    "steps": FloatDistribution(0.0, 1.0, step=0.25),
    "switch": CategoricalDistribution([True, False]),
}


def _points(n: int) -> list[dict[str, object]]:
    sampler = optuna.samplers.RandomSampler(seed=3)
    study = optuna.create_study(sampler=sampler)
    return [study.ask(dict(SPACE)).params for _ in range(n)]


def _value(point: dict[str, object], noise: float) -> float:
    shift = {"a": 0.0, "b": 1.0, "c": -1.0, "d": 1000.0}[str(point["choice"])]
    return shift / 100 + math.log10(point["rate"]) ** 2 + 0.3 * point["depth"] + noise


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_numbers_are_those_of_optuna(offset: float) -> None:
    points = _points(80)
    noise = np.random.default_rng(0).standard_normal(len(points))
    values = [offset + _value(one, e) for one, e in zip(points, noise, strict=True)]
    study = optuna.create_study()
    for point, value in zip(points, values, strict=True):
        study.add_trial(create_trial(params=point, distributions=SPACE, value=value))
    evaluator = FanovaImportanceEvaluator(seed=0)
    with experimental():
        expected = get_param_importances(study, evaluator=evaluator, normalize=False)
    found = main_effects(points, SPACE, values, seed=0)
    assert found == pytest.approx(dict(expected), rel=1e-6, abs=1e-9)
    assert max(found, key=found.__getitem__) == "choice"


def test_what_no_tree_splits_explains_nothing() -> None:
    assert main_effects(_points(10), SPACE, [1.0] * 10, seed=0) == {}
