"""The records of encoders and of trials: written, read back, and refused."""

import json

import pytest

from isthmus.core.errors import StratificationError
from isthmus.stratification.across import (
    AcrossEncoders,
    Agreement,
    SelectionReport,
    Specification,
    Survival,
    TrialSignificance,
)


@pytest.fixture
def across() -> AcrossEncoders:
    """Two encoders, of which one gave a partition."""
    return AcrossEncoders(
        agreements=(Agreement("a", "b", 50, 0.5, 0.4),),
        targets=("factor_1", "factor_2"),
        specifications=(
            Specification(
                "a", "kmeans", None, "partition", 3, 0.2, (0.1, None), (0.005, None), (0.01, None)
            ),
            Specification(
                "b",
                "ward",
                10,
                "non_convergence",
                None,
                None,
                (None, None),
                (None,) * 2,
                (None,) * 2,
            ),
        ),
        survivals=(
            Survival("factor_1", 2, 1, 0.5, 0.01, 0.005, 0.1),
            Survival("factor_2", 2, 0, 0.0, 0.0, 1.0, None),
        ),
        alpha=0.05,
        n_permutations=199,
    )


@pytest.fixture
def selection() -> SelectionReport:
    """A trial, and one that failed."""
    return SelectionReport(
        trials=(
            TrialSignificance("t1", 5, "factor_1", 0.001, 0.04),
            TrialSignificance("t0", 0, None, None, None),
        ),
        n_statistics=10,
        n_permutations=999,
    )


def test_across_encoders_comes_back_equal(across: AcrossEncoders) -> None:
    assert AcrossEncoders.from_json(across.to_json()) == across


def test_selection_comes_back_equal(selection: SelectionReport) -> None:
    assert SelectionReport.from_json(selection.to_json()) == selection


def test_what_is_no_record_is_refused(across: AcrossEncoders, selection: SelectionReport) -> None:
    damaged = json.loads(across.to_json())
    del damaged["targets"]
    future = json.loads(selection.to_json()) | {"schema_version": 2}
    for text in ("{", "[]", json.dumps(damaged), selection.to_json()):
        with pytest.raises(StratificationError, match="no record"):
            AcrossEncoders.from_json(text)
    with pytest.raises(StratificationError, match="no record"):
        SelectionReport.from_json(json.dumps(future))
