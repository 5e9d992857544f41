"""What a space may say: every miss with its place, what must hold, what was given."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.config.load import resolve
from isthmus.config.paths import settings_paths
from isthmus.config.search_load import is_space, load_space
from isthmus.config.search_paths import WHY_NOT, varied_paths
from isthmus.config.search_space import Categorical, FloatRange, IntRange, SearchSpace
from isthmus.core.errors import ConfigError

DEPTH = {"kind": "int", "low": 3, "high": 5}
RATE = {"kind": "float", "low": 1e-5, "high": 1e-2, "log": True}
SKIPS = {"kind": "categorical", "choices": ["all", "deep", "none"]}
ERROR = {"metric": "validation_mse", "direction": "minimize"}
COHORT = {
    "images": "{participant_id}_{modality}.nii.gz",
    "modalities": ["T1w", "FA"],
    "phenotypes": ["memory", "speed"],
}


def load(folder: Path, content: dict[str, Any], experiment=None, overrides=()) -> SearchSpace:
    """Write a space to a file and load it."""
    file = folder / "x.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_space(file, experiment, overrides)


def refused(folder: Path, content: dict[str, Any], experiment=None, overrides=()) -> str:
    """Load a space that must be refused; return the message after the file's name."""
    with pytest.raises(ConfigError) as error:
        load(folder, content, experiment, overrides)
    lines = str(error.value).splitlines()
    assert all(line.startswith((f"{folder / 'x.yaml'}: ", "--space-set")) for line in lines), lines
    return "\n".join(line.removeprefix(f"{folder / 'x.yaml'}: ") for line in lines)


def one(path: str, dimension: Any, **further: Any) -> dict[str, Any]:
    return {"space": {path: dimension}, **further}


def experiment(**groups: Any):
    return resolve({"cohort": COHORT, **groups})


def test_a_space_takes_its_files_name_unless_it_has_one(tmp_path):
    assert load(tmp_path, one("model.depth", DEPTH)).name == "x"
    assert load(tmp_path, one("model.depth", DEPTH, name="deep")).name == "deep"


def test_values_are_those_of_their_settings(tmp_path):
    space = load(
        tmp_path,
        {
            "space": {
                "training.learning_rate": {"kind": "categorical", "choices": [1, 0.001]},
                "model.embedding_size": {"kind": "categorical", "choices": [384.0, 768]},
                "training.kernel_l2": {"kind": "float", "low": 0, "high": 1},
                "model.kernel_size": {"kind": "categorical", "choices": [3, [5, 6, 5]]},
                "model.separable.norm_between": {"kind": "categorical", "choices": [True, False]},
                "training.gradient_clip_norm": {"kind": "categorical", "choices": [None, 1]},
                "model.skips": {**SKIPS, "when": {"model.embedding_size": 768.0}},
            },
            "try_first": [{"training.kernel_l2": 1, "model.embedding_size": 384.0}],
        },
    )
    dimensions = space.space
    assert repr(dimensions["training.learning_rate"].choices) == "(1.0, 0.001)"
    assert repr(dimensions["model.embedding_size"].choices) == "(384, 768)"
    assert repr(dimensions["training.kernel_l2"].high) == "1.0"
    assert dimensions["model.kernel_size"].choices == (3, [5, 6, 5])
    assert repr(dimensions["model.separable.norm_between"].choices) == "(True, False)"
    assert repr(dimensions["training.gradient_clip_norm"].choices) == "(None, 1.0)"
    assert repr(dimensions["model.skips"].when) == "{'model.embedding_size': [768]}"
    assert repr(space.try_first) == "({'training.kernel_l2': 1.0, 'model.embedding_size': 384},)"


def test_what_was_loaded_loads_again_to_the_same(tmp_path):
    space = load(
        tmp_path,
        {
            "space": {
                "model.skips": SKIPS,
                "model.depth": {**DEPTH, "when": {"model.skips": "all"}},
            },
            "objectives": [{"metric": "robustness_score", "direction": "maximize"}],
            "try_first": ["paper"],
        },
    )
    assert load(tmp_path, space.model_dump(mode="json")) == space


# --- paths ---------------------------------------------------------------------------------------


def test_a_misspelt_path_is_met_with_the_right_one(tmp_path):
    assert refused(tmp_path, one("model.embeding_size", DEPTH)) == (
        "space.model.embeding_size: no such setting. Did you mean 'model.embedding_size'?"
    )


def test_a_group_is_no_setting(tmp_path):
    assert refused(tmp_path, one("model.fusion", SKIPS)) == (
        "space.model.fusion: a group of settings; name one of ['model.fusion.operation', "
        "'model.fusion.positions', 'model.fusion.timing', 'model.fusion.rank', "
        "'model.fusion.heads']."
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("cohort.confounds", "it changes who is studied, and with that the question"),
        ("volumes.normalisation.method", "it changes the images, and with them the units"),
        ("cross_validation.n_folds", "it changes the folds"),
        ("seed", "the best of several seeds is the luckiest one"),
        ("controls.tissue", "it changes what trials are compared with"),
        ("stratification.clusterer", "it would tune the test to the data"),
        ("execution.workers", "it changes no result"),
        ("model.modalities", "one for an ablation"),
        ("model.family", "a question for an ablation"),
        ("training.early_stopping.monitor_share", "it changes who is trained on"),
        ("preset", "name presets in try_first"),
        ("name", "it changes nothing that is trained"),
    ],
)
def test_what_a_search_may_not_vary_is_refused_with_the_reason(tmp_path, path, reason):
    message = refused(tmp_path, one(path, {"kind": "categorical", "choices": [1]}))
    assert message.startswith(f"space.{path}: a search cannot vary this: ")
    assert reason in message


def test_all_settings_are_either_varied_or_refused_for_a_reason():
    assert "training.accumulation_steps" in varied_paths()
    assert {path.partition(".")[0] for path in varied_paths()} == {"model", "training"}
    groups = {path.partition(".")[0] for path in settings_paths()}
    assert groups - set(WHY_NOT) == {"model", "training", "schema_version", "name"}
    known = {*settings_paths(), *groups}
    assert set(WHY_NOT) - known == set()


def test_all_misses_are_told_at_once(tmp_path):
    space = {"model.dept": DEPTH, "seed": DEPTH, "model.depth": DEPTH}
    assert len(refused(tmp_path, {"space": space}).splitlines()) == 2
    space = {"model.depth": {**DEPTH, "high": 9}, "model.skips": RATE, "model.dropout": DEPTH}
    assert len(refused(tmp_path, {"space": space}).splitlines()) == 3


# --- dimensions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "dimension", "message"),
    [
        ("model.depth", 3, "must be a dimension, such as {kind: int, ...}, got 3"),
        ("model.depth", {"low": 3, "high": 4}, "must say its kind: one of categorical, int, float"),
        ("model.depth", {"kind": "whole"}, "kind must be one of categorical, int, float, got 'who"),
        ("model.depth", {**DEPTH, "hihg": 4}, "hihg: no such setting. Did you mean 'space.model"),
        ("model.depth", {"kind": "int", "low": 3}, "high: must be given"),
        ("model.depth", {**DEPTH, "low": True}, "low: must not be true or false, got True"),
        ("model.depth", {**DEPTH, "low": 2.5}, "low: must be a valid integer"),
        ("model.depth", {**DEPTH, "low": 6}, "low must be at most high, got low 6 and high 5"),
        ("model.depth", {**DEPTH, "high": 8}, "high: must be less than or equal to 7, got 8"),
        ("model.depth", {**DEPTH, "low": 0}, "low: must be greater than or equal to 1, got 0"),
        ("model.depth", {**DEPTH, "step": 0}, "step: must be greater than or equal to 1, got 0"),
        ("model.depth", {**DEPTH, "high": 6, "step": 2}, "got low 3, high 6, step 2; the last v"),
        ("model.depth", {**DEPTH, "step": 2, "log": True}, "step must be 1, got 2"),
        ("model.mid_flow_blocks", {**DEPTH, "low": 0, "log": True}, "log needs low above 0, got 0"),
        ("model.dropout", {**RATE, "low": 0}, "log needs low above 0, got 0"),
        ("model.dropout", {**RATE, "high": 1}, "high: must be less than 1, got 1"),
        ("model.dropout", {**RATE, "step": 0.1}, "log spreads values unevenly and excludes a step"),
        (
            "model.dropout",
            {"kind": "float", "low": 0.1, "high": 0.5, "step": 0.15},
            "high must be a whole number of steps above low, got low 0.1, high 0.5, step 0.15; the "
            "last value on the way is 0.4",
        ),
        ("model.dropout", {"kind": "float", "low": 0, "high": float("inf")}, "high: must be a fin"),
        ("model.depth", {"kind": "float", "low": 3, "high": 5}, "kind must be int or categorical"),
        (
            "model.dropout",
            {"kind": "int", "low": 0, "high": 0},
            "kind must be float or categorical",
        ),
        ("model.skips", DEPTH, "kind must be categorical, for the setting is no number, got int"),
        ("model.depth", {"kind": "categorical"}, "choices: must be given"),
        (
            "model.depth",
            {"kind": "categorical", "choices": []},
            "choices: tuple should have at least",
        ),
        (
            "model.skips",
            {"kind": "categorical", "choices": ["al"]},
            "choices.0: must be 'all', 'deep'",
        ),
        ("model.skips", {"kind": "categorical", "choices": [True]}, "must not be true or false"),
        ("model.depth", {"kind": "categorical", "choices": [3, True]}, "must not be true or false"),
        (
            "model.depth",
            {"kind": "categorical", "choices": [3, 9]},
            "choices.1: must be less than or",
        ),
        (
            "model.depth",
            {"kind": "categorical", "choices": [3, 4, 3.0]},
            "choices: each value must be there once, got 3 again",
        ),
        (
            "model.kernel_size",
            {"kind": "categorical", "choices": [[5, 6, 99]]},
            "choices.0.2: must be less than or equal to 15, got 99",
        ),
        (
            "training.learning_rate",
            {"kind": "categorical", "choices": [0.1, float("inf")]},
            "choices.1: must be a finite number, got inf",
        ),
        (
            "model.separable.norm_between",
            {"kind": "categorical", "choices": ["perhaps"]},
            "choices.0: must be a valid boolean",
        ),
    ],
)
def test_an_impossible_dimension_is_refused(tmp_path, path, dimension, message):
    found = refused(tmp_path, one(path, dimension))
    assert found.lower().startswith(f"space.{path}".lower())
    assert message.lower() in found.lower()


def test_ranges_that_fit_are_taken(tmp_path):
    float_step = {"kind": "float", "low": 0.0, "high": 0.3, "step": 0.1}
    assert load(tmp_path, one("model.dropout", float_step)).space["model.dropout"].step == 0.1
    whole = {"kind": "int", "low": 3, "high": 7, "step": 2}
    assert load(tmp_path, one("model.kernel_size", whole)).space["model.kernel_size"].high == 7
    clip = {"kind": "float", "low": 0.1, "high": 10, "log": True}
    assert load(tmp_path, one("training.gradient_clip_norm", clip))


def test_a_space_has_dimensions(tmp_path):
    assert refused(tmp_path, {"objectives": [ERROR]}) == "space: must be given."
    assert refused(tmp_path, {"space": {}}).startswith("space: ")
    assert is_space({"space": {}})
    assert not is_space({"cohort": {}})


@pytest.mark.parametrize("kind", [Categorical, IntRange, FloatRange])
def test_every_setting_of_a_dimension_is_described(kind):
    assert all(field.description for field in kind.model_fields.values())


@pytest.mark.parametrize("path", settings_paths(SearchSpace))
def test_every_setting_of_a_space_is_described(path):
    description = settings_paths(SearchSpace)[path].description
    assert description
    assert description[0].isupper()
    assert description.endswith(".")


# --- conditions ----------------------------------------------------------------------------------

CONVOLUTION = {"kind": "categorical", "choices": ["separable", "standard"]}
MULTIPLIER = {"kind": "int", "low": 1, "high": 3}


def conditional(when: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A space of which the multiplier waits for something."""
    return {
        "space": {
            "model.separable.depth_multiplier": {**MULTIPLIER, "when": when},
            "model.convolution": CONVOLUTION,
            **others,
        }
    }


def test_a_condition_becomes_the_list_of_what_meets_it(tmp_path):
    def when(wanted: Any, **others: Any) -> Any:
        (path,) = others or ("model.convolution",)
        space = load(tmp_path, conditional({path: wanted}, **others))
        return space.space["model.separable.depth_multiplier"].when[path]

    kernels = {"kind": "categorical", "choices": [3, [3, 4, 3], [5, 6, 5]]}
    assert when("separable") == ["separable"]
    assert when(["separable", "standard"]) == ["separable", "standard"]
    assert when([5, 6, 5], **{"model.kernel_size": kernels}) == [[5, 6, 5]]
    assert when([[5, 6, 5], 3], **{"model.kernel_size": kernels}) == [[5, 6, 5], 3]
    assert when(3, **{"model.depth": DEPTH}) == [3]


@pytest.mark.parametrize(
    ("when", "others", "message"),
    [
        (
            {"model.convoluton": "separable"},
            {},
            "when.model.convoluton: must be another dimension of this space, for the experiment's "
            "own settings are the same in every trial. Did you mean 'model.convolution'?",
        ),
        (
            {"model.convolution": "separabel"},
            {},
            "when.model.convolution: must be among what model.convolution takes (separable, "
            "standard), got 'separabel'. Did you mean 'separable'?",
        ),
        ({"model.convolution": ["separable", "x"]}, {}, "(separable, standard), got 'x'."),
        ({"model.convolution": []}, {}, "must name at least one value, got none"),
        ({"model.depth": 6}, {"model.depth": DEPTH}, "takes (3 to 5), got 6"),
        (
            {"model.depth": 4},
            {"model.depth": {"kind": "int", "low": 3, "high": 5, "step": 2}},
            "takes (3 to 5 by 2), got 4",
        ),
        ({"model.depth": "deep"}, {"model.depth": DEPTH}, "takes (3 to 5), got 'deep'"),
        (
            {"training.learning_rate": 0.001},
            {"training.learning_rate": RATE},
            "training.learning_rate has none to name: it is continuous (1e-05 to 0.01, log)",
        ),
        (
            {"model.kernel_size": [5, 6, 5]},
            {"model.kernel_size": {"kind": "categorical", "choices": [5, 6, [5, 6, 5]]}},
            "[5, 6, 5] is itself a value and also a list of values; write [[5, 6, 5]]",
        ),
    ],
)
def test_an_impossible_condition_is_refused(tmp_path, when, others, message):
    found = refused(tmp_path, conditional(when, **others))
    assert found.startswith("space.model.separable.depth_multiplier.when")
    assert message in found


def test_conditions_may_not_go_round(tmp_path):
    space = conditional({"model.depth": 3}, **{"model.depth": {**DEPTH, "when": {}}})
    space["space"]["model.depth"]["when"] = {"model.separable.depth_multiplier": 1}
    assert refused(tmp_path, space) == (
        "space: no dimension can wait for itself, got when: model.separable.depth_multiplier -> "
        "model.depth -> model.separable.depth_multiplier."
    )
    itself = one("model.depth", {**DEPTH, "when": {"model.depth": 3}})
    assert "model.depth -> model.depth" in refused(tmp_path, itself)


def test_a_dimension_that_no_point_asks_is_refused(tmp_path):
    fusion = {"kind": "categorical", "choices": ["sum", "mean"]}
    standard = {**SKIPS, "when": {"model.convolution": "standard"}}
    both = {
        "model.convolution": CONVOLUTION,
        "model.skips": standard,
        "model.fusion.operation": {
            **fusion,
            "when": {"model.skips": "all", "model.convolution": "separable"},
        },
    }
    found = refused(tmp_path, {"space": both})
    assert found.startswith("space.model.fusion.operation.when: must hold at some point")
    both["model.fusion.operation"]["when"]["model.convolution"] = "standard"
    assert load(tmp_path, {"space": both})


# --- overrides -----------------------------------------------------------------------------------


def test_overrides_are_laid_over_the_file(tmp_path):
    content = one("model.depth", DEPTH, budget={"n_trials": 9, "wall_hours": 2})
    overrides = [
        "budget.n_trials=3",
        "space.model.depth.high=4",
        "sampler.kind=random",
        "objectives=[{metric: validation_ssim, direction: maximize}]",
    ]
    space = load(tmp_path, content, overrides=overrides)
    assert (space.budget.n_trials, space.budget.wall_hours) == (3, 2.0)
    assert space.space["model.depth"] == IntRange(low=3, high=4)
    assert space.sampler.kind == "random"
    assert space.objectives[0].metric == "validation_ssim"
    whole = ["space.model.depth={kind: categorical, choices: [2]}"]
    assert load(tmp_path, content, overrides=whole).space["model.depth"].choices == (2,)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "budget.n_trial=3",
            "--space-set: budget.n_trial: no such setting. Did you mean 'budget.n_",
        ),
        ("budget", "--space-set must be path=value, got 'budget'."),
        ("budget=3", "--space-set: budget: a group of settings; name one of ['budget.n_trials'"),
        ("budget.n_trials=[", "--space-set budget.n_trials: the value must be YAML, got '['."),
        ("budget.n_trials=0", "budget.n_trials: must be greater than or equal to 1, got 0."),
        (
            "space.model.skips.choices=[all]",
            "--space-set: space.model.skips.choices: no such setting",
        ),
        ("space.model.depth.hihg=4", "no such setting. Did you mean 'space.model.depth.high'?"),
    ],
)
def test_an_impossible_override_is_refused(tmp_path, override, message):
    found = refused(tmp_path, one("model.depth", DEPTH), overrides=[override])
    assert found.startswith(message) or found.endswith(message)


def test_an_override_of_what_is_no_group_is_refused(tmp_path):
    found = refused(tmp_path, one("model.depth", DEPTH, budget=7), overrides=["budget.n_trials=3"])
    assert found == "budget: must be a group for --space-set budget.n_trials, got 7."


def test_a_misspelt_setting_of_the_file_is_met_with_the_right_one(tmp_path):
    found = refused(tmp_path, one("model.depth", DEPTH, budget={"n_trails": 3}))
    assert found == "budget.n_trails: no such setting. Did you mean 'budget.n_trials'?"
    objective = {"metric": "validation_mse", "directoin": "minimize"}
    found = refused(tmp_path, one("model.depth", DEPTH, objectives=[objective]))
    assert (
        "objectives.0.directoin: no such setting. Did you mean 'objectives.0.direction'?" in found
    )


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"y\.yaml: there is no such file"):
        load_space(tmp_path / "y.yaml")
