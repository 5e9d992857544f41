"""Presets, files and overrides laid over each other; every miss named with its place."""

from pathlib import Path
from typing import Any

import pytest

from isthmus.config.load import Experiment, dump_experiment, load_experiment, preset_names, resolve
from isthmus.core.errors import ConfigError

Minimal = dict[str, Any]


def test_presets_are_the_three_that_are_documented() -> None:
    assert preset_names() == ("paper", "released", "smoke")


def test_paper_and_released_agree_with_the_publication(minimal: Minimal) -> None:
    for name, convolution in (("paper", "separable"), ("released", "standard")):
        config = resolve({**minimal, "preset": name})
        model, training = config.model, config.training
        assert (model.embedding_size, model.depth, model.base_channels) == (1536, 5, 2)
        assert (model.kernel_size, model.mid_flow_blocks) == ((5, 6, 5), 3)
        assert (model.convolution, model.norm, model.norm_momentum) == (convolution, "batch", 0.99)
        assert (model.activation, model.dropout, model.skips) == ("elu", 0.1, "all")
        assert model.fusion.operation == "concat"
        assert (training.epochs, training.global_batch_size) == (200, 1)
        assert (training.optimizer, training.learning_rate) == ("adam", 1e-3)
        assert (training.kernel_l2, training.schedule) == (5e-5, "constant")
        assert (training.loss.kind, training.loss.masked) == ("bce", False)
        assert config.volumes.normalisation.method == "voxelwise_minmax"
        assert config.cross_validation.n_folds == 10


def test_paper_and_released_differ_in_nothing_but_the_convolution(minimal: Minimal) -> None:
    paper = resolve({**minimal, "preset": "paper"})
    released = resolve({**minimal, "preset": "released"}, ["model.convolution=separable"])
    assert paper.digest == released.digest


def test_file_overrides_preset_and_set_overrides_file(minimal: Minimal) -> None:
    content = {**minimal, "preset": "smoke", "training": {"epochs": 7}, "model": {"depth": 2}}
    config = resolve(content, ["training.epochs=9", "cross_validation.n_folds=5"])
    assert config.training.epochs == 9
    assert config.model.depth == 2
    assert config.cross_validation.n_folds == 5
    assert config.training.global_batch_size == 2  # untouched, from the preset


def test_set_may_name_the_preset(minimal: Minimal) -> None:
    assert resolve(minimal, ["preset=smoke"]).model.depth == 3


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.learning_rate=1e-3", "training.learning_rate", 1e-3),
        ("training.learning_rate=1", "training.learning_rate", 1.0),
        ("model.skips=none", "model.skips", "none"),
        ("volumes.normalisation.leaky=yes", "volumes.normalisation.leaky", True),
        ("stratification.affinity_propagation.preference=-1e3", None, -1000.0),
        ("model.kernel_size=[3, 4, 3]", "model.kernel_size", (3, 4, 3)),
        ("cohort.site=on", "cohort.site", "on"),
        ("cohort.group_by=0123", "cohort.group_by", "0123"),
        ("execution.tracking_uri=http://localhost:5000", "execution.tracking_uri", None),
        ("training.gradient_clip_norm=null", "training.gradient_clip_norm", None),
    ],
)
def test_values_of_set_are_read_as_yaml(
    minimal: Minimal, override: str, path: str | None, value: object
) -> None:
    found: Any = resolve(minimal, [override])
    for name in (path or override.partition("=")[0]).split("."):
        found = getattr(found, name)
    expected = "http://localhost:5000" if "http" in override else value
    assert found == expected
    assert type(found) is type(expected)


def test_exponents_without_a_point_are_numbers_in_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(
        "cohort: {modalities: [T1w], images: '{participant_id}_{modality}.nii'}\n"
        "training: {learning_rate: 1e-4}\n"
    )
    assert load_experiment(path).config.training.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.embeding_size=3", "--set: model.embeding_size: no such setting. Did you mean "
         "'model.embedding_size'?"),
        ("model=3", "a group of settings; name one of"),
        ("training.epochs", "must be path=value"),
        ("training.epochs={", "the value must be YAML"),
        ("training.epochs=true", "training.epochs: must not be true or false"),
        ("model.kernel_size=[3, true, 3]", "model.kernel_size: must not be true or false"),
        ("training.epochs=0", "training.epochs: must be greater than or equal to 1, got 0"),
        ("model.dropout=.nan", "model.dropout: must be a finite number"),
        ("model.skips=no", "must be 'all', 'deep' or 'none', got 'no'"),
        ("name=12", "name: must be text, got 12; put it in quotes"),
        ("name=../other", "name: must be of letters, digits, spaces and '._-'"),
        ("name=.hidden", "begin with no dot or space"),
        ("name=a/b", "got 'a/b'"),
        ('name="a\\n"', "it names folders"),
        ("name=''", "name: String should have at least 1 character"),
        ("model.kernel_size=null", "experiment: model.kernel_size: must be a valid integer"),
        ("model.kernel_size={a: 1}", "experiment: model.kernel_size: must be a valid integer"),
        ("cohort.phenotypes=[iq, age, iq]", "cohort.phenotypes: each column must be named once"),
        ("cohort.confounds=[age, age]", "got ['age'] more than once"),
        ("cohort.stratify_by=[sex, sex]", "cohort.stratify_by: each column must be named once"),
        ("controls.probe_targets=[a, a]", "controls.probe_targets: each column must be named"),
        ("volumes.min_mask_coverage=0.9", "set cohort.mask or leave it out, got 0.9"),
        ("cross_validation.hold_out_share=0.3", "hold_out_share is for hold_out and k_fold would"),
        ("seed=!!int abc", "--set seed: the value must be YAML, got '!!int abc'"),
        ("cohort.modalities=T1w", "cohort.modalities: must be a list, got 'T1w'"),
        ("cohort.modalities=[]", "cohort.modalities"),
        ("cohort.modalities=[T1w, T1w]", "each modality must be named once"),
        ("cohort.images=scan.nii", "must contain {participant_id}"),
        ("cohort.manifest=images.tsv", "exactly one of cohort.images and cohort.manifest"),
        ("model.modalities=[T2w]", "must be among cohort.modalities ['T1w', 'FA'], got ['T2w']"),
        ("model.separable.norm_between=true", "model.convolution is 'standard'"),
        ("training.weight_decay=0.1", "training.weight_decay is for adamw"),
        ("training.warmup_share=0.2", "training.warmup_share is for warmup_cosine"),
        ("training.loss.huber_delta=0.2", "training.loss.huber_delta is for huber"),
        ("training.loss.ssim_share=0.2", "training.loss.ssim_share is for ssim_mix"),
        ("training.accumulation_steps=2", "must divide training.global_batch_size"),
        ("training.early_stopping.patience=2", "monitor_share above 0"),
        ("training.early_stopping.min_delta=0.1", "set patience too"),
        ("volumes.normalisation.clip=false", "volumes.normalisation.clip must be true"),
        ("volumes.voxel_size_mm=[1, 1, 1]", "needs volumes.resample"),
        ("schema_version=2", "schema_version: must be 1, got 2"),
        ("preset=papr", "Did you mean 'paper'?"),
        ('seed=!!python/object/apply:os.system ["exit 1"]', "the value must be YAML"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_place(
    minimal: Minimal, override: str, message: str
) -> None:
    content = {**minimal, "model": {"convolution": "standard"}}
    with pytest.raises(ConfigError) as caught:
        resolve(content, [override])
    assert message in str(caught.value)


def test_momentum_of_another_norm_is_refused(minimal: Minimal) -> None:
    with pytest.raises(ConfigError, match="norm_momentum is for batch"):
        resolve(minimal, ["model.norm=group", "model.norm_momentum=0.9"])


def test_every_miss_of_a_file_is_told_at_once(minimal: Minimal) -> None:
    content = {**minimal, "modle": {}, "training": {"epochs": 0, "batch": 1}}
    with pytest.raises(ConfigError) as caught:
        resolve(content, source="mine.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("mine.yaml: ") for line in lines)
    assert "mine.yaml: modle: no such setting. Did you mean 'model'?" in lines


def test_the_branch_of_a_union_that_was_not_meant_is_not_told(minimal: Minimal) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(minimal, ["model.kernel_size=[3, 3]"])
    assert str(caught.value) == "experiment: model.kernel_size.2: must be given."


def test_a_value_of_no_branch_is_told_beside_other_misses(minimal: Minimal) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(minimal, ["model.kernel_size=null", "training.epochs=0"])
    paths = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert paths == ["model.kernel_size", "training.epochs"]


@pytest.mark.parametrize("name", ["Zürich 2", "sub.1_a-b", "1e-3", "_"])
def test_names_that_name_folders_are_taken(minimal: Minimal, name: str) -> None:
    assert resolve({**minimal, "name": name}).name == name


def test_a_coverage_of_a_mask_that_is_there_is_taken(minimal: Minimal) -> None:
    config = resolve(minimal, ["volumes.min_mask_coverage=0.9", "cohort.mask=mask.nii.gz"])
    assert config.volumes.min_mask_coverage == 0.9


def test_an_empty_group_is_told_as_such(minimal: Minimal) -> None:
    with pytest.raises(ConfigError, match="model: must be a group of settings, got None"):
        resolve({**minimal, "model": None})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [", "must be YAML"),
        ("- a\n- b", "must hold settings"),
        ("", "must hold settings"),
        ("seed: !!int abc", "must be YAML"),
        ("seed: 1\nseed: 2", "'seed' stands twice"),
        ('seed: !!python/object/apply:os.system ["exit 1"]', "must be YAML"),
    ],
)
def test_files_that_hold_no_settings_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"experiment\.yaml") as caught:
        load_experiment(path)
    assert message in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_experiment(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="got a folder"):
        load_experiment(tmp_path)
    (tmp_path / "file").write_text("name: a")
    with pytest.raises(ConfigError, match=r"experiment\.yaml: must be readable: Not a directory"):
        load_experiment(tmp_path / "file" / "experiment.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: Zürich".encode("latin-1"))
    with pytest.raises(ConfigError, match="must be YAML"):
        load_experiment(tmp_path / "latin.yaml")


def test_places_start_from_the_file_s_folder(tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "experiment.yaml").write_text(
        "cohort: {root: ../cohort, modalities: [T1w], images: '{participant_id}_{modality}.nii'}\n"
    )
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment(Path("study/experiment.yaml"))
    assert experiment.folder == folder.resolve()
    assert experiment.cohort_root == (tmp_path / "cohort").resolve()
    assert experiment.output == folder.resolve() / "runs"
    assert experiment.store_url == str(folder.resolve() / "store")
    assert experiment.tracking_uri == f"sqlite:///{folder.resolve() / 'runs' / 'mlflow.db'}"


def test_a_store_s_url_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("cohort: {modalities: [T1w], images: '{participant_id}_{modality}.nii'}\n")
    assert load_experiment(path, ["execution.store=s3://bucket/x"]).store_url == "s3://bucket/x"


@pytest.mark.parametrize("preset", [None, "paper", "released", "smoke"])
def test_the_resolved_file_alone_reruns_the_experiment(
    minimal: Minimal, tmp_path: Path, preset: str | None
) -> None:
    config = resolve({**minimal, "preset": preset, "name": "1e-3", "seed": 5})
    path = tmp_path / "resolved.yaml"
    path.write_text(dump_experiment(config), encoding="utf-8")
    again = load_experiment(path).config
    assert again.digest == config.digest
    assert again == config.model_copy(update={"preset": None})


def test_a_located_experiment_is_the_same_experiment(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("cohort: {modalities: [T1w], images: '{participant_id}_{modality}.nii'}\n")
    experiment = load_experiment(path)
    located = experiment.located(tmp_path / "split.json")
    assert located.digest == experiment.config.digest
    assert located.cohort.root == str(tmp_path.resolve())
    assert located.execution.store == experiment.store_url


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgresql://me@db/studies", "postgresql://me@db/studies"),
        (
            "postgresql+psycopg2://me:se%40cret@db:5432/x?a=b",
            "postgresql+psycopg2://me@db:5432/x?a=b",
        ),
        ("sqlite:////data/me@work/study.db", "sqlite:////data/me@work/study.db"),
        ("http://mlflow:5000", "http://mlflow:5000"),
        ("https://token@mlflow", None),
        ("postgresql://me:sec/ret@db/studies", None),
        ("postgresql://me:sec#ret@db/studies", None),
        ("postgresql://db/studies?user=me&password=secret", None),
    ],
)
def test_a_located_experiment_tells_no_secret(
    given: str, kept: str | None, minimal: Minimal, tmp_path: Path
) -> None:
    config = resolve({**minimal, "execution": {"tracking_uri": given, "study_storage": given}})
    located = Experiment(config, tmp_path).located(tmp_path / "split.json").execution
    assert (located.tracking_uri, located.study_storage) == (kept, kept)
