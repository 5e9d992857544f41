"""What a stratum looks like, by hand."""

import numpy as np
import pytest

from isthmus.stratification import tested
from isthmus.stratification.partition import DegeneratePartition, Partition
from isthmus.stratification.profiles import make_profiles
from isthmus.stratification.targets import TargetGroup

LABELS = (0, 0, 0, 0, 1, 1, 1, 2)
VALUES = np.array([1.0, 2.0, np.nan, 4.0, -1.0, -3.0, -2.0, np.nan])
SMOKES = np.array([1.0, 0.0, 0.0, 0.0, 1.0, np.nan, 1.0, 1.0])


def group(values: np.ndarray, levels: tuple[str, ...] = ()) -> TargetGroup:
    """One target; a confound of the first subject is not known, so it is not tested."""
    return TargetGroup(
        kind="category" if levels else "phenotype",
        names=("smoking" if levels else "grip",),
        places=(0,),
        reasons=(None,),
        levels=levels,
        values_AV=values,
        rows_N=np.flatnonzero(~np.isnan(values[:, 0]))[1:],
        families=None,
        kinship=None,
        confounds_NC=None,
        n_missing_confounds=1,
    )


def strata(kind: type = Partition, **more: object) -> Partition:
    return kind(
        participant_ids=tuple("abcdefgh"), labels=LABELS, exemplar_ids=("a", "e", "h"),
        sizes=(4, 3, 1), n_columns=2, n_dropped_columns=0, clusterer="kmeans", setting=3.0,
        sweep=(), n_assigned=0, silhouette=0.5, **more,
    )  # fmt: skip


GROUPS = (
    group(VALUES[:, None]),
    group(np.column_stack([1 - SMOKES, SMOKES]), levels=("no", "yes")),
)


def test_means_and_standard_errors_by_stratum() -> None:
    profiles = make_profiles(GROUPS, strata())
    assert [(p.stratum, p.target) for p in profiles] == [
        (k, name) for k in range(3) for name in ("grip", "smoking=no", "smoking=yes")
    ]
    first = profiles[0]
    assert (first.n, first.mean) == (3, pytest.approx(7 / 3))
    assert first.standard_error == pytest.approx(np.std([1, 2, 4], ddof=1) / np.sqrt(3))
    assert profiles[3].mean == pytest.approx(-2.0)
    yes = profiles[2]
    assert (yes.kind, yes.n, yes.mean) == ("category", 4, 0.25)
    assert yes.standard_error == pytest.approx(np.sqrt(0.25 * 0.75 / 3))


def test_one_member_has_no_standard_error_and_nobody_no_mean() -> None:
    grip, _, smokes = make_profiles(GROUPS, strata())[-3:]
    assert grip == tested.Profile(2, "grip", "phenotype", 0, None, None)
    assert smokes == tested.Profile(2, "smoking=yes", "category", 1, 1.0, None)


def test_without_a_partition_there_is_nothing_to_show() -> None:
    assert make_profiles(GROUPS, strata(DegeneratePartition, reason="one alone")) == ()
