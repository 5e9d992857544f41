"""The story as files: chapters in order, empty states, tables, pictures, replaced whole."""

import csv
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from example_bundle import PNG, ablation_bundle, make_detail, search_bundle

from isthmus.core.errors import ConfigError
from isthmus.report.page import Passage
from isthmus.report.story.bundle import ReadyPart, ReportBundle
from isthmus.report.story.bundle_json import read_bundle
from isthmus.report.story.files import table_csv, write_report
from isthmus.report.story.page import chapters_of, story_page
from isthmus.report.table import Table

KEYS = [
    "cohort",
    "tried",
    "ranking",
    "controls",
    "reconstructions",
    "strata",
    "subsets",
    "promotion",
    "limits",
]
NASTY = "</script><img src=x onerror=alert(1)>"


def without_scripts(page: str) -> str:
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> dict[str, ReportBundle]:
    trial = make_detail("the trial", None)
    search = search_bundle()
    alone = replace(search.trials[0], label="the trial", number=None, n_folds_done=2)
    return {
        "search": search,
        "ablation": ablation_bundle(tmp_path_factory.mktemp("runs")),
        "trial": replace(search, kind="trial", study=None, trials=(alone,), details=(trial,)),
        "begun": search_bundle(0),
        "unknown": ReportBundle("search", "lost", "small", missing=("Nothing was found.",)),
        "unread": ReportBundle("ablation", "lost", "small"),
    }


@pytest.mark.parametrize("name", ["search", "ablation", "trial", "begun", "unknown", "unread"])
def test_every_study_has_the_same_chapters_and_none_is_empty(bundles, name):
    bundle = bundles[name]
    chapters = chapters_of(bundle)
    assert [one.key for one in chapters] == KEYS
    assert all(one.blocks and one.shows and one.not_shown for one in chapters)
    page = without_scripts(story_page(bundle, chapters))
    found = re.findall(r'href="#([^"]+)"', page)
    assert found == ["story", *(f"chapter-{key}" for key in KEYS)]
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(found) <= set(ids)
    # a reader of the screen hears the outline in order
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    assert all('alt=""' not in image for image in re.findall(r"<img[^>]*>", page))


def test_numbers_of_the_story_are_those_of_the_records(bundles):
    page = without_scripts(story_page(bundles["search"], chapters_of(bundles["search"])))
    for said in (
        "17 more are in the lockbox",
        "the skips carry the image, not the embedding",
        "Another subject&#x27;s embedding changes the MSE by +0%",
        "adjusted for having been picked out of",
        "c0ffee, 3 lines changed",
        "isthmus search a b",
    ):
        assert said in page
    assert "LEAKY" not in page


def test_what_is_missing_is_said_in_its_place(bundles):
    begun = without_scripts(story_page(bundles["begun"], chapters_of(bundles["begun"])))
    assert "No trial has finished" in begun
    assert begun.count("No fold has finished yet") >= 4
    assert "No trial of this study has been put before the gates" in begun
    lost = without_scripts(story_page(bundles["unknown"], chapters_of(bundles["unknown"])))
    assert "Nothing was found." in lost


def test_leaky_numbers_are_labelled():
    bundle = search_bundle(leaky=True)
    chapters = chapters_of(bundle)
    titles = [table.title for chapter in chapters for table in chapter.tables]
    assert all(title.count("[LEAKY normalisation]") == 1 for title in titles)
    assert 'class="leaky"' in story_page(bundle, chapters)


def test_nothing_that_a_user_named_becomes_markup(bundles):
    search = bundles["search"]
    part = ReadyPart("gates", NASTY, NASTY, NASTY, (Passage(NASTY, (NASTY,)),))
    nasty = replace(
        search,
        name=NASTY,
        experiment=NASTY,
        question=NASTY,
        settings={NASTY: NASTY},
        missing=(NASTY,),
        commands=(NASTY,),
        cohort=replace(search.cohort, counts={NASTY: {NASTY: 1}}, phenotypes=(NASTY,)),
        promotion=(part,),
        details=(replace(search.details[0], label=NASTY),),
    )
    page = without_scripts(story_page(nasty, chapters_of(nasty)))
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_a_report_is_a_page_a_bundle_tables_and_pictures(bundles, tmp_path):
    verdicts = Table("Gate by gate", ("gate", "verdict"), (("size", "passed"),))
    part = ReadyPart("gates", "Gates", "What was asked.", tables=(verdicts,))
    written = write_report(bundles["ablation"], tmp_path / "report", (part,))
    names = [path.relative_to(tmp_path / "report").as_posix() for path in written]
    assert names[:2] == ["index.html", "report_bundle.json"]
    assert set(written) == {path for path in (tmp_path / "report").rglob("*") if path.is_file()}
    assert "tables/8_promotion_gate_by_gate.csv" in names
    assert {"pictures/side_by_side.png", "pictures/fold_0_reconstruction_0.png"} <= set(names)
    pictures = [path for path in written if path.suffix == ".png"]
    assert all(path.read_bytes().startswith(PNG[:4]) for path in pictures)
    assert len(pictures) > 10
    assert read_bundle(tmp_path / "report").promotion == (part,)
    assert "Gate by gate" in written[0].read_text()
    assert list(tmp_path.iterdir()) == [tmp_path / "report"]


def test_a_report_is_replaced_whole_and_nothing_else_is(bundles, tmp_path):
    place = tmp_path / "report"
    write_report(bundles["trial"], place)
    (place / "left_over.txt").touch()
    written = write_report(bundles["begun"], place)
    assert set(written) == {path for path in place.rglob("*") if path.is_file()}
    work = tmp_path / "work"
    work.mkdir()
    (work / "thesis.tex").write_text("mine")
    for taken in (work, work / "thesis.tex"):
        with pytest.raises(ConfigError, match="must be a"):
            write_report(bundles["begun"], taken)
    assert [path.name for path in work.iterdir()] == ["thesis.tex"]


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(bundles, tmp_path, monkeypatch):
    place = tmp_path / "report"
    before = {path: path.read_bytes() for path in write_report(bundles["unknown"], place)}
    monkeypatch.setattr("isthmus.report.story.files.write_bundle", _refuse)
    with pytest.raises(OSError, match="no"):
        write_report(bundles["begun"], place)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    assert list(tmp_path.iterdir()) == [place]


def test_a_table_as_csv_runs_nothing_in_a_spreadsheet():
    cells = ("=1+1", "-0.5", "-", "+- 0.1", "@me", 'a,"b"', "1.5e-3")
    text = table_csv(Table("t", tuple("abcdefg"), (cells,)))
    (_, row) = csv.reader(text.splitlines())
    assert row == ["'=1+1", "-0.5", "-", "'+- 0.1", "'@me", 'a,"b"', "1.5e-3"]


def _refuse(*_: object) -> None:
    raise OSError("no")
