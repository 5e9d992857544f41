"""A factor that changes nothing is called better or worse as rarely as the level says."""

from collections.abc import Callable

import numpy as np
import pytest
from simulated_scores import (
    N_SUBJECTS,
    component_scores,
    decide,
    draw_folds,
    equicorrelated,
    n_families_with,
    naive_rejections,
    null_factor,
)

from isthmus.study.inference.verdict import Rule

ALPHA = 0.05
RULE = Rule("minimize", ALPHA)
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Show = Callable[..., int]


@pytest.mark.parametrize("n_seeds", [1, 2])
@pytest.mark.parametrize("margin", [None, 0.5])
def test_a_null_factor_is_not_called_better(n_seeds: int, margin: float | None) -> None:
    """At least 95 of 100 studies say "not resolvable" or "equivalent"; none may need luck."""
    scores = null_factor(np.random.default_rng([50, n_seeds]), 100, n_seeds)
    found = [judgement.decision for (judgement,) in decide(scores, RULE, margin)]
    assert found.count("not_resolvable") + found.count("equivalent") >= 95
    assert found.count("better") <= 5


@pytest.mark.parametrize("n_seeds", [1, 2, 5])
@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_the_level_is_kept_with_a_learner_on_overlapping_folds(
    n_seeds: int, strength: float, acceptance: Region, simulations: Number, show: Show
) -> None:
    """Training folds overlap as they do in a study; the paired t-test that ignores it fails."""
    n = simulations(2000)
    rng = np.random.default_rng([51, n_seeds, int(10 * strength)])
    scores = null_factor(rng, n, n_seeds, strength=strength)
    _, high = acceptance(n, ALPHA)
    count = n_families_with(decide(scores, RULE), "better", "worse")
    assert show(count, n, ALPHA, "corrected") <= high
    naive = show(naive_rejections(scores, ALPHA), n, ALPHA, "paired t-test of folds")
    if n_seeds > 1:
        assert naive > high
        assert naive >= 2 * ALPHA * n


@pytest.mark.parametrize("n_blocks", [3, 5, 10, 25])
def test_the_level_is_exact_at_the_correlation_that_is_assumed(
    n_blocks: int, acceptance: Region, simulations: Number, show: Show
) -> None:
    n = simulations(2000)
    scores = equicorrelated(np.random.default_rng([52, n_blocks]), n, 2, n_blocks)
    low, high = acceptance(n, ALPHA)
    corrected = n_families_with(decide(scores, RULE), "better", "worse")
    assert low <= show(corrected, n, ALPHA, "corrected") <= high
    assert show(naive_rejections(scores, ALPHA), n, ALPHA, "paired t-test of folds") > high


def test_p_values_are_uniform_at_the_correlation_that_is_assumed() -> None:
    """The mean of 2,000 uniform values has standard error 0.0065."""
    scores = equicorrelated(np.random.default_rng(53), 2000, 2, 10)
    p = np.array([judgement.p_value for (judgement,) in decide(scores, RULE)])
    assert p.mean() == pytest.approx(0.5, abs=4 * 0.0065)
    assert p.var() == pytest.approx(1 / 12, abs=0.008)


def test_where_training_subjects_matter_as_much_as_held_out_ones_the_level_is_exceeded(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    """The limit of the method: two folds of different seeds then correlate 0.33, not 0.2.

    A fold's difference is the mean of its held-out subjects' own differences plus the mean of what
    each training subject adds to it, of one size: far more than a network owes to single subjects.
    """
    n = simulations(2000)
    rng = np.random.default_rng(55)
    held_out = draw_folds(rng, n, 2)
    tested, trained = rng.standard_normal((2, n, 1, N_SUBJECTS))
    out = (held_out * tested).sum(axis=2) / held_out.sum(axis=2)
    rest = ((1 - held_out) * trained).sum(axis=2) / (1 - held_out).sum(axis=2)
    scores = np.stack([np.zeros_like(out), out + rest], axis=1)
    _, high = acceptance(n, ALPHA)
    count = show(n_families_with(decide(scores, RULE), "better", "worse"), n, ALPHA, "corrected")
    assert high < count <= 2 * ALPHA * n
    assert show(naive_rejections(scores, ALPHA), n, ALPHA, "paired t-test of folds") > 3 * count


def test_scores_of_all_subjects_speak_of_this_cohort_alone(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    """Blocks that score the same subjects repeat the training, and not the subjects.

    Arms read inputs of their own that are alike in the population, and in 60 subjects are not.
    Where held-out subjects are scored, that is allowed for; where all are, as strata of all are, it
    is not. What is left is the level in this cohort: arms that read the same inputs, and differ in
    what chance makes of the training (a half of its subjects each).
    """
    n = simulations(1000)
    rng = np.random.default_rng(56)
    held_out = draw_folds(rng, n, 2)
    everybody = np.ones_like(held_out)
    x = rng.standard_normal((2, n, N_SUBJECTS, 3))
    y = 0.3 * x.sum(axis=(0, 3)) + rng.standard_normal((n, N_SUBJECTS))
    rule = Rule("maximize", ALPHA)

    def count(scores: np.ndarray, label: str) -> int:
        return show(n_families_with(decide(scores, rule), "better", "worse"), n, ALPHA, label)

    _, high = acceptance(n, ALPHA)
    assert count(component_scores(x, y, 1 - held_out, held_out), "held-out subjects") <= high
    assert count(component_scores(x, y, 1 - held_out, everybody), "all subjects") > 5 * ALPHA * n
    halves = rng.random((2, *held_out.shape)) < 0.5
    by_chance = [
        component_scores(x[:1], y, (1 - held_out) * half, everybody)[:, 0] for half in halves
    ]
    assert count(np.stack(by_chance, axis=1), "all subjects, the same inputs") <= high


def test_more_seeds_do_not_shrink_the_interval_to_nothing() -> None:
    """50 seeds of five folds: the half-width keeps the floor of one n_test / n_train."""
    rng = np.random.default_rng(54)
    for n_seeds in (2, 50):
        scores = null_factor(rng, 20, n_seeds)
        differences = scores[:, 1] - scores[:, 0]
        p = [judgement.smallest_resolvable for (judgement,) in decide(scores, RULE)]
        spread = differences.std(axis=1, ddof=1)
        assert (np.array(p) > 2.8 * spread * np.sqrt(1 / 4)).all()
