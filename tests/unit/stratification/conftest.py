"""A small cohort in which three strata differ in one phenotype and not in another."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.embedding_table import EmbeddingTable

N_SUBJECTS = 60


@pytest.fixture
def truth() -> np.ndarray:
    """Planted stratum of each subject; relatives (consecutive pairs) share it."""
    return np.repeat(np.arange(3), N_SUBJECTS // 3)


@pytest.fixture
def table(truth: np.ndarray) -> EmbeddingTable:
    """Three well separated clouds, the first 40 subjects trained on."""
    rng = np.random.default_rng(7)
    centres = 5.0 * rng.standard_normal((3, 8))
    values = centres[truth] + rng.standard_normal((N_SUBJECTS, 8))
    ids = tuple(f"sub-{i:03d}" for i in range(N_SUBJECTS))
    roles = ("train",) * 40 + ("validation",) * 20
    return EmbeddingTable("encoder-0", ids, values, roles)


@pytest.fixture
def participants(table: EmbeddingTable, truth: np.ndarray) -> Participants:
    """Two phenotypes that follow the strata, two that do not; age, sex, site; families of two."""
    rng = np.random.default_rng(8)
    effect = np.array([0.0, 2.0, 4.0])[truth]
    columns = {
        "verbal": effect + rng.standard_normal(N_SUBJECTS),
        "memory": effect + rng.standard_normal(N_SUBJECTS),
        "grip": (common := rng.standard_normal(N_SUBJECTS)),
        "speed": common + 0.3 * rng.standard_normal(N_SUBJECTS),
        "age": rng.uniform(20, 80, N_SUBJECTS),
        "sex": np.where(rng.random(N_SUBJECTS) < 0.5, "F", "M"),
        "centre": [("east", "north", "west")[i % 3] for i in range(N_SUBJECTS)],
        "family_id": [f"fam-{i // 2}" for i in range(N_SUBJECTS)],
    }
    frame = pd.DataFrame(columns, index=pd.Index(table.participant_ids, name="participant_id"))
    return Participants(frame, group_by="family_id", site="centre")


@pytest.fixture
def with_column(participants: Participants) -> Callable[[str, object], Participants]:
    """Make the same cohort with one column replaced."""

    def replace(name: str, values: object) -> Participants:
        frame = participants.table.assign(**{name: values})
        return Participants(frame, participants.group_by, participants.site)

    return replace


@pytest.fixture
def config() -> StratificationConfig:
    """Quick settings."""
    return StratificationConfig(
        n_permutations=199,
        robustness={
            "n_draws": 20,
            "n_null_phenotypes": 99,
            "n_matched_nulls": 19,
            "n_null_draws": 4,
        },
    )
