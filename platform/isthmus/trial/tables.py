"""Strata, factors and tests as tables that a spreadsheet opens."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from isthmus.core.files import write_text
from isthmus.stratification.factors import Factors
from isthmus.stratification.partition import NonConvergence
from isthmus.stratification.record import RobustnessReport

STRATA_TABLES = (
    "strata.tsv",
    "strata_stability.tsv",
    "associations.tsv",
    "profiles.tsv",
    "factor_loadings.tsv",
    "phenotypes.tsv",
)


def write_strata_tables(report: RobustnessReport, directory: Path) -> tuple[Path, ...]:
    """Write who is in which stratum, how stable it is, and what was related to it.

    Parameters
    ----------
    report : RobustnessReport
        What the robustness job found.
    directory : Path
        Receives ``strata.tsv`` (a row a subject: stratum and factor scores),
        ``strata_stability.tsv`` (a row a stratum), ``associations.tsv`` (a row a target, all
        families of tests, with replication and null rates), ``profiles.tsv`` (a row a stratum and
        target), ``factor_loadings.tsv`` (a row a phenotype that the factors are made of) and
        ``phenotypes.tsv`` (a row a declared phenotype: used or dropped, and values imputed).

    Returns
    -------
    tuple of Path
        What was written: a table that the outcome does not have is not, and one that an earlier
        outcome left is removed.
    """
    tables = {
        "strata.tsv": _subjects(report),
        "strata_stability.tsv": _stability(report),
        "associations.tsv": pd.DataFrame(list(_tests(report))),
        "profiles.tsv": pd.DataFrame([asdict(profile) for profile in report.profiles]),
        "factor_loadings.tsv": _loadings(report),
        "phenotypes.tsv": pd.DataFrame(list(_phenotypes(report))),
    }
    written = []
    for name, table in tables.items():
        path = directory / name
        if table.empty:
            path.unlink(missing_ok=True)
            continue
        write_text(path, table.to_csv(sep="\t", index=False, na_rep="n/a"))
        written.append(path)
    return tuple(written)


def _subjects(report: RobustnessReport) -> pd.DataFrame:
    """Lay out a row a subject: stratum and factor scores."""
    strata, factors = report.strata, report.factors
    subjects = pd.DataFrame(index=pd.Index(strata.participant_ids, name="participant_id"))
    if not isinstance(strata, NonConvergence):
        subjects["stratum"] = list(strata.labels)
    if isinstance(factors, Factors):
        scores = pd.DataFrame(
            list(factors.scores), index=list(factors.participant_ids), columns=list(factors.names)
        )
        subjects = subjects.join(scores)
    return subjects.reset_index() if len(subjects.columns) else pd.DataFrame()


def _stability(report: RobustnessReport) -> pd.DataFrame:
    """Lay out a row a stratum: its size, who stands for it, and how often it came back."""
    if report.robustness is None or isinstance(report.strata, NonConvergence):
        return pd.DataFrame()
    strata = pd.DataFrame([asdict(found) for found in report.robustness.stability.strata])
    return strata.assign(exemplar=list(report.strata.exemplar_ids))


def _tests(report: RobustnessReport) -> Iterator[dict[str, Any]]:
    """Lay out a row a target: its test, what stands behind it, and how often it came back."""
    for association in report.associations:
        row = asdict(association)
        tested = row.pop("tested") or {}
        row |= {f"tested_{name}": value for name, value in tested.items()}
        found = report.replication(association.kind, association.target)
        for name in (
            *("rate", "null_rate", "null_rate_high", "p_rate"),
            *("p_median", "p_low", "p_high", "effect_median", "effect_low", "effect_high"),
        ):
            prefixed = name if "rate" in name else f"resampled_{name}"
            row[prefixed] = None if found is None else getattr(found, name)
        yield row


def _loadings(report: RobustnessReport) -> pd.DataFrame:
    """Lay out a row a phenotype, a column a factor."""
    factors = report.factors
    if not isinstance(factors, Factors):
        return pd.DataFrame()
    index = pd.Index(factors.phenotypes, name="phenotype")
    loadings = pd.DataFrame(list(factors.loadings), index=index, columns=list(factors.names))
    return loadings.reset_index()


def _phenotypes(report: RobustnessReport) -> Iterator[dict[str, Any]]:
    """Lay out a row a declared phenotype: what became of it on the way into the factors."""
    factors, n = report.factors, report.n_subjects
    dropped = {item.name: item for item in factors.dropped}
    imputed = (
        dict(zip(factors.phenotypes, factors.n_imputed, strict=True))
        if isinstance(factors, Factors)
        else {}
    )
    for name in report.phenotypes:
        out = dropped.get(name)
        yield {
            "phenotype": name,
            "in_factors": "no" if out else "yes",
            "reason": f"{out.reason}" if out else None,
            "missing_share": out.missing_share if out else imputed.get(name, 0) / n,
            "n_imputed": imputed.get(name, 0),
        }
