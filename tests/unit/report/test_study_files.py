"""A study as files: all of them, whole, and none that is no longer true."""

from dataclasses import replace

import pytest
from example_study import MSE, make_study

from isthmus.report.study_files import write_study_files
from isthmus.study.record_json import read_study

PNG = b"\x89PNG"
PICTURES = {
    "pareto_front.png",
    "history.png",
    "parallel.png",
    "importance.png",
    "hypervolume.png",
    "selection.png",
}


def test_a_study_is_a_record_a_page_a_summary_and_pictures(tmp_path):
    study = make_study(24)
    written = write_study_files(study, tmp_path / "new")
    names = [path.name for path in written]
    assert names[:3] == ["study.json", "study.html", "summary.md"]
    assert set(names[3:]) == PICTURES
    assert set((tmp_path / "new").iterdir()) == set(written)
    assert all(path.read_bytes().startswith(PNG) for path in written[3:])
    assert read_study(tmp_path / "new") == study
    text = written[2].read_text()
    assert text.startswith("# Search architecture of small\n")
    assert all(f"]({name})" in text for name in PICTURES)
    assert text.count("Does not show:") == 6


def test_pictures_that_are_no_longer_true_are_removed(tmp_path):
    write_study_files(make_study(24), tmp_path)
    (tmp_path / "study.db").touch()
    written = write_study_files(make_study(24, (MSE,)), tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {path.name for path in written} | {"study.db"}
    assert PICTURES - left == {"pareto_front.png", "hypervolume.png"}
    assert "**Pareto front**: not drawn. There is one objective" in written[2].read_text()


@pytest.mark.parametrize("n_trials", [0, 1])
def test_the_smallest_studies_can_be_written(tmp_path, n_trials):
    written = write_study_files(make_study(n_trials, (MSE,)), tmp_path)
    assert {"study.json", "study.html", "summary.md"} <= {path.name for path in written}
    assert "The best of many trials**: not drawn." in (tmp_path / "summary.md").read_text()


def test_the_summary_of_a_thousand_trials_is_short_and_the_page_has_all(tmp_path):
    study = replace(make_study(1000), importance=())
    *_, selection = write_study_files(study, tmp_path)
    assert len((tmp_path / "summary.md").read_text().splitlines()) < 500
    assert (tmp_path / "study.html").read_text().count("<tr>") > 1500
    height = int.from_bytes(selection.read_bytes()[20:24], "big")
    assert height < 2000
