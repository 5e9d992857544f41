"""What must not matter to the whole job does not: rotation, units, names of families and values."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ortho_group

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import RobustnessReport, Variables, stratify
from isthmus.stratification.partition import Partition

N = 60
RNG = np.random.default_rng(81)
STRATUM = np.repeat(np.arange(3), 20)
IDS = tuple(f"sub-{i:02d}" for i in range(N))
CONFIG = StratificationConfig.model_validate(
    {
        "n_permutations": 199,
        "robustness": {
            "n_draws": 6,
            "n_null_draws": 2,
            "n_matched_nulls": 19,
            "n_null_phenotypes": 39,
        },
    }
)


def whitened() -> np.ndarray:
    """Strata in six columns of covariance one: rotated, they are still standardised."""
    values = (4.0 * RNG.standard_normal((3, 6)))[STRATUM] + RNG.standard_normal((N, 6))
    left, _, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    return left * np.sqrt(N)


VALUES = whitened()
FRAME = pd.DataFrame(
    {
        "x": STRATUM + RNG.standard_normal(N),
        "y": RNG.standard_normal(N),
        "age": RNG.uniform(20, 80, N),
        "hand": RNG.choice(["left", "right", "both"], N),
        "family": [f"fam-{i // 3:02d}" for i in range(N)],
    },
    index=pd.Index(IDS, name="participant_id"),
)


def run(values: np.ndarray, frame: pd.DataFrame, ids: tuple[str, ...] = IDS) -> RobustnessReport:
    table = EmbeddingTable("e", ids, values, ("validation",) * N)
    variables = Variables(("x", "y"), ("hand",), ("age",))
    return stratify(table, Participants(frame, "family"), CONFIG, variables, seed=5)


PLAIN = run(VALUES, FRAME)


def require_same_findings(found: RobustnessReport) -> None:
    """Compare strata, tests and robustness; factors' signs and digests may differ."""
    assert isinstance(PLAIN.strata, Partition)
    assert isinstance(found.strata, Partition)
    assert len(PLAIN.strata.sizes) > 1
    assert found.strata.labels == PLAIN.strata.labels
    assert found.tests == PLAIN.tests
    assert found.robustness is not None
    assert PLAIN.robustness is not None
    assert found.robustness.replications == PLAIN.robustness.replications
    assert found.robustness.stability == PLAIN.robustness.stability
    ours, theirs = found.robustness.matched_null, PLAIN.robustness.matched_null
    assert ours.null == pytest.approx(theirs.null)
    assert (ours.p_value, ours.n_strata) == (theirs.p_value, theirs.n_strata)


def test_rotating_a_standardised_embedding() -> None:
    rotation = ortho_group.rvs(6, random_state=np.random.default_rng(0))
    require_same_findings(run(VALUES @ rotation, FRAME))


def test_units_of_phenotypes_and_confounds() -> None:
    scaled = FRAME.assign(x=FRAME["x"] * 1024, y=FRAME["y"] / 8, age=FRAME["age"] * 16)
    require_same_findings(run(VALUES, scaled))


def test_names_of_families() -> None:
    renamed = FRAME["family"].map(lambda name: f"z{99 - int(name[-2:])}")
    require_same_findings(run(VALUES, FRAME.assign(family=renamed)))


def test_names_of_subjects_in_the_same_order() -> None:
    ids = tuple(name.replace("sub", "person") for name in IDS)
    found = run(VALUES, FRAME.set_axis(pd.Index(ids, name="participant_id")), ids)
    require_same_findings(found)
    assert found.participant_ids == ids


def test_names_of_categories() -> None:
    """Only the sum over categories is computed in another order: equal to rounding."""
    renamed = FRAME.assign(hand=FRAME["hand"].map({"left": "z", "right": "m", "both": "a"}))
    found = run(VALUES, renamed)
    (ours,), (theirs,) = (
        report.family("category").associations  # type: ignore[union-attr]
        for report in (found, PLAIN)
    )
    assert ours.statistic == pytest.approx(theirs.statistic)
    assert replace(ours, statistic=None, effect_size=None, p_chi2=None) == replace(
        theirs, statistic=None, effect_size=None, p_chi2=None
    )
    assert found.family("factor") == PLAIN.family("factor")
    assert found.family("phenotype") == PLAIN.family("phenotype")


def test_another_seed_does_matter() -> None:
    """So that the comparisons above compare something."""
    table = EmbeddingTable("e", IDS, VALUES, ("validation",) * N)
    variables = Variables(("x", "y"), ("hand",), ("age",))
    other = stratify(table, Participants(FRAME, "family"), CONFIG, variables, seed=6)
    assert other.tests != PLAIN.tests
    assert other.robustness != PLAIN.robustness
