"""What identifies an experiment: every setting but those that cannot change a result."""

from typing import Any

import pytest

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import resolve
from isthmus.config.paths import put, settings_paths

# Another valid value for every setting, beside what that value needs in order to be valid.
OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "cohort.participants": ("people.tsv", {}),
    "cohort.images": ("{modality}/{participant_id}.nii", {}),
    "cohort.manifest": ("images.tsv", {"cohort.images": None}),
    "cohort.mask": ("mask.nii.gz", {}),
    "cohort.modalities": (["T1w", "FA", "NDI"], {}),
    "cohort.phenotypes": (["memory"], {}),
    "cohort.categorical_phenotypes": (["diagnosis"], {}),
    "cohort.confounds": (["age"], {}),
    "cohort.group_by": ("family_id", {}),
    "cohort.kinship": ("zygosity", {"cohort.group_by": "family_id"}),
    "cohort.site": ("site", {}),
    "cohort.stratify_by": (["age"], {}),
    "cohort.lockbox_share": (0.2, {}),
    "cohort.missing_modalities": ("keep", {"model.fusion.operation": "mean"}),
    "volumes.grid": ([64, 64, 64], {}),
    "volumes.voxel_size_mm": ([2.0, 2.0, 2.0], {"volumes.resample": True}),
    "volumes.resample": (True, {}),
    "volumes.storage_dtype": ("float16", {}),
    "volumes.min_finite_share": (0.9, {}),
    "volumes.min_mask_coverage": (0.6, {"cohort.mask": "mask.nii.gz"}),
    "volumes.normalisation.method": ("subject_zscore", {}),
    "volumes.normalisation.clip": (False, {"training.loss.kind": "mse"}),
    "volumes.normalisation.leaky": (True, {}),
    "model.modalities": (["FA"], {}),
    "model.embedding_size": (768, {}),
    "model.depth": (4, {}),
    "model.base_channels": (4, {}),
    "model.kernel_size": (3, {}),
    "model.mid_flow_blocks": (2, {}),
    "model.convolution": ("standard", {}),
    "model.separable.where": ("all", {}),
    "model.separable.depth_multiplier": (2, {}),
    "model.separable.pointwise_groups": (2, {}),
    "model.separable.norm_between": (True, {}),
    "model.norm": ("group", {}),
    "model.norm_momentum": (0.9, {}),
    "model.activation": ("relu", {}),
    "model.dropout": (0.2, {}),
    "model.skips": ("deep", {}),
    "model.fusion.operation": ("sum", {}),
    "model.fusion.positions": ([1, "bottleneck"], {}),
    "model.fusion.timing": ("gradual", {}),
    "model.fusion.rank": (2, {"model.fusion.operation": "tensor"}),
    "model.fusion.heads": (4, {"model.fusion.operation": "attention"}),
    "model.bottleneck": ("dense", {}),
    "training.epochs": (10, {}),
    "training.global_batch_size": (2, {}),
    "training.accumulation_steps": (2, {"training.global_batch_size": 2}),
    "training.optimizer": ("adamw", {}),
    "training.learning_rate": (1e-4, {}),
    "training.weight_decay": (0.1, {"training.optimizer": "adamw"}),
    "training.kernel_l2": (0.0, {}),
    "training.modality_dropout": (0.3, {"model.fusion.operation": "mean"}),
    "training.schedule": ("warmup_cosine", {}),
    "training.warmup_share": (0.1, {"training.schedule": "warmup_cosine"}),
    "training.gradient_clip_norm": (1.0, {}),
    "training.precision": ("bfloat16", {}),
    "training.loss.kind": ("mse", {}),
    "training.loss.masked": (True, {}),
    "training.loss.huber_delta": (0.2, {"training.loss.kind": "huber"}),
    "training.loss.ssim_share": (0.2, {"training.loss.kind": "ssim_mix"}),
    "training.early_stopping.monitor_share": (0.1, {}),
    "training.early_stopping.patience": (3, {"training.early_stopping.monitor_share": 0.1}),
    "training.early_stopping.min_delta": (
        0.1,
        {"training.early_stopping.patience": 3, "training.early_stopping.monitor_share": 0.2},
    ),
    "controls.probe_targets": (["age"], {}),
    "controls.tissue": ("none", {}),
    "controls.subset_grid": (True, {"model.fusion.operation": "mean"}),
    "stratification.subjects": ("held_out", {}),
    "stratification.pca_components": (8, {}),
    "stratification.clusterer": ("ward", {}),
    "stratification.n_strata": (3, {}),
    "stratification.min_cluster_size": (5, {"stratification.clusterer": "hdbscan"}),
    "stratification.max_strata": (8, {}),
    "stratification.targets": (["factor"], {}),
    "stratification.n_permutations": (99, {}),
    "stratification.blocks": ("none", {}),
    "stratification.correction": ("fdr_by", {}),
    "stratification.alpha": (0.01, {}),
    "stratification.affinity_propagation.damping": (0.5, {}),
    "stratification.affinity_propagation.preference": (-5.0, {}),
    "stratification.affinity_propagation.max_iterations": (10, {}),
    "stratification.affinity_propagation.convergence_iterations": (10, {}),
    "stratification.affinity_propagation.landmarks": (500, {}),
    "stratification.factors.n_factors": (2, {}),
    "stratification.factors.max_missing_share": (0.2, {}),
    "stratification.robustness.scheme": ("subsample", {}),
    "stratification.robustness.subsample_share": (
        0.5,
        {"stratification.robustness.scheme": "subsample"},
    ),
    "stratification.robustness.n_draws": (50, {}),
    "stratification.robustness.n_null_phenotypes": (99, {}),
    "stratification.robustness.n_matched_nulls": (39, {}),
    "stratification.robustness.n_null_draws": (5, {}),
    "stratification.robustness.min_replication_rate": (0.8, {}),
    "stratification.specifications.clusterers": (["kmeans"], {}),
    "stratification.specifications.pca_components": ([None, 5], {}),
    "stratification.specifications.n_null_phenotypes": (99, {}),
    "seed": (1, {}),
}
LEFT_OUT: dict[str, tuple[Any, dict[str, Any]]] = {
    "preset": (None, {}),
    "name": ("other", {}),
    "cohort.root": ("elsewhere", {}),
    # the folds that come of these are identified by the split's own digest
    "cross_validation.method": ("hold_out", {}),
    "cross_validation.n_folds": (5, {}),
    "cross_validation.hold_out_share": (0.3, {"cross_validation.method": "hold_out"}),
    "cross_validation.split_file": ("split.json", {}),
    "execution.output": ("elsewhere", {}),
    "execution.store": ("s3://bucket/store", {}),
    "execution.tracking_uri": ("http://localhost:5000", {}),
    "execution.address": ("auto", {}),
    "execution.workers": (2, {}),
    "execution.min_workers": (1, {"execution.workers": 2}),
    "execution.worker_wait_minutes": (60.0, {}),
    "execution.threads_per_worker": (1, {}),
    "execution.readers": (3, {}),
    "model.kernels": ("torch", {}),
    "execution.read_ahead": (4, {}),
    "execution.device": ("cpu", {}),
    "execution.gpus_per_worker": (0.5, {}),
    "execution.concurrent_trials": (2, {}),
    "execution.study_storage": ("sqlite:////tmp/study.db", {}),
    "execution.max_failures": (0, {}),
    "execution.ingest_processes": (1, {}),
    "execution.stratification_workers": (2, {}),
    "execution.checkpoint_every_steps": (1, {}),
    "execution.activation_checkpointing": ("levels", {}),
    "execution.compile": (True, {}),
}
FIXED = {"schema_version", "model.family"}  # there is one of each


def _with(minimal: dict[str, Any], settings: dict[str, Any]) -> ExperimentConfig:
    """Resolve the least experiment with some settings changed."""
    content = {"cohort": dict(minimal["cohort"])}
    for path, value in settings.items():
        put(content, path, value)
    return resolve(content)


def test_every_setting_is_known_to_change_the_digest_or_not_to() -> None:
    assert set(settings_paths()) == set(OTHERS) | set(LEFT_OUT) | FIXED


@pytest.mark.parametrize("path", OTHERS)
def test_a_setting_that_can_change_a_result_changes_the_digest(
    minimal: dict[str, Any], path: str
) -> None:
    value, needs = OTHERS[path]
    before = {} if path == "cohort.manifest" else needs  # which takes the place of the images
    assert _with(minimal, {**needs, path: value}).digest != _with(minimal, before).digest


@pytest.mark.parametrize("path", [path for path in LEFT_OUT if path != "preset"])
def test_a_setting_that_cannot_change_a_result_leaves_the_digest(
    minimal: dict[str, Any], path: str
) -> None:
    value, needs = LEFT_OUT[path]
    changed = _with(minimal, {**needs, path: value})
    assert changed != _with(minimal, needs)
    assert changed.digest == _with(minimal, {}).digest


def test_where_values_came_from_leaves_the_digest(minimal: dict[str, Any]) -> None:
    named = resolve({**minimal, "preset": "paper"})
    assert named.digest == resolve(minimal).digest  # the paper's values are the defaults
    assert named.preset == "paper"


def test_all_modalities_may_be_named_or_not(minimal: dict[str, Any]) -> None:
    assert _with(minimal, {"model.modalities": ["T1w", "FA"]}).digest == _with(minimal, {}).digest
    assert _with(minimal, {"model.modalities": ["FA", "T1w"]}).digest != _with(minimal, {}).digest


def test_the_digest_is_a_function_of_the_values_alone(minimal: dict[str, Any]) -> None:
    one = _with(minimal, {"seed": 1, "model.depth": 4, "training.learning_rate": 1})
    two = _with(minimal, {"training.learning_rate": 1.0, "model.depth": 4, "seed": 1})
    assert one.digest == two.digest


def test_settings_are_frozen(minimal: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="frozen"):
        resolve(minimal).seed = 3  # type: ignore[misc]
