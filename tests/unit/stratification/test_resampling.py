"""Draws keep families whole, hold nobody twice, and can be made one by one."""

import numpy as np
import pytest

from isthmus.config.stratification import RobustnessConfig
from isthmus.stratification.resampling import draw_rows, family_codes

FAMILIES = [f"f{i // 2}" for i in range(100)] + [f"alone{i}" for i in range(100)]


@pytest.mark.parametrize("scheme", ["bootstrap", "subsample"])
def test_families_stay_whole_and_nobody_is_drawn_twice(scheme: str) -> None:
    config = RobustnessConfig(scheme=scheme)
    codes = family_codes(FAMILIES)
    for number in range(20):
        rows = draw_rows(FAMILIES, config, 0, number)
        assert len(set(rows.tolist())) == len(rows)
        assert (np.diff(rows) > 0).all()
        drawn = set(codes[rows].tolist())
        assert np.isin(codes, list(drawn)).sum() == len(rows)


def test_the_bootstrap_draws_63_percent_and_the_subsample_its_share() -> None:
    bootstrap = [len(draw_rows(FAMILIES, RobustnessConfig(), 0, b)) / 200 for b in range(300)]
    assert np.mean(bootstrap) == pytest.approx(1 - np.exp(-1), abs=0.01)
    config = RobustnessConfig(scheme="subsample", subsample_share=0.5)
    codes = family_codes(FAMILIES)
    for number in range(5):
        assert len(set(codes[draw_rows(FAMILIES, config, 0, number)])) == 75


def test_a_draw_is_a_function_of_its_number_and_the_seed() -> None:
    config = RobustnessConfig()
    again = [draw_rows(FAMILIES, config, 7, number).tolist() for number in (5, 2)]
    assert again == [draw_rows(FAMILIES, config, 7, number).tolist() for number in (5, 2)]
    assert again[0] != again[1]
    assert again[0] != draw_rows(FAMILIES, config, 8, 5).tolist()


def test_a_draw_has_two_families_at_least() -> None:
    for number in range(50):
        assert len(draw_rows(["a", "b"], RobustnessConfig(), 0, number)) == 2
        subsample = RobustnessConfig(scheme="subsample", subsample_share=0.1)
        assert len(draw_rows(list("abc"), subsample, 0, number)) == 2
