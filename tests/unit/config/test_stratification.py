"""Settings of the robustness job that nothing would read are refused."""

import pytest
from pydantic import ValidationError

from isthmus.config.stratification import StratificationConfig


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"min_cluster_size": 5}, "min_cluster_size is for hdbscan"),
        (
            {"n_strata": 4, "specifications": {"clusterers": ["affinity_propagation"]}},
            "n_strata is for gaussian_mixture, kmeans, ward",
        ),
        (
            {
                "clusterer": "ward",
                "affinity_propagation": {"landmarks": 100},
                "specifications": {"clusterers": ["ward"]},
            },
            "landmarks is for affinity_propagation",
        ),
        ({"robustness": {"subsample_share": 0.5}}, "is for subsample and bootstrap would ignore"),
        ({"robustness": {"n_draws": 5, "n_null_draws": 9}}, "must be at most n_draws"),
        ({"robustness": {"n_draws": 0}}, "greater than or equal to 2"),
        ({"targets": []}, "at least one"),
        ({"specifications": {"clusterers": ["ward", "ward"]}}, "each once"),
    ],
)
def test_what_would_be_ignored_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        StratificationConfig.model_validate(settings)


def test_what_some_clusterer_reads_is_allowed() -> None:
    StratificationConfig.model_validate({"n_strata": 4})
    StratificationConfig.model_validate({"clusterer": "hdbscan", "min_cluster_size": 5})
    StratificationConfig.model_validate({"affinity_propagation": {"landmarks": 100}})
