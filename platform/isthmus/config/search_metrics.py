"""What a search may seek: the metrics of a trial, and which of them measure the model."""

import re
from collections.abc import Iterator
from typing import get_args

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.paths import did_you_mean
from isthmus.config.stratification import TargetKind

FIDELITY = (
    "mse",
    "rmse",
    "mae",
    "psnr",
    "ssim",
    "normalised_difference",
    "symmetric_difference",
    "cnr_ratio",
)
"""Of the model, each also for one modality: ``validation_mse/T1w``."""
OF_A_CONTROL = ("mse", "delta_mse", "normalised_difference", "cnr_ratio")
WITH_THE_MODEL = ("embedding_shuffle", "skip_ablation")
"""Controls that reconstruct with the trained model, so what they score depends on it."""
WITHOUT_THE_MODEL = ("mean_image", "pca", "random_encoder")
STRATA = (
    "n_strata",
    "silhouette",
    "n_factors",
    *(
        f"{kind}_{name}"
        for kind in get_args(TargetKind)
        for name in ("n_testable", "n_significant", "n_robust", "max_effect_size", "min_q_value")
    ),
    "stability_ari",
    "stability_ami",
    "stability_excess",
    "stability_p_value",
    "failed_draws",
    "robustness_score",
    "robustness_stability",
    "robustness_replication",
)
SYNTHESIS = ("synthesis_mse", "synthesis_delta_mse")
"""Of modalities that were not given, where a trial looks at every subset of them."""
OF_SUBSETS = ("subset_ari", "subset_ami")
COMPRESSION = "in_mask_voxels_per_embedding_value"
PROBE_SCORES = ("r", "mae", "balanced_accuracy", "auc")
ALIASES = {"robustness_score": "strata_robustness_score"}

_PROBE = re.compile(r"probe_(?P<target>.+)\.(?P<score>\w+)/(?P<representation>\w+)")
_MADE_OF = {
    "strata_factor_": (("factor",), "phenotypes"),
    "strata_phenotype_": (("phenotype",), "phenotypes"),
    "strata_category_": (("category",), "categorical_phenotypes"),
    "strata_robustness_": (("factor", "phenotype"), "phenotypes"),
}
"""Kinds of target, and columns of the cohort, without which there are no such metrics."""


def known_metrics() -> tuple[str, ...]:
    """List what can be sought in any cohort.

    Returns
    -------
    tuple of str
        Without modality: those of `metrics_by_modality` exist as ``<metric>/<modality>`` too.
        Probes of declared targets, ``probe_<target>.<score>/embedding``, come on top.

    Examples
    --------
    >>> "validation_mse" in known_metrics(), "mean_image_mse" in known_metrics()
    (True, False)
    """
    strata = (f"strata_{name}" for name in STRATA)
    return (*metrics_by_modality(), *strata, *OF_SUBSETS, COMPRESSION)


def metrics_by_modality() -> tuple[str, ...]:
    """List the metrics that there are of each modality as well.

    Returns
    -------
    tuple of str
        Without the modality; such a metric is the mean over modalities.
    """
    return (
        *(f"validation_{name}" for name in FIDELITY),
        *(f"{control}_{name}" for control in WITH_THE_MODEL for name in OF_A_CONTROL),
        *(f"{control}_delta_mse" for control in WITHOUT_THE_MODEL),
        *SYNTHESIS,
    )


def metrics_without_the_model() -> tuple[str, ...]:
    """List a trial's metrics that no training changes.

    Returns
    -------
    tuple of str
        What the mean image, PCA and the untrained network score; without modality.
    """
    return (
        *(
            f"{control}_{n}"
            for control in WITHOUT_THE_MODEL
            for n in OF_A_CONTROL
            if n[:5] != "delta"
        ),
        *(f"random_encoder_strata_{name}" for name in STRATA),
    )


def why_not_sought(metric: str, experiment: ExperimentConfig | None) -> str | None:
    """Say why a metric cannot be an objective.

    Parameters
    ----------
    metric : str
        As it was written.
    experiment : ExperimentConfig or None
        With it: whether its trials will have the metric.

    Returns
    -------
    str or None
        What must hold and what was given; None if it can be sought.

    Examples
    --------
    >>> why_not_sought("validation_mes", None)
    "must be a metric of a trial, got 'validation_mes'. Did you mean 'validation_mse'?"
    """
    probe = _PROBE.fullmatch(metric)
    if probe:
        return _why_no_probe(metric, probe, experiment)
    name, slash, modality = metric.partition("/")
    name = ALIASES.get(name, name)
    if name in metrics_without_the_model():
        return (
            f"must measure the model, and what the control scores does not depend on it, got "
            f"{metric!r}; seek validation_mse, or how far the model is from the control: "
            f"{_control(name)}_delta_mse"
        )
    if name not in known_metrics():
        return f"must be a metric of a trial, got {metric!r}.{_meant(name)}".removesuffix(".")
    if slash and name not in metrics_by_modality():
        return f"is one number for all modalities, got {metric!r}; leave out {slash}{modality}"
    if slash and not modality:
        return f"must name a modality after the slash, got {metric!r}"
    return None if experiment is None else next(_absent(metric, name, modality, experiment), None)


def _absent(metric: str, name: str, modality: str, experiment: ExperimentConfig) -> Iterator[str]:
    """Yield why trials of an experiment will not have a metric."""
    cohort, fused = experiment.cohort, experiment.fused_modalities
    targets = experiment.stratification.targets
    if modality and modality not in fused:
        yield f"must be of a fused modality ({', '.join(fused)}), got {metric!r}"
    if name.endswith("_cnr_ratio"):
        if experiment.controls.tissue == "none":
            yield f"needs tissues, but controls.tissue is none, got {metric!r}"
        if "T1w" not in cohort.modalities:
            yield f"needs T1w among cohort.modalities to tell tissues apart, got {metric!r}"
    if name in (*SYNTHESIS, *OF_SUBSETS):
        if not experiment.has_subset_grid:
            yield f"needs controls.subset_grid (or training.modality_dropout), got {metric!r}"
        if len(fused) < 2:
            yield f"needs at least 2 fused modalities ({', '.join(fused)}), got {metric!r}"
    for start, (kinds, setting) in _MADE_OF.items():
        if not name.startswith(start):
            continue
        if not set(kinds) & set(targets):
            wanted = " or ".join(kinds)
            yield f"needs {wanted} among stratification.targets {list(targets)}, got {metric!r}"
        if not getattr(cohort, setting):
            yield f"needs cohort.{setting}, of which the experiment has none, got {metric!r}"


def _why_no_probe(
    metric: str, probe: re.Match[str], experiment: ExperimentConfig | None
) -> str | None:
    """Say why the score of a probe cannot be sought."""
    target, score = probe["target"], probe["score"]
    if probe["representation"] != "embedding":
        return (
            f"must measure the model, and this probe reads {probe['representation']!r}, got "
            f"{metric!r}; seek probe_{target}.{score}/embedding"
        )
    if score not in PROBE_SCORES:
        return f"must be one of the scores {', '.join(PROBE_SCORES)} of a probe, got {metric!r}"
    if experiment is not None and target not in experiment.controls.probe_targets:
        targets = list(experiment.controls.probe_targets)
        return f"must probe one of controls.probe_targets {targets}, got {metric!r}"
    return None


def _control(name: str) -> str:
    """Name the control that a metric is of."""
    return next(control for control in WITHOUT_THE_MODEL if name.startswith(control))


def _meant(name: str) -> str:
    """Suggest a metric, also where its first word was left out."""
    known = dict.fromkeys([*known_metrics(), *ALIASES])
    longer = [f"{part}_{name}" for part in ("validation", "strata")]
    whole = next((candidate for candidate in longer if candidate in known), None)
    return f" Did you mean '{whole}'?" if whole else did_you_mean(name, known)
