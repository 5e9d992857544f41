"""What must not matter does not: labels, order of subjects, rotation, units."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ortho_group

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.arrangements import observed_and_permuted
from isthmus.stratification.association import associate
from isthmus.stratification.cloud import make_cloud, standardise
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import Variables, stratify
from isthmus.stratification.partition import Partition
from isthmus.stratification.permutation import plan_permutations
from isthmus.stratification.strata import find_strata
from isthmus.stratification.targets import TargetGroup

N = 90
RNG = np.random.default_rng(41)
TRUTH = np.repeat(np.arange(3), 30)
VALUES = (4.0 * RNG.standard_normal((3, 6)))[TRUTH] + RNG.standard_normal((N, 6))
IDS = tuple(f"sub-{i:03d}" for i in range(N))


def partition(values: np.ndarray, clusterer: str = "affinity_propagation") -> Partition:
    config = StratificationConfig(clusterer=clusterer)
    found = find_strata(make_cloud(values, config, seed=0), IDS, IDS, config, seed=0)
    assert isinstance(found, Partition)
    return found


def test_renaming_strata_changes_nothing() -> None:
    scores = RNG.standard_normal((N, 2))
    plan = plan_permutations([str(i // 2) for i in range(N)], 199, seed=0)
    plain = associate(scores, TRUTH, plan)
    renamed = associate(scores, np.array([7, 2, 5])[TRUTH], plan)
    np.testing.assert_allclose(renamed.statistic, plain.statistic)
    np.testing.assert_array_equal(renamed.p_permutation, plain.p_permutation)


def test_monotone_transforms_of_a_score_change_nothing() -> None:
    scores = RNG.standard_normal((N, 1))
    plan = plan_permutations(None, 199, seed=0, n_subjects=N)
    np.testing.assert_array_equal(
        associate(np.exp(scores), TRUTH, plan).null, associate(scores, TRUTH, plan).null
    )


@pytest.mark.parametrize("clusterer", ["affinity_propagation", "kmeans", "ward", "hdbscan"])
def test_rotating_the_standardised_embedding_changes_nothing(clusterer: str) -> None:
    """Rotation of the raw embedding does matter, since its columns are standardised first."""
    config = StratificationConfig(clusterer=clusterer)
    rotation = ortho_group.rvs(6, random_state=np.random.default_rng(0))
    cloud = make_cloud(VALUES, config, seed=0)
    standardised, _ = standardise(VALUES)
    turned = replace(cloud, points_ND=standardised @ rotation)
    np.testing.assert_allclose(turned.similarity_LL, cloud.similarity_LL, rtol=1e-4, atol=1e-4)
    plain, rotated = (find_strata(c, IDS, IDS, config, seed=0) for c in (cloud, turned))
    assert isinstance(plain, Partition)
    assert rotated.labels == plain.labels
    assert rotated.exemplar_ids == plain.exemplar_ids
    assert rotated.silhouette == pytest.approx(plain.silhouette)


@pytest.mark.parametrize("clusterer", ["affinity_propagation", "kmeans", "ward", "hdbscan"])
def test_units_shifts_and_order_of_columns_change_nothing(clusterer: str) -> None:
    scaled = (VALUES * np.array([1e-3, 1, 10, -1, 5, 1e4]) + 3.0)[:, ::-1]
    assert partition(scaled, clusterer).labels == partition(VALUES, clusterer).labels


def test_renaming_strata_changes_no_draw() -> None:
    group = TargetGroup(
        kind="factor",
        names=("a", "b"),
        places=(0, 1),
        reasons=(None, None),
        levels=(),
        values_AV=RNG.standard_normal((N, 2)),
        rows_N=np.arange(N),
        families=tuple(str(i // 2) for i in range(N)),
        kinship=None,
        confounds_NC=RNG.standard_normal((N, 1)),
        n_missing_confounds=0,
    )
    arranged = observed_and_permuted(group, 49, seed=0)
    drawn = np.where(RNG.random((5, N)) < 0.3, -1, TRUTH)
    renamed = np.where(drawn < 0, -1, np.array([4, 0, 9])[drawn])
    np.testing.assert_allclose(arranged.statistics(renamed), arranged.statistics(drawn), rtol=1e-12)


def test_order_of_subjects_changes_nothing_in_the_record() -> None:
    frame = pd.DataFrame(
        {
            "x": TRUTH + RNG.standard_normal(N),
            "y": RNG.standard_normal(N),
            "age": RNG.uniform(20, 80, N),
            "hand": RNG.choice(["left", "right"], N),
            "family": [f"fam-{i // 3}" for i in range(N)],
        },
        index=pd.Index(IDS, name="participant_id"),
    )
    config = StratificationConfig(
        n_permutations=199,
        robustness={
            "n_draws": 6,
            "n_null_draws": 2,
            "n_matched_nulls": 19,
            "n_null_phenotypes": 39,
        },
    )
    order = RNG.permutation(N)
    shuffled = EmbeddingTable("e", tuple(IDS[i] for i in order), VALUES[order], ("validation",) * N)
    plain = EmbeddingTable("e", IDS, VALUES, ("validation",) * N)
    people = Participants(frame, "family", None)
    turned = Participants(frame.iloc[RNG.permutation(N)], "family", None)
    variables = Variables(("x", "y"), ("hand",), ("age",))
    expected = stratify(plain, people, config, variables, seed=3)
    found = stratify(shuffled, turned, config, variables, seed=3)
    # The table as it came is another one; nothing that was made of it is.
    assert found.table_digest != expected.table_digest
    assert replace(found, table_digest=expected.table_digest) == expected
