"""What must not matter does not: labels, order of subjects, rotation, units."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ortho_group

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.association import associate
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import stratify
from isthmus.stratification.permutation import plan_permutations
from isthmus.stratification.strata import Partition, find_strata, similarity, standardise

N = 90
RNG = np.random.default_rng(41)
TRUTH = np.repeat(np.arange(3), 30)
VALUES = (4.0 * RNG.standard_normal((3, 6)))[TRUTH] + RNG.standard_normal((N, 6))
IDS = tuple(f"sub-{i:03d}" for i in range(N))


def partition(values: np.ndarray, **settings: object) -> Partition:
    found = find_strata(values, IDS, StratificationConfig(**settings))
    assert isinstance(found, Partition)
    return found


def test_renaming_strata_changes_nothing() -> None:
    scores = RNG.standard_normal((N, 2))
    plan = plan_permutations([str(i // 2) for i in range(N)], 199, seed=0)
    plain = associate(scores, TRUTH, plan)
    renamed = associate(scores, np.array([7, 2, 5])[TRUTH], plan)
    np.testing.assert_allclose(renamed.h, plain.h)
    np.testing.assert_array_equal(renamed.p_permutation, plain.p_permutation)


def test_monotone_transforms_of_a_score_change_nothing() -> None:
    scores = RNG.standard_normal((N, 1))
    plan = plan_permutations(None, 199, seed=0, n_subjects=N)
    np.testing.assert_array_equal(
        associate(np.exp(scores), TRUTH, plan).null_h, associate(scores, TRUTH, plan).null_h
    )


def test_rotating_the_standardised_embedding_changes_nothing() -> None:
    """Rotation of the raw embedding does matter, since its columns are standardised first."""
    standardised, _ = standardise(VALUES)
    rotation = ortho_group.rvs(6, random_state=np.random.default_rng(0))
    np.testing.assert_allclose(
        similarity(standardised @ rotation), similarity(standardised), atol=1e-9
    )
    # A full set of principal components is such a rotation, through the whole function.
    plain, rotated = partition(VALUES), partition(VALUES, pca_components=6)
    assert rotated.labels == plain.labels
    assert rotated.exemplar_ids == plain.exemplar_ids
    assert rotated.silhouette == pytest.approx(plain.silhouette)


def test_units_shifts_and_order_of_columns_change_nothing() -> None:
    scaled = (VALUES * np.array([1e-3, 1, 10, -1, 5, 1e4]) + 3.0)[:, ::-1]
    assert partition(scaled).labels == partition(VALUES).labels


def test_order_of_subjects_changes_nothing_in_the_record() -> None:
    frame = pd.DataFrame(
        {
            "x": TRUTH + RNG.standard_normal(N),
            "y": RNG.standard_normal(N),
            "age": RNG.uniform(20, 80, N),
            "family": [f"fam-{i // 3}" for i in range(N)],
        },
        index=pd.Index(IDS, name="participant_id"),
    )
    config = StratificationConfig(n_permutations=199)
    order = RNG.permutation(N)
    shuffled = EmbeddingTable("e", tuple(IDS[i] for i in order), VALUES[order], ("validation",) * N)
    plain = EmbeddingTable("e", IDS, VALUES, ("validation",) * N)
    people = Participants(frame, "family", None)
    turned = Participants(frame.iloc[RNG.permutation(N)], "family", None)
    expected = stratify(plain, people, config, ("x", "y"), ("age",), seed=3)
    assert stratify(shuffled, turned, config, ("x", "y"), ("age",), seed=3) == expected
