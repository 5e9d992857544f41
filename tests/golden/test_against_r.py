"""Tests, corrections, strata and their stability against R, on the subjects of r/subjects.tsv.

R's numbers stand in r/reference.json, each beside the call that gave it; r/reference.R made it
(regenerate: ``Rscript tests/golden/r/reference.R``). No R is needed here.

Tolerances. Closed formulas in float64 (H, chi-squared, V, adjusted p, ARI): 1e-10 of the value; R
writes 15 digits. Silhouette: the same. Partitions: equal in every subject, numbering apart, though
our similarities are float32 and R adds noise of the size of rounding to its own.

Differences there are. `clusterboot` counts a draw that has nobody of a stratum as Jaccard 0, and
isthmus leaves it out of that stratum's mean; none of these draws is such. `clusterboot` draws
subjects, isthmus draws families, and lowers a draw's preference by a rule of its own, so the
draws' preferences here are those that R was given. R's apcluster keeps an unsettled result
and warns; isthmus types it.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import silhouette_score

from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.affinity import propagate
from isthmus.stratification.association import associate
from isthmus.stratification.categories import associate_category
from isthmus.stratification.cloud import Cloud, make_cloud
from isthmus.stratification.clusterers import Clustering, recluster
from isthmus.stratification.correction import false_discovery_rate, holm
from isthmus.stratification.permutation import plan_permutations
from isthmus.stratification.stability import best_match_jaccard, compare_partitions
from isthmus.stratification.strata import find_strata

FOLDER = Path(__file__).parent / "r"
R = json.loads((FOLDER / "reference.json").read_text(encoding="utf-8"))
SUBJECTS = pd.read_csv(FOLDER / "subjects.tsv", sep="\t", na_values="n/a")
N = len(SUBJECTS)
BLOB = SUBJECTS["blob"].to_numpy()
AXES = SUBJECTS[[f"z{i}" for i in range(6)]].to_numpy()
EXACT = 1e-10
PREFERENCE = -60.0


def settings(**affinity_propagation: object) -> StratificationConfig:
    """Damping and rounds as R was told."""
    return StratificationConfig.model_validate(
        {
            "affinity_propagation": {"damping": 0.9, "convergence_iterations": 30}
            | affinity_propagation
        }
    )


@pytest.fixture(scope="module")
def cloud() -> Cloud:
    return make_cloud(AXES, settings(), seed=0)


def letters(row: str) -> np.ndarray:
    """Read a draw as R wrote it: a letter a subject, a point where it was not drawn."""
    return np.array([-1 if letter == "." else ord(letter) - ord("A") for letter in row])


def renumbered(labels: np.ndarray) -> np.ndarray:
    """Number strata by their first member, so that two numberings can be compared."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


# --- Association ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(R["kruskal"]))
def test_kruskal_wallis_on_the_subjects_known(name: str) -> None:
    """`p2` has missing values, `rating` has seven values: ties throughout."""
    known = SUBJECTS[name].notna().to_numpy()
    scores = SUBJECTS.loc[known, [name]].to_numpy(dtype=np.float64)
    plan = plan_permutations(None, 19, seed=0, n_subjects=int(known.sum()))
    test = associate(scores, BLOB[known], plan)
    said = R["kruskal"][name]["value"]
    assert test.statistic[0] == pytest.approx(said["statistic"][0], rel=EXACT)
    assert test.p_chi2[0] == pytest.approx(said["p"][0], rel=EXACT)


@pytest.mark.parametrize("name", sorted(R["kruskal_given_confounds"]))
def test_kruskal_wallis_of_residuals(name: str) -> None:
    confounds = np.column_stack([SUBJECTS["age"], SUBJECTS["sex"] == "M"]).astype(np.float64)
    plan = plan_permutations(None, 19, seed=0, n_subjects=N)
    test = associate(SUBJECTS[[name]].to_numpy(), BLOB, plan, confounds)
    said = R["kruskal_given_confounds"][name]["value"]
    assert test.statistic[0] == pytest.approx(said["statistic"][0], rel=EXACT)


def test_chi_squared_and_cramers_v() -> None:
    known = SUBJECTS["hand"].notna().to_numpy()
    codes = SUBJECTS.loc[known, "hand"].astype("category").cat.codes.to_numpy()
    plan = plan_permutations(None, 19, seed=0, n_subjects=int(known.sum()))
    test = associate_category(np.eye(3)[codes], BLOB[known], plan)
    said = R["category"]
    assert test.statistic[0] == pytest.approx(said["test"]["value"]["statistic"][0], rel=EXACT)
    assert test.p_chi2[0] == pytest.approx(said["test"]["value"]["p"][0], rel=EXACT)
    assert test.effect_size[0] == pytest.approx(said["cramers_v"]["value"][0], rel=EXACT)


def test_corrections_for_many_tests() -> None:
    p = np.array([entry["value"]["p"][0] for entry in R["kruskal"].values()])
    said = {method: entry["value"] for method, entry in R["correction"].items()}
    np.testing.assert_allclose(false_discovery_rate(p, "fdr_bh"), said["BH"], rtol=EXACT)
    np.testing.assert_allclose(false_discovery_rate(p, "fdr_by"), said["BY"], rtol=EXACT)
    np.testing.assert_allclose(holm(p), said["holm"], rtol=EXACT)


# --- Strata --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "preference"),
    [("median", "median"), ("minimum", "minimum"), ("number", PREFERENCE), ("quiet", PREFERENCE)],
)
def test_affinity_propagation_finds_the_same_strata(
    cloud: Cloud, name: str, preference: str | float
) -> None:
    ids = SUBJECTS["participant_id"].tolist()
    found = find_strata(cloud, ids, ids, settings(preference=preference), seed=0)
    said = R["strata"][name]["value"]
    expected = np.array(said["labels"])
    np.testing.assert_array_equal(renumbered(np.array(found.labels)), renumbered(expected))
    assert sorted(found.exemplar_ids) == [ids[row] for row in sorted(said["exemplars"])]
    # Similarities are float32 here: seven digits of a sum of squares.
    assert found.setting == pytest.approx(said["preference"][0], rel=1e-6)


def test_ward_finds_the_same_strata(cloud: Cloud) -> None:
    config = StratificationConfig(clusterer="ward", n_strata=4)
    found = recluster(cloud, np.arange(N), 4, config, seed=0)
    assert isinstance(found, Clustering)
    expected = renumbered(np.array(R["strata"]["ward"]["value"]))
    np.testing.assert_array_equal(renumbered(found.labels_M), expected)


def test_silhouette_and_adjusted_rand_index(cloud: Cloud) -> None:
    affinity = np.array(R["strata"]["number"]["value"]["labels"])
    ward = np.array(R["strata"]["ward"]["value"])
    silhouette = silhouette_score(cloud.points_ND, affinity)
    assert silhouette == pytest.approx(R["agreement"]["silhouette"]["value"][0], rel=EXACT)
    ari, _ = compare_partitions(affinity, ward)
    assert ari == pytest.approx(R["agreement"]["ari"]["value"][0], rel=EXACT)


# --- Stability -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["boot", "subset"])
def test_propagating_among_the_subjects_of_rs_draws_gives_rs_strata(
    cloud: Cloud, method: str
) -> None:
    """R was told to lower the preference with the share drawn; isthmus has a rule of its own."""
    for row in R["resampling"][method]["value"]["draws"]:
        drawn = letters(row)
        rows = np.flatnonzero(drawn >= 0)
        found = propagate(
            cloud.similarity_LL,
            rows,
            PREFERENCE * len(rows) / N,
            damping=0.9,
            max_iterations=1000,
            convergence_iterations=30,
        )
        assert found.converged
        np.testing.assert_array_equal(renumbered(found.labels_M), renumbered(drawn[rows]))


@pytest.mark.parametrize("method", ["boot", "subset"])
def test_jaccard_of_each_stratum_is_that_of_clusterboot(method: str) -> None:
    said = R["resampling"][method]["value"]
    whole = letters(said["whole"][0])
    n_strata = int(whole.max()) + 1
    found = []
    for row in said["draws"]:
        drawn = letters(row)
        rows = np.flatnonzero(drawn >= 0)
        found.append(best_match_jaccard(whole[rows], drawn[rows], n_strata))
    np.testing.assert_allclose(np.transpose(found), said["jaccard"], rtol=EXACT)
    np.testing.assert_allclose(np.mean(found, axis=0), said["mean"], rtol=EXACT)
    # A draw that misses a stratum would be counted differently.
    assert np.min(said["jaccard"]) > 0
