"""Development with planted strata, and other subjects in whom its findings hold, or do not."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import RobustnessReport, Variables, stratify

PHENOTYPES = ("verbal", "memory", "grip", "speed")
N_DEVELOPMENT, N_COLUMNS = 60, 8
_CENTRES = 5.0 * np.random.default_rng(7).standard_normal((3, N_COLUMNS))
_SHIFTS = np.array([0.0, 1.5, 3.0])
SETTINGS = StratificationConfig.model_validate(
    {
        "clusterer": "ward",
        "n_strata": 3,
        "factors": {"n_factors": 1},
        "n_permutations": 199,
        "robustness": {
            "n_draws": 10,
            "n_null_phenotypes": 19,
            "n_matched_nulls": 19,
            "n_null_draws": 2,
        },
    }
)


@dataclass(frozen=True)
class People:
    """Some subjects: what they look like, and what is known of them."""

    ids: tuple[str, ...]
    strata: np.ndarray
    values: np.ndarray
    frame: pd.DataFrame


def draw(prefix: str, seed: int, n: int, effect: float) -> People:
    """Draw pairs of relatives who share a stratum and half of what phenotypes vary by."""
    rng = np.random.default_rng([41, seed, n])
    family_of = np.arange(n) // 2
    strata = (np.arange((n + 1) // 2) % 3)[family_of]
    shift = effect * _SHIFTS[strata]
    columns: dict[str, object] = {}
    for name in PHENOTYPES:
        common = rng.standard_normal(family_of.max() + 1)[family_of]
        columns[name] = shift + common + rng.standard_normal(n)
    liability = shift + rng.standard_normal(family_of.max() + 1)[family_of]
    columns["hand"] = np.where(liability > np.median(liability), "left", "right")
    columns["age"] = rng.uniform(20, 80, n)
    columns["family_id"] = [f"{prefix}-family-{i}" for i in family_of]
    ids = tuple(f"{prefix}-{i:03d}" for i in range(n))
    frame = pd.DataFrame(columns, index=pd.Index(ids, name="participant_id"))
    return People(ids, strata, _CENTRES[strata] + rng.standard_normal((n, N_COLUMNS)), frame)


def together(*people: People) -> Participants:
    """Put them into one cohort."""
    return Participants(pd.concat([some.frame for some in people]), group_by="family_id")


@cache
def development() -> tuple[People, EmbeddingTable, RobustnessReport]:
    """Sixty subjects in whom all phenotypes follow the strata, and what the job makes of them."""
    people = draw("dev", 0, N_DEVELOPMENT, effect=1.0)
    table = EmbeddingTable("encoder-0", people.ids, people.values, ("train",) * N_DEVELOPMENT)
    variables = Variables(PHENOTYPES, ("hand",), ("age",))
    return people, table, stratify(table, together(people), SETTINGS, variables, seed=3)
