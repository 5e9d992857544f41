"""The interactive pages in a real browser: drawn, silent, and deaf to what a column is named."""

import re
from dataclasses import replace

from example_report import make_across, make_report, make_selection, without_partition

from isthmus.report.strata_page import across_page, robustness_page, selection_page

NASTY = "</script><img src=x onerror=\"document.title='taken'\"><b>"


def n_drawn(document: str) -> int:
    found = re.search(r'<body data-drawn="(\d+)"', document)
    return int(found[1]) if found else -1


def test_all_figures_are_drawn_without_a_word_in_the_console(shown):
    document, said = shown(robustness_page(make_report(), leaky=True))
    assert n_drawn(document) == 7
    assert document.count('class="main-svg"') >= 7
    assert said == ""
    assert "significant but unstable" in document
    assert 'data-title="Download' in document
    assert 'data-title="Share' not in document


def test_what_failed_leaves_a_page(shown):
    document, said = shown(robustness_page(without_partition("nothing")))
    assert n_drawn(document) == 0
    assert said == ""


def test_pages_across_are_drawn(shown):
    document, said = shown(across_page(make_across()))
    assert (n_drawn(document), said) == (2, "")
    assert "updatemenu" in document
    document, said = shown(selection_page(make_selection()))
    assert (n_drawn(document), said) == (1, "")


def test_a_name_cannot_run_anything(shown):
    report = make_report()
    report = replace(
        report,
        encoder_id=NASTY,
        factors=replace(report.factors, phenotypes=(NASTY, *report.factors.phenotypes[1:])),
        profiles=tuple(replace(profile, target=NASTY) for profile in report.profiles),
        robustness=replace(
            report.robustness,
            replications=tuple(
                replace(r, target=NASTY) if r.target == "factor_1" else r
                for r in report.robustness.replications
            ),
        ),
        tests=tuple(
            replace(
                family,
                associations=tuple(
                    replace(a, target=NASTY) if a.target == "factor_1" else a
                    for a in family.associations
                ),
            )
            for family in report.tests
        ),
    )
    document, said = shown(robustness_page(report))
    assert (n_drawn(document), said) == (7, "")
    assert "<title>Robustness of the strata</title>" in document
    assert "<img" not in document
    # on an axis the name is to be read as it is, cut in its middle
    assert "&lt;/script&gt;&lt;im" in document
