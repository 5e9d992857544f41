"""Bundles of every kind of study to tell stories of, without running any."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from example_ablation import skips_ablation
from example_report import make_across, make_report
from example_study import make_study

from isthmus.core.files import write_json
from isthmus.report.story.bundle import (
    CohortSummary,
    FoldHistory,
    KeptPicture,
    Origin,
    ReportBundle,
    TrialBrief,
    TrialDetail,
)
from isthmus.report.story.gather_ablation import briefs_of_runs, side_by_side
from isthmus.report.strata_words import report_in_words
from isthmus.trial.panels import cut_panel, save_panels
from isthmus.trial.probe import ProbeScore
from isthmus.trial.records import FoldResult, TrialResult
from isthmus.trial.subset_records import SubsetAgreement, SubsetGrid, SubsetScore, subsets_of

MODALITIES = ("T1w", "FA")
# The smallest picture there is.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63"
    "f8cfc0f01f00050001ff89993d1d0000000049454e44ae426082"
)
FACTS = {
    "modalities": "T1w FA",
    "n_subjects": 120,
    "n_families": 80,
    "n_folds": 2,
    "grid": "16x16x16",
}


def make_trial(n_folds: int = 2, leaky: bool = False, digest: str = "ab" * 32) -> TrialResult:
    """A trial with everything in it, but that its folds share one report."""
    report = make_report(n_draws=20, n_nulls=19)
    other = make_report(n_strata=2, n_draws=20, n_nulls=19, seed=1)
    folds = tuple(
        FoldResult(
            number=number,
            encoder_id=f"{digest[:12]}-fold{number}",
            n_train=60,
            n_monitor=0,
            n_validation=60,
            n_epochs=3,
            best_epoch=3,
            n_parameters=1000,
            training_seconds=1.0,
            leaky=leaky,
            metrics=_metrics(number),
            undefined={},
            probes=(ProbeScore("age", "embedding", "ridge", 60, 60, {"r": 0.4}),),
            strata=report,
            random_strata=other,
            subset_grid=_grid(),
        )
        for number in range(n_folds)
    )
    identity = {name: f"{k}f" * 32 for k, name in enumerate(("experiment", "images", "split"))}
    return TrialResult(digest, "small", identity, dict(FACTS), leaky, folds, (), make_across())


def make_detail(label: str = "trial 0", number: int | None = 0, **trial: object) -> TrialDetail:
    """A trial in full."""
    result = make_trial(**trial)  # type: ignore[arg-type]
    epochs = tuple({"epoch": float(k), "train_loss": 1.0 / k} for k in (1, 2, 3))
    picture = KeptPicture(
        "fold_0_reconstruction_0", "sub-0001", "a dot", KeptPicture.encoded(PNG), "sub-0001", 0
    )
    origin = Origin("0.1.0", "c0ffee", 3, "3.11.7", ("torch==2.0", "zarr==3.0"), "2 cores")
    histories = tuple(FoldHistory(fold.number, epochs) for fold in result.folds)
    folder = f"small-{result.digest[:12]}"
    return TrialDetail(label, number, folder, True, result, histories, (picture,), origin)


def search_bundle(n_trials: int = 24, leaky: bool = False) -> ReportBundle:
    """A search with everything in it; without trials, one that has just begun."""
    study = make_study(n_trials, leaky=leaky)
    detail = make_detail(f"trial {study.best}", study.best, leaky=leaky)
    words = tuple(report_in_words(fold.strata) for fold in detail.result.folds)
    trials = tuple(
        TrialBrief(
            label=f"trial {one.number}",
            number=one.number,
            state=one.state,
            point=one.point,
            n_folds=2,
            strata=words if one.state == "finished" else (),
            leaky=leaky,
        )
        for one in study.trials
    )
    cohort = CohortSummary(
        n_subjects=120,
        n_families=80,
        n_lockbox=17,
        modalities=MODALITIES,
        grid="16x16x16",
        voxel_size_mm=(2.0, 2.0, 2.0),
        counts={"sex": {"F": 70, "M": 50}},
        phenotypes=("memory_recall",),
        confounds=("age",),
        facts=dict(FACTS),
    )
    return ReportBundle(
        kind="search",
        name="small-search-architecture",
        experiment="small",
        question="Which architecture?",
        identity={"study": study.study_id},
        cohort=cohort,
        settings={"model.depth": 3},
        study=study,
        trials=trials,
        details=(detail,) if n_trials else (),
        commands=("isthmus search a b",),
    )


def ablation_bundle(output: Path) -> ReportBundle:
    """An ablation whose folders are made below `output`."""
    result = skips_ablation(output)
    base = search_bundle()
    return replace(
        base,
        kind="ablation",
        name="small-ablation-skips",
        question=result.plan.question,
        study=None,
        ablation=result,
        trials=briefs_of_runs(result, output),
        side_by_side=side_by_side(result, output),
    )


def write_trial_folder(output: Path, result: TrialResult, whole: bool = True) -> Path:
    """Write what a trial leaves, as far as a report reads it."""
    folder = output / f"small-{result.digest[:12]}"
    known = {"digest": result.digest, "identity": result.identity, "facts": result.facts}
    write_json(folder / "identity.json", known)
    write_json(folder / "published.json", {"run-of-trial": "x"})
    if whole:
        write_json(folder / "trial.json", result.to_json())
    rng = np.random.default_rng(0)
    x_MDHW = rng.random((2, 8, 8, 8), dtype=np.float32)
    for fold in result.folds:
        place = folder / f"fold-{fold.number}"
        write_json(place / "fold.json", fold.to_json())
        (place / "published").write_text(f"run-of-fold-{fold.number}")
        (place / "history.jsonl").write_text('{"epoch": 1, "train_loss": 0.5}\n')
        mask_DHW = np.ones((8, 8, 8), dtype=bool)
        panel = cut_panel("sub-0001", "median error", MODALITIES, x_MDHW, x_MDHW / 2, mask_DHW)
        save_panels((panel,), place / "panels.npz")
    return folder


def _metrics(fold: int) -> dict[str, float]:
    """Metrics that the tables of a trial read."""
    mse = 0.02 + 0.001 * fold
    return {
        "validation_mse": mse,
        "validation_mse/T1w": mse,
        "validation_mse/FA": mse,
        "mean_image_mse": 0.06,
        "pca_mse": 0.04,
        "embedding_shuffle_mse": mse,
        "embedding_shuffle_delta_mse": 0.0,
        "skip_ablation_mse": 0.11,
        "in_mask_voxels_per_embedding_value": 40.0,
        "probe_age.r/embedding": 0.4,
        **_grid().metrics(),
    }


def _grid() -> SubsetGrid:
    """Every subset of two modalities."""
    scores = tuple(
        SubsetScore(given, name, name not in given, 0.02, 0.2, 0.06)
        for given in subsets_of(MODALITIES)
        for name in MODALITIES
    )
    agreements = tuple(
        SubsetAgreement(given, 60, "partition", 3, 0.5, 0.5, None)
        for given in subsets_of(MODALITIES)
    )
    return SubsetGrid(MODALITIES, 60, scores, agreements, 0.2)
