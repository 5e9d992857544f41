"""Splits and the robustness job on many subjects: `python load_job.py EXPERIMENT SUBJECTS`.

The subjects are copies of the cohort's, with families and embeddings of their own. Prints what
came of it, and by how many bytes the most memory that this process ever had grew, over a small job
that loads and compiles what is loaded and compiled once.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from peak_memory import peak_bytes

from isthmus.cohort.participants import Participants, load_participants
from isthmus.cohort.splits import draw_split
from isthmus.config.load import Experiment, load_experiment
from isthmus.config.stratification import StratificationConfig
from isthmus.core.seeds import generator
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import Variables, stratify

N_LANDMARKS, N_FEW = 100, 400
CONFIG = {
    "affinity_propagation": {"landmarks": N_LANDMARKS},
    "n_permutations": 99,
    "robustness": {
        "n_draws": 2,
        "n_null_phenotypes": 19,
        "n_matched_nulls": 19,
        "n_null_draws": 2,
    },
    "specifications": {"n_null_phenotypes": 19},
}


def copied(known: Participants, n: int) -> Participants:
    """Repeat participants, each copy in a copy of its family."""
    copies = []
    for k in range(-(-n // len(known.table))):
        one = known.table.rename(index=lambda name, k=k: f"{name}-{k}")
        copies.append(one.assign(family_id=one["family_id"].astype(str) + f"-{k}"))
    table = pd.concat(copies).iloc[:n]
    return Participants(table, known.group_by, known.site, kinship_column=known.kinship_column)


def run(experiment: Experiment, n: int) -> dict[str, object]:
    """Draw folds, and run every stage of the job with few draws."""
    everybody = copied(load_participants(experiment), n)
    config = experiment.config
    split = draw_split(everybody, config.cross_validation, 0.1, (), 0)
    values = generator(0, "load").standard_normal((n, 16))
    values[:, 0] += 6.0 * (np.arange(n) % 2)  # two clouds
    table = EmbeddingTable("load", everybody.ids, values, ("validation",) * n)
    settings = StratificationConfig.model_validate(CONFIG)
    report = stratify(table, everybody, settings, Variables.of(config.cohort), 0)
    return {
        "n_validated": sum(len(fold.validation) for fold in split.folds),
        "strata": report.strata.kind,
        "robustness": report.robustness is not None,
    }


if __name__ == "__main__":
    opened = load_experiment(Path(sys.argv[1]))
    run(opened, N_FEW)
    before = peak_bytes()
    found = run(opened, int(sys.argv[2]))
    print(json.dumps({**found, "more_bytes": peak_bytes() - before}))
