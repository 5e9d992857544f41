"""Strata and factors as tables that a spreadsheet opens."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from isthmus.core.files import write_text
from isthmus.stratification.factors import Factors
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.strata import NonConvergence


def write_strata_tables(report: RobustnessReport, directory: Path) -> None:
    """Write who is in which stratum, the factors' loadings, and the tests.

    Parameters
    ----------
    report : RobustnessReport
        What the stratification job found.
    directory : Path
        Receives ``strata.tsv`` (a row a subject: stratum and factor scores),
        ``factor_loadings.tsv`` (a row a phenotype) and ``associations.tsv`` (a row a factor); a
        table that the outcome does not have is not written.
    """
    strata, factors = report.strata, report.factors
    subjects = pd.DataFrame(index=pd.Index(strata.participant_ids, name="participant_id"))
    if not isinstance(strata, NonConvergence):
        subjects["stratum"] = list(strata.labels)
    if isinstance(factors, Factors):
        scores = pd.DataFrame(
            list(factors.scores), index=list(factors.participant_ids), columns=list(factors.names)
        )
        subjects = subjects.join(scores)
        loadings = pd.DataFrame(
            list(factors.loadings),
            index=pd.Index(factors.phenotypes, name="phenotype"),
            columns=list(factors.names),
        )
        _write(loadings.reset_index(), directory / "factor_loadings.tsv")
    if len(subjects.columns):
        _write(subjects.reset_index(), directory / "strata.tsv")
    if report.associations:
        rows = pd.DataFrame([asdict(association) for association in report.associations])
        _write(rows, directory / "associations.tsv")


def _write(table: pd.DataFrame, path: Path) -> None:
    """Write a tab-separated table, missing values as BIDS has them."""
    write_text(path, table.to_csv(sep="\t", index=False, na_rep="n/a"))
