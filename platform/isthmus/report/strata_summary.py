"""Tables of one report of the robustness job."""

from isthmus.report.strata_words import (
    EFFECTS,
    KINDS,
    STATISTICS,
    TRUSTS,
    VERDICTS,
    interval,
    no_partition_because,
    number,
)
from isthmus.report.table import Table
from isthmus.stratification.factors import Factors
from isthmus.stratification.partition import NonConvergence
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.tested import Association, FamilyOfTests


def robustness_tables(report: RobustnessReport, leaky: bool = False) -> tuple[Table, ...]:
    """Put a report into tables: clustering, strata, stability, tests, phenotypes.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    leaky : bool
        Whether normalisation saw the held-out subjects; then every title says so.

    Returns
    -------
    tuple of Table
        Tables without a row are left out; what could not be computed stands there as a reason.
    """
    tables = [clustering_table(report), strata_sizes_table(report), stability_table(report)]
    tables += [tests_table(report, family) for family in report.tests]
    tables += [factors_table(report)]
    return tuple(table.labelled(leaky) for table in tables if table.rows)


def clustering_table(report: RobustnessReport) -> Table:
    """Show what was clustered, how, and what came of it.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    Table
        One row a fact.
    """
    strata = report.strata
    rows = [
        ("encoder", report.encoder_id),
        ("subjects (of them unseen in training)", f"{report.n_subjects} ({report.n_held_out})"),
        ("columns (without variance, dropped)", _of(strata.n_columns, strata.n_dropped_columns)),
        ("clusterer", strata.clusterer.replace("_", " ")),
        ("setting (candidates of the sweep)", _of(number(strata.setting), len(strata.sweep))),
    ]
    if isinstance(strata, NonConvergence):
        rows.append(("strata", f"none after {strata.n_iterations} iterations"))
    else:
        rows.append(("strata", str(len(strata.sizes))))
        rows.append(("silhouette", number(strata.silhouette)))
        rows.append(("subjects assigned afterwards", str(strata.n_assigned)))
    reason = no_partition_because(report)
    if reason:
        rows.append(("outcome", reason))
    if report.score:
        rows.append(("robustness score, in [0, 1]", number(report.score.value)))
        rows.append(("its part from stability", number(report.score.stability)))
        rows.append(("its part from replication", number(report.score.replication)))
    note = (
        "Score = sqrt(stability x replication), both net of what chance gives; for searches to "
        "use. The silhouette describes, it does not test."
    )
    return Table("Clustering", ("what", "value"), tuple(rows), note)


def strata_sizes_table(report: RobustnessReport) -> Table:
    """Show each stratum with how well it is found again.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    Table
        One row a stratum; none where the clusterer gave up.
    """
    strata = report.strata
    sizes = () if isinstance(strata, NonConvergence) else strata.sizes
    exemplars = () if isinstance(strata, NonConvergence) else strata.exemplar_ids
    found = report.robustness.stability.strata if report.robustness else ()
    of_stratum = {one.stratum: one for one in found}
    rows = []
    for stratum, (size, exemplar) in enumerate(zip(sizes, exemplars, strict=True)):
        one = of_stratum.get(stratum)
        again = (
            (interval(one.jaccard, one.jaccard_low, one.jaccard_high), str(one.n_draws))
            if one
            else ("-", "-")
        )
        rows.append((str(stratum), str(size), exemplar, *again, TRUSTS[one.trust] if one else "-"))
    columns = ("stratum", "subjects", "exemplar", "Jaccard [95 % of draws]", "draws", "trust")
    note = (
        "Jaccard: overlap with the best match in each draw, mean. Above 0.75 stable, below 0.6 not "
        "to be trusted (Hennig 2007): a convention, with no null behind it."
    )
    return Table("Strata", columns, tuple(rows), note)


def stability_table(report: RobustnessReport) -> Table:
    """Show the stability of the partition beside that of clouds without strata.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    Table
        One row a number; none where nothing was resampled.
    """
    columns = ("what", "value")
    if report.robustness is None:
        return Table("Stability against its null", columns, ())
    stability, null = report.robustness.stability, report.robustness.matched_null
    rows = (
        ("draws (failed: they count as 0)", _of(stability.n_draws, stability.n_failed)),
        ("ARI with the whole partition, mean", number(stability.ari_mean)),
        ("AMI with the whole partition, mean", number(stability.ami_mean)),
        ("strata in the draws", _range(stability.n_strata)),
        (f"observed: mean ARI over {null.n_draws} draws", number(null.observed)),
        ("null clouds (without a partition, left out)", _of(null.n_nulls, null.n_failed)),
        (f"null: mean ARI over {null.n_draws} draws, mean", number(null.null_mean)),
        ("strata in the nulls", _range(null.n_strata)),
        ("excess: observed - null", number(null.excess)),
        ("p of the excess", number(null.p_value)),
        ("p of the silhouette", number(null.p_silhouette)),
        ("likeness of relatives given to the nulls", number(null.family_likeness)),
    )
    note = (
        "Nulls: one Gaussian of the same covariance spectrum. Stability of the null is what "
        "cutting any cloud gives; only the excess speaks for strata."
    )
    return Table("Stability against its null", columns, rows, note)


def tests_table(report: RobustnessReport, family: FamilyOfTests) -> Table:
    """Show one family of tests.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    family : FamilyOfTests
        One of its families.

    Returns
    -------
    Table
        One row a target, untestable ones too.
    """
    effect = EFFECTS[family.kind]
    columns = (
        "target",
        STATISTICS[family.kind],
        effect,
        f"{effect} in draws [95 %]",
        "p",
        "q",
        "family-wise p",
        "replication rate",
        "null rate: mean, 95th percentile",
        "p of the rate",
        "verdict",
        "reason",
    )
    rows = tuple(_test_row(report, association) for association in family.associations)
    return Table(f"Strata against {KINDS[family.kind]}", columns, rows, _tests_note(report, family))


def factors_table(report: RobustnessReport) -> Table:
    """Show which declared phenotypes were dropped or imputed for the factors.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    Table
        One row a phenotype that is not whole; none where all are.
    """
    factors = report.factors
    rows = [
        (column.name, f"dropped: {column.reason}", f"{column.missing_share:.1%} missing")
        for column in factors.dropped
    ]
    if isinstance(factors, Factors):
        rows += [
            (name, "imputed by the median", f"{count} of {len(factors.participant_ids)} values")
            for name, count in zip(factors.phenotypes, factors.n_imputed, strict=True)
            if count
        ]
        note = (
            f"{len(factors.names)} factors of {len(factors.phenotypes)} phenotypes; "
            f"{factors.n_above_chance} eigenvalues above chance. "
            f"{factors.n_subjects_all_imputed} subjects have none of them and sit at the medians."
        )
    else:
        note = factors.reason
        rows = rows or [("-", "no factors", "-")]
    columns = ("phenotype", "what happened", "how much")
    return Table("Phenotypes dropped or imputed for the factors", columns, tuple(rows), note)


def _test_row(report: RobustnessReport, association: Association) -> tuple[str, ...]:
    """Write one target's test and how often it came back."""
    again = report.replication(association.kind, association.target)
    draws = ("-",) * 4
    if again is not None:
        draws = (
            interval(again.effect_median, again.effect_low, again.effect_high),
            f"{again.rate:.0%}",
            f"{again.null_rate:.1%}, {again.null_rate_high:.1%}",
            number(again.p_rate),
        )
    return (
        association.target,
        number(association.statistic),
        number(association.effect_size),
        draws[0],
        number(association.p_permutation),
        number(association.q_value),
        number(association.p_family_wise),
        *draws[1:],
        VERDICTS[association.verdict],
        association.reason or "",
    )


def _tests_note(report: RobustnessReport, family: FamilyOfTests) -> str:
    """Say what stands behind the numbers of one family of tests."""
    config = report.config
    blocks = "families" if config.blocks == "families" else "subjects, families IGNORED"
    how = "max-T" if family.family_wise == "max_t" else "Holm"
    false_discoveries = "BH" if config.correction == "fdr_bh" else "BY"
    said = [
        f"{family.n_testable} testable, {family.n_untestable} untestable and left out of the "
        f"correction. p by permutation of {blocks}; q: false discovery rate ({false_discoveries}), "
        f"significant at q <= {config.alpha:g}; family-wise: {how}."
    ]
    if report.confounds:
        said.append(
            f"Regressed out: {', '.join(report.confounds)} ({family.n_missing_confounds} subjects "
            "without them left out)."
        )
    if report.robustness is not None:
        said.append(
            "Replication rate: share of the draws with q below the level, beside the same under "
            f"permuted phenotypes. Robust asks for {config.robustness.min_replication_rate:.0%}."
        )
    return " ".join(said)


def _of(value: object, part: object) -> str:
    """Write a number with another in brackets."""
    return f"{value} ({part})"


def _range(counts: tuple[int, ...]) -> str:
    """Write the smallest and the largest of the counts that are not 0."""
    found = [count for count in counts if count]
    return f"{min(found)} to {max(found)}" if found else "-"
