"""The one table at the end of a trial: the model's numbers beside what they must beat."""

from collections.abc import Mapping

from isthmus.report.across_summary import survival_table
from isthmus.report.strata_words import report_in_words
from isthmus.report.subset_views import subset_tables
from isthmus.report.table import Table
from isthmus.trial.records import Estimate, TrialResult

CONTROL_LABELS = {
    "validation_mse": "model",
    "mean_image_mse": "mean training image",
    "pca_mse": "PCA of the same size",
    "embedding_shuffle_mse": "another subject's embedding",
    "skip_ablation_mse": "skips zeroed",
}
FIDELITY_LABELS = {
    "validation_mse": "MSE",
    "validation_normalised_difference": "ND",
    "validation_ssim": "SSIM",
    "validation_psnr": "PSNR (dB)",
    "validation_cnr_ratio": "CNR ratio",
}
FACT_LABELS = {
    "n_listed": "participants listed",
    "n_subjects": "participants for development",
    "n_families": "families",
    "n_incomplete": "of these, lacking an image",
    "lacking": "images that are missing",
    "n_folds": "folds",
    "n_steps_per_fold": "optimiser steps a fold",
    "modalities": "modalities",
    "grid": "grid (voxels)",
    "embedding_size": "embedding values",
    "n_parameters": "trainable parameters",
    "separable_saving_unit": "separable saves, widest unit (x)",
    "separable_saving_whole": "separable saves, whole network (x)",
    "input_voxels_per_embedding_value": "input voxels / embedding value",
    "mask_voxels_per_embedding_value": "in-mask voxels / embedding value",
    "forward_giga_multiply_accumulates": "forward pass (GMAC a subject)",
    "activation_mib_per_subject": "activations (MiB a subject, estimate)",
    "subset_grid": "every subset of the modalities",
    "workers": "workers",
    "min_workers": "workers, the fewest",
    "memory_mib_per_worker": "training memory (MiB a worker, estimate)",
    "tera_operations_per_trial": "whole trial (TFLOP, estimate)",
}
REPRESENTATIONS = ("embedding", "pca", "random_encoder")


def summary_tables(result: TrialResult) -> tuple[Table, ...]:
    """Put a trial into tables: fidelity, controls, probes, strata, what survives other encoders.

    Parameters
    ----------
    result : TrialResult
        A finished trial; one with failed folds gives the table of failures alone.

    Returns
    -------
    tuple of Table
        Means over folds with standard errors. Every title says so when normalisation was leaky.
    """
    if not result.succeeded:
        return (failures_table(result),)
    tables = [fidelity_table(result), controls_table(result), *subset_tables(result)]
    tables.append(probes_table(result))
    tables.append(strata_table(result))
    if result.across is not None:
        tables.append(survival_table(result.across))
    return tuple(table.labelled(result.leaky) for table in tables if table.rows)


def facts_table(facts: Mapping[str, str | int | float]) -> Table:
    """Show a model and a cohort in numbers.

    Parameters
    ----------
    facts : Mapping
        As `isthmus.trial.facts` gives them.

    Returns
    -------
    Table
        One row a fact, named and with its unit.
    """
    rows = tuple(
        (FACT_LABELS.get(name, name), f"{value:,}" if isinstance(value, int | float) else value)
        for name, value in facts.items()
    )
    return Table("Cohort, model and cost", ("what", "value"), rows)


def failures_table(result: TrialResult) -> Table:
    """Show which folds failed and why.

    Parameters
    ----------
    result : TrialResult
        A trial with failures.

    Returns
    -------
    Table
        One row a failed fold.
    """
    rows = tuple((str(item.number), item.kind, item.message) for item in result.failures)
    note = (
        f"{len(result.folds)} folds finished; no mean is shown, a failed fold is not averaged away."
    )
    return Table("Failed folds", ("fold", "failure", "what happened"), rows, note)


def fidelity_table(result: TrialResult) -> Table:
    """Show held-out fidelity for each modality and over all.

    Parameters
    ----------
    result : TrialResult
        A finished trial.

    Returns
    -------
    Table
        One row a modality.
    """
    summary = result.summary
    modalities = str(result.facts["modalities"]).split(" ")
    rows = []
    for modality in (*modalities, ""):
        suffix = f"/{modality}" if modality else ""
        cells = [_estimate(summary.get(f"{name}{suffix}")) for name in FIDELITY_LABELS]
        rows.append((modality or "all", *cells))
    n_voxels = summary["in_mask_voxels_per_embedding_value"].mean
    note = (
        "Mean over folds +- standard error. MSE, ND, SSIM and PSNR on normalised intensity within "
        "the mask; CNR ratio = reconstruction / original in image units, 1 is faithful. "
        f"{n_voxels:,.0f} in-mask voxels / embedding value."
    )
    n_without = sum(fold.undefined.get("validation_cnr_ratio", 0) for fold in result.folds)
    if n_without:
        note += f" The CNR ratio of {n_without} held-out images is undefined and not in the mean."
    title = "Held-out fidelity"
    return Table(title, ("modality", *FIDELITY_LABELS.values()), tuple(rows), note)


def controls_table(result: TrialResult) -> Table:
    """Show the model's MSE beside its controls on the same subjects and mask.

    Parameters
    ----------
    result : TrialResult
        A finished trial.

    Returns
    -------
    Table
        One row a control, with its MSE over the model's.
    """
    summary = result.summary
    model = summary["validation_mse"].mean
    rows = tuple(
        (label, _estimate(summary[name]), f"{summary[name].mean / model:.2f}" if model else "-")
        for name, label in CONTROL_LABELS.items()
        if name in summary
    )
    return Table(
        "Controls, same held-out subjects and mask",
        ("answer", "MSE", "x model"),
        rows,
        controls_verdict(result),
    )


def controls_verdict(result: TrialResult) -> str:
    """Say in words what the controls show, flattering or not.

    Parameters
    ----------
    result : TrialResult
        A finished trial.

    Returns
    -------
    str
        One sentence for each control.
    """
    summary = result.summary
    model = summary["validation_mse"].mean
    said = []
    for name, what in (("mean_image_mse", "the mean image"), ("pca_mse", "PCA of the same size")):
        if name in summary:
            verb = "beats" if model < summary[name].mean else "does NOT beat"
            said.append(f"The model {verb} {what}.")
    if "embedding_shuffle_delta_mse" in summary:
        delta = summary["embedding_shuffle_delta_mse"].mean
        share = delta / model if model else 0.0
        said.append(
            f"Another subject's embedding changes the MSE by {round(share, 2) + 0.0:+.0%}"
            + (": the skips carry the image, not the embedding." if share < 0.1 else ".")
        )
    return " ".join(said)


def probes_table(result: TrialResult) -> Table:
    """Show what can be predicted from the embedding, from PCA and from an untrained encoder.

    Parameters
    ----------
    result : TrialResult
        A finished trial.

    Returns
    -------
    Table
        One row for each target and score.
    """
    summary = result.summary
    prefix = "probe_"
    names = sorted(
        {name.rsplit("/", 1)[0] for name in summary if name.startswith(prefix) and "/" in name}
    )
    rows = tuple(
        (
            name.removeprefix(prefix).replace(".", " "),
            *(_estimate(summary.get(f"{name}/{label}")) for label in REPRESENTATIONS),
        )
        for name in names
    )
    note = "Fitted on training families, scored on the held-out fold, in one encoder's space."
    columns = ("target and score", "embedding", "PCA", "untrained encoder")
    return Table("Linear probes", columns, rows, note)


def strata_table(result: TrialResult) -> Table:
    """Show each fold's strata, how stable they are and what they relate to, in short words.

    Parameters
    ----------
    result : TrialResult
        A finished trial.

    Returns
    -------
    Table
        One row a fold and encoder.
    """
    rows = []
    for fold in result.folds:
        for encoder, report in (("trained", fold.strata), ("untrained", fold.random_strata)):
            rows.append((f"fold {fold.number}", encoder, *report_in_words(report)))
    note = (
        "Stability: mean ARI over resamples, beside clouds without strata. Counts: robust, "
        "significant (q below the level, p by permutation of families), testable. Strata that an "
        "untrained encoder gives as well need no training."
    )
    columns = (
        "fold",
        "encoder",
        "strata",
        "stability",
        "robust / significant / testable",
        "robustness score",
    )
    return Table("Strata of the embedding", columns, tuple(rows), note)


def _estimate(value: Estimate | None) -> str:
    """Write mean +- standard error."""
    if value is None:
        return "-"
    if value.standard_error is None:
        return f"{value.mean:.4g}"
    return f"{value.mean:.4g} +- {value.standard_error:.2g}"
