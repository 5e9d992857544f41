"""The interactive page: whole, harmless, and with the record's numbers in it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from example_report import make_across, make_report, make_selection, without_partition

from isthmus.report.across_charts import curves_chart
from isthmus.report.strata_captions import CAPTIONS
from isthmus.report.strata_page import across_page, robustness_page, selection_page
from isthmus.report.target_charts import cloud_chart

NASTY = '</script><img src=x onerror="alert(1)"><b>'


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text of scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts, self.text = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        (self.scripts if self.tags and self.tags[-1][0] == "script" else self.text).append(data)


@pytest.fixture(scope="module")
def page():
    return robustness_page(make_report())


def figures(page):
    return json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_needs_no_network(page):
    assert page.count("plotly.js v") == 1
    tags = Reader(page).tags
    assert not [tag for tag, attributes in tags if "src" in attributes or tag == "link"]
    assert all(a["href"].startswith("#") for tag, a in tags if tag == "a")
    policy = next(a["content"] for _, a in tags if "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "form-action 'none'" in policy
    assert "sendChartToCloud" in page[page.rindex("modeBarButtonsToRemove:") :]


def test_each_figure_has_its_place_and_its_words(page):
    assert "<" not in re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1]
    keys = list(figures(page))
    assert len(keys) == 7
    for key in keys:
        assert f'id="figure-{key}"' in page
    text = " ".join(Reader(page).text)
    assert all(CAPTIONS[key].reads in text and CAPTIONS[key].not_shown in text for key in keys)


def test_the_numbers_are_those_of_the_record(page):
    report = make_report()
    drawn = figures(page)
    assert drawn["stability"]["data"][0]["x"] == list(report.robustness.stability.ari)
    assert drawn["stability"]["data"][1]["x"] == list(report.robustness.matched_null.null)
    again = report.robustness.replications[0]
    assert drawn["p_values"]["data"][0]["x"] == [p for p in again.p_values if p is not None]
    ids = [name for trace in drawn["plane"]["data"] for name in trace["text"]]
    assert sorted(ids) == list(report.participant_ids)


def test_rates_and_verdicts_are_drawn_at_their_rows():
    report = make_report()
    chart = cloud_chart(report)
    marks = [
        t for t in chart.data if t.name in ("robust", "significant but unstable", "not significant")
    ]
    rates = {row: rate for trace in marks for row, rate in zip(trace.y, trace.x, strict=True)}
    assert [rates[row] for row in sorted(rates)] == [r.rate for r in report.robustness.replications]


def test_a_page_is_a_function_of_its_report(page):
    assert robustness_page(make_report()) == page


def test_names_are_harmless():
    report = make_report()
    ids = (NASTY, *report.participant_ids[1:])
    exemplars = (NASTY, *report.strata.exemplar_ids[1:])
    report = replace(
        report,
        encoder_id=NASTY,
        participant_ids=ids,
        strata=replace(report.strata, participant_ids=ids, exemplar_ids=exemplars),
        factors=replace(report.factors, phenotypes=(NASTY, *report.factors.phenotypes[1:])),
        profiles=tuple(replace(p, target=NASTY) for p in report.profiles),
        tests=tuple(
            replace(f, associations=tuple(replace(a, reason=NASTY) for a in f.associations))
            for f in report.tests
        ),
    )
    page = robustness_page(report)
    assert not [tag for tag, _ in Reader(page).tags if tag in ("img", "iframe")]
    drawn = figures(page)
    assert any("&lt;" in name for trace in drawn["plane"]["data"] for name in trace["text"])
    assert "<b>" not in json.dumps(drawn)


@pytest.mark.parametrize("kind", ["degenerate", "non_convergence", "nothing"])
def test_what_failed_is_said_in_its_place(kind):
    failed = without_partition(kind)
    page = robustness_page(failed)
    expected = {"plane", "loadings"} if kind != "nothing" else set()
    assert set(figures(page)) == expected
    assert page.count('class="absent"') == 7 - len(expected)
    assert failed.strata.reason in page


def test_leaky_is_said_at_the_top(page):
    leaky = robustness_page(make_report(), leaky=True)
    assert 'class="leaky"' in leaky
    assert leaky.count("[LEAKY normalisation]") == 7
    assert 'class="leaky"' not in page
    assert 'class="leaky"' in across_page(make_across(), leaky=True)
    assert 'class="leaky"' in selection_page(make_selection(), leaky=True)


def test_a_curve_is_chosen_from_a_list():
    across = make_across(5, 3)
    chart = curves_chart(across)
    buttons = chart.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == list(across.targets)
    masks = [button.args[0]["visible"] for button in buttons]
    assert all(sum(shown) == 1 for shown in zip(*masks, strict=True))
    assert masks[0] == [trace.visible for trace in chart.data]
    assert "factor_2" in buttons[1].args[1]["title.text"]


def test_pages_across_have_their_figures():
    assert set(figures(across_page(make_across()))) == {"curves", "agreement"}
    assert set(figures(across_page(make_across(1)))) == {"curves"}
    assert set(figures(selection_page(make_selection()))) == {"selection"}
    alone = replace(make_selection(), trials=make_selection().trials[-1:])
    assert "No trial has a partition" in selection_page(alone)
