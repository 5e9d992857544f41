"""The robustness job in two tables for a terminal: each encoder, and each target over encoders."""

from collections import Counter
from collections.abc import Mapping
from statistics import mean, median

from isthmus.report.strata_words import (
    EFFECTS,
    VERDICTS,
    number,
    report_in_words,
)
from isthmus.report.table import Table
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.tested import Association


def overview_tables(
    reports: Mapping[str, RobustnessReport], leaky: bool = False
) -> tuple[Table, ...]:
    """Show what matters of one or several encoders; the rest is in each one's own tables.

    Parameters
    ----------
    reports : Mapping of str to RobustnessReport
        By the name of the encoder, at least one.
    leaky : bool
        Whether normalisation saw the held-out subjects.

    Returns
    -------
    tuple of Table
        Encoders, and targets where there are any.
    """
    tables = (encoders_table(reports), findings_table(reports))
    return tuple(table.labelled(leaky) for table in tables if table.rows)


def encoders_table(reports: Mapping[str, RobustnessReport]) -> Table:
    """Show each encoder's strata, their stability, and how many targets they relate to.

    Parameters
    ----------
    reports : Mapping of str to RobustnessReport
        By the name of the encoder.

    Returns
    -------
    Table
        One row an encoder.
    """
    rows = tuple(
        (name, str(report.n_subjects), *report_in_words(report)) for name, report in reports.items()
    )
    columns = (
        "encoder",
        "subjects",
        "strata",
        "stability (ARI)",
        "robust / significant / testable",
        "robustness score",
    )
    note = (
        "Stability: mean over resamples, and its excess over clouds of the same spectrum without "
        "strata; only the excess speaks for strata."
    )
    return Table("Strata", columns, rows, note)


def findings_table(reports: Mapping[str, RobustnessReport]) -> Table:
    """Show each target over all encoders.

    Parameters
    ----------
    reports : Mapping of str to RobustnessReport
        By the name of the encoder.

    Returns
    -------
    Table
        One row a target.
    """
    by_target: dict[tuple[str, str], list[tuple[RobustnessReport, Association]]] = {}
    for report in reports.values():
        for association in report.associations:
            by_target.setdefault((association.kind, association.target), []).append(
                (report, association)
            )
    rows = tuple(_finding(found) for found in by_target.values())
    several = "; over encoders: median, p and q the range" if len(reports) > 1 else ""
    columns = (
        "target",
        "kind",
        "effect",
        "p",
        "q",
        "replication rate",
        "null rate",
        "verdict",
    )
    note = (
        f"Effect: {EFFECTS['factor']}, {EFFECTS['category']} for categories{several}. p by "
        "permutation of families, q: false discovery rate over the targets of a kind. Replication: "
        "share of resamples with q below the level, beside the same under permuted phenotypes. "
        "Reasons and intervals: robustness.md of each encoder."
    )
    return Table("What the strata relate to", columns, rows, note)


def _finding(found: list[tuple[RobustnessReport, Association]]) -> tuple[str, ...]:
    """Write one target."""
    associations = [association for _, association in found]
    first = associations[0]
    again = [
        replication
        for report, association in found
        if (replication := report.replication(association.kind, association.target)) is not None
    ]
    effects = [a.effect_size for a in associations if a.effect_size is not None]
    p_values = [a.p_permutation for a in associations if a.p_permutation is not None]
    q_values = [a.q_value for a in associations if a.q_value is not None]
    return (
        first.target,
        first.kind,
        number(median(effects) if effects else None),
        _range(p_values),
        _range(q_values),
        f"{median(r.rate for r in again):.0%}" if again else "-",
        f"{mean(r.null_rate for r in again):.1%}" if again else "-",
        _verdicts(associations),
    )


def _range(values: list[float]) -> str:
    """Write one value, or the smallest and the largest."""
    if not values:
        return "-"
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def _verdicts(associations: list[Association]) -> str:
    """Write one verdict, or count them."""
    counts = Counter(association.verdict for association in associations)
    if len(counts) == 1:
        return VERDICTS[associations[0].verdict]
    return ", ".join(
        f"{counts[verdict]} {word}" for verdict, word in VERDICTS.items() if counts[verdict]
    )
