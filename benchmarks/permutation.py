"""Permutation tests of all factors at once, against calling scipy for each permutation.

A section of benchmarks/robustness.py, which runs it. Both ways compute Kruskal-Wallis H for the
same block permutations of the same scores; where they differ, the benchmark stops.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy.stats import kruskal

from isthmus.core.seeds import generator
from isthmus.stratification.arrangements import observed_and_permuted
from isthmus.stratification.association import associate
from isthmus.stratification.categories import associate_category
from isthmus.stratification.permutation import PermutationPlan, plan_permutations
from isthmus.stratification.targets import TargetGroup

N_PERMUTATIONS = 10_000
N_LOOPED = 100
N_PAIRS = 400
N_ALONE = 200
N_SUBJECTS = 2 * N_PAIRS + N_ALONE
N_FACTORS = 13
N_TIED = 6
N_STRATA = 10
N_DRAWS = 200
N_NULL_PHENOTYPES = 499
SHARE_DRAWN = 0.632
TOLERANCE = 1e-10
FAMILIES = (*(f"pair-{i // 2}" for i in range(2 * N_PAIRS)), *map(str, range(N_ALONE)))
Result = TypeVar("Result")


def permutations(full: bool) -> list[str]:
    """Test 13 factors under 10,000 permutations: scipy on 100 of them, or on all."""
    rng = generator(0, "benchmark", "permutation")
    scores_NF = rng.standard_normal((N_SUBJECTS, N_FACTORS))
    scores_NF[:, :N_TIED] = rng.integers(0, 30, (N_SUBJECTS, N_TIED))
    labels_N = rng.integers(0, N_STRATA, N_SUBJECTS)
    confounds_NC = rng.standard_normal((N_SUBJECTS, 2))
    indicators_NC = np.eye(3)[rng.integers(0, 3, N_SUBJECTS)]
    plan = plan_permutations(FAMILIES, N_PERMUTATIONS, 0)
    few = plan_permutations(FAMILIES, N_PERMUTATIONS if full else N_LOOPED, 0)
    warm = plan_permutations(FAMILIES, 1, 0)
    for confounds in (None, confounds_NC):  # compiles
        associate(scores_NF, labels_N, warm, confounds)
        associate_category(indicators_NC, labels_N, warm, confounds)
    h_BF, *looped = timed(lambda: loop_over_scipy(scores_NF, labels_N, few))
    test, *ours = timed(lambda: associate(scores_NF, labels_N, plan))
    _, *confounded = timed(lambda: associate(scores_NF, labels_N, plan, confounds_NC))
    _, *category = timed(lambda: associate_category(indicators_NC, labels_N, plan))
    difference = float(np.abs(h_BF - test.null[: len(h_BF)]).max())
    if not difference <= TOLERANCE:
        raise SystemExit(f"H must agree within {TOLERANCE}, but differs by {difference}.")
    rows = [
        ("`scipy.stats.kruskal`, a call a factor", few.n_permutations, N_FACTORS, *looped),
        ("`associate`", plan.n_permutations, N_FACTORS, *ours),
        ("`associate` with two confounds", plan.n_permutations, N_FACTORS, *confounded),
        ("`associate_category`, three categories", plan.n_permutations, 1, *category),
    ]
    reference = few.n_permutations * N_FACTORS / looped[1]
    lines = [
        f"{N_SUBJECTS:,} subjects ({N_PAIRS} pairs of relatives), {N_STRATA} strata, {N_FACTORS} "
        f"factors, {N_TIED} of them with ties. Largest difference in H: {difference:.1e}.",
        "",
        "| what | permutations | s | processor s | tests a processor second | times scipy's |",
        "|---|---|---|---|---|---|",
    ]
    for name, b, n_targets, wall, busy in rows:
        rate = b * n_targets / busy
        lines.append(
            f"| {name} | {b:,} | {wall:.2f} | {busy:.2f} | {rate:,.0f} | {rate / reference:.0f} |"
        )
    return [*lines, "", draws_line(scores_NF, None), draws_line(scores_NF, confounds_NC)]


def loop_over_scipy(
    scores_NF: np.ndarray, labels_N: np.ndarray, plan: PermutationPlan
) -> np.ndarray:
    """Call scipy once a permutation and factor."""
    strata = [np.flatnonzero(labels_N == k) for k in np.unique(labels_N)]
    h_BF = [
        [
            kruskal(*(factor_N[order_N[rows]] for rows in strata)).statistic
            for factor_N in scores_NF.T
        ]
        for chunk_BN in plan.chunks(100)
        for order_N in chunk_BN
    ]
    return np.array(h_BF)


def draws_line(scores_NF: np.ndarray, confounds_NC: np.ndarray | None) -> str:
    """Measure what the robustness job asks: every draw against every permutation."""
    group = TargetGroup(
        kind="factor",
        names=tuple(f"factor_{f}" for f in range(N_FACTORS)),
        places=tuple(range(N_FACTORS)),
        reasons=(None,) * N_FACTORS,
        levels=(),
        values_AV=scores_NF,
        rows_N=np.arange(N_SUBJECTS),
        families=FAMILIES,
        kinship=None,
        confounds_NC=confounds_NC,
        n_missing_confounds=0,
    )
    rng = generator(0, "benchmark", "draws")
    labels_DN = rng.integers(0, N_STRATA, (N_DRAWS, N_SUBJECTS))
    labels_DN[rng.random(labels_DN.shape) > SHARE_DRAWN] = -1
    arranged, wall, busy = timed(lambda: observed_and_permuted(group, N_NULL_PHENOTYPES, 0))
    found, wall_of_draws, busy_of_draws = timed(lambda: arranged.statistics(labels_DN))
    with_confounds = "" if confounds_NC is None else ", two confounds"
    return (
        f"{N_DRAWS} draws of {SHARE_DRAWN:.0%} x {found.shape[1]} arrangements x {N_FACTORS} "
        f"factors{with_confounds}: arranged in {wall:.2f} s ({busy:.2f} processor s), tested in "
        f"{wall_of_draws:.2f} s ({busy_of_draws:.2f}).  "
    )


def timed(way: Callable[[], Result]) -> tuple[Result, float, float]:
    """Run something once: its result, seconds, processor seconds."""
    started, busy = time.perf_counter(), time.process_time()
    result = way()
    return result, time.perf_counter() - started, time.process_time() - busy
