"""The page of all settings."""

from isthmus.config.paths import settings_paths
from isthmus.config.reference import reference_page


def test_each_setting_has_one_line() -> None:
    lines = reference_page().splitlines()
    for path in settings_paths():
        assert len([line for line in lines if line.startswith(f"| `{path}` |")]) == 1


def test_values_bounds_and_defaults_are_said_in_words() -> None:
    page = reference_page()
    assert "| `training.gradient_clip_norm` | number > 0.0 or none | `null` |" in page
    assert "| `model.skips` | `all`, `deep`, `none` | `all` |" in page
    assert "| `model.kernel_size` | integer ≥ 1, ≤ 15 or 3 times integer ≥ 1, ≤ 15 |" in page
    assert "| `cohort.modalities` | list of text at least 1 long | must be given |" in page
