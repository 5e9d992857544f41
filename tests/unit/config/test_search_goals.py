"""What a space seeks and how: metrics, samplers and schedulers that can do what is asked."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.config.load import resolve
from isthmus.config.search_load import load_space
from isthmus.config.search_metrics import known_metrics, metrics_without_the_model
from isthmus.config.search_space import SearchSpace
from isthmus.core.errors import ConfigError

COHORT = {
    "images": "{participant_id}_{modality}.nii.gz",
    "modalities": ["T1w", "FA"],
    "phenotypes": ["memory", "speed"],
}
DEPTH = {"model.depth": {"kind": "int", "low": 3, "high": 5}}
RATE = {"training.learning_rate": {"kind": "float", "low": 1e-5, "high": 1e-2, "log": True}}
DROPOUT = {"model.dropout": {"kind": "float", "low": 0.0, "high": 0.5}}
SKIPS = {"model.skips": {"kind": "categorical", "choices": ["all", "deep"]}}
NO_PHENOTYPES = {**COHORT, "phenotypes": []}


def load(folder: Path, space: dict[str, Any], experiment=None, **further: Any) -> SearchSpace:
    file = folder / "x.yaml"
    file.write_text(yaml.safe_dump({"space": space, **further}, sort_keys=False))
    return load_space(file, experiment)


def refused(folder: Path, space: dict[str, Any], experiment=None, **further: Any) -> str:
    with pytest.raises(ConfigError) as error:
        load(folder, space, experiment, **further)
    return str(error.value).replace(f"{folder / 'x.yaml'}: ", "")


def experiment(**groups: Any):
    return resolve({"cohort": COHORT, **groups})


def seeking(*metrics: str) -> list[dict[str, str]]:
    return [{"metric": metric, "direction": "minimize"} for metric in metrics]


# --- objectives ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metric",
    [
        *known_metrics(),
        "validation_mse/T1w",
        "validation_cnr_ratio/FA",
        "embedding_shuffle_delta_mse/FA",
        "probe_age.r/embedding",
    ],
)
def test_every_metric_of_the_model_can_be_sought(tmp_path, metric):
    assert load(tmp_path, DEPTH, objectives=seeking(metric)).objectives[0].metric == metric


def test_the_robustness_score_has_two_names_and_is_one_metric(tmp_path):
    (sought,) = load(tmp_path, DEPTH, objectives=seeking("robustness_score")).objectives
    assert sought.metric == "strata_robustness_score"
    twice = seeking("validation_mse", "strata_robustness_score", "robustness_score")
    assert refused(tmp_path, DEPTH, objectives=twice) == (
        "objectives.2.metric: each metric can be sought once, got 'strata_robustness_score' again."
    )


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            "validation_mes",
            "must be a metric of a trial, got 'validation_mes'. Did you mean 'validation_mse'?",
        ),
        ("mse", "must be a metric of a trial, got 'mse'. Did you mean 'validation_mse'?"),
        ("stability_ari", "got 'stability_ari'. Did you mean 'strata_stability_ari'?"),
        ("robustnes_score", "got 'robustnes_score'. Did you mean 'robustness_score'?"),
        ("beauty", "must be a metric of a trial, got 'beauty'."),
        (
            "mean_image_mse",
            "must measure the model, and what the control scores does not depend on it, got "
            "'mean_image_mse'; seek validation_mse, or how far the model is from the control: "
            "mean_image_delta_mse.",
        ),
        (
            "pca_normalised_difference/T1w",
            "or how far the model is from the control: pca_delta_mse.",
        ),
        ("random_encoder_strata_robustness_score", "does not depend on it"),
        (
            "strata_n_strata/T1w",
            "is one number for all modalities, got 'strata_n_strata/T1w'; leave out /T1w.",
        ),
        ("validation_mse/", "must name a modality after the slash, got 'validation_mse/'."),
        (
            "probe_age.r/pca",
            "must measure the model, and this probe reads 'pca', got 'probe_age.r/pca'; "
            "seek probe_age.r/embedding.",
        ),
        (
            "probe_age.p/embedding",
            "must be one of the scores r, mae, balanced_accuracy, auc of a probe",
        ),
    ],
)
def test_what_cannot_be_sought_is_refused(tmp_path, metric, message):
    found = refused(tmp_path, DEPTH, objectives=seeking(metric))
    assert found.startswith("objectives.0.metric: ")
    assert found.endswith(message) or message in found


@pytest.mark.parametrize("metric", metrics_without_the_model())
def test_no_control_without_the_model_can_be_sought(tmp_path, metric):
    assert "must measure the model" in refused(tmp_path, DEPTH, objectives=seeking(metric))


@pytest.mark.parametrize(
    ("metric", "settings", "message"),
    [
        (
            "validation_mse/T2w",
            {},
            "must be of a fused modality (T1w, FA), got 'validation_mse/T2w'",
        ),
        ("validation_mse/FA", {"model": {"modalities": ["T1w"]}}, "fused modality (T1w), got"),
        ("validation_cnr_ratio", {"controls": {"tissue": "none"}}, "controls.tissue is none"),
        (
            "validation_cnr_ratio",
            {"cohort": {**COHORT, "modalities": ["FA"]}},
            "needs T1w among cohort.modalities",
        ),
        ("robustness_score", {"cohort": NO_PHENOTYPES}, "needs cohort.phenotypes, of which the ex"),
        (
            "robustness_score",
            {
                "cohort": {**COHORT, "categorical_phenotypes": ["diagnosis"]},
                "stratification": {"targets": ["category"]},
            },
            "needs factor or phenotype among stratification.targets ['category']",
        ),
        ("strata_category_n_robust", {}, "needs cohort.categorical_phenotypes, of which the exper"),
        (
            "strata_factor_n_robust",
            {"stratification": {"targets": ["phenotype"]}},
            "needs factor among stratification.targets ['phenotype']",
        ),
        ("probe_age.r/embedding", {}, "must probe one of controls.probe_targets [], got"),
    ],
)
def test_what_the_experiments_trials_will_not_have_is_refused(tmp_path, metric, settings, message):
    sought = seeking(metric)
    assert load(tmp_path, DEPTH, objectives=sought)
    found = refused(tmp_path, DEPTH, experiment(**settings), objectives=sought)
    assert found.startswith("objectives.0.metric: ")
    assert message in found


def test_what_the_experiments_trials_will_have_is_taken(tmp_path):
    base = experiment(controls={"probe_targets": ["age"]})
    sought = seeking("validation_cnr_ratio/FA", "robustness_score", "probe_age.r/embedding")
    assert len(load(tmp_path, DEPTH, base, objectives=sought).objectives) == 3


# --- samplers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (
            {"kind": "random", "n_startup_trials": 5},
            "n_startup_trials is for tpe, multivariate_tpe, cmaes and random would "
            "ignore it; set sampler.kind: tpe or leave sampler.n_startup_trials out.",
        ),
        ({"kind": "nsga2", "n_startup_trials": 5}, "nsga2 would ignore it"),
        ({"kind": "grid", "n_startup_trials": 5}, "grid would ignore it"),
        (
            {"population_size": 5},
            "population_size is for nsga2 and tpe would ignore it; set sampler.kind: "
            "nsga2 or leave sampler.population_size out.",
        ),
        ({"kind": "cmaes", "population_size": 5}, "cmaes would ignore it"),
    ],
)
def test_settings_of_another_sampler_are_refused(tmp_path, sampler, message):
    assert refused(tmp_path, DEPTH, sampler=sampler).startswith("sampler: ")
    assert message in refused(tmp_path, DEPTH, sampler=sampler)


@pytest.mark.parametrize(
    "sampler",
    [
        {"kind": "tpe", "n_startup_trials": 5},
        {"kind": "multivariate_tpe", "n_startup_trials": 5},
        {"kind": "cmaes", "n_startup_trials": 5},
        {"kind": "nsga2", "population_size": 5},
        {"kind": "random"},
        {"kind": "grid"},
    ],
)
def test_settings_of_the_sampler_itself_are_taken(tmp_path, sampler):
    assert load(tmp_path, DEPTH, sampler=sampler).sampler.kind == sampler["kind"]


def test_cmaes_seeks_one_thing_among_numbers_that_are_always_asked(tmp_path):
    cmaes = {"kind": "cmaes"}
    two = seeking("validation_mse", "robustness_score")
    assert refused(tmp_path, DEPTH, sampler=cmaes, objectives=two) == (
        "sampler.kind: cmaes seeks one objective, got 2; use nsga2, tpe or multivariate_tpe, or "
        "leave objectives out."
    )
    needs = "sampler.kind: cmaes needs an int or float dimension that is always asked"
    assert needs in refused(tmp_path, SKIPS, sampler=cmaes)
    waiting = {"model.depth": {**DEPTH["model.depth"], "when": {"model.skips": "all"}}}
    assert needs in refused(tmp_path, {**SKIPS, **waiting}, sampler=cmaes)
    fixed = {"model.depth": {"kind": "int", "low": 3, "high": 3}}
    assert needs in refused(tmp_path, fixed, sampler=cmaes)
    assert load(tmp_path, {**SKIPS, **RATE}, sampler=cmaes)


def test_a_grid_needs_values_to_write_out(tmp_path):
    grid = {"kind": "grid"}
    assert refused(tmp_path, {**DEPTH, **DROPOUT, **RATE}, sampler=grid).splitlines() == [
        "space.model.dropout: a grid needs choices, an int, or a float with a step, got a float "
        "from 0 to 0.5; give it a step, or choices, or use another sampler.",
        "space.training.learning_rate: a grid needs choices, an int, or a float with a step, got a "
        "float from 1e-05 to 0.01, log; give it a step, or choices, or use another sampler.",
    ]
    stepped = {"model.dropout": {**DROPOUT["model.dropout"], "step": 0.1}}
    assert load(tmp_path, {**DEPTH, **SKIPS, **stepped}, sampler=grid)


# --- schedulers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (
            {"grace": 2},
            "grace is for median, asha, hyperband and none would ignore it; set "
            "scheduler.kind: median or leave scheduler.grace out.",
        ),
        ({"unit": "epoch"}, "unit is for median, asha, hyperband and none would ignore it"),
        (
            {"kind": "median", "reduction_factor": 2},
            "reduction_factor is for asha, hyperband and median would ignore it",
        ),
        ({"kind": "asha", "min_trials": 5}, "min_trials is for median and asha would ignore it"),
        ({"kind": "hyperband", "min_trials": 5}, "hyperband would ignore it"),
    ],
)
def test_settings_of_another_scheduler_are_refused(tmp_path, scheduler, message):
    found = refused(tmp_path, DEPTH, scheduler=scheduler)
    assert found.startswith("scheduler: ")
    assert message in found


def test_folds_are_compared_where_there_are_several(tmp_path):
    asha = {"kind": "asha", "unit": "fold", "grace": 2}
    held_out = experiment(cross_validation={"method": "hold_out"})
    assert load(tmp_path, DEPTH, scheduler=asha)  # without an experiment nothing is known of folds
    assert refused(tmp_path, DEPTH, held_out, scheduler=asha) == (
        "scheduler.unit: fold compares trials on their first folds and needs at least 2, but "
        "cross_validation.method is hold_out, which has one. Use k_fold, or unit: epoch, or kind: "
        "none."
    )
    assert refused(
        tmp_path, DEPTH, experiment(cross_validation={"n_folds": 2}), scheduler=asha
    ) == (
        "scheduler.grace: must be less than the 2 folds of a trial (cross_validation.n_folds), or "
        "nothing could be stopped, got 2."
    )
    assert load(tmp_path, DEPTH, experiment(cross_validation={"n_folds": 3}), scheduler=asha)
    written = experiment(cross_validation={"n_folds": 2, "split_file": "folds.tsv"})
    assert load(tmp_path, DEPTH, written, scheduler=asha)  # the file has as many as it has
    assert load(tmp_path, DEPTH, held_out)


def test_epochs_are_compared_where_somebody_is_watched(tmp_path):
    median = {"kind": "median", "unit": "epoch", "grace": 4}
    found = refused(tmp_path, DEPTH, experiment(), scheduler=median)
    assert found.startswith("scheduler.unit: epoch compares trials by monitor_mse and needs")
    assert "held-out subjects are never looked at while training" in found
    watched = {"early_stopping": {"monitor_share": 0.1}}
    few = experiment(training={**watched, "epochs": 3})
    assert refused(tmp_path, DEPTH, few, scheduler=median) == (
        "scheduler.grace: must be at most the 3 epochs that a trial may have (training.epochs), "
        "got 4."
    )
    enough = experiment(training={**watched, "epochs": 4})
    assert load(tmp_path, DEPTH, enough, scheduler=median)
    epochs = {"training.epochs": {"kind": "int", "low": 2, "high": 9}}
    assert "at most the 2 epochs" in refused(tmp_path, epochs, enough, scheduler=median)
    epochs = {"training.epochs": {"kind": "categorical", "choices": [9, 3]}}
    assert "at most the 3 epochs" in refused(tmp_path, epochs, enough, scheduler=median)
