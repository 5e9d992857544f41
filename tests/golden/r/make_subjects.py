"""Make the subjects that R and isthmus are both given: `python tests/golden/r/make_subjects.py`.

Written once; the golden test reads the table, so that no change of a random stream can move it.
"""

from pathlib import Path

import numpy as np
import pandas as pd

TABLE = Path(__file__).with_name("subjects.tsv")
SIZES = (40, 30, 20)
N_AXES = 6
LOADINGS = np.array(
    [
        [0.8, 0.1, 0.0],
        [0.7, 0.0, 0.2],
        [0.6, 0.3, 0.0],
        [0.0, 0.8, 0.1],
        [0.2, 0.7, 0.0],
        [0.1, -0.6, 0.2],
        [0.0, 0.1, 0.8],
        [0.3, 0.0, 0.7],
    ]
)


def main() -> None:
    """Draw three blobs that touch, phenotypes of three factors, ties, a category, confounds."""
    rng = np.random.default_rng(20)
    blob = np.repeat(np.arange(len(SIZES)), SIZES)
    n = len(blob)
    axes = (1.6 * rng.standard_normal((len(SIZES), N_AXES)))[blob]
    axes += rng.standard_normal((n, N_AXES)) * np.linspace(0.8, 1.4, N_AXES)
    age = rng.uniform(20, 80, n).round(1)
    factors = rng.standard_normal((n, 3))
    factors[:, 0] += 1.2 * blob
    factors[:, 2] -= 0.7 * blob
    factors[:, 1] += 0.03 * (age - 50)
    noise = rng.standard_normal((n, len(LOADINGS))) * np.sqrt(1 - (LOADINGS**2).sum(axis=1))
    columns: dict[str, object] = {"participant_id": [f"sub-{i:03d}" for i in range(n)]}
    columns |= {f"z{i}": axes[:, i].round(4) for i in range(N_AXES)}
    phenotypes = (factors @ LOADINGS.T + noise).round(3)
    columns |= {f"p{i}": phenotypes[:, i] for i in range(len(LOADINGS))}
    # Seven values for ninety subjects: ties in every comparison.
    columns["rating"] = np.clip(np.round(3 + factors[:, 0]), 0, 6).astype(int)
    hand = rng.uniform(size=n) < np.array([0.1, 0.3, 0.4])[blob]
    columns["hand"] = np.where(hand, "left", np.where(rng.uniform(size=n) < 0.15, "both", "right"))
    columns["age"] = age
    columns["sex"] = np.where(rng.uniform(size=n) < 0.5, "F", "M")
    columns["blob"] = blob
    table = pd.DataFrame(columns)
    table.loc[rng.choice(n, 6, replace=False), "p2"] = np.nan
    table.loc[rng.choice(n, 5, replace=False), "hand"] = np.nan
    table.to_csv(TABLE, sep="\t", index=False, na_rep="n/a")


if __name__ == "__main__":
    main()
