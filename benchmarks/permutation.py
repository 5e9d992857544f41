"""Permutation tests of all factors at once, against calling scipy for each permutation.

All compute Kruskal-Wallis H for the same block permutations of the same scores, in one run, so that
their ratio is of this machine at this moment; where they differ, the benchmark stops.

    python benchmarks/permutation.py                          # quick: seconds
    python benchmarks/permutation.py --permutations 1999      # minutes, nearly all of them scipy's
"""

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np
import scipy
from scipy.stats import kruskal

from isthmus.core.seeds import generator
from isthmus.stratification.association import associate
from isthmus.stratification.permutation import PermutationPlan, plan_permutations
from isthmus.trial.provenance import describe_machine

N_PAIRS = 400
N_ALONE = 200
N_SUBJECTS = 2 * N_PAIRS + N_ALONE
TOLERANCE = 1e-10
CONFOUNDED = "`associate` with two confounds"
_CHUNK = 100


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--permutations", type=_positive, default=99, metavar="B")
    parser.add_argument("--factors", type=_positive, default=10, metavar="F")
    parser.add_argument("--strata", type=_positive, default=30, metavar="K")
    arguments = parser.parse_args()
    rng = generator(0, "benchmark", "permutation")
    scores_NF = rng.standard_normal((N_SUBJECTS, arguments.factors))
    labels_N = rng.integers(0, arguments.strata, N_SUBJECTS)
    families = [*(f"pair-{i // 2}" for i in range(2 * N_PAIRS)), *map(str, range(N_ALONE))]
    plan = plan_permutations(families, arguments.permutations, 0)
    confounds_NC = rng.standard_normal((N_SUBJECTS, 2))
    ways: dict[str, Callable[[], np.ndarray]] = {
        "`scipy.stats.kruskal`, a call a factor": lambda: looped(scores_NF, labels_N, plan),
        "the same, a call for all factors": lambda: looped_over_all(scores_NF, labels_N, plan),
        "`associate`": lambda: associate(scores_NF, labels_N, plan).null_h,
        CONFOUNDED: lambda: associate(scores_NF, labels_N, plan, confounds_NC).null_h,
    }
    seconds, h_BF = {}, {}
    for name, way in ways.items():
        started, busy = time.perf_counter(), time.process_time()
        h_BF[name] = way()
        seconds[name] = (time.perf_counter() - started, time.process_time() - busy)
    same = [h for name, h in h_BF.items() if name != CONFOUNDED]
    difference = max(float(np.abs(h - same[0]).max()) for h in same)
    if not difference <= TOLERANCE:
        raise SystemExit(f"H must agree within {TOLERANCE}, but differs by {difference}.")
    print("\n".join(_table(seconds, difference, arguments)))


def looped(scores_NF: np.ndarray, labels_N: np.ndarray, plan: PermutationPlan) -> np.ndarray:
    """Call scipy once a permutation and factor."""
    strata = [np.flatnonzero(labels_N == k) for k in np.unique(labels_N)]
    h_BF = [
        [
            kruskal(*(factor_N[order_N[rows]] for rows in strata)).statistic
            for factor_N in scores_NF.T
        ]
        for chunk_BN in plan.chunks(_CHUNK)
        for order_N in chunk_BN
    ]
    return np.array(h_BF)


def looped_over_all(
    scores_NF: np.ndarray, labels_N: np.ndarray, plan: PermutationPlan
) -> np.ndarray:
    """Call scipy once a permutation, with all factors."""
    strata = [np.flatnonzero(labels_N == k) for k in np.unique(labels_N)]
    h_BF = [
        kruskal(*(scores_NF[order_N[rows]] for rows in strata)).statistic
        for chunk_BN in plan.chunks(_CHUNK)
        for order_N in chunk_BN
    ]
    return np.array(h_BF)


def _table(
    seconds: dict[str, tuple[float, float]], difference: float, arguments: argparse.Namespace
) -> list[str]:
    """Lay the numbers out as Markdown, with the machine they are from."""
    n_tests = arguments.permutations * arguments.factors
    reference = seconds["`associate`"][0]
    lines = [
        f"{N_SUBJECTS:,} subjects ({N_PAIRS} pairs of relatives), {arguments.strata} strata, "
        f"{arguments.factors} factors, {arguments.permutations:,} block permutations.",
        f"{describe_machine()}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}.",
        "",
        "| what | s | processor s | tests a second | times the s of `associate` |",
        "|---|---|---|---|---|",
    ]
    for name, (wall, busy) in seconds.items():
        lines.append(
            f"| {name} | {wall:.2f} | {busy:.2f} | {n_tests / wall:,.0f} | {wall / reference:.1f} |"
        )
    lines += ["", f"Largest difference between the first three's H: {difference:.1e}."]
    return lines


def _positive(text: str) -> int:
    """Read a number above zero."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


if __name__ == "__main__":
    main()
