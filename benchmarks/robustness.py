"""The robustness job against the plain way of computing the same, a section a question.

Both ways of a section run in one process, one after the other, on the same input, so that their
ratio is of this machine at this moment; where their results differ, the benchmark stops. Set
OMP_NUM_THREADS=1: the job's pieces share a machine by running side by side, a core each.

    OMP_NUM_THREADS=1 python benchmarks/robustness.py          # quick: a minute or two
    OMP_NUM_THREADS=1 python benchmarks/robustness.py --full   # 1,000 draws: a quarter of an hour
    OMP_NUM_THREADS=1 python benchmarks/robustness.py --size   # 10,000 and 40,000 subjects: 3 GB
"""

import argparse
import multiprocessing
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import scipy
import sklearn
from permutation import permutations
from sklearn.cluster import AffinityPropagation
from sklearn.metrics import adjusted_rand_score, euclidean_distances

from isthmus.config.stratification import StratificationConfig
from isthmus.core.seeds import generator
from isthmus.stratification.cloud import make_cloud, standardise
from isthmus.stratification.clusterers import Clustering, Failure, recluster, share_preference
from isthmus.stratification.partition import Partition
from isthmus.stratification.resampling import draw_rows
from isthmus.stratification.strata import find_strata
from isthmus.stratification.sweep import summarise_pairs
from isthmus.trial.provenance import describe_machine

N_COLUMNS = 1536
# Of the median similarity: as a sweep's first candidate, and as its middle ones.
PREFERENCES = (1.0, 4.0)
FEW_DRAWS = 20
EMBEDDINGS = "scikit-learn on embeddings"


def main() -> None:
    """Run the sections and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="as many draws as the job may take")
    parser.add_argument("--size", action="store_true", help="large cohorts alone; needs 3 GB")
    arguments = parser.parse_args()
    sections: list[Callable[[bool], list[str]]] = (
        [sizes] if arguments.size else [permutations, reclustering]
    )
    print(
        f"{describe_machine()}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, numba {numba.__version__}."
    )
    for section in sections:
        print("\n" + "\n".join(section(arguments.full)), flush=True)


def reclustering(full: bool) -> list[str]:
    """Cluster draws from one similarity matrix, or scikit-learn on each draw's embeddings."""
    n, n_draws = 1000, 1000 if full else FEW_DRAWS
    families = [f"pair-{i // 2}" for i in range(n)]
    config = StratificationConfig()
    draws = [draw_rows(families, config.robustness, 0, number) for number in range(n_draws)]
    lines = [
        f"{n_draws:,} bootstrap draws of {n:,} subjects in pairs "
        f"({np.mean([len(rows) for rows in draws]):.0f} distinct), {N_COLUMNS:,} columns.",
        "",
        "| cloud | preference | strata | failed, for one only | what | draws | s | processor s | "
        "ms a draw | times faster |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, spread in (("noise", 0.0), ("four clouds", 0.3)):
        for factor in PREFERENCES:
            lines += _race(name, planted(n, spread), factor, draws, config)
    return [*lines, "", "Partitions are the same in every draw in which both ways converged."]


def sizes(full: bool) -> list[str]:
    """Measure seconds and memory where a cohort is large, each in a process of its own."""
    lines = ["| what | step | s | peak memory, GB |", "|---|---|---|---|"]
    for name, n, settings in (
        ("10,000 subjects, affinity propagation", 10_000, {}),
        (
            "40,000 subjects, 5,000 landmarks",
            40_000,
            {"affinity_propagation": {"landmarks": 5000}},
        ),
        (
            "40,000 subjects, hdbscan on 20 components",
            40_000,
            {"clusterer": "hdbscan", "pca_components": 20, "min_cluster_size": 100},
        ),
    ):
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            steps = pool.apply(_large, (n, settings))
        lines += [f"| {name} | {step} | {s:.1f} | {memory:.2f} |" for step, s, memory in steps]
    return [*lines, "", *_landmarks_beside_everybody()]


def planted(n: int, spread: float, n_clouds: int = 4) -> np.ndarray:
    """Draw clouds whose centres are `spread` standard deviations apart in each column."""
    stream = generator(0, "benchmark", "robustness", n)
    values_ND = stream.standard_normal((n, N_COLUMNS))
    centres = spread * stream.standard_normal((n_clouds, N_COLUMNS))
    values_ND += centres[np.arange(n) % n_clouds]
    return values_ND


class _Way(NamedTuple):
    """One way to cluster all draws: labels, seconds, processor seconds."""

    labels: list[np.ndarray]
    wall: float
    busy: float


def _race(
    name: str,
    values_ND: np.ndarray,
    factor: float,
    draws: list[np.ndarray],
    config: StratificationConfig,
) -> list[str]:
    """Cluster the same draws three ways and lay out the times."""
    cloud = make_cloud(values_ND, config, 0)
    preference = factor * summarise_pairs(cloud.similarity_LL, "median")
    recluster(cloud, np.arange(20), preference, config, 0)  # compiles, or reads what is compiled

    standardised_ND = standardise(values_ND)[0]
    distances_NN = -euclidean_distances(standardised_ND, squared=True)

    def library(values: np.ndarray, affinity: str) -> np.ndarray:
        return _library(values, share_preference(cloud, preference, len(values)), config, affinity)

    ways = {
        EMBEDDINGS: _timed(lambda: [library(standardised_ND[rows], "euclidean") for rows in draws]),
        "scikit-learn on submatrices": _timed(
            lambda: [
                library(distances_NN[np.ix_(rows, rows)], "precomputed")
                for rows in draws[:FEW_DRAWS]
            ]
        ),
        "`recluster`": _timed(
            lambda: [
                found.labels_M if isinstance(found, Clustering) else rows[:0]
                for rows in draws
                for found in [recluster(cloud, rows, preference, config, 0)]
            ]
        ),
    }
    first, *others = (way.labels for way in ways.values())
    pairs = [(a, b) for other in others for a, b in zip(first, other, strict=False)]
    differ = sum(adjusted_rand_score(a, b) < 1.0 for a, b in pairs if a.size and b.size)
    one_only = sum(bool(a.size) != bool(b.size) for a, b in pairs)
    if differ:
        raise SystemExit(f"{name}, {factor} medians: {differ} partitions are not the same.")
    once = _timed(lambda: [make_cloud(values_ND, config, 0).similarity_LL])
    every = ways["`recluster`"]
    together = _Way(every.labels, every.wall + once.wall, every.busy + once.busy)
    ways["`recluster` and its matrix"] = together
    strata = np.mean([len(np.unique(labels)) for labels in first if labels.size])
    n_failed = sum(not labels.size for labels in first)
    slowest = ways[EMBEDDINGS].busy / len(draws)
    rows_of_table = []
    for what, way in ways.items():
        each = way.busy / len(way.labels)
        rows_of_table.append(
            f"| {name} | {factor:g} medians | {strata:.1f} | {n_failed}, {one_only} | "
            f"{what} | {len(way.labels):,} | {way.wall:.2f} | {way.busy:.2f} | {1e3 * each:.1f} | "
            f"{slowest / each:.1f} |"
        )
    return rows_of_table


def _timed(way: Callable[[], list[np.ndarray]]) -> _Way:
    """Run and time."""
    started, busy = time.perf_counter(), time.process_time()
    labels = way()
    return _Way(labels, time.perf_counter() - started, time.process_time() - busy)


def _library(
    values: np.ndarray,
    preference: float,
    config: StratificationConfig,
    affinity: str,
) -> np.ndarray:
    """Cluster one draw with scikit-learn; no labels if it did not converge."""
    settings = config.affinity_propagation
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        labels = AffinityPropagation(
            affinity=affinity,
            damping=settings.damping,
            preference=preference,
            max_iter=settings.max_iterations,
            convergence_iter=settings.convergence_iterations,
            random_state=0,
        ).fit_predict(values)
    return labels[:0] if caught else labels


def _labels(found: Clustering | Failure) -> np.ndarray:
    """Take the labels of a clustering that worked."""
    if isinstance(found, Failure):
        raise SystemExit(found.reason)
    return found.labels_M


def _large(n: int, settings: dict[str, object]) -> list[tuple[str, float, float]]:
    """Cluster a large cohort once, and a draw of it."""
    config = StratificationConfig(**settings)
    everybody = np.arange(n)
    families = [f"pair-{i // 2}" for i in range(n)]
    values_ND = planted(n, 0.3)
    steps = []

    def step(name: str, work: Callable[[], object]) -> object:
        started = time.perf_counter()
        result = work()
        steps.append((name, time.perf_counter() - started, _peak_memory()))
        return result

    cloud = step("points", lambda: make_cloud(values_ND, config, 0))
    if config.clusterer == "affinity_propagation":
        step("similarities", lambda: cloud.similarity_LL)
        setting = _preference(cloud.similarity_LL)
        # Compiles, or reads what is compiled.
        recluster(cloud, everybody[:1000], setting, config, 0)
    else:
        setting = float(config.min_cluster_size)
    for name, rows in (
        ("all", everybody),
        ("a bootstrap draw", draw_rows(families, config.robustness, 0, 0)),
    ):
        started = time.perf_counter()
        labels = _labels(recluster(cloud, rows, setting, config, 0))
        seconds = time.perf_counter() - started
        ari = adjusted_rand_score(rows % 4, labels)
        found = f"{name}: {len(np.unique(labels))} strata, ARI with the truth {ari:.2f}"
        steps.append((found, seconds, _peak_memory()))
    return steps


def _landmarks_beside_everybody() -> list[str]:
    """Compare the partition that landmarks give with that of everybody, both by a sweep."""
    n = 3000
    ids = [f"{i:04d}" for i in range(n)]
    lines = [
        f"{n:,} subjects, {N_COLUMNS:,} columns, preference swept.",
        "",
        "| cloud | components | landmarks | strata | ARI with everybody's | ARI with the truth | "
        "s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, spread in (("four clouds", 0.3), ("four faint clouds", 0.15), ("noise", 0.0)):
        values_ND = planted(n, spread)
        for components in (None, 20):
            everybody: tuple[int, ...] = ()
            for landmarks in (None, 1500, 750, 375):
                config = StratificationConfig(
                    pca_components=components, affinity_propagation={"landmarks": landmarks}
                )
                started = time.perf_counter()
                found = find_strata(make_cloud(values_ND, config, 0), ids, ids, config, 0)
                seconds = time.perf_counter() - started
                if not isinstance(found, Partition):
                    lines.append(f"| {name} | {components} | {landmarks} | {found.reason} | | | |")
                    continue
                everybody = everybody or found.labels
                lines.append(
                    f"| {name} | {components or 'all'} | {landmarks or 'everybody'} | "
                    f"{len(found.sizes)} | {adjusted_rand_score(everybody, found.labels):.3f} | "
                    f"{adjusted_rand_score(np.arange(n) % 4, found.labels):.3f} | {seconds:.1f} |"
                )
    return lines


def _preference(similarity_LL: np.ndarray) -> float:
    """Cut as finely whatever the size: an exemplar costs what a 250th of the subjects gain."""
    return summarise_pairs(similarity_LL, "median") * len(similarity_LL) / 250


def _peak_memory() -> float:
    """Read the most memory that this process has held, in GB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


if __name__ == "__main__":
    main()
