"""Errors of held-out subjects by group: how much larger one group's are than another's.

Margins have no part in it: estimates and their errors go into the evidence, the gate holds them
against its margin. Nothing of a single subject does.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.regression.linear_model import OLS

from isthmus.cohort.participants import Participants
from isthmus.core.errors import CohortError, ConfigError
from isthmus.promotion.evidence.record import GroupsEvidence, PairEvidence
from isthmus.training.controls import MODEL
from isthmus.trial.fold import FIDELITY_FILE

SITE = "site"
_MOST_GROUPS, _MOST_NUMBERS = 40, 10
_LEAST_FAMILIES = 2
# A row that alone decides a coefficient is fitted exactly: nothing tells how far off it is.
_WHOLE_LEVERAGE = 1 - 1e-9

FloatArray = npt.NDArray[np.float64]


def read_fidelity(folder: Path) -> pd.DataFrame:
    """Read what the held-out subjects of a fold scored.

    Parameters
    ----------
    folder : Path
        Of the fold.

    Returns
    -------
    DataFrame
        Columns ``control``, ``participant_id``, ``modality``, ``metric``, ``value``.

    Raises
    ------
    ConfigError
        If there is no such table, or it cannot be read.
    """
    path = folder / FIDELITY_FILE
    text = dict.fromkeys(("control", "participant_id", "modality", "metric"), str)
    try:
        table = pd.read_csv(
            path, sep="\t", dtype=text, keep_default_na=False, na_values={"value": ["n/a"]}
        )
        return table[[*text, "value"]].astype({"value": np.float64})
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{path}: must be the table of the held-out subjects' scores, but cannot be read "
            f"({error!s:.120}). Run the training again."
        ) from None


def subject_errors(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Give each held-out subject one error.

    Parameters
    ----------
    tables : sequence of DataFrame
        As `read_fidelity` reads them, one a fold.

    Returns
    -------
    DataFrame
        Columns ``participant_id``, ``fold`` (position in `tables`), ``log_error``: the mean over
        modalities of the logarithm of the model's squared error. Subjects without an image of some
        modality are left out, for modalities differ in their errors; so are errors of 0.
    """
    rows = []
    for position, table in enumerate(tables):
        own = table[(table["control"] == MODEL) & (table["metric"] == "mse")]
        wide = own.pivot(index="participant_id", columns="modality", values="value").dropna()
        wide = wide[(wide > 0).all(axis=1)]
        log_error = np.log(wide).mean(axis=1)
        rows.append(
            pd.DataFrame({"participant_id": wide.index, "fold": position, "log_error": log_error})
        )
    return pd.concat(rows, ignore_index=True)


def compare_groups(
    errors: pd.DataFrame, participants: Participants, columns: Sequence[str]
) -> tuple[GroupsEvidence, ...]:
    """Compare the errors of all pairs of groups that columns make.

    Parameters
    ----------
    errors : DataFrame
        As `subject_errors` gives them.
    participants : Participants
        Everybody in `errors`, at least.
    columns : sequence of str
        Columns of categories; ``site`` is the cohort's site, whatever its column is called.

    Returns
    -------
    tuple of GroupsEvidence
        One a column, with the reason where it makes no groups.

    Notes
    -----
    Estimated is log(error of one group / error of the other) *within folds*, by least squares with
    an intercept for each fold, for folds have encoders of their own. Relatives are no independent
    witnesses: members of one family and group count as one, by their mean. Relatives in different
    groups are taken as unrelated, which widens the interval where they are alike. Standard errors
    are HC3 [1]_, which unequal variances do not mislead; the t distribution has one degree of
    freedom less than the smaller group has families, the fewest that Welch's could have.

    It tells of these folds' encoders: others trained anew may treat groups otherwise.

    References
    ----------
    .. [1] MacKinnon & White (1985), J. Econometrics 29, 305-325.
    """
    families = participants.families
    known = errors.assign(family=errors["participant_id"].map(families))
    return tuple(_of_column(known, participants, column) for column in columns)


def _of_column(errors: pd.DataFrame, participants: Participants, column: str) -> GroupsEvidence:
    """Compare the groups of one column."""
    try:
        groups = group_labels(participants, column)
    except CohortError as error:
        return GroupsEvidence(column, (), 0, str(error))
    labelled = errors.assign(group=errors["participant_id"].map(groups))
    n_unknown = int(labelled["group"].isna().sum())
    labelled = labelled.dropna(subset=["group"])
    names = sorted(labelled["group"].unique())
    if len(names) < 2:
        who = f"all known are {names[0]!r}" if names else "no value is known"
        return GroupsEvidence(
            column, (), n_unknown, f"Held-out subjects must be of two groups, but {who}."
        )
    pairs = tuple(_pair(labelled, a, b) for a, b in combinations(names, 2))
    return GroupsEvidence(column, pairs, n_unknown)


def group_labels(participants: Participants, column: str) -> "pd.Series[Any]":
    """Read a column as labels of groups.

    Parameters
    ----------
    participants : Participants
        Those who are grouped.
    column : str
        A column; ``site`` is the cohort's site, whatever its column is called.

    Returns
    -------
    Series of str
        By participant_id; missing where the value is.

    Raises
    ------
    CohortError
        If there is no such column, or it makes no groups.
    """
    name = participants.site if column == SITE and participants.site else column
    values = participants.column(name)
    distinct = values.dropna().unique()
    numeric = pd.api.types.is_numeric_dtype(values)
    most = _MOST_NUMBERS if numeric else _MOST_GROUPS
    if len(distinct) > most:
        what = "numbers" if numeric else "values"
        raise CohortError(
            f"Column '{name}' must be of groups, of at most {most} {what}, but it has "
            f"{len(distinct)}. Add a column of groups to the participants table."
        )
    labels = values.map(lambda value: f"{value:g}" if numeric else str(value), na_action="ignore")
    return labels.astype(object)


def _pair(labelled: pd.DataFrame, group: str, other: str) -> PairEvidence:
    """Estimate the log ratio of two groups' errors."""
    both = labelled[labelled["group"].isin([group, other])]
    of_group, of_other = both[both["group"] == group], both[both["group"] == other]
    counts = (
        len(of_group),
        len(of_other),
        of_group["family"].nunique(),
        of_other["family"].nunique(),
    )
    estimate = _estimate(both, group)
    return PairEvidence(group, other, *counts, *(estimate or (None, None, None)))


def _estimate(both: pd.DataFrame, group: str) -> tuple[float, float, float] | None:
    """Fit fold intercepts and the difference; None where it cannot be told from them."""
    means = both.groupby(["fold", "family", "group"], sort=True)["log_error"].mean().reset_index()
    means = means[means.groupby("fold")["group"].transform("nunique") == 2]
    is_group_N = (means["group"] == group).to_numpy(dtype=np.float64)
    fewest = int(min(is_group_N.sum(), len(means) - is_group_N.sum()))
    if fewest < _LEAST_FAMILIES:
        return None
    folds = sorted(means["fold"].unique())
    columns = [is_group_N, *((means["fold"] == fold).to_numpy(np.float64) for fold in folds)]
    x_NK: FloatArray = np.column_stack(columns)
    if len(x_NK) <= x_NK.shape[1] or _leverages(x_NK).max() > _WHOLE_LEVERAGE:
        return None
    fitted = OLS(means["log_error"].to_numpy(), x_NK).fit(cov_type="HC3", use_t=True)
    error = float(fitted.bse[0])
    if not error > 0 or not np.isfinite(error):
        return None
    freedom = min(fewest - 1, len(x_NK) - x_NK.shape[1])
    return float(fitted.params[0]), error, float(freedom)


def _leverages(x_NK: FloatArray) -> FloatArray:
    """Compute how far each row decides its own fitted value, from 0 to 1."""
    q_NK, _ = np.linalg.qr(x_NK)
    return cast("FloatArray", (q_NK**2).sum(axis=1))
