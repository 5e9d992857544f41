"""A specification curve's joint p-value keeps its level, however alike the specifications are.

Twins share strata and phenotypes. B = 199 permutations make 0.05 an attainable level exactly.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.across import AcrossEncoders
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.specifications import compare_encoders
from isthmus.stratification.variables import Variables

ALPHA = 0.05
N_SIMULATIONS = 150
N_FAMILIES = 30
PHENOTYPES = ("running_in_families", "like_it", "not_running_in_families")
CONFIG = StratificationConfig(
    clusterer="ward",
    n_strata=3,
    targets=("phenotype",),
    specifications={
        "clusterers": ("ward", "kmeans"),
        "pca_components": (None, 2),
        "n_null_phenotypes": 199,
    },
)
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Show = Callable[..., int]


def trial(simulation: int, effect: float = 0.0) -> AcrossEncoders:
    """Compare three encoders that saw much the same, each clustered in four ways.

    Twins are alike in embedding and phenotypes. `effect` of the embedding's main direction on the
    last phenotype, in its standard deviations.
    """
    rng = np.random.default_rng([83, simulation])
    family_of = np.repeat(np.arange(N_FAMILIES), 2)
    n = 2 * N_FAMILIES
    ids = tuple(f"sub-{i:03d}" for i in range(n))
    anatomy = rng.standard_normal((N_FAMILIES, 4))[family_of] + 0.4 * rng.standard_normal((n, 4))
    anatomy[:, 0] *= 3.0
    tables = []
    for encoder in range(3):
        seen = anatomy @ rng.standard_normal((4, 6)) + 0.5 * rng.standard_normal((n, 6))
        tables.append(EmbeddingTable(f"encoder-{encoder}", ids, seen, ("train",) * n))
    family_part = rng.standard_normal(N_FAMILIES)[family_of]
    scores = {
        "running_in_families": family_part + 0.3 * rng.standard_normal(n),
        "like_it": family_part + 0.6 * rng.standard_normal(n),
        "not_running_in_families": rng.standard_normal(n) + effect * anatomy[:, 0] / 3.0,
        "family_id": [f"fam-{k}" for k in family_of],
    }
    frame = pd.DataFrame(scores, index=pd.Index(ids, name="participant_id"))
    participants = Participants(frame, group_by="family_id")
    return compare_encoders(tables, participants, CONFIG, Variables(PHENOTYPES), simulation)


def test_the_joint_p_keeps_its_level_and_any_specification_does_not(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    n = simulations(N_SIMULATIONS)
    joint = np.zeros(3, dtype=int)
    any_of_them, values = 0, []
    for simulation in range(n):
        across = trial(simulation)
        p_F = np.array([survival.p_value for survival in across.survivals])
        values.append(p_F)
        joint += p_F <= ALPHA
        any_of_them += min(s.p_values[0] or 1.0 for s in across.specifications) <= ALPHA
    low, high = acceptance(n, ALPHA)
    for name, count in zip(PHENOTYPES, joint, strict=True):
        assert low <= show(int(count), n, ALPHA, name) <= high
    # To take the specification one likes best: what the curve is there to prevent.
    assert show(any_of_them, n, ALPHA, "best specification") > high
    # Uniform values have mean 0.5 and standard deviation 0.289.
    assert np.allclose(np.mean(values, axis=0), 0.5, atol=4 * 0.289 / np.sqrt(n))


def test_a_planted_effect_survives() -> None:
    found, shares, null_shares = 0, [], []
    for simulation in range(40):
        last = trial(simulation, effect=2.0).survivals[2]
        found += last.p_value <= ALPHA
        shares.append(last.share)
        null_shares.append(last.null_share)
    print(f"\nfound in {found} of 40; share {np.mean(shares):.2f}, null {np.mean(null_shares):.3f}")
    assert found >= 30
    assert np.mean(shares) > 0.5
    assert np.mean(null_shares) < 0.05
