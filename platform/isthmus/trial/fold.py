"""After a fold's training: fidelity, controls, embeddings, probes, strata and pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from isthmus.cohort.participants import Participants
from isthmus.cohort.splits import Fold
from isthmus.config.experiment import ExperimentConfig
from isthmus.core.files import write_text
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.record import RobustnessReport
from isthmus.training.controls import MODEL, ControlResults, run_controls
from isthmus.training.encoder import LoadedEncoder, load_encoder
from isthmus.training.evaluate import ALL, summarise
from isthmus.training.fitted import FittedEncoder
from isthmus.training.prefetch import plan_reading
from isthmus.training.ranks import alone, choose_device, compute_settings
from isthmus.trial.events import StrataProgress, TrialListener
from isthmus.trial.panels import COMPARED, Panel, compared_subject, cut_panel, save_panels
from isthmus.trial.probe import ProbeScore, probe
from isthmus.trial.records import FoldResult
from isthmus.trial.strata import STRATA_FILE, StrataJob
from isthmus.trial.subset_grid import subset_grid
from isthmus.trial.subset_records import SubsetGrid
from isthmus.trial.tables import write_strata_tables
from isthmus.volumes.store import VolumeStore

# of a control only what is compared; of the model itself every metric
CONTROL_METRICS = ("mse", "delta_mse", "normalised_difference", "cnr_ratio")
MODEL_PREFIX = "validation"
RANDOM_STRATA_FILE = "random_encoder_strata.json"
FIDELITY_FILE = "fidelity.tsv"


@dataclass(frozen=True)
class FoldInputs:
    """What the evaluation of one fold starts from.

    Attributes
    ----------
    config : ExperimentConfig
        Resolved settings.
    participants : Participants
        Development subjects.
    store : VolumeStore
        Their volumes.
    fold : Fold
        Who was trained on, monitored and held out.
    directory : Path
        Folder of the finished training; results are written there too.
    seed : int
        Root of the fold's random streams.
    strata : StrataJob
        The robustness job, which is the same for all encoders of the trial.
    """

    config: ExperimentConfig
    participants: Participants
    store: VolumeStore
    fold: Fold
    directory: Path
    seed: int
    strata: StrataJob

    @property
    def ids(self) -> tuple[str, ...]:
        """All subjects of the fold: training, monitor, held out."""
        return (*self.fold.train, *self.fold.monitor, *self.fold.validation)

    @property
    def roles(self) -> tuple[str, ...]:
        """The part of each of `ids`."""
        parts = self.fold.parts
        return tuple(role for role in ("train", "monitor", "validation") for _ in parts[role])


def evaluate_fold(inputs: FoldInputs, fitted: FittedEncoder, tell: TrialListener) -> FoldResult:
    """Compute everything a fold reports, and write its tables beside its weights.

    Parameters
    ----------
    inputs : FoldInputs
        The fold and its data.
    fitted : FittedEncoder
        The finished training.
    tell : callable
        Hears how far the robustness job is.

    Returns
    -------
    FoldResult
        Numbers over held-out subjects, probes and strata.
    """
    execution = inputs.config.execution
    with compute_settings(execution, alone(execution)):
        return _evaluate(inputs, fitted, tell)


def _evaluate(inputs: FoldInputs, fitted: FittedEncoder, tell: TrialListener) -> FoldResult:
    """Evaluate under the threads and the determinism that training had."""
    config, directory, fold = inputs.config, inputs.directory, inputs.fold
    families = inputs.participants.families
    reading = plan_reading(config.execution, choose_device(config.execution.device))
    controls = run_controls(
        directory,
        inputs.store,
        fold,
        {str(name): str(family) for name, family in families.items()},
        config.controls.tissue,
        inputs.seed,
        config.execution.device,
        reading,
    )
    fidelity = controls.table.assign(leaky=fitted.leaky)
    write_text(directory / FIDELITY_FILE, fidelity.to_csv(sep="\t", index=False, na_rep="n/a"))
    encoder = load_encoder(directory, config.execution.device, reading)
    embedding = _table(inputs, fitted.encoder_id, encoder.embed(inputs.store, inputs.ids))
    embedding.save_parquet(directory / "embeddings.parquet")
    untrained = np.concatenate(
        [controls.random_train, controls.random_monitor, controls.random_validation]
    )
    random_table = _table(inputs, f"{fitted.encoder_id}-untrained", untrained)
    strata, random_strata = _strata(inputs, embedding, random_table, tell)
    write_strata_tables(strata, directory)
    probes = _probes(inputs, controls, embedding)
    save_panels(_panels(inputs, encoder, controls), directory / "panels.npz")
    metrics, undefined = fidelity_metrics(controls.table)
    metrics |= {f"strata_{name}": value for name, value in strata.metrics().items()}
    metrics |= {
        f"random_encoder_strata_{name}": value for name, value in random_strata.metrics().items()
    }
    metrics["in_mask_voxels_per_embedding_value"] = _compression_in_mask(encoder)
    grid = _subset_grid(inputs, encoder, embedding, controls)
    metrics |= probe_metrics(probes) | (grid.metrics() if grid else {})
    return FoldResult(
        number=fold.number,
        encoder_id=fitted.encoder_id,
        n_train=len(fold.train),
        n_monitor=len(fold.monitor),
        n_validation=len(fold.validation),
        n_epochs=fitted.n_epochs,
        best_epoch=fitted.best_epoch,
        n_parameters=fitted.n_parameters,
        training_seconds=fitted.training_seconds,
        leaky=fitted.leaky,
        metrics=metrics,
        undefined=undefined,
        probes=probes,
        strata=strata,
        random_strata=random_strata,
        subset_grid=grid,
    )


def _strata(
    inputs: FoldInputs, embedding: EmbeddingTable, random_table: EmbeddingTable, tell: TrialListener
) -> tuple[RobustnessReport, RobustnessReport]:
    """Run the robustness job on the trained encoder's embeddings, then on the untrained one's."""
    directory, number = inputs.directory, inputs.fold.number
    strata = inputs.strata.report(
        embedding,
        directory / STRATA_FILE,
        lambda done, total: tell(StrataProgress(number, "trained", done, total)),
    )
    random_strata = inputs.strata.report(
        random_table,
        directory / RANDOM_STRATA_FILE,
        lambda done, total: tell(StrataProgress(number, "untrained", done, total)),
    )
    return strata, random_strata


def fidelity_metrics(table: pd.DataFrame) -> tuple[dict[str, float], dict[str, int]]:
    """Average fidelity over subjects, for the model and for each control.

    Parameters
    ----------
    table : DataFrame
        Columns ``control``, ``participant_id``, ``modality``, ``metric``, ``value``; NaN where a
        metric is undefined.

    Returns
    -------
    metrics : dict of str to float
        ``validation_<metric>/<modality>`` for the model, ``<control>_<metric>/<modality>`` for the
        controls; without modality: the mean over modalities.
    undefined : dict of str to int
        For each metric that was undefined somewhere, for how many subjects.
    """
    kept = table[(table["control"] == MODEL) | table["metric"].isin(CONTROL_METRICS)]
    metrics: dict[str, float] = {}
    undefined: dict[str, int] = {}
    for row in summarise(kept).to_dict("records"):
        prefix = MODEL_PREFIX if row["control"] == MODEL else row["control"]
        name = f"{prefix}_{row['metric']}"
        if row["modality"] != ALL:
            name += f"/{row['modality']}"
        if row["n_undefined"]:
            undefined[name] = int(row["n_undefined"])
        if np.isfinite(row["mean"]):
            metrics[name] = float(row["mean"])
    return metrics, undefined


def probe_metrics(probes: tuple[ProbeScore, ...]) -> dict[str, float]:
    """Name the probes' scores as metrics.

    Parameters
    ----------
    probes : tuple of ProbeScore
        Scores of each target and representation.

    Returns
    -------
    dict of str to float
        ``probe_<target>.<score>/<representation>``.
    """
    return {
        f"probe_{score.target}.{name}/{score.representation}": value
        for score in probes
        for name, value in score.scores.items()
    }


def _compression_in_mask(encoder: LoadedEncoder) -> float:
    """In-mask voxels of all modalities / embedding values: voxels outside cost nothing to keep."""
    n_voxels = len(encoder.card.modalities) * int(encoder.normaliser.mask_DHW.sum())
    return n_voxels / encoder.model.embedding_size


def _table(inputs: FoldInputs, encoder_id: str, values: npt.NDArray[np.float32]) -> EmbeddingTable:
    """Make one encoder's table of embeddings."""
    return EmbeddingTable(encoder_id, inputs.ids, values.astype(np.float64), inputs.roles)


def _subset_grid(
    inputs: FoldInputs, encoder: LoadedEncoder, embedding: EmbeddingTable, controls: ControlResults
) -> SubsetGrid | None:
    """Look at every subset of the modalities, where that is asked for, and write what was found."""
    if not inputs.config.has_subset_grid:
        return None
    results = subset_grid(
        encoder,
        inputs.store,
        inputs.fold,
        inputs.strata,
        embedding,
        controls.table,
        inputs.config.training.modality_dropout,
    )
    results.write(inputs.directory, controls.leaky)
    return results.grid


def _probes(
    inputs: FoldInputs, controls: ControlResults, embedding: EmbeddingTable
) -> tuple[ProbeScore, ...]:
    """Probe the embedding, the PCA scores and the untrained encoder for each target."""
    fold, participants = inputs.fold, inputs.participants
    representations: Mapping[str, tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]] = {
        "embedding": (
            embedding.select(fold.train).values,
            embedding.select(fold.validation).values,
        ),
        "pca": (controls.pca_train, controls.pca_validation),
        "random_encoder": (controls.random_train, controls.random_validation),
    }
    return tuple(
        probe(
            participants.table[target],
            participants.families,
            name,
            (fold.train, train),
            (fold.validation, validation),
        )
        for target in inputs.config.controls.probe_targets
        for name, (train, validation) in representations.items()
    )


def _panels(
    inputs: FoldInputs, encoder: LoadedEncoder, controls: ControlResults
) -> tuple[Panel, ...]:
    """Cut slices of held-out subjects: median error, largest error, and the same for any model."""
    table = controls.table
    errors = table[(table["control"] == MODEL) & (table["metric"] == "mse")]
    ranked = errors.groupby("participant_id")["value"].mean().sort_values(kind="stable")
    by_error = {
        str(ranked.index[(len(ranked) - 1) // 2]): "median error",
        str(ranked.index[-1]): "largest error",
    }
    # a panel of its own even if errors chose the same subject: whoever compares looks for the word
    chosen = [*by_error.items()]
    chosen.append((compared_subject(inputs.fold.validation, inputs.fold.number), COMPARED))
    mask_DHW = encoder.normaliser.mask_DHW
    volumes = {
        name: (x_MDHW, y_MDHW)
        for name, x_MDHW, y_MDHW in encoder.reconstruct(
            inputs.store, list(dict.fromkeys(name for name, _ in chosen))
        )
    }
    return tuple(
        cut_panel(name, why, encoder.card.modalities, *volumes[name], mask_DHW)
        for name, why in chosen
    )
