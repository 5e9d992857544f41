"""Regenerate the golden partition: `python tests/golden/regenerate_partition.py --write`.

The embedding itself is in the file, so that no change of a random stream can move it.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.config.stratification import StratificationConfig
from isthmus.core.files import write_json
from isthmus.stratification.cloud import make_cloud
from isthmus.stratification.strata import find_strata

GOLDEN = Path(__file__).with_name("partition.json")
SETTINGS: dict[str, dict[str, Any]] = {
    "sweep": {},
    "minimum": {"affinity_propagation": {"preference": "minimum"}},
    "median": {"affinity_propagation": {"preference": "median"}},
    "number": {"affinity_propagation": {"preference": -60.0, "damping": 0.7}},
    "reduced": {"pca_components": 3, "affinity_propagation": {"preference": "minimum"}},
    "too_many": {"affinity_propagation": {"preference": -5.0}},
    "gives_up": {"affinity_propagation": {"preference": "minimum", "max_iterations": 5}},
    "landmarks": {"affinity_propagation": {"landmarks": 60}},
    "kmeans": {"clusterer": "kmeans"},
    "gaussian_mixture": {"clusterer": "gaussian_mixture", "n_strata": 4},
    "ward": {"clusterer": "ward"},
    "hdbscan": {"clusterer": "hdbscan", "min_cluster_size": 5},
}


def embedding() -> np.ndarray:
    """Draw four overlapping clouds of unequal size, and a column without variance."""
    rng = np.random.default_rng(2024)
    truth = np.repeat(np.arange(4), [30, 20, 15, 10])
    values = (2.0 * rng.standard_normal((4, 7)))[truth] + rng.standard_normal((75, 7))
    return np.column_stack([values, np.full(75, 0.25)]).round(6)


def outcomes(values: np.ndarray) -> dict[str, Any]:
    """Cluster it with each of the settings, as JSON has it."""
    ids = [f"sub-{i:03d}" for i in range(len(values))]
    found = {}
    for name, settings in SETTINGS.items():
        config = StratificationConfig.model_validate(settings)
        cloud = make_cloud(values, config, seed=0)
        found[name] = asdict(find_strata(cloud, ids, ids, config, seed=0))
    for outcome in found.values():
        del outcome["participant_ids"]
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def main() -> None:
    """Write the golden file, or say what would be written."""
    values = embedding()
    content = {"embedding": values.tolist(), "outcomes": outcomes(values)}
    if "--write" in sys.argv[1:]:
        write_json(GOLDEN, content)
        print(f"{GOLDEN}: written.")
    else:
        print(json.dumps(content["outcomes"], indent=2))
        print("Nothing was written; --write does.")


if __name__ == "__main__":
    main()
