"""Reports of the robustness job to draw, of any size, without running it.

The numbers are made up of a seed and hang together as the job's would: strata sum up to the
subjects, percentiles belong to their draws, verdicts to their q-values.
"""

from dataclasses import replace

import numpy as np

from isthmus.config.stratification import StratificationConfig, TargetKind
from isthmus.stratification.across import (
    AcrossEncoders,
    Agreement,
    SelectionReport,
    Specification,
    Survival,
    TrialSignificance,
)
from isthmus.stratification.factors import DroppedPhenotype, Factors, NoFactors
from isthmus.stratification.partition import (
    DegeneratePartition,
    NonConvergence,
    Partition,
    SweepPoint,
)
from isthmus.stratification.record import Plane, RobustnessReport
from isthmus.stratification.robustness import (
    MatchedNull,
    Replication,
    Robustness,
    RobustnessScore,
    Stability,
    StratumStability,
)
from isthmus.stratification.tested import Association, FamilyOfTests, Profile, Tested

COLUMNS = ("memory_recall", "memory_recognition", "reaction_time_ms", "processing_speed", "grip_kg")


def make_report(
    n_subjects: int = 120,
    n_strata: int = 5,
    n_factors: int = 3,
    n_phenotypes: int = 5,
    n_categories: int = 2,
    n_draws: int = 60,
    n_nulls: int = 39,
    seed: int = 0,
) -> RobustnessReport:
    """A report with everything in it: one robust target, an unstable one, an untestable one."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"sub-{i:04d}" for i in range(n_subjects))
    centres = rng.normal(scale=3.0, size=(n_strata, 2))
    labels = np.sort(np.arange(n_subjects) % n_strata)
    points = centres[labels] + rng.normal(size=(n_subjects, 2))
    columns = (*COLUMNS, *(f"questionnaire_{i}" for i in range(40)))[:n_phenotypes]
    categories = tuple(f"group_{i}" for i in range(n_categories))
    targets: list[tuple[TargetKind, str]] = [
        *(("factor", f"factor_{i + 1}") for i in range(n_factors)),
        *(("phenotype", name) for name in columns),
        *(("category", name) for name in categories),
    ]
    tests, replications = _tests(targets, n_subjects, n_strata, n_draws, rng)
    return RobustnessReport(
        encoder_id="4f6e2a1c0d3b-fold0",
        table_digest="0" * 64,
        participant_ids=ids,
        n_held_out=n_subjects // 5,
        phenotypes=(*columns, "all_missing"),
        categorical_phenotypes=categories,
        confounds=("age", "sex"),
        config=StratificationConfig(),
        seed=seed,
        strata=_partition(ids, labels, n_strata),
        plane=Plane(tuple((float(x), float(y)) for x, y in points), (0.31, 0.12)),
        factors=_factors(ids, columns, n_factors, rng) if n_factors else _no_factors(),
        tests=tests,
        profiles=_profiles(targets, labels, n_strata, rng),
        robustness=Robustness(
            _stability(labels, n_strata, n_draws, rng), _null(n_nulls, rng), replications
        ),
        score=RobustnessScore(value=0.1, stability=0.25, replication=0.04),
    )


def without_partition(kind: str) -> RobustnessReport:
    """The same where nothing could be clustered: "degenerate", "non_convergence" or "nothing"."""
    report = make_report()
    found = report.strata
    assert isinstance(found, Partition)
    reason = "A stratum must have 2 subjects or more, got one of 1. Lower the preference."
    shared = (found.n_columns, found.n_dropped_columns, "affinity_propagation")
    if kind == "non_convergence":
        strata: DegeneratePartition | NonConvergence = NonConvergence(
            report.participant_ids, *shared, -12.5, found.sweep[-1:], 1000, "No convergence."
        )
    else:
        sizes = (report.n_subjects - 1, 1)
        labels = (0,) * sizes[0] + (1,)
        exemplars = (report.participant_ids[0], report.participant_ids[-1])
        strata = DegeneratePartition(
            report.participant_ids, labels, exemplars, sizes, *shared, -3.0, (), 0, None, reason
        )
    untestable = tuple(
        FamilyOfTests(
            family.kind,
            "holm",
            tuple(
                Association(a.target, a.kind, "untestable", "There is no partition.")
                for a in family.associations
            ),
            0,
            len(family.associations),
            0,
        )
        for family in report.tests
    )
    report = replace(
        report,
        strata=strata,
        tests=untestable,
        profiles=(),
        robustness=None,
        score=RobustnessScore(0.0, 0.0, 0.0),
    )
    if kind == "nothing":
        report = replace(report, plane=None, factors=_no_factors(), tests=(), score=None)
    return report


def _no_factors() -> NoFactors:
    dropped = (DroppedPhenotype("all_missing", "missing", 1.0),)
    return NoFactors(dropped, "None of the 1 declared phenotypes is usable.")


def _partition(ids: tuple[str, ...], labels: np.ndarray, n_strata: int) -> Partition:
    sizes = np.bincount(labels, minlength=n_strata)
    exemplars = tuple(ids[int(np.flatnonzero(labels == k)[0])] for k in range(n_strata))
    counts = sorted({2, 3, n_strata, n_strata + 2, n_strata + 7})
    sweep = [
        SweepPoint(
            setting=-100.0 / count,
            outcome="partition",
            n_strata=count,
            smallest=4,
            silhouette=0.3 - 0.02 * abs(count - n_strata),
            stability=0.6 if abs(count - n_strata) < 3 else None,
            chosen=count == n_strata,
        )
        for count in counts
    ]
    sweep.append(SweepPoint(-200.0, "degenerate_partition", 1, len(ids), None, None, False))
    sweep.append(SweepPoint(-400.0, "non_convergence", None, None, None, None, False))
    return Partition(
        participant_ids=ids,
        labels=tuple(int(k) for k in labels),
        exemplar_ids=exemplars,
        sizes=tuple(int(n) for n in sizes),
        n_columns=512,
        n_dropped_columns=3,
        clusterer="affinity_propagation",
        setting=-100.0 / n_strata,
        sweep=tuple(sweep),
        n_assigned=0,
        silhouette=0.3,
    )


def _factors(
    ids: tuple[str, ...], columns: tuple[str, ...], n_factors: int, rng: np.random.Generator
) -> Factors:
    loadings = np.clip(rng.normal(scale=0.3, size=(len(columns), n_factors)), -0.6, 0.6)
    loadings[np.arange(len(columns)), np.arange(len(columns)) % n_factors] = 0.8
    eigenvalues = tuple(float(v) for v in np.linspace(2.0, 0.3, len(columns)))
    return Factors(
        participant_ids=ids,
        phenotypes=columns,
        dropped=(DroppedPhenotype("all_missing", "missing", 1.0),),
        n_imputed=tuple(int(i == 1) * 4 for i in range(len(columns))),
        n_subjects_all_imputed=1,
        eigenvalues=eigenvalues,
        chance_eigenvalues=tuple(float(v) for v in np.linspace(1.4, 0.6, len(columns))),
        n_above_chance=max(1, n_factors - 1),
        names=tuple(f"factor_{i + 1}" for i in range(n_factors)),
        loadings=tuple(tuple(float(v) for v in row) for row in loadings),
        explained_variance=tuple(float(v) for v in (loadings**2).mean(axis=0)),
        scores=tuple(
            tuple(float(v) for v in row) for row in rng.normal(size=(len(ids), n_factors))
        ),
    )


def _tests(
    targets: list[tuple[TargetKind, str]],
    n_subjects: int,
    n_strata: int,
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[tuple[FamilyOfTests, ...], tuple[Replication, ...]]:
    tested = Tested(n_subjects, n_strata, n_subjects // 2, 9999, None, 90.0, False, 1e-4)
    families, replications = [], []
    for kind in ("factor", "phenotype", "category"):
        names = [name for of, name in targets if of == kind]
        associations = []
        for i, name in enumerate(names):
            if kind == "phenotype" and i == len(names) - 1 and i > 1:
                reason = "It has one value for everybody tested."
                associations.append(Association(name, "phenotype", "untestable", reason))
                continue
            strength = (9.0, 4.0, 0.0)[i % 3]
            p = float(np.clip(10 ** -rng.gamma(1 + strength / 3), 1e-4, 1))
            q = min(1.0, p * 1.5)
            replication = _replication(kind, name, strength, n_draws, rng)
            verdict = "not_significant"
            if q <= 0.05:
                verdict = "robust" if replication.rate >= 0.5 else "significant_but_unstable"
            reason = None
            if verdict == "significant_but_unstable":
                reason = f"Found again in {replication.rate:.0%} of the draws; 50% are asked for."
            effect = 0.02 + 0.02 * strength
            numbers = (effect * n_subjects, effect, p, p / 2, q, min(1.0, p * 2), tested)
            associations.append(Association(name, kind, verdict, reason, *numbers))
            replications.append(replication)
        if associations:
            n_out = sum(a.verdict == "untestable" for a in associations)
            how = "max_t" if kind == "factor" else "holm"
            n_in = len(associations) - n_out
            families.append(FamilyOfTests(kind, how, tuple(associations), n_in, n_out, 2))
    return tuple(families), tuple(replications)


def _replication(
    kind: TargetKind, name: str, strength: float, n_draws: int, rng: np.random.Generator
) -> Replication:
    p = np.clip(10 ** -(rng.gamma(1.5, size=n_draws) * (0.3 + strength / 6)), 1 / 500, 1)
    p = np.ceil(p * 500) / 500
    effect = np.clip(0.03 + 0.02 * strength + rng.normal(scale=0.01, size=n_draws), 0, 1)
    nulls = np.sort(rng.beta(1, 12, size=99))
    rate = float((p < 0.02).mean())
    p_values: list[float | None] = [float(v) for v in p]
    p_values[-1] = None
    return Replication(
        target=name,
        kind=kind,
        p_values=tuple(p_values),
        effect_sizes=(*(float(v) for v in effect[:-1]), None),
        p_median=float(np.median(p[:-1])),
        p_low=float(np.quantile(p[:-1], 0.025)),
        p_high=float(np.quantile(p[:-1], 0.975)),
        effect_median=float(np.median(effect[:-1])),
        effect_low=float(np.quantile(effect[:-1], 0.025)),
        effect_high=float(np.quantile(effect[:-1], 0.975)),
        rate=rate,
        null_rates=tuple(float(v) for v in nulls),
        null_rate=float(nulls.mean()),
        null_rate_high=float(np.quantile(nulls, 0.95)),
        p_rate=float((1 + (nulls >= rate).sum()) / 100),
    )


def _profiles(
    targets: list[tuple[TargetKind, str]],
    labels: np.ndarray,
    n_strata: int,
    rng: np.random.Generator,
) -> tuple[Profile, ...]:
    sizes = np.bincount(labels, minlength=n_strata)
    profiles = []
    for kind, name in targets:
        values = (f"{name}=left", f"{name}=right") if kind == "category" else (name,)
        for value in values:
            for k in range(n_strata):
                n = int(sizes[k])
                mean = float(rng.beta(4, 4) if kind == "category" else rng.normal(scale=0.5))
                profiles.append(Profile(k, value, kind, n, mean, float(0.5 / n**0.5)))
    unknown = replace(profiles[-1], n=0, mean=None, standard_error=None)
    return (*profiles[:-1], unknown)


def _stability(
    labels: np.ndarray, n_strata: int, n_draws: int, rng: np.random.Generator
) -> Stability:
    ari = np.clip(rng.normal(0.7, 0.08, size=n_draws), -0.2, 1)
    ari[0] = 0.0
    sizes = np.bincount(labels, minlength=n_strata)
    strata = []
    for k in range(n_strata):
        jaccard = float(np.linspace(0.9, 0.35, n_strata)[k])
        trust = "stable" if jaccard > 0.75 else "doubtful"
        trust = "not_to_be_trusted" if jaccard < 0.6 else trust
        low, high = max(0.0, jaccard - 0.2), min(1.0, jaccard + 0.1)
        strata.append(StratumStability(k, int(sizes[k]), jaccard, low, high, n_draws - 1, trust))
    counts = rng.integers(max(2, n_strata - 2), n_strata + 3, size=n_draws)
    return Stability(
        n_draws=n_draws,
        n_failed=1,
        ari=tuple(float(v) for v in ari),
        ami=tuple(float(v) for v in ari * 0.95),
        ari_mean=float(ari.mean()),
        ami_mean=float(ari.mean() * 0.95),
        n_strata=(0, *(int(v) for v in counts[1:])),
        n_subjects=tuple(int(v) for v in rng.integers(70, 80, size=n_draws)),
        strata=tuple(strata),
    )


def _null(n_nulls: int, rng: np.random.Generator) -> MatchedNull:
    null = np.clip(rng.normal(0.55, 0.05, size=max(0, n_nulls - 1)), 0, 1)
    observed = 0.69
    mean = float(null.mean()) if null.size else None
    enough = null.size >= 19
    return MatchedNull(
        n_nulls=n_nulls,
        n_failed=min(1, n_nulls),
        n_draws=10,
        family_likeness=0.21,
        observed=observed,
        null=tuple(float(v) for v in null),
        null_mean=mean,
        excess=None if mean is None else observed - mean,
        p_value=float((1 + (null >= observed).sum()) / (1 + null.size)) if enough else None,
        silhouette_null=tuple(float(v) for v in rng.normal(0.1, 0.02, size=null.size)),
        p_silhouette=0.025 if enough else None,
        n_strata=tuple(int(v) for v in rng.integers(3, 9, size=null.size)),
    )


def make_across(n_encoders: int = 5, n_targets: int = 3, seed: int = 0) -> AcrossEncoders:
    """Encoders that agree somewhat; the first target survives, one clustering never works."""
    rng = np.random.default_rng(seed)
    encoders = [f"4f6e2a1c0d3b-fold{i}" for i in range(n_encoders)]
    agreements = tuple(
        Agreement(a, b, 110, float(rng.beta(6, 4)), float(rng.beta(6, 4)))
        for i, a in enumerate(encoders)
        for b in encoders[i + 1 :]
    )
    targets = tuple(f"factor_{i + 1}" for i in range(n_targets))
    specifications = []
    for encoder in encoders:
        for clusterer in ("affinity_propagation", "kmeans", "ward"):
            for components in (None, 10):
                failed = clusterer == "affinity_propagation" and components and encoder[-1] == "1"
                none = (None,) * n_targets
                if failed:
                    outcome = ("non_convergence", None, None, none, none, none)
                else:
                    effect = np.clip(rng.normal(0.02, 0.02, n_targets), 0, 1)
                    effect[:1] += 0.15
                    p = np.clip(np.exp(-60 * effect), 0.005, 1)
                    numbers = [
                        tuple(float(v) for v in a) for a in (effect, p, np.minimum(1, 2 * p))
                    ]
                    outcome = ("partition", int(rng.integers(3, 12)), 0.2, *numbers)
                specifications.append(Specification(encoder, clusterer, components, *outcome))
    survivals = []
    for i, target in enumerate(targets):
        usable = [s for s in specifications if s.effect_sizes[i] is not None]
        found = [s for s in usable if (s.q_values[i] or 0.0) < 0.05]
        share = len(found) / len(specifications)
        effect = float(np.median([s.effect_sizes[i] for s in usable]))
        p = 0.005 if share > 0.5 else 0.6
        survivals.append(Survival(target, len(specifications), len(usable), share, 0.02, p, effect))
    return AcrossEncoders(agreements, targets, tuple(specifications), tuple(survivals), 0.05, 199)


def make_selection(n_trials: int = 8, seed: int = 0) -> SelectionReport:
    """Trials by rising adjusted p-value; the last has nothing that could be tested."""
    rng = np.random.default_rng(seed)
    naive = np.sort(np.clip(rng.uniform(size=n_trials - 1) ** 2, 1e-4, 1))
    trials = [
        TrialSignificance(
            f"trial-{i:02d}", 5, f"factor_{1 + i % 3}", float(p), min(1.0, float(p) * 6)
        )
        for i, p in enumerate(naive)
    ]
    trials.append(TrialSignificance(f"trial-{n_trials - 1:02d}", 0, None, None, None))
    return SelectionReport(tuple(trials), 15 * (n_trials - 1), 9999)
