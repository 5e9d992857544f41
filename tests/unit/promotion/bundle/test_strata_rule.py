"""The rule of strata: clustered subjects get their stratum back, and others the nearest one."""

import io
import json

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import ConfigError, StratificationError
from isthmus.promotion.bundle.strata_rule import StrataRule, load_strata_rule
from isthmus.stratification.cloud import make_cloud
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.partition import Partition
from isthmus.stratification.strata import find_strata

N = 60


def make_table(apart=0.8, n=N, width=24):
    """Three blurred strata, with a column that says nothing."""
    draw = np.random.default_rng(3)
    values = draw.standard_normal((n, width))
    values[: n // 3] += apart
    values[n // 3 : 2 * n // 3, : width // 2] -= apart
    values[:, 4] = 2.0
    ids = tuple(f"sub-{i:03d}" for i in range(n))
    return EmbeddingTable("e1", ids, values.astype(np.float32), ("train",) * n)


def partition_of(table, config, ids=None):
    ids = ids or table.participant_ids
    cloud = make_cloud(table.select(ids).values, config, 1)
    found = find_strata(cloud, ids, ids, config, 2)
    assert isinstance(found, Partition)
    return found


@pytest.mark.parametrize("pca_components", [None, 4])
@pytest.mark.parametrize("clusterer", ["affinity_propagation", "kmeans"])
def test_clustered_subjects_get_their_stratum_back(clusterer, pca_components):
    table = make_table()
    config = StratificationConfig(clusterer=clusterer, pca_components=pca_components)
    partition = partition_of(table, config)
    rule = StrataRule.of(table, partition, config)
    labels, membership = rule.assign(table.values)
    assert labels.tolist() == list(partition.labels)
    assert rule.agreement == 1.0
    assert ((membership >= 0) & (membership <= 1)).all()


@pytest.mark.parametrize("clusterer", ["ward", "gaussian_mixture"])
def test_what_a_rule_simplifies_is_measured(clusterer):
    table = make_table(apart=0.3)
    config = StratificationConfig(clusterer=clusterer, n_strata=4, pca_components=6)
    partition = partition_of(table, config)
    rule = StrataRule.of(table, partition, config)
    labels, _ = rule.assign(table.values)
    assert rule.agreement == np.mean(labels == np.array(partition.labels))
    assert 0.7 < rule.agreement < 1.0


def test_landmarks_leave_the_rule_as_it_is():
    table = make_table()
    config = StratificationConfig(affinity_propagation={"landmarks": 50})
    rule = StrataRule.of(table, partition_of(table, config), config)
    assert rule.agreement == 1.0


def test_the_space_is_the_one_that_was_clustered():
    table = make_table()
    config = StratificationConfig(pca_components=4)
    partition = partition_of(table, config)
    rule = StrataRule.of(table, partition, config)
    new = np.random.default_rng(9).standard_normal((200, 24))
    kept = np.delete(table.values, 4, axis=1)
    scaler = StandardScaler().fit(kept)
    pca = PCA(4).fit(scaler.transform(kept))
    points = pca.transform(scaler.transform(np.delete(new, 4, axis=1)))
    row = [table.participant_ids.index(name) for name in partition.exemplar_ids]
    exemplars = pca.transform(scaler.transform(kept[row]))
    distances = np.linalg.norm(points[:, None] - exemplars, axis=2)
    labels, membership = rule.assign(new)
    assert labels.tolist() == distances.argmin(axis=1).tolist()
    first, second = np.sort(distances, axis=1)[:, :2].T
    np.testing.assert_allclose(membership, (second - first) / second, atol=1e-9)
    assert len(set(labels.tolist())) == len(partition.sizes)


def test_an_exemplar_is_a_full_member_and_the_half_way_point_none():
    table = make_table()
    config = StratificationConfig()
    partition = partition_of(table, config)
    rule = StrataRule.of(table, partition, config)
    exemplars = table.select(partition.exemplar_ids).values
    labels, membership = rule.assign(exemplars)
    assert labels.tolist() == list(range(rule.n_strata))
    np.testing.assert_allclose(membership, 1.0, atol=1e-9)
    _, between = rule.assign(exemplars[:2].mean(axis=0, keepdims=True))
    assert between[0] == pytest.approx(0.0, abs=1e-9)


def test_subjects_who_were_not_clustered_have_no_say():
    table = make_table()
    config = StratificationConfig()
    clustered = table.participant_ids[::2]
    partition = partition_of(table, config, clustered)
    whole = StrataRule.of(table, partition, config)
    alone = StrataRule.of(table.select(clustered), partition, config)
    assert np.array_equal(whole.centres_SR, alone.centres_SR)
    assert np.array_equal(whole.scaling.mean_K, alone.scaling.mean_K)
    assert whole.assign(table.values)[0].shape == (N,)


def test_a_saved_rule_comes_back_whole(tmp_path):
    table = make_table()
    for number, components in enumerate((None, 4)):
        config = StratificationConfig(pca_components=components)
        rule = StrataRule.of(table, partition_of(table, config), config)
        file = tmp_path / f"{number}.npz"
        rule.save(file)
        again = load_strata_rule(file)
        assert again.digest == rule.digest
        assert (again.axes_KR is None) == (components is None)
        for one, other in zip(again.assign(table.values), rule.assign(table.values), strict=True):
            assert np.array_equal(one, other)
        first = file.read_bytes()
        rule.save(file)
        assert file.read_bytes() == first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c | {"centres_SR": np.array([{}, {}], dtype=object)}, "allow_pickle"),
        (lambda c: c | {"header": np.array("[]")}, "saved rule"),
        (lambda c: c | {"mean_K": c["mean_K"][1:]}, "do not fit together"),
        (lambda c: c | {"centres_SR": c["centres_SR"][:, 1:]}, "do not fit together"),
        (lambda c: {k: v for k, v in c.items() if k != "kept_D"}, "kept_D"),
        (
            lambda c: c | {"header": np.array(str(c["header"]).replace(": 1,", ": 2,", 1))},
            "version",
        ),
    ],
)
def test_a_file_that_is_no_rule_is_refused(tmp_path, change, words):
    table, config = make_table(), StratificationConfig()
    file = tmp_path / "strata.npz"
    StrataRule.of(table, partition_of(table, config), config).save(file)
    with np.load(file) as content:
        arrays = dict(content)
    assert json.loads(str(arrays["header"]))["schema_version"] == 1
    buffer = io.BytesIO()
    np.savez(buffer, **change(arrays))
    file.write_bytes(buffer.getvalue())
    with pytest.raises(ConfigError, match=words):
        load_strata_rule(file)
    with pytest.raises(ConfigError, match="saved rule"):
        load_strata_rule(tmp_path / "none.npz")


def test_embeddings_of_another_shape_or_kind_are_refused():
    table, config = make_table(), StratificationConfig()
    rule = StrataRule.of(table, partition_of(table, config), config)
    assert rule.assign(np.zeros((0, 24)))[0].shape == (0,)
    for values in (np.zeros((2, 23)), np.zeros(24)):
        with pytest.raises(StratificationError, match=r"shape \(subjects, 24\)"):
            rule.assign(values)
    values = np.zeros((3, 24))
    values[1, 2] = np.nan
    with pytest.raises(StratificationError, match="infinity in 1 of 3 rows"):
        rule.assign(values)


def test_a_partition_of_something_else_makes_no_rule():
    table, config = make_table(), StratificationConfig()
    partition = partition_of(table, config)
    other = EmbeddingTable("e2", table.participant_ids, table.values[:, 5:], table.roles)
    with pytest.raises(StratificationError, match="24 columns, 1 without variance; got 19 and 0"):
        StrataRule.of(other, partition, config)
    with pytest.raises(StratificationError, match="which is by affinity_propagation, got"):
        StrataRule.of(table, partition, StratificationConfig(clusterer="ward"))
