"""The plan: arms as designed, folds shared, comparisons that differ in what they name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from isthmus.cohort.splits import save_split
from isthmus.config.ablation.design import AblationConfig
from isthmus.config.ablation.load import load_ablation
from isthmus.config.load import load_experiment
from isthmus.core.errors import ConfigError
from isthmus.study.ablation.cost import estimate_cost
from isthmus.study.ablation.matching import nearest
from isthmus.study.ablation.plan import PreparedAblation, prepare_ablation
from isthmus.study.ablation.records import Comparison
from isthmus.trial.run import prepare_trial

EXPECTED = "It matters."
SKIPS = {"model.skips": {"hypothesis": EXPECTED, "values": ["all", "deep", "none"]}}
CONVOLUTION = {"model.convolution": {"hypothesis": EXPECTED, "values": ["separable", "standard"]}}
LOSS = {"training.loss.kind": {"hypothesis": EXPECTED, "values": ["mse", "l1"]}}
NORM = {"model.norm": {"hypothesis": EXPECTED, "values": ["group", "instance"]}}


def ablation(folder: Path, factors: Any, **further: Any) -> AblationConfig:
    """Write an ablation and load it."""
    content = {
        "question": "Does it matter?",
        "design": "one_factor_out",
        "factors": factors,
        "contrasts": [{"metric": "validation_mse", "direction": "minimize"}],
        **further,
    }
    (folder / "asked.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_ablation(folder / "asked.yaml")


@pytest.fixture
def plan_of(ingested, tmp_path):
    """Plan an ablation of the small experiment."""

    def plan(factors: Any, overrides: tuple[str, ...] = (), **further: Any) -> PreparedAblation:
        experiment = load_experiment(ingested, overrides)
        return prepare_ablation(experiment, ablation(tmp_path, factors, **further))

    return plan


def test_arms_share_the_folds_of_a_seed_and_are_ordinary_trials(plan_of):
    prepared = plan_of(SKIPS, n_seeds=2)
    plan = prepared.plan
    assert [arm.name for arm in plan.arms] == ["all", "deep", "none"]
    assert [(run.number, run.arm, run.seed) for run in plan.runs] == [
        (0, "all", 0),
        (1, "deep", 0),
        (2, "none", 0),
        (3, "all", 1),
        (4, "deep", 1),
        (5, "none", 1),
    ]
    splits = {seed: {run.split for run in plan.runs if run.seed == seed} for seed in plan.seeds}
    assert all(len(its) == 1 for its in splits.values())
    assert splits[0] != splits[1]
    for run in plan.runs:
        # what `isthmus train` would make of the arm's settings is the same trial in the same place
        trial = prepare_trial(prepared.experiments[run.number])
        assert (trial.digest, trial.directory.name) == (run.digest, run.folder)
        assert trial.split.digest == run.split
    assert plan.fold_sizes[0] == tuple(
        (len(fold.train), len(fold.validation)) for fold in prepared.trials[0].split.folds
    )
    assert [c.pairs for c in plan.comparisons] == [(("deep", "all", 1.0),), (("none", "all", 1.0),)]
    assert json.loads(json.dumps(dict(prepared.identity), allow_nan=False)) == prepared.identity


def test_factors_come_out_or_in_one_at_a_time(plan_of):
    factors = {**SKIPS, **LOSS}
    out = plan_of(factors, n_seeds=1).plan
    levels = [tuple(arm.levels.values()) for arm in out.arms]
    assert levels == [("all", "mse"), ("deep", "mse"), ("none", "mse"), ("all", "l1")]
    assert [arm.name for arm in out.arms] == ["baseline", "skips deep", "skips none", "kind l1"]
    into = plan_of(factors, n_seeds=1, design="one_factor_in").plan
    levels = [tuple(arm.levels.values()) for arm in into.arms]
    assert levels == [("none", "l1"), ("all", "l1"), ("deep", "l1"), ("none", "mse")]
    assert [c.factor for c in into.comparisons] == ["model.skips"] * 2 + ["training.loss.kind"]


def test_a_level_that_leaves_a_setting_alone_has_the_experiments(plan_of):
    # and not that of the baseline's level
    levels = {"shallow": {"settings": {"training.epochs": 1}}, "as it is": {}}
    prepared = plan_of({"f": {"hypothesis": EXPECTED, "levels": levels}}, n_seeds=1)
    epochs = [prepared.experiments[n].config.training.epochs for n in (0, 1)]
    assert epochs == [1, 2]


def test_an_arm_that_cannot_be_built_is_listed_and_left_out(plan_of):
    sizes = {"model.embedding_size": {"hypothesis": EXPECTED, "scales": [1, 0.4, 2]}}
    plan = plan_of(sizes, n_seeds=1).plan
    assert [arm.name for arm in plan.arms if arm.infeasible] == ["x0.4"]
    assert "must be a multiple of the bottleneck's 64 positions" in plan.arms[1].infeasible
    assert plan.arms[1].size is None
    assert plan.arms[1].notes == ("model.embedding_size 25.6 rounded to 26",)
    assert [run.arm for run in plan.runs] == ["x1", "x2"]
    assert [c.name for c in plan.comparisons] == ["x2 against x1"]
    with pytest.raises(ConfigError, match=r"The baseline, x0\.4, must be an experiment"):
        plan_of({"model.embedding_size": {**sizes["model.embedding_size"], "reference": "x0.4"}})
    with pytest.raises(ConfigError, match="needs an arm beside its baseline x1, got none"):
        plan_of({"model.embedding_size": {"hypothesis": EXPECTED, "scales": [1, 0.4]}})


def test_memory_that_does_not_suffice_makes_an_arm_infeasible(ingested, tmp_path):
    widths = {"model.base_channels": {"hypothesis": EXPECTED, "values": [2, 4, 1]}}
    experiment, asked = load_experiment(ingested), ablation(tmp_path, widths, n_seeds=1)
    sizes = {arm.name: arm.size for arm in prepare_ablation(experiment, asked).plan.arms}
    assert sizes["1"].least_bytes < sizes["2"].least_bytes < sizes["4"].least_bytes
    plan = prepare_ablation(experiment, asked, memory_bytes=sizes["2"].least_bytes).plan
    assert [arm.name for arm in plan.arms if arm.infeasible] == ["4"]
    assert "A training step must fit into" in plan.arms[1].infeasible


def test_the_same_experiment_is_run_once(plan_of):
    levels = {"two": {"settings": {"training.epochs": 2}}, "three": {}, "twice": {}}
    levels["three"] = {"settings": {"training.epochs": 3}}  # the experiment has 2 already
    plan = plan_of({"f": {"hypothesis": EXPECTED, "levels": levels}}, n_seeds=2).plan
    assert [arm.same_as for arm in plan.arms] == [None, None, "two"]
    assert {run.arm for run in plan.runs} == {"two", "three"}
    assert plan.runs_of("twice") == plan.runs_of("two")
    assert [c.name for c in plan.comparisons] == ["three against two"]


def _estimates(comparisons: tuple[Comparison, ...], score: Any) -> dict[str, float]:
    """Evaluate comparisons on made-up scores of arms."""
    return {
        c.name: sum(weight * (score(one) - score(other)) for one, other, weight in c.pairs)
        for c in comparisons
    }


def test_effects_of_a_factorial_are_what_was_planted(plan_of):
    prepared = plan_of({**SKIPS, **CONVOLUTION, **LOSS}, n_seeds=1, design="factorial")
    plan = prepared.plan
    assert len(plan.arms) == 12
    by_name = {arm.name: arm.levels for arm in plan.arms}

    def score(name: str) -> float:
        levels = by_name[name]
        skips = {"all": 0.0, "deep": 2.0, "none": 5.0}[levels["model.skips"]]
        standard = levels["model.convolution"] == "standard"
        l1 = levels["training.loss.kind"] == "l1"
        return skips + 3.0 * standard + 7.0 * l1 + 11.0 * (standard and l1)

    effects = [c for c in plan.comparisons if c.kind in ("main_effect", "interaction")]
    for comparison in effects:
        weights = [weight for _, _, weight in comparison.pairs]
        if comparison.kind == "main_effect":
            assert sum(weights) == pytest.approx(1.0)
            for one, other, _ in comparison.pairs:
                different = {k for k in by_name[one] if by_name[one][k] != by_name[other][k]}
                assert different == {comparison.factor}
    assert _estimates(tuple(effects), score) == pytest.approx(
        {
            "skips deep against all, over all else": 2.0,
            "skips none against all, over all else": 5.0,
            "convolution standard against separable, over all else": 3.0 + 11.0 / 2,
            "kind l1 against mse, over all else": 7.0 + 11.0 / 2,
            "convolution x kind": 11.0,
        }
    )


def test_effects_of_a_fraction_are_what_was_planted(plan_of):
    factors = {
        **CONVOLUTION,
        **LOSS,
        **NORM,
        "training.kernel_l2": {"hypothesis": EXPECTED, "values": [5e-5, 0.0]},
    }
    fraction = {"training.kernel_l2": ["model.convolution", "training.loss.kind", "model.norm"]}
    overrides = ("model.norm=group",)
    plan = plan_of(factors, overrides, n_seeds=1, design="factorial", fraction=fraction).plan
    assert len(plan.arms) == 8
    assert plan.aliases[0].startswith("A fraction of resolution IV")
    by_name = {arm.name: arm.levels for arm in plan.arms}
    away = {
        one.name: next(level for level in one.levels if level != one.reference)
        for one in plan.factors
    }
    planted = dict(zip(away, (1.0, 10.0, 100.0, 1000.0), strict=True))

    def score(name: str) -> float:
        levels = by_name[name]
        here = {n: levels[n] == away[n] for n in away}
        both = here["model.convolution"] and here["training.loss.kind"]
        return sum(planted[n] * here[n] for n in away) + 0.5 * both

    effects = tuple(c for c in plan.comparisons if c.kind in ("main_effect", "interaction"))
    found = _estimates(effects, score)
    for comparison in effects:
        n_pairs = len(comparison.pairs)
        assert n_pairs == 4
    mains = {c.factor: found[c.name] for c in effects if c.kind == "main_effect"}
    assert mains == pytest.approx(
        {
            n: v + 0.25 * (n in ("model.convolution", "training.loss.kind"))
            for n, v in planted.items()
        }
    )
    # six interactions in three aliased pairs, of which one has something
    interactions = [found[c.name] for c in effects if c.kind == "interaction"]
    assert np.allclose(interactions, [0.5, 0.0, 0.0])


def test_adding_a_modality_is_compared_over_all_sets_that_it_can_be_added_to(ingested, tmp_path):
    experiment = load_experiment(ingested)
    asked = ablation(tmp_path, {}, design="modality_subsets", hypothesis=EXPECTED, n_seeds=1)
    plan = prepare_ablation(experiment, asked).plan
    assert [(arm.name, arm.modalities) for arm in plan.arms] == [
        ("T1w+FA", ("T1w", "FA")),
        ("T1w", ("T1w",)),
        ("FA", ("FA",)),
    ]
    assert plan.baseline.name == "T1w+FA"
    assert {c.name: c.pairs for c in plan.comparisons if c.kind == "modality"} == {
        "adding T1w": (("T1w+FA", "FA", 1.0),),
        "adding FA": (("T1w+FA", "T1w", 1.0),),
    }
    assert plan.factors[0].hypothesis == EXPECTED


def test_one_fold_is_refused_and_a_split_file_is_told(plan_of, ingested, tmp_path):
    held_out = ("cross_validation.method=hold_out",)
    with pytest.raises(ConfigError, match="at least 2 folds over all seeds"):
        plan_of(SKIPS, held_out, n_seeds=1)
    assert plan_of(SKIPS, held_out, n_seeds=2).plan.n_folds == 1
    save_split(prepare_trial(load_experiment(ingested)).split, tmp_path / "split.json")
    fixed = (f"cross_validation.split_file={tmp_path / 'split.json'}",)
    plan = plan_of(SKIPS, fixed, n_seeds=2).plan
    assert len({run.split for run in plan.runs}) == 1
    assert "All seeds have the folds of" in plan.baseline.notes[0]


def test_the_identity_is_of_what_is_asked_and_not_of_its_name(plan_of):
    first = plan_of(SKIPS).plan.ablation_id
    assert plan_of(SKIPS, name="other", question="Or does it?").plan.ablation_id == first
    others = [
        plan_of(SKIPS, n_seeds=3),
        plan_of(SKIPS, ("training.epochs=3",)),
        plan_of(SKIPS, settings={"training.epochs": 3}),
        plan_of({"model.skips": {**SKIPS["model.skips"], "hypothesis": "It does not."}}),
        plan_of(SKIPS, contrasts=[{"metric": "validation_ssim", "direction": "maximize"}]),
    ]
    ids = {one.plan.ablation_id for one in others}
    assert first not in ids
    # settings of the experiment and of the ablation lead to the same one
    assert len(ids) == len(others) - 1


def test_time_is_told_only_from_folds_that_were_trained(ran, tmp_path):
    experiment = load_experiment(ran.experiment.folder / "experiment.yaml")
    unknown = estimate_cost(
        prepare_ablation(experiment, ablation(tmp_path, LOSS, settings={"training.epochs": 3}))
    )
    assert (unknown.hours_left, unknown.n_measured) == (None, 0)
    assert "unknown" in unknown.note
    # its baseline is the trial that was run: two folds of two epochs
    prepared = prepare_ablation(experiment, ablation(tmp_path, LOSS, n_seeds=1))
    cost = estimate_cost(prepared)
    assert cost.n_measured == 2
    seconds = sum(fold.training_seconds for fold in ran.result.folds)
    assert cost.seconds_a_fold[0] == pytest.approx(seconds / 2, rel=0.5)
    assert cost.hours_left == pytest.approx(2 * cost.seconds_a_fold[1] / 3600)


def test_the_nearest_size_is_found_in_few_steps():
    asked: list[int] = []

    def size(value: int) -> int | None:
        asked.append(value)
        return None if not 1 <= value <= 256 else 7 * value**2

    for start in (1, 2, 40, 256):
        for wanted, best in ((7 * 100**2, 100), (7 * 100**2 + 800, 101), (1, 1), (10**9, 256)):
            asked.clear()
            assert nearest(start, wanted, size) == best
            assert len(set(asked)) < 20
    assert nearest(5, 10, lambda value: None) is None
