"""Evidence on trials to judge, of any quality, without running them."""

from dataclasses import replace
from typing import Any

from isthmus.cohort.lockbox import Look
from isthmus.promotion.evidence.record import (
    Check,
    FoldEvidence,
    GroupsEvidence,
    LatencyEvidence,
    PairEvidence,
    SelectionEvidence,
    StrataEvidence,
    TrialEvidence,
)
from isthmus.promotion.lockbox.record import ErrorRatio, LockboxReport, LockboxSubject
from isthmus.promotion.lockbox.replicated import ProfileAgreement, TargetReplication

N_FOLDS = 5
# What folds differ by, so that intervals have a width; it sums up to 0.
JITTER = (-0.02, -0.01, 0.0, 0.01, 0.02)


def make_fold(number: int, **changes: Any) -> FoldEvidence:
    """A fold of a good model; its modalities are T1w, twice as hard, and FA."""
    jitter = 1 + JITTER[number]
    metrics = {}
    for suffix, scale in (("", 1.5), ("/T1w", 2.0), ("/FA", 1.0)):
        error = 0.01 * scale
        metrics |= {
            f"validation_mse{suffix}": error * jitter,
            f"mean_image_mse{suffix}": error * 4,
            f"pca_mse{suffix}": error * 2,
            f"embedding_shuffle_mse{suffix}": error * 1.5,
            f"validation_cnr_ratio{suffix}": 0.9 * jitter,
        }
    fold = FoldEvidence(
        number=number,
        encoder_id=f"4f6e2a1c0d3b-fold{number}",
        n_train=80,
        n_validation=20,
        n_parameters=1_000_000,
        metrics=metrics,
        losses=(1.0, 0.5, *(0.1,) * 18),
        monitored=False,
        leaky=False,
        strata=StrataEvidence("partition", "factor", 3, ("factor_1",), 0.2, 0.025),
    )
    return replace(fold, **changes)


def make_pair(log_ratio: float | None = 0.02, error: float | None = 0.05) -> PairEvidence:
    """Two groups of fifty subjects."""
    freedom = None if error is None else 40.0
    return PairEvidence("F", "M", 50, 50, 41, 41, log_ratio, error, freedom)


def make_evidence(**changes: Any) -> TrialEvidence:
    """A trial that passes every gate of the standard file."""
    evidence = TrialEvidence(
        digest="4f6e2a1c0d3b" + "0" * 52,
        name="example",
        number=3,
        identity={"images": "i" * 64, "participants": "p" * 64, "split": "s" * 64},
        modalities=("T1w", "FA"),
        embedding_size=64,
        leaky=False,
        failures=(),
        folds=tuple(make_fold(i) for i in range(N_FOLDS)),
        selection=SelectionEvidence("factor_1", 0.001, 0.01, 12, True),
        groups=(GroupsEvidence("sex", (make_pair(),)), GroupsEvidence("site", (make_pair(),))),
        integrity=(Check("trial.json", "its digest is that of its identity", True),),
        latency=LatencyEvidence((0.1, 0.2, 0.3), 0.2, "cpu", "a machine"),
    )
    return replace(evidence, **changes)


def with_metric(evidence: TrialEvidence, name: str, factor: float | None) -> TrialEvidence:
    """Multiply one metric in every fold, or take it out of the last one."""
    folds = []
    for fold in evidence.folds:
        metrics = dict(fold.metrics)
        if factor is not None:
            metrics[name] *= factor
        elif fold.number == N_FOLDS - 1:
            del metrics[name]
        folds.append(replace(fold, metrics=metrics))
    return replace(evidence, folds=tuple(folds))


def with_strata(evidence: TrialEvidence, n_folds: int, **changes: Any) -> TrialEvidence:
    """Change what was found of the strata in the first folds."""
    folds = (
        replace(fold, strata=replace(fold.strata, **changes)) if fold.number < n_folds else fold
        for fold in evidence.folds
    )
    return replace(evidence, folds=tuple(folds))


def make_replication(verdict: str = "replicated", target: str = "factor_1") -> TargetReplication:
    """A finding of development that was asked again."""
    return TargetReplication(
        target=target,
        kind="factor",
        verdict=verdict,  # type: ignore[arg-type]
        reason=None,
        development_verdict="robust",
        development_effect_size=0.2,
        development_q_value=0.01,
        statistic=None,
        effect_size=None,
        p_value=None,
        p_adjusted=None,
        profiles=ProfileAgreement(None, 0, 0),
        tested=None,
    )


def make_lockbox(**changes: Any) -> LockboxReport:
    """What a first look at twenty subjects of ten families found of a good model."""
    subjects = tuple(
        LockboxSubject(
            f"sub-{i:02d}",
            0,
            0.5,
            {"model": 0.01 * (1 + 0.01 * i), "mean_image": 0.04, "pca": 0.02},
        )
        for i in range(20)
    )
    report = LockboxReport(
        encoder_id="4f6e2a1c0d3b-fold0",
        label="fold 0",
        leaky=False,
        looks=(Look("2024-01-01T00:00:00+00:00", "a model"),),
        store_digest="d" * 64,
        n_sealed=20,
        n_unlisted=0,
        n_without_images=0,
        n_subjects=20,
        n_families=10,
        fidelity=(),
        ratios=(ErrorRatio("all", 0.011, 0.01, 1.1), ErrorRatio("T1w", 0.03, 0.01, 3.0)),
        subjects=subjects,
        strata=(),
        no_strata_because=None,
        rule_agreement=None,
        table_digest="t" * 64,
        n_development_subjects=100,
        n_development_tests=3,
        alpha=0.05,
        replications=(make_replication(), make_replication("not_replicated", "factor_2")),
    )
    return replace(report, **changes)
