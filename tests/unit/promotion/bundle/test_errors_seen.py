"""Thresholds of reconstruction errors: which subjects they are made of, and what is beyond."""

import numpy as np
import pytest

from isthmus.promotion.bundle.errors_seen import FEWEST, gather_errors


def draw(n, scale=1.0, m=2, seed=0):
    return scale * np.random.default_rng(seed).gamma(4.0, 1.0, (n, m))


@pytest.mark.parametrize(
    ("sizes", "reference"),
    [
        ({"train": 40, "monitor": 20, "validation": 10}, "validation"),
        ({"train": 40, "monitor": 20, "validation": 9}, "monitor"),
        ({"train": 40, "monitor": 9, "validation": 9}, "train"),
        ({"train": 40}, "train"),
        ({"train": 5, "monitor": 3, "validation": 4}, "train"),
    ],
)
def test_the_reference_is_the_part_nearest_to_a_new_subject(sizes, reference):
    errors = {part: draw(n, scale=1.0 + number) for number, (part, n) in enumerate(sizes.items())}
    seen = gather_errors(errors, ("T1w", "FA"), 0.99).by_name["all"]
    assert FEWEST == 10
    assert seen.reference == reference
    assert seen.threshold == errors[reference].mean(axis=1).max()
    assert seen.false_alarms == 1 / (sizes[reference] + 1)
    assert {part: own.n for part, own in seen.parts.items()} == sizes


def test_a_threshold_keeps_its_share_below_it():
    errors, new = draw(2000), draw(20_000, seed=1)
    seen = gather_errors({"train": errors}, ("T1w", "FA"), 0.95)
    judged = [seen.judge({"T1w": a, "FA": b}, complete=True) for a, b in new]
    assert np.mean([one.out_of_distribution for one in judged]) == pytest.approx(0.05, abs=0.01)
    percentiles = np.array([one.percentile for one in judged])
    assert np.mean(percentiles < 30) == pytest.approx(0.3, abs=0.03)
    assert percentiles.min() >= 0.0
    assert percentiles.max() <= 100.0


def test_an_incomplete_subject_is_compared_with_each_modality():
    errors = draw(100) * [1.0, 100.0]
    seen = gather_errors({"train": errors}, ("T1w", "FA"), 0.99)
    usual = float(np.median(errors[:, 0]))
    alone = seen.judge({"T1w": usual}, complete=False)
    assert alone.percentile == pytest.approx(50.0, abs=1.0)
    assert not alone.out_of_distribution
    # beside FA's, an error of T1w is lost in the mean; on its own it is beyond all that was seen
    assert seen.judge({"T1w": 50.0}, complete=False).out_of_distribution
    assert not seen.judge({"T1w": 50.0, "FA": 300.0}, complete=True).out_of_distribution


def test_images_that_nobody_has_count_for_nobody():
    errors = draw(30)
    errors[:25, 1] = np.nan
    seen = gather_errors({"train": errors}, ("T1w", "FA"), 0.99)
    assert seen.by_name["T1w"].parts["train"].n == 30
    assert seen.by_name["FA"].parts["train"].n == 5
    assert seen.by_name["all"].parts["train"].n == 5
    errors[:, 1] = np.nan
    errors[0] = [np.nan, 2.0]
    seen = gather_errors({"train": errors}, ("T1w", "FA"), 0.99)
    assert set(seen.by_name) == {"T1w", "FA"}
    judged = seen.judge({"T1w": 1.0, "FA": 3.0}, complete=True)
    assert judged.out_of_distribution
    assert judged.error == 2.0
