"""The story of a study in a real browser: drawn, silent, reachable by keys, whole on paper."""

import re

import pytest
from example_bundle import ablation_bundle, search_bundle

from isthmus.report.story.files import write_report
from isthmus.report.story.page import chapters_of, story_page
from isthmus.report.story.pdf import write_pdf


def n_drawn(document: str) -> int:
    found = re.search(r'<body data-drawn="(\d+)"', document)
    return int(found[1]) if found else -1


@pytest.mark.parametrize("kind", ["search", "ablation"])
def test_all_figures_of_a_story_are_drawn_in_silence(shown, tmp_path, kind):
    bundle = search_bundle() if kind == "search" else ablation_bundle(tmp_path / "runs")
    document, said = shown(story_page(bundle, chapters_of(bundle)))
    n_charts = len(re.findall(r'<div id="figure-', document))
    assert n_charts >= 12
    assert (n_drawn(document), said) == (n_charts, "")


def test_a_story_on_paper_has_every_chapter_on_a_page_of_its_own(browser, tmp_path):
    bundle = search_bundle()
    printed = write_pdf(write_report(bundle, tmp_path / "report")[0]).read_bytes()
    n_pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", printed))
    chapters = chapters_of(bundle)
    assert n_pages >= len(chapters)
    # titles of the outline stand in the file as they are
    titles = re.findall(rb"/Title \((\d\. [^)]*)\)", printed)
    assert [title.decode()[:8] for title in titles] == [
        f"{number}. {one.title}"[:8] for number, one in enumerate(chapters, 1)
    ]
