"""Points of a space: order, conditions, how many there are, and where a search begins."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.config.load import resolve
from isthmus.config.search_first import first_points
from isthmus.config.search_load import load_space
from isthmus.config.search_points import (
    can_take,
    is_asked,
    ordered_dimensions,
    said,
    same_value,
)
from isthmus.config.search_size import never_asked, size_of_grid
from isthmus.config.search_space import Categorical, FloatRange, IntRange, SearchSpace
from isthmus.core.errors import ConfigError

COHORT = {
    "images": "{participant_id}_{modality}.nii.gz",
    "modalities": ["T1w", "FA"],
    "phenotypes": ["memory", "speed"],
}
NESTED = {
    "model.separable.depth_multiplier": {
        "kind": "int",
        "low": 1,
        "high": 3,
        "when": {"model.separable.where": "all"},
    },
    "model.separable.where": {
        "kind": "categorical",
        "choices": ["mid", "all"],
        "when": {"model.convolution": "separable"},
    },
    "model.depth": {"kind": "int", "low": 3, "high": 5},
    "model.convolution": {"kind": "categorical", "choices": ["separable", "standard"]},
}


def load(folder: Path, space: dict[str, Any], experiment=None, **further: Any) -> SearchSpace:
    file = folder / "x.yaml"
    file.write_text(yaml.safe_dump({"space": space, **further}, sort_keys=False))
    return load_space(file, experiment)


def experiment(**groups: Any):
    return resolve({"cohort": COHORT, **groups})


# --- values --------------------------------------------------------------------------------------


def test_true_one_and_one_point_zero_are_three_values():
    values = [True, 1, 1.0, "1", None, False, 0]
    for a, b in itertools.combinations(values, 2):
        assert not same_value(a, b)
    assert all(same_value(value, value) for value in values)


@pytest.mark.parametrize(
    ("dimension", "inside", "outside"),
    [
        (IntRange(low=2, high=8, step=3), [2, 5, 8], [1, 3, 11, 2.0, True, None, "2"]),
        (FloatRange(low=0.0, high=0.3, step=0.1), [0.0, 0.1, 0.1 * 3, 0.3], [0.05, 0.4, -0.1, 0]),
        (FloatRange(low=1e-5, high=1e-2, log=True), [1e-5, 3e-4, 1e-2], [1e-6, 0.1, None]),
        (Categorical(choices=(True, None, (5, 6, 5))), [True, None, [5, 6, 5]], [1, False, [5]]),
    ],
)
def test_a_dimension_takes_what_lies_within_it(dimension, inside, outside):
    assert all(can_take(dimension, value) for value in inside)
    assert not any(can_take(dimension, value) for value in outside)


def test_dimensions_are_put_into_words():
    assert said(IntRange(low=3, high=5)) == "3 to 5"
    assert (
        said(IntRange(low=1000000, high=3000000, step=1000000)) == "1000000 to 3000000 by 1000000"
    )
    assert said(FloatRange(low=0.0, high=0.3, step=0.1)) == "0 to 0.3 by 0.1"
    assert said(FloatRange(low=1e-5, high=1.0, log=True)) == "1e-05 to 1, log"


# --- order and conditions ------------------------------------------------------------------------


def test_a_dimension_comes_after_those_it_waits_for(tmp_path):
    space = load(tmp_path, NESTED)
    assert [path for path, _ in ordered_dimensions(space)] == [
        "model.convolution",
        "model.separable.where",
        "model.separable.depth_multiplier",
        "model.depth",
    ]


def test_a_dimension_is_asked_where_all_its_conditions_hold(tmp_path):
    space = load(tmp_path, NESTED)
    where, multiplier = (
        space.space["model.separable.where"],
        space.space["model.separable.depth_multiplier"],
    )
    separable = {"model.convolution": "separable"}
    assert is_asked(where, separable)
    assert not is_asked(where, {"model.convolution": "standard"})
    assert is_asked(multiplier, {**separable, "model.separable.where": "all"})
    assert not is_asked(multiplier, {**separable, "model.separable.where": "mid"})
    assert not is_asked(multiplier, {"model.convolution": "standard"})  # its parent is not asked
    assert is_asked(space.space["model.depth"], {})


# --- how many ------------------------------------------------------------------------------------


def _values(dimension) -> list[Any]:
    if isinstance(dimension, Categorical):
        return list(dimension.choices)
    return list(range(dimension.low, dimension.high + 1, dimension.step))


def _all_points(space: SearchSpace) -> Iterator[tuple[Any, ...]]:
    """Write out every combination, leave out what is not asked, and keep what is distinct."""
    dimensions = ordered_dimensions(space)
    for values in itertools.product(*(_values(dimension) for _, dimension in dimensions)):
        point: dict[str, Any] = {}
        for (path, dimension), value in zip(dimensions, values, strict=True):
            if is_asked(dimension, point):
                point[path] = value
        yield tuple(sorted(point.items()))


def test_conditional_points_are_counted_once(tmp_path):
    space = load(tmp_path, NESTED)
    assert size_of_grid(space) == 3 * (1 + 1 + 3)
    assert size_of_grid(space) == len(set(_all_points(space)))


_PATHS = ["model.depth", "model.mid_flow_blocks", "training.epochs", "model.base_channels"]


@st.composite
def _spaces(draw: st.DrawFn) -> SearchSpace:
    """Draw dimensions that wait for any of those before them."""
    space: dict[str, IntRange] = {}
    for n, path in enumerate(_PATHS):
        parents = draw(st.lists(st.sampled_from(_PATHS[:n]), unique=True)) if n else []
        when = {
            parent: draw(st.lists(st.integers(1, space[parent].high), min_size=1, unique=True))
            for parent in parents
        }
        space[path] = IntRange(low=1, high=draw(st.integers(1, 4)), when=when)
    return SearchSpace(space=dict(draw(st.permutations(list(space.items())))))


@settings(deadline=None)
@given(_spaces())
def test_the_count_is_that_of_all_points_written_out(space):
    points = set(_all_points(space))
    assert size_of_grid(space) == len(points)
    asked = {path for point in points for path, _ in point}
    assert set(never_asked(space)) == set(space.space) - asked


def test_large_ranges_are_counted_without_writing_them_out(tmp_path):
    wide = {"kind": "int", "low": 1, "high": 10**9}
    space = load(
        tmp_path,
        {
            "training.epochs": wide,
            "model.embedding_size": wide,
            "model.skips": {
                "kind": "categorical",
                "choices": ["all", "none"],
                "when": {"training.epochs": [7, 8]},
            },
        },
    )
    assert size_of_grid(space) == 10**9 * (10**9 + 2)


def test_a_continuous_dimension_has_no_grid(tmp_path):
    rate = {"kind": "float", "low": 1e-5, "high": 1e-2}
    assert size_of_grid(load(tmp_path, {"training.learning_rate": rate})) is None
    stepped = {"kind": "float", "low": 0.0, "high": 0.3, "step": 0.1}
    assert size_of_grid(load(tmp_path, {"model.dropout": stepped})) == 4
    fixed = {"kind": "float", "low": 0.1, "high": 0.1}
    assert size_of_grid(load(tmp_path, {"model.dropout": fixed})) == 1


# --- where a search begins -----------------------------------------------------------------------


def test_a_preset_says_something_of_every_dimension_that_is_asked(tmp_path):
    base = experiment(preset="smoke", model={"convolution": "standard"})
    space = load(tmp_path, NESTED, base, try_first=["paper", "released"])
    paper, released = first_points(space, base)
    assert paper == {
        "model.convolution": "separable",
        "model.separable.where": "mid",  # paper does not name it: the setting's default
        "model.depth": 5,
    }
    assert released == {"model.convolution": "standard", "model.depth": 5}


def test_a_written_point_takes_the_rest_from_the_experiment(tmp_path):
    base = experiment(preset="smoke", model={"separable": {"where": "all"}})
    space = load(
        tmp_path, NESTED, base, try_first=[{"model.depth": 4}, {"model.convolution": "standard"}]
    )
    assert first_points(space, base) == (
        {
            "model.convolution": "separable",
            "model.separable.where": "all",
            "model.separable.depth_multiplier": 1,
            "model.depth": 4,
        },
        {"model.convolution": "standard", "model.depth": 3},
    )


def test_values_come_as_a_file_would_have_them(tmp_path):
    kernels = {"model.kernel_size": {"kind": "categorical", "choices": [3, [5, 6, 5]]}}
    space = load(tmp_path, kernels, try_first=[{}, "smoke"])
    assert first_points(space, experiment(preset="paper")) == (
        {"model.kernel_size": [5, 6, 5]},
        {"model.kernel_size": 3},
    )


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (
            "papr",
            "try_first.0: must be one of the presets ['paper', 'released', 'smoke'], got "
            "'papr'. Did you mean 'paper'?",
        ),
        (
            {"model.dept": 3},
            "try_first.0.model.dept: no dimension of this space. Did you mean 'model.depth'?",
        ),
        (
            {"model.skips": "all"},
            "try_first.0.model.skips: no dimension of this space. Add it to the space, "
            "or set it in the experiment.",
        ),
        (
            {"model.depth": 6},
            "try_first.0.model.depth: must lie within its dimension (3 to 5), got 6.",
        ),
        ({"model.depth": "x"}, "try_first.0.model.depth: must be a valid integer"),
        (
            {"model.convolution": "standard", "model.separable.where": "mid"},
            "try_first.0.model.separable.where: would be ignored, for at this point its "
            "condition does not hold (when: model.convolution: separable); leave it out.",
        ),
        (True, "try_first"),
    ],
)
def test_an_impossible_beginning_is_refused_without_an_experiment(tmp_path, first, message):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, NESTED, try_first=[first])
    assert f"x.yaml: {message}" in str(error.value)


def test_a_preset_outside_of_a_dimension_is_refused_by_both_names(tmp_path):
    shallow = {"model.depth": {"kind": "int", "low": 2, "high": 3}}
    with pytest.raises(ConfigError) as error:
        load(tmp_path, shallow, try_first=["smoke", "paper"])
    assert str(error.value).endswith(
        "x.yaml: try_first.1: model.depth must lie within its dimension (2 to 3), got 5, from "
        "preset 'paper'. Widen space.model.depth, or begin with another point."
    )


def test_a_step_that_a_beginning_is_not_on_is_told(tmp_path):
    coarse = {"model.dropout": {"kind": "float", "low": 0.0, "high": 0.4, "step": 0.2}}
    with pytest.raises(ConfigError, match=r"\(0 to 0\.4 by 0\.2\), got 0\.1, from preset 'paper'"):
        load(tmp_path, coarse, try_first=["paper"])


def test_an_experiment_outside_of_a_dimension_cannot_fill_a_point(tmp_path):
    space = {**NESTED, "model.skips": {"kind": "categorical", "choices": ["all", "none"]}}
    base = experiment(preset="paper", model={"skips": "deep"})
    with pytest.raises(
        ConfigError,
        match=r"model\.skips must lie within its dimension \(all, none\), got 'deep', from the exp",
    ):
        load(tmp_path, space, base, try_first=[{"model.depth": 3}])
    assert load(tmp_path, space, base)  # it need not lie within the space where nothing asks it


def test_a_value_that_only_the_experiment_makes_idle_is_told(tmp_path):
    base = experiment(preset="released")
    first = [{"model.separable.where": "mid"}]
    assert load(tmp_path, NESTED, try_first=first)
    with pytest.raises(
        ConfigError, match=r"try_first\.0: model\.separable\.where would be ignored"
    ):
        load(tmp_path, NESTED, base, try_first=first)


def test_the_same_beginning_twice_is_refused(tmp_path):
    base = experiment(preset="paper")
    depth = {"model.depth": NESTED["model.depth"]}
    with pytest.raises(ConfigError, match=r"try_first\.1: must be another point than try_first\.0"):
        load(tmp_path, depth, base, try_first=["paper", "released"])
