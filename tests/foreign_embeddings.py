"""Embeddings as another tool would write them, with a participants table: three clear strata."""

from pathlib import Path

import numpy as np
import pandas as pd

N_SUBJECTS = 60
QUICK = (
    "stratification.n_permutations=199",
    "stratification.robustness.n_draws=20",
    "stratification.robustness.n_null_phenotypes=99",
    "stratification.robustness.n_matched_nulls=19",
    "stratification.robustness.n_null_draws=4",
    "stratification.specifications.clusterers=[ward]",
    "stratification.specifications.pca_components=[null]",
    "stratification.specifications.n_null_phenotypes=19",
)
DECLARED = (
    "cohort.phenotypes=[verbal, memory, grip]",
    "cohort.categorical_phenotypes=[handedness]",
    "cohort.confounds=[age, sex]",
    "cohort.group_by=family_id",
)


def write_foreign(folder: Path, name: str = "vae", seed: int = 5) -> tuple[Path, Path]:
    """Write ``<name>.tsv`` and ``participants.tsv``, which lists ten more; return both."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(3), N_SUBJECTS // 3)
    values = 4.0 * rng.standard_normal((3, 10))[truth] + rng.standard_normal((N_SUBJECTS, 10))
    ids = [f"sub-{i:03d}" for i in range(N_SUBJECTS + 10)]
    table = pd.DataFrame(values, columns=[f"z{k}" for k in range(10)])
    table.insert(0, "participant_id", ids[:N_SUBJECTS])
    table.to_csv(folder / f"{name}.tsv", sep="\t", index=False)
    people = np.random.default_rng(6)
    n = len(ids)
    strata = np.append(truth, np.zeros(10, np.int64))
    columns = {
        "participant_id": ids,
        "family_id": [f"fam-{i // 2}" for i in range(n)],
        "verbal": 2.0 * strata + people.standard_normal(n),
        "memory": 2.0 * strata + people.standard_normal(n),
        "grip": people.standard_normal(n),
        "handedness": np.where(people.random(n) < 0.3, "left", "right"),
        "age": people.uniform(20, 80, n).round(1),
        "sex": np.where(people.random(n) < 0.5, "F", "M"),
    }
    frame = pd.DataFrame(columns)
    frame.loc[3, "grip"] = np.nan
    frame.to_csv(folder / "participants.tsv", sep="\t", index=False, na_rep="n/a")
    return folder / f"{name}.tsv", folder / "participants.tsv"
