"""Fractions: the combinations, what they confound, and the resolution."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from isthmus.config.ablation.design import AblationConfig
from isthmus.config.ablation.fraction import (
    aliased_effects,
    aliases_in_words,
    crossed_factors,
    defining_words,
    derived_levels,
    fraction_misses,
    resolution,
    resolution_misses,
)

PATHS = ("a", "b", "c", "d", "e")


def factorial(n_factors: int, fraction: dict[str, Any]) -> AblationConfig:
    """A factorial of two-level factors, whose second levels are their references."""
    levels = {"off": {"settings": {"model.depth": 3}}, "on": {"settings": {}}}
    one = {"hypothesis": "It matters.", "levels": levels, "reference": "on"}
    return AblationConfig.model_validate(
        {
            "name": "x",
            "question": "Does it?",
            "design": "factorial",
            "factors": dict.fromkeys(PATHS[:n_factors], one),
            "fraction": fraction,
            "contrasts": [{"metric": "validation_mse", "direction": "minimize"}],
        }
    )


def combinations(ablation: AblationConfig) -> list[dict[str, str]]:
    """All combinations of a fraction."""
    crossed = crossed_factors(ablation)
    found = product(("on", "off"), repeat=len(crossed))
    return [derived_levels(ablation, dict(zip(crossed, levels, strict=True))) for levels in found]


@pytest.mark.parametrize(
    ("n_factors", "fraction", "length", "n_arms"),
    [
        (3, {"c": ["a", "b"]}, 3, 4),
        (4, {"d": ["a", "b", "c"]}, 4, 8),
        (5, {"e": ["a", "b", "c", "d"]}, 5, 16),
        (5, {"d": ["a", "b"], "e": ["a", "c"]}, 3, 8),
    ],
)
def test_a_fraction_is_balanced_and_has_the_baseline(n_factors, fraction, length, n_arms):
    ablation = factorial(n_factors, fraction)
    arms = combinations(ablation)
    assert len({tuple(arm.values()) for arm in arms}) == n_arms
    assert dict.fromkeys(ablation.factors, "on") in arms
    assert resolution(ablation) == length
    codes = np.array([[1 if arm[n] == "on" else -1 for n in ablation.factors] for arm in arms])
    for name, others in fraction.items():
        columns = [PATHS.index(other) for other in others]
        assert (codes[:, PATHS.index(name)] == codes[:, columns].prod(axis=1)).all()
    # main effects are orthogonal to each other and to the mean
    assert (codes.T @ codes == n_arms * np.eye(n_factors)).all()
    assert (codes.sum(axis=0) == 0).all()


def test_effects_are_aliased_where_their_columns_are_the_same():
    ablation = factorial(5, {"d": ["a", "b"], "e": ["a", "c"]})
    arms = combinations(ablation)
    code = {n: np.array([1 if arm[n] == "on" else -1 for arm in arms]) for n in ablation.factors}
    groups = aliased_effects(ablation)
    together = {effect: i for i, group in enumerate(groups) for effect in group}
    effects = [frozenset(some) for n in (1, 2) for some in _some(list(ablation.factors), n)]
    for one, other in product(effects, repeat=2):
        same = (_column(code, one) == _column(code, other)).all()
        said = one == other or (one in together and together.get(one) == together.get(other))
        assert same == said, (one, other)


def _some(names: list[str], n: int) -> list[tuple[str, ...]]:
    """All choices of one or two."""
    if n == 1:
        return [(name,) for name in names]
    return [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]


def _column(code: dict[str, np.ndarray], effect: frozenset[str]) -> np.ndarray:
    """Product of the columns of an effect."""
    return np.prod([code[name] for name in effect], axis=0)


def test_aliases_are_said_in_words():
    said = aliases_in_words(factorial(3, {"c": ["a", "b"]}))
    assert said == (
        "A fraction of resolution III: 2 times fewer arms than all combinations.",
        "a cannot be told from b x c.",
        "b cannot be told from a x c.",
        "c cannot be told from a x b.",
    )
    said = aliases_in_words(factorial(4, {"d": ["a", "b", "c"]}))
    assert said[1:] == (
        "a x b cannot be told from c x d.",
        "a x c cannot be told from b x d.",
        "a x d cannot be told from b x c.",
    )
    assert aliases_in_words(factorial(5, {"e": ["a", "b", "c", "d"]}))[1:] == ()
    assert aliases_in_words(factorial(3, {})) == ()
    assert resolution(factorial(3, {})) is None
    assert len(defining_words({"d": ["a", "b"], "e": ["a", "c"]})) == 3


def test_a_fraction_that_confounds_main_effects_is_refused():
    def misses(n_factors: int, fraction: dict[str, Any]) -> str:
        ablation = factorial(n_factors, fraction)
        return "\n".join([*fraction_misses(ablation), *resolution_misses(ablation)])

    assert "at least two other factors" in misses(3, {"c": ["a"]})
    assert "must name factors of this ablation" in misses(3, {"c": ["a", "z"]})
    assert "but d is in the fraction itself" in misses(5, {"d": ["a", "b"], "e": ["d", "c"]})
    said = misses(4, {"c": ["a", "b"], "d": ["a", "b"]})
    assert "those of c and d would be the same" in said
    assert misses(4, {"d": ["a", "b", "c"]}) == ""
