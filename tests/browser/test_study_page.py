"""The page of a study in a real browser: drawn, silent, and deaf to what a setting is named."""

import re
from dataclasses import replace

import pytest
from example_study import MSE, SCORE, SSIM, make_study

from isthmus.report.study_page import study_page

NASTY = "</script><img src=x onerror=\"document.title='taken'\"><b>"


def drawn(document: str) -> str:
    """Leave out the scripts, of which plotly's own names all that could be drawn."""
    return re.sub(r"<script.*?</script>", "", document, flags=re.DOTALL)


def n_drawn(document: str) -> int:
    found = re.search(r'<body data-drawn="(\d+)"', document)
    return int(found[1]) if found else -1


@pytest.mark.parametrize("n_trials", [24, 1000])
def test_all_figures_are_drawn_without_a_word_in_the_console(shown, n_trials):
    document, said = shown(study_page(make_study(n_trials, leaky=True)))
    assert (n_drawn(document), said) == (6, "")
    assert document.count('class="main-svg"') >= 6
    # plotly says this in a figure's place, and calls it drawn
    assert "WebGL is not supported" not in drawn(document)
    assert "Not drawn" not in drawn(document)
    assert "not asked" in drawn(document)


def test_planes_of_three_objectives_can_be_chosen(shown):
    document, said = shown(study_page(make_study(24, (MSE, SCORE, SSIM))))
    assert (n_drawn(document), said) == (6, "")
    assert "updatemenu" in drawn(document)


def test_what_did_not_finish_leaves_a_page(shown):
    for study in (make_study(0), make_study(4, (MSE, SCORE), only="failed")):
        document, said = shown(study_page(study))
        assert (n_drawn(document), said) == (0, "")
        assert "No trial has finished" in drawn(document)


def test_a_name_cannot_run_anything(shown):
    study = make_study(24)
    trials = tuple(
        replace(one, point={**one.point, NASTY: NASTY}, reason=NASTY) for one in study.trials
    )
    importance = tuple(replace(one, shares={NASTY: 1.0}) for one in study.importance)
    nasty = replace(study, name=NASTY, trials=trials, importance=importance)
    nasty = replace(nasty, objectives=(replace(MSE, metric=NASTY), SCORE))
    document, said = shown(study_page(nasty))
    assert (n_drawn(document), said) == (6, "")
    assert "<title>Search &lt;/script&gt;" in document
    assert "<img" not in drawn(document)
