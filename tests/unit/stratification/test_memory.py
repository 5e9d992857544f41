"""What cannot fit is refused before anything is trained; the estimate is what is really taken."""

import tracemalloc

import numpy as np
import pytest

from isthmus.config.execution import ExecutionConfig
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import ResourceError
from isthmus.stratification.cloud import make_cloud
from isthmus.stratification.clusterers import Clustering, recluster
from isthmus.stratification.memory import (
    bytes_of_clustering,
    require_memory,
    require_memory_here,
)

GB = 1_000_000_000
ALONE = {"specifications": {"clusterers": ["affinity_propagation"]}}


def _config(**settings: object) -> StratificationConfig:
    return StratificationConfig.model_validate(settings)


def test_ten_thousand_fit_into_a_common_machine() -> None:
    require_memory(_config(), 10_000, 1, 16 * GB)


def test_forty_thousand_are_refused_with_what_to_do() -> None:
    with pytest.raises(ResourceError) as refused:
        require_memory(_config(), 40_000, 1, 24 * GB)
    said = str(refused.value)
    assert "40,000 subjects" in said
    assert "24.0 GB" in said
    assert "25.6 GB (affinity_propagation) and 32.0 GB (ward)" in said
    assert "stratification.affinity_propagation.landmarks" in said
    assert "Leave ward out of stratification.specifications.clusterers" in said


@pytest.mark.parametrize(
    "settings",
    [
        {"affinity_propagation": {"landmarks": 5000}, **ALONE},
        {"clusterer": "hdbscan", "specifications": {"clusterers": ["kmeans", "hdbscan"]}},
    ],
)
def test_what_the_refusal_advises_is_taken(settings: dict[str, object]) -> None:
    require_memory(_config(**settings), 40_000, 1, 24 * GB)


def test_each_process_has_matrices_of_its_own() -> None:
    config = _config(**ALONE)
    require_memory(config, 10_000, 4, 8 * GB)
    with pytest.raises(ResourceError, match=r"8 processes .* 12\.8 GB"):
        require_memory(config, 10_000, 8, 8 * GB)


def test_nothing_is_known_of_the_machines_of_a_cluster() -> None:
    too_many = 10_000_000
    with pytest.raises(ResourceError, match="this machine has"):
        require_memory_here(_config(), ExecutionConfig(), too_many)
    require_memory_here(_config(), ExecutionConfig(address="head:6379"), too_many)


@pytest.mark.parametrize("clusterer", ["affinity_propagation", "ward"])
def test_the_estimate_is_what_a_clustering_takes(clusterer: str) -> None:
    n = 800
    config = _config(clusterer=clusterer, specifications={"clusterers": ["kmeans"]})
    values = np.random.default_rng(0).standard_normal((n, 8))
    values[: n // 2] += 20.0
    setting = -20_000.0 if clusterer == "affinity_propagation" else 2.0
    recluster(make_cloud(values[:40], config, 0), np.arange(40), setting, config, 0)  # compiles
    tracemalloc.start()
    try:
        found = recluster(make_cloud(values, config, 0), np.arange(n), setting, config, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(found, Clustering)
    estimate = bytes_of_clustering(clusterer, config, n)  # type: ignore[arg-type]
    assert 0.6 * estimate < peak < 1.3 * estimate
