"""The page of a study: whole, harmless, and with the record's numbers in it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from example_study import MSE, SCORE, SSIM, make_study

from isthmus.report.study_captions import STUDY_CAPTIONS
from isthmus.report.study_charts import front_chart, history_chart, importance_chart
from isthmus.report.study_page import study_in_words, study_page
from isthmus.report.study_parallel_chart import parallel_chart

NASTY = '</script><img src=x onerror="alert(1)"><b>'


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text outside scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] != "script":
            self.text.append(data)


@pytest.fixture(scope="module")
def page():
    return study_page(make_study(24))


def figures(page):
    return json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_needs_no_network_and_has_plotly_once(page):
    tags = Reader(page).tags
    assert page.count("plotly.js v") == 1
    assert not [tag for tag, attributes in tags if "src" in attributes or tag == "link"]
    policy = next(a["content"] for _, a in tags if "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_no_figure_needs_what_the_page_forbids(page):
    kinds = {trace["type"] for figure in figures(page).values() for trace in figure["data"]}
    # kinds that plotly draws without WebGL
    assert kinds == {"scatter", "bar"}


def test_each_figure_has_its_words_and_the_tables_follow(page):
    assert set(figures(page)) == set(STUDY_CAPTIONS)
    text = " ".join(Reader(page).text)
    for words in STUDY_CAPTIONS.values():
        assert words.reads in text
        assert words.not_shown in text
    assert "Ranking by validation_mse" in text
    assert study_in_words(make_study(24)) in text


def test_the_front_shows_trial_point_and_values_under_the_pointer():
    study = make_study(24)
    others, front = front_chart(study).data
    assert sorted(zip(front.x, front.y, strict=True)) == sorted(
        study.trials[n].values for n in study.front
    )
    assert len(others.x) + len(front.x) == sum(o.state == "finished" for o in study.trials)
    best = study.trials[study.best]
    said = next(text for text in front.text if f"trial {study.best}," in text)
    assert f"embedding_size={best.point['model.embedding_size']}" in said
    assert f"robustness_score {best.values[1]:.4g} +- 0.02" in said
    assert list(front.error_y.array) == [0.02] * len(front.x)


def test_one_plane_of_several_is_shown_at_a_time():
    chart = front_chart(make_study(24, (MSE, SCORE, SSIM)))
    (menu,) = chart.layout.updatemenus
    shown = [button.args[0]["visible"] for button in menu.buttons]
    assert [sum(one) for one in shown] == [2, 2, 2]
    assert all(sum(column) == 1 for column in zip(*shown, strict=True))
    assert [trace.visible for trace in chart.data] == shown[0]
    x, y = (menu.buttons[2].args[1][f"{axis}axis.title.text"] for axis in "xy")
    assert (x, y) == ("robustness_score (more is better)", "validation_ssim (more is better)")


def test_history_has_a_row_an_objective_and_one_legend():
    chart = history_chart(make_study(24))
    assert {trace.yaxis for trace in chart.data} == {"y", "y2"}
    named = [trace.name for trace in chart.data if trace.showlegend]
    assert len(named) == len(set(named))
    failed = next(trace for trace in chart.data if trace.name == "failed")
    assert list(failed.x) == [5]
    assert "TrainingDiverged" in failed.text[0]


def test_every_trial_crosses_all_axes():
    study = make_study(24)
    chart = parallel_chart(study)
    n_axes = len(chart.layout.xaxis.ticktext)
    starts = [text for trace in chart.data for text in trace.text[:: n_axes + 1]]
    finished = [one.number for one in study.trials if one.state == "finished"]
    assert sorted(int(re.search(r"trial (\d+)", text)[1]) for text in starts) == finished
    assert chart.data[-1].name == "rank 1"
    assert f"trial {study.best}," in chart.data[-1].text[0]
    heights = [y for trace in chart.data for y in trace.y if y is not None]
    assert 0 <= min(heights) <= max(heights) <= 1
    assert len(parallel_chart(make_study(1000)).data) <= 9


def test_bars_are_the_shares():
    study = make_study(24)
    for bars, one in zip(importance_chart(study).data, study.importance, strict=True):
        assert dict(zip(bars.text, bars.x, strict=True)) == one.shares


def test_names_are_harmless():
    study = make_study(24)
    trials = tuple(
        replace(one, point={**one.point, NASTY: NASTY}, reason=NASTY) for one in study.trials
    )
    nasty = replace(study, name=NASTY, trials=trials, experiment=NASTY)
    nasty = replace(nasty, objectives=(replace(MSE, metric=NASTY), SCORE))
    page = study_page(nasty)
    assert not [tag for tag, _ in Reader(page).tags if tag in ("img", "iframe")]
    assert "&lt;/script&gt;&lt;img" in page
    assert "<b>" not in json.dumps(figures(page))


@pytest.mark.parametrize(
    "study", [make_study(0), make_study(4, (MSE, SCORE), only="failed"), make_study(1, (MSE,))]
)
def test_what_cannot_be_drawn_is_said_in_its_place(study):
    page = study_page(study)
    n_absent = page.count('class="absent"')
    assert n_absent == 6 - len(figures(page))
    assert n_absent >= 4
    assert "adjusted for having picked" in page


def test_leaky_is_said_at_the_top(page):
    assert 'class="leaky"' in study_page(make_study(6, leaky=True))
    assert 'class="leaky"' not in page


def test_a_study_in_words():
    study = make_study(24)
    best = study.trials[study.best]
    assert f"trial {study.best} ({best.values[0]:.4g} +- " in study_in_words(study)
    chosen = replace(study, smallest=2)
    assert "within its standard error and smallest: trial 2." in study_in_words(chosen)
    assert study_in_words(make_study(0)) == "no trial yet; the budget is 1 trials."
