"""What an ablation may say: every miss with its place, what must hold, what was given."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.config.ablation.design import AblationConfig
from isthmus.config.ablation.levels import levels_of, reference_of
from isthmus.config.ablation.load import is_ablation, load_ablation
from isthmus.config.ablation.paths import WHY_NOT, ablated_paths
from isthmus.config.load import resolve
from isthmus.config.paths import settings_paths
from isthmus.core.errors import ConfigError

EXPECTED = "It matters."
SKIPS = {"hypothesis": EXPECTED, "values": ["all", "deep", "none"]}
ERROR = {"metric": "validation_mse", "direction": "minimize"}
COHORT = {
    "images": "{participant_id}_{modality}.nii.gz",
    "modalities": ["T1w", "FA", "NDI"],
    "phenotypes": ["memory", "speed"],
}


def experiment(**groups: Any):
    return resolve({"cohort": COHORT, **groups})


def asked(factors: Any = None, **further: Any) -> dict[str, Any]:
    """An ablation of the skips, or of other factors."""
    factors = {"model.skips": SKIPS} if factors is None else factors
    base = {"question": "Does it matter?", "design": "one_factor_out", "contrasts": [ERROR]}
    content = {**base, "factors": factors, **further}
    return {name: value for name, value in content.items() if value is not None}


def leveled(levels: Any, **further: Any) -> dict[str, Any]:
    """An ablation of one factor with named levels."""
    return asked({"f": {"hypothesis": EXPECTED, "levels": levels, **further}})


def subsets(**further: Any) -> dict[str, Any]:
    """An ablation of the modalities."""
    return asked({}, design="modality_subsets", hypothesis=EXPECTED, **further)


def load(folder: Path, content: Any, against=None, overrides=()) -> AblationConfig:
    """Write an ablation to a file and load it."""
    (folder / "x.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_ablation(folder / "x.yaml", against, overrides)


def refused(folder: Path, content: Any, against=None, overrides=()) -> str:
    """Load an ablation that must be refused; return the message after the file's name."""
    with pytest.raises(ConfigError) as error:
        load(folder, content, against, overrides)
    return "\n".join(
        line.removeprefix(f"{folder / 'x.yaml'}: ") for line in str(error.value).splitlines()
    )


def test_an_ablation_takes_its_files_name_and_its_settings_types(tmp_path):
    factors = {
        "model.kernel_size": {"hypothesis": EXPECTED, "values": [3, [5, 6, 5]]},
        "training.kernel_l2": {"hypothesis": EXPECTED, "values": [0, 1]},
        "volumes.normalisation.leaky": {"hypothesis": EXPECTED, "values": [False, True]},
    }
    loaded = load(tmp_path, asked(factors))
    assert loaded.name == "x"
    names = [[one.name for one in levels_of(n, f)] for n, f in loaded.factors.items()]
    assert names == [["3", "[5, 6, 5]"], ["0", "1"], ["false", "true"]]
    assert loaded.factors["training.kernel_l2"].values == (0.0, 1.0)
    assert load(tmp_path, asked(name="other")).name == "other"
    assert is_ablation({"design": "factorial"})
    assert not is_ablation({"space": {}})


def test_what_is_kept_of_an_ablation_loads_to_the_same(tmp_path):
    (tmp_path / "base.yaml").write_text("model: {skips: none, depth: 3}\ntraining: {epochs: 7}\n")
    content = asked(baseline={"file": "base.yaml"}, settings={"model.depth": 4})
    loaded = load(tmp_path, content)
    # what the factor varies itself is not taken from the baseline's file, and the file stays below
    assert loaded.settings == {"model.depth": 4, "training.epochs": 7}
    (tmp_path / "elsewhere").mkdir()
    assert load(tmp_path / "elsewhere", loaded.model_dump(mode="json")) == loaded


def test_the_reference_is_the_first_level_and_the_last_where_factors_come_in(tmp_path):
    def reference(**given: Any) -> str:
        loaded = load(tmp_path, asked(**given))
        return reference_of(loaded.design, "model.skips", loaded.factors["model.skips"])

    assert reference() == "all"
    assert reference(design="one_factor_in") == "none"
    assert reference(factors={"model.skips": {**SKIPS, "reference": "deep"}}) == "deep"


def test_overrides_reach_every_part(tmp_path):
    content = leveled({"a": {"settings": {"model.skips": "all"}}, "b": {}})
    overrides = [
        "n_seeds=5",
        "inference.alpha=0.1",
        "contrasts.0.relative_margin=0.2",
        "factors.f.levels.b.settings={training.loss.kind: l1}",
        "factors.f.levels.a.settings.model.skips=none",
        "settings.training.epochs=3",
    ]
    loaded = load(tmp_path, content, None, overrides)
    assert (loaded.n_seeds, loaded.inference.alpha) == (5, 0.1)
    assert loaded.contrasts[0].relative_margin == 0.2
    levels = levels_of("f", loaded.factors["f"])
    assert [one.settings for one in levels] == [
        {"model.skips": "none"},
        {"training.loss.kind": "l1"},
    ]
    assert loaded.settings == {"training.epochs": 3}
    said = refused(tmp_path, content, None, ["n_seed=5"])
    assert said == "--ablation-set: n_seed: no such setting. Did you mean 'n_seeds'?"


def test_what_decides_who_is_trained_on_cannot_vary():
    varied = ablated_paths()
    assert {"model.family", "model.modalities", "training.loss.kind"} <= set(varied)
    assert {"stratification.subjects", "volumes.normalisation.leaky"} <= set(varied)
    assert not set(varied) & {"seed", "training.early_stopping.monitor_share", "volumes.grid"}
    # each path is varied or has a reason why not
    assert all(
        path in varied or path in WHY_NOT or path.partition(".")[0] in WHY_NOT
        for path in settings_paths()
        if path != "schema_version" and path != "name"
    )


MISSES = {
    "misspelt setting": (
        asked({"model.skip": SKIPS}),
        "factors.model.skip: no such setting. Did you mean 'model.skips'?",
    ),
    "group": (
        asked({"model.separable": SKIPS}),
        "factors.model.separable: a group of settings; name one of",
    ),
    "seed": (
        asked({"seed": {"hypothesis": EXPECTED, "values": [0, 1]}}),
        "factors.seed: arms cannot differ in this: every arm is run at the same seeds",
    ),
    "monitor": (
        leveled({"a": {}, "b": {"settings": {"training.early_stopping.monitor_share": 0.1}}}),
        "factors.f.levels.b.settings.training.early_stopping.monitor_share: arms cannot differ",
    ),
    "value": (
        asked({"model.skips": {**SKIPS, "values": ["all", "nope"]}}),
        "factors.model.skips.values.1: must be 'all', 'deep' or 'none', got 'nope'.",
    ),
    "value twice": (
        asked({"training.kernel_l2": {"hypothesis": EXPECTED, "values": [1, 1.0]}}),
        "factors.training.kernel_l2.values: each must be there once, got 1.0 again.",
    ),
    "one level": (
        asked({"model.skips": {**SKIPS, "values": ["all"]}}),
        "factors.model.skips: values must be at least 2, for a factor of one level varies nothing",
    ),
    "two ways": (
        asked({"model.skips": {**SKIPS, "levels": {"a": {}, "b": {}}}}),
        "factors.model.skips: must have exactly one of values, scales and levels, got values and",
    ),
    "no way": (
        asked({"model.skips": {"hypothesis": EXPECTED}}),
        "got none of them",
    ),
    "no hypothesis": (
        asked({"model.skips": {"values": ["all", "none"]}}),
        "factors.model.skips.hypothesis: must be given.",
    ),
    "scale of no number": (
        asked({"model.skips": {"hypothesis": EXPECTED, "scales": [1, 2]}}),
        "factors.model.skips.scales: must be of a number, which model.skips is not; use values.",
    ),
    "negative scale": (
        asked({"model.depth": {"hypothesis": EXPECTED, "scales": [1, -2]}}),
        "scales must be above 0, got [1.0, -2.0]",
    ),
    "reference": (
        asked({"model.skips": {**SKIPS, "reference": "dep"}}),
        "factors.model.skips.reference: must be one of the levels ['all', 'deep', 'none'], got "
        "'dep'. Did you mean 'deep'?",
    ),
    "the same level": (
        leveled({"a": {"settings": {"model.depth": 3}}, "b": {"settings": {"model.depth": 3}}}),
        "factors.f.levels.b: must differ from a, got the same.",
    ),
    "match to itself": (
        leveled({"a": {}, "b": {"match": {"level": "b", "by": "parameters"}}}),
        "factors.f.levels.b.match.level: no level can be met by itself, got b -> b.",
    ),
    "match in a circle": (
        leveled(
            {
                "a": {"match": {"level": "b", "by": "parameters"}},
                "b": {"match": {"level": "a", "by": "parameters"}},
            }
        ),
        "no level can be met by itself, got a -> b -> a.",
    ),
    "match with none": (
        leveled({"standard": {}, "b": {"match": {"level": "standart", "by": "parameters"}}}),
        "must be another level ['standard', 'b'], got 'standart'. Did you mean 'standard'?",
    ),
    "match by no number": (
        leveled(
            {"a": {}, "b": {"match": {"level": "a", "by": "parameters", "vary": "model.skips"}}}
        ),
        "factors.f.levels.b.match.vary: model.skips: must be a whole number",
    ),
    "match overruling": (
        leveled(
            {
                "a": {},
                "b": {
                    "settings": {"model.base_channels": 4},
                    "match": {"level": "a", "by": "parameters"},
                },
            }
        ),
        "model.base_channels: would overrule factors.f.levels.b.settings.model.base_channels",
    ),
    "two factors, one setting": (
        asked(
            {
                "model.skips": SKIPS,
                "g": {
                    "hypothesis": EXPECTED,
                    "levels": {"a": {}, "b": {"settings": {"model.skips": "deep"}}},
                },
            }
        ),
        "factors.g: must vary other settings than the other factors, but model.skips is varied by",
    ),
    "idle setting": (
        asked(settings={"model.skips": "none"}),
        "settings.model.skips: would be ignored, for every level of model.skips sets it",
    ),
    "setting of the cohort": (
        asked(settings={"cohort.site": "site"}),
        "settings.cohort.site: an ablation cannot set this, set it in the experiment: it changes",
    ),
    "no factors": (asked({}), "one_factor_out needs factors, got none"),
    "factors of subsets": (
        asked(design="modality_subsets", hypothesis=EXPECTED),
        "factors are not for modality_subsets",
    ),
    "subsets of factors": (asked(subsets={"sizes": [1]}), "subsets is for modality_subsets"),
    "hypothesis of factors": (asked(hypothesis="x"), "hypothesis is for modality_subsets"),
    "subsets without": (
        asked({}, design="modality_subsets"),
        "modality_subsets needs a hypothesis",
    ),
    "sizes and list": (
        subsets(subsets={"sizes": [1], "listed": [["T1w"]]}),
        "subsets: must be by sizes or listed, got both",
    ),
    "set twice": (
        subsets(subsets={"listed": [["T1w", "FA"], ["FA", "T1w"]]}),
        "each set must be listed once, got ['FA', 'T1w'] again",
    ),
    "fraction elsewhere": (
        asked(fraction={"a": ["b", "c"]}),
        "fraction is for factorial and one_factor_out would ignore it",
    ),
    "file and search": (
        asked(baseline={"file": "a", "search": "b"}),
        "baseline: must be a file or a search, got both",
    ),
    "trial of none": (asked(baseline={"trial": 3}), "baseline: trial is of a search, got 3"),
    "no file": (asked(baseline={"file": "none.yaml"}), "none.yaml: there is no such file."),
    "metric": (
        asked(contrasts=[{**ERROR, "metric": "validation_mes"}]),
        "contrasts.0.metric: must be a metric of a trial, got 'validation_mes'. Did you mean "
        "'validation_mse'?",
    ),
    "metric of a control": (
        asked(contrasts=[{**ERROR, "metric": "pca_mse"}]),
        "contrasts.0.metric: must measure the model",
    ),
    "metric twice": (
        asked(
            contrasts=[
                {"metric": "robustness_score", "direction": "maximize"},
                {"metric": "strata_robustness_score", "direction": "either"},
            ]
        ),
        "contrasts.1.metric: each metric is compared once, got 'strata_robustness_score' again.",
    ),
    "wrong way": (
        asked(contrasts=[{**ERROR, "direction": "maximize"}]),
        "contrasts.0.direction: must be minimize or either for validation_mse, got 'maximize'",
    ),
    "two margins": (
        asked(contrasts=[{**ERROR, "margin": 1.0, "relative_margin": 0.1}]),
        "contrasts.0: must have margin or relative_margin, got both",
    ),
    "folder's name": (asked(name="a/b"), "name: must be of letters, digits, spaces and '._-'"),
    "unknown part": (asked(contrast=[]), "contrast: no such setting. Did you mean 'contrasts'?"),
}


@pytest.mark.parametrize("name", MISSES)
def test_a_miss_is_named_with_its_place(name, tmp_path):
    content, wanted = MISSES[name]
    assert wanted in refused(tmp_path, content)


def test_an_ablation_is_checked_against_the_experiment(tmp_path):
    known = experiment()
    assert load(tmp_path, subsets(subsets={"sizes": [1]}), known).subsets.sizes == (1,)
    said = refused(tmp_path, subsets(subsets={"listed": [["T1"]]}), known)
    assert said == (
        "subsets.listed.0: must be among the modalities ['T1w', 'FA', 'NDI'], got 'T1'. Did you "
        "mean 'T1w'?"
    )
    assert "must be at most 3" in refused(tmp_path, subsets(subsets={"sizes": [4]}), known)
    single = experiment(model={"modalities": ["FA"]})
    assert "needs at least 2 fused modalities, got ['FA']" in refused(tmp_path, subsets(), single)
    labels = {"model.modalities": {"hypothesis": EXPECTED, "values": [["T1w"], ["NDIs"]]}}
    assert "got 'NDIs'. Did you mean 'NDI'?" in refused(tmp_path, asked(labels), known)
    probe = [{"metric": "probe_age.r/embedding", "direction": "maximize"}]
    assert "must probe one of controls.probe_targets []" in refused(
        tmp_path, asked(contrasts=probe), known
    )
    # the probe is there where the ablation asks for it
    shared = {"controls.probe_targets": ["age"]}
    loaded = load(tmp_path, asked(contrasts=probe, settings=shared), known)
    assert loaded.settings == {"controls.probe_targets": ["age"]}
