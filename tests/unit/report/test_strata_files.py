"""Reports as files: all of them, whole, and none that is no longer true."""

import pytest
from example_report import make_across, make_report, make_selection, without_partition

from isthmus.report.strata_files import (
    write_across_files,
    write_selection_files,
    write_strata_files,
)

PNG = b"\x89PNG"


def test_a_report_is_a_page_tables_and_pictures(tmp_path):
    written = write_strata_files(make_report(60, 3, 1, 2, 1, 5, 19), tmp_path / "new")
    assert {path.name for path in written} == {
        "robustness.html",
        "robustness.md",
        "stability.png",
        "p_values.png",
        "strata_plane.png",
        "stratum_jaccard.png",
        "stratum_profiles.png",
        "factor_loadings.png",
        "sweep.png",
    }
    assert set((tmp_path / "new").iterdir()) == set(written)
    assert all(path.read_bytes().startswith(PNG) for path in written if path.suffix == ".png")
    assert "**Clustering**" in (tmp_path / "new" / "robustness.md").read_text()


def test_a_picture_that_is_no_longer_true_is_removed(tmp_path):
    write_strata_files(make_report(60, 3, 1, 2, 1, 5, 19), tmp_path)
    failed = without_partition("non_convergence")
    written = write_strata_files(failed, tmp_path, leaky=True)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}
    assert {path.name for path in written if path.suffix == ".png"} == {
        "strata_plane.png",
        "factor_loadings.png",
    }
    text = (tmp_path / "robustness.md").read_text()
    assert f"Not drawn, stability.png: There is no usable partition: {failed.strata.reason}" in text
    assert "LEAKY" in text


def test_each_target_has_its_own_curve(tmp_path):
    written = write_across_files(make_across(3, 2), tmp_path)
    assert [path.name for path in written] == [
        "across_encoders.html",
        "across_encoders.md",
        "agreement.png",
        "specification_curve_1.png",
        "specification_curve_2.png",
    ]
    pictures = [path.read_bytes() for path in written[3:]]
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize("n_trials", [1, 4])
def test_a_selection_is_written_even_if_nothing_was_testable(tmp_path, n_trials):
    written = write_selection_files(make_selection(n_trials), tmp_path, leaky=True)
    assert [path.name for path in written] == ["selection.html", "selection.md", "selection.png"]
    assert "LEAKY" in written[1].read_text()
