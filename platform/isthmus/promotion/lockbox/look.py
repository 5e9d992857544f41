"""The one look into the lockbox: how well unseen subjects fare, and which findings come back.

Whatever can be refused is refused before the look is written down, so that no look is spent on a
mistake; what is asked is settled before it, too.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from isthmus.cohort.lockbox import lockbox_looks, open_lockbox
from isthmus.config.load import Experiment
from isthmus.core.errors import CohortError
from isthmus.core.files import write_text
from isthmus.core.seeds import derive_seed
from isthmus.promotion.developed import Developed
from isthmus.promotion.lockbox.checks import BeforeLook, before_look
from isthmus.promotion.lockbox.record import (
    RECORD_FILES,
    TABLE_FILES,
    ErrorRatio,
    FidelityMean,
    LockboxReport,
    LockboxSubject,
    StratumCount,
)
from isthmus.promotion.lockbox.replicated import TargetReplication
from isthmus.promotion.lockbox.replication import replicate
from isthmus.stratification.partition import Partition
from isthmus.training.controls import MODEL, Subjects, score_controls
from isthmus.training.encoder import load_encoder
from isthmus.training.evaluate import ALL, summarise
from isthmus.training.lock import lock_folder
from isthmus.training.prefetch import plan_reading
from isthmus.training.ranks import alone, choose_device, compute_settings
from isthmus.training.shortage import typed_failures
from isthmus.volumes.lockbox_store import open_lockbox_store
from isthmus.volumes.store import VolumeStore

_log = logging.getLogger("isthmus.promotion")


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the look lays open."""

    store: VolumeStore
    ids: tuple[str, ...]
    n_sealed: int
    n_unlisted: int
    n_without_images: int


def evaluate_lockbox(
    experiment: Experiment, developed: Developed, reason: str, output: Path
) -> LockboxReport:
    """Open the lockbox, and evaluate one encoder and its strata on whom it holds.

    This is the number to quote: nobody in the lockbox was trained on, chosen by, or clustered. It
    stays so for the first look alone. Every look is counted, whatever it was for, and p-values are
    not corrected for further ones.

    Parameters
    ----------
    experiment : Experiment
        That of the encoder; its store must be a local folder.
    developed : Developed
        The encoder, whom it was trained on, and the report on its strata, whose significant
        findings are asked again.
    reason : str
        What the lockbox is opened for.
    output : Path
        Receives ``lockbox-look-<n>.json``, the record, and ``lockbox-look-<n>-fidelity.tsv``, a
        row for each subject, image, control and metric. `finished_look` reads the record back.

    Returns
    -------
    LockboxReport
        Fidelity of the model and of its controls (mean image and principal components fitted on
        the encoder's training subjects), strata, and what became of each finding.

    Raises
    ------
    CohortError
        If there is no lockbox, nobody is in it, its seal is broken, no reason is given, or
        development subjects are not in the store.
    ConfigError
        If the store is no folder, or does not fit the experiment.
    LeakageError
        If a family of the lockbox is in development, or was trained on.
    StratificationError
        If development's factors do not follow from its phenotypes any more.

    Notes
    -----
    Each training image is read once, each image of the lockbox three times. What is refused is
    refused before the look is written down; an evaluation that is cut short afterwards has spent
    it.
    """
    prepared = before_look(experiment, developed, reason)
    execution = experiment.config.execution
    with typed_failures(output, experiment.config), lock_folder(output):
        seen = _look(prepared, reason)
        with compute_settings(execution, alone(execution)):
            table, values_NE = _reconstruct(prepared, seen)
        report = _report(prepared, seen, table, values_NE)
        text = table.assign(leaky=report.leaky).to_csv(sep="\t", index=False, na_rep="n/a")
        write_text(output / TABLE_FILES.format(number=report.number), text)
        write_text(output / RECORD_FILES.format(number=report.number), report.to_json())
    return report


def _look(prepared: BeforeLook, reason: str) -> _Seen:
    """Write the look down, then open the lockbox."""
    sealed = open_lockbox(prepared.folder, reason)
    _log.info("%s: look %d", prepared.folder, len(lockbox_looks(prepared.folder)))
    store = open_lockbox_store(prepared.experiment.store_url, sealed)
    listed = set(prepared.everybody.ids)
    modalities = prepared.experiment.config.fused_modalities
    ids = tuple(
        name
        for name in store.participant_ids
        if name in listed and store.known(name, modalities).any()
    )
    n_listed = len(listed.intersection(sealed))
    if not ids:
        raise CohortError(
            f"{prepared.folder}: somebody in the lockbox must have an image of {list(modalities)}, "
            f"but of the {n_listed} who are in it no image was accepted. See verdicts.tsv there."
        )
    return _Seen(store, ids, len(sealed), len(sealed) - n_listed, n_listed - len(ids))


def _reconstruct(prepared: BeforeLook, seen: _Seen) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    """Score the model and its controls, and embed."""
    config, developed = prepared.experiment.config, prepared.developed
    device = config.execution.device
    reading = plan_reading(config.execution, choose_device(device))
    families = prepared.everybody.families
    scores = score_controls(
        developed.directory,
        Subjects(prepared.store, developed.fold.train),
        Subjects(seen.store, seen.ids),
        {str(name): str(family) for name, family in families.items()},
        config.controls.tissue,
        derive_seed(config.seed, "lockbox"),
        device,
        reading,
    )
    encoder = load_encoder(developed.directory, device, reading)
    return scores.table, encoder.embed(seen.store, seen.ids)


def _report(
    prepared: BeforeLook, seen: _Seen, table: pd.DataFrame, values_NE: npt.NDArray[np.float32]
) -> LockboxReport:
    """Put the record together."""
    developed, rule, report = prepared.developed, prepared.rule, prepared.developed.strata
    labels_N, membership_N = None, None
    if rule is not None:
        with threadpool_limits(limits=1):
            labels_N, membership_N = rule.assign(values_NE)
    replications: tuple[TargetReplication, ...] = ()
    if labels_N is not None:
        seed = derive_seed(report.seed, "lockbox")
        replications = replicate(prepared.questions, prepared.everybody, seen.ids, labels_N, seed)
    means = summarise(table)
    return LockboxReport(
        encoder_id=developed.fitted.encoder_id,
        label=developed.label,
        leaky=developed.fitted.leaky,
        looks=lockbox_looks(prepared.folder),
        store_digest=seen.store.digest,
        n_sealed=seen.n_sealed,
        n_unlisted=seen.n_unlisted,
        n_without_images=seen.n_without_images,
        n_subjects=len(seen.ids),
        n_families=int(prepared.everybody.families.loc[list(seen.ids)].nunique()),
        fidelity=_fidelity(means),
        ratios=_ratios(means, developed.fidelity),
        subjects=_subjects(seen.ids, table, labels_N, membership_N),
        strata=_strata(report.strata, labels_N, membership_N),
        no_strata_because=None if isinstance(report.strata, Partition) else report.strata.reason,
        rule_agreement=None if rule is None else rule.agreement,
        table_digest=developed.table.digest,
        n_development_subjects=report.n_subjects,
        n_development_tests=sum(family.n_testable for family in report.tests),
        alpha=report.config.alpha,
        replications=replications,
    )


def _fidelity(means: pd.DataFrame) -> tuple[FidelityMean, ...]:
    """Write down averages."""
    return tuple(
        FidelityMean(
            control=str(row["control"]),
            modality=str(row["modality"]),
            metric=str(row["metric"]),
            mean=_finite(row["mean"]),
            n=int(row["n"]),
            n_undefined=int(row["n_undefined"]),
        )
        for row in means.to_dict("records")
    )


def _ratios(means: pd.DataFrame, validation: pd.DataFrame | None) -> tuple[ErrorRatio, ...]:
    """Divide the model's errors by those on held-out development subjects."""
    if validation is None:
        return ()
    before = _model_errors(summarise(validation))
    ratios = []
    for modality, error in _model_errors(means).items():
        if modality in before:
            held_out = before[modality]
            ratio = error / held_out if held_out > 0 else None
            ratios.append(ErrorRatio(modality, error, held_out, ratio))
    return tuple(sorted(ratios, key=lambda found: found.modality != ALL))


def _model_errors(means: pd.DataFrame) -> dict[str, float]:
    """Pick the model's mean squared errors, by modality."""
    own = means[(means["control"] == MODEL) & (means["metric"] == "mse")]
    pairs = zip(own["modality"], own["mean"], strict=True)
    return {str(modality): float(mean) for modality, mean in pairs if np.isfinite(mean)}


def _subjects(
    ids: tuple[str, ...],
    table: pd.DataFrame,
    labels_N: npt.NDArray[np.integer] | None,
    membership_N: npt.NDArray[np.float64] | None,
) -> tuple[LockboxSubject, ...]:
    """Write down what is known of each subject."""
    errors = table[table["metric"] == "mse"]
    means = errors.groupby(["participant_id", "control"], sort=False)["value"].mean()
    controls = [str(name) for name in errors["control"].unique()]
    return tuple(
        LockboxSubject(
            participant_id=name,
            stratum=None if labels_N is None else int(labels_N[n]),
            membership=None if membership_N is None else float(membership_N[n]),
            mse={control: _finite(means.loc[(name, control)]) for control in controls},
        )
        for n, name in enumerate(ids)
    )


def _strata(
    strata: object,
    labels_N: npt.NDArray[np.integer] | None,
    membership_N: npt.NDArray[np.float64] | None,
) -> tuple[StratumCount, ...]:
    """Count members of each stratum, in development and in the lockbox."""
    if not isinstance(strata, Partition) or labels_N is None or membership_N is None:
        return ()
    counts = []
    for stratum, (exemplar, size) in enumerate(zip(strata.exemplar_ids, strata.sizes, strict=True)):
        mine_M = membership_N[labels_N == stratum]
        counts.append(
            StratumCount(
                stratum=stratum,
                exemplar_id=exemplar,
                n_development=size,
                n_lockbox=len(mine_M),
                share_development=size / sum(strata.sizes),
                share_lockbox=len(mine_M) / len(labels_N),
                mean_membership=float(mine_M.mean()) if len(mine_M) else None,
            )
        )
    return tuple(counts)


def _finite(value: float) -> float | None:
    """Turn what is no number into None, for JSON."""
    return float(value) if np.isfinite(value) else None
