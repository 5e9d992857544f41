"""The page of all settings."""

from isthmus.config.paths import settings_paths
from isthmus.config.reference import reference_page
from isthmus.config.search_metrics import known_metrics
from isthmus.config.search_space import SearchSpace


def test_each_setting_has_one_line() -> None:
    experiment, _, search = reference_page().partition("\n# Search spaces\n")
    for page, group in ((experiment, None), (search, SearchSpace)):
        lines = page.splitlines()
        for path in settings_paths() if group is None else settings_paths(group):
            assert len([line for line in lines if line.startswith(f"| `{path}` |")]) == 1


def test_the_language_of_searches_is_described_whole() -> None:
    page = reference_page().partition("\n# Search spaces\n")[2]
    for kind in ("categorical", "int", "float"):
        assert f"## A dimension of kind `{kind}`\n" in page
    assert "| `choices` | list of any value at least 1 long | must be given |" in page
    assert "| `space` | group by path at least 1 long | must be given |" in page
    assert "| `sampler.kind` | `tpe`, `multivariate_tpe`, `nsga2`, `random`, `grid`, " in page
    assert "`training.early_stopping.monitor_share`" in page  # may not be varied
    for metric in known_metrics():
        assert f"`{metric}`" in page


def test_values_bounds_and_defaults_are_said_in_words() -> None:
    page = reference_page()
    assert "| `training.gradient_clip_norm` | number > 0.0 or none | `null` |" in page
    assert "| `model.skips` | `all`, `deep`, `none` | `all` |" in page
    assert "| `model.kernel_size` | integer ≥ 1, ≤ 15 or 3 times integer ≥ 1, ≤ 15 |" in page
    assert "| `cohort.modalities` | list of text at least 1 long | must be given |" in page
