"""The page of an ablation in a real browser: what a person sees of it, also on a phone."""

import html
import json
import re
import subprocess

import pytest
from example_ablation import NOT_BUILT, renamed, skips_ablation, subsets_ablation

from isthmus.report.ablation.files import ablation_page
from isthmus.report.ablation.sections import parts_of
from isthmus.report.ablation.words import verdict_in_words

NASTY = "</script><img src=x onerror=\"document.title='taken'\"><b>"
PHONE = 400
# Run in the page once it is drawn: what the browser laid out, told to the page around it.
MEASURE = """<script>
addEventListener("load", () => setInterval(() => {
  if (document.body.dataset.drawn === undefined) return;
  const visible = (one) => one.getClientRects().length > 0 && one.checkVisibility();
  const beyond = [...document.querySelectorAll("body *")].filter((one) =>
    one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".table, svg"));
  parent.postMessage(JSON.stringify({
    window: innerWidth,
    scroll: Math.max(document.documentElement.scrollWidth, document.body.scrollWidth),
    images: [...document.images].map((one) =>
      [one.naturalWidth, one.naturalHeight, one.clientWidth, visible(one)]),
    charts: [...document.querySelectorAll("section .main-svg")].filter(visible).length,
    fetched: performance.getEntriesByType("resource").map((one) => one.name)
      .filter((name) => !name.startsWith("data:") && !name.startsWith("blob:")),
    beyond: beyond.map((one) => one.tagName + "." + one.className).slice(0, 5),
  }), "*");
}, 200));
</script></body>"""
AROUND = """<!doctype html><body><script>
addEventListener("message", (event) => { document.body.dataset.said = event.data; });
</script><iframe src="inner.html" style="width:{width}px;height:900px;border:0"></iframe>"""


def page_of(result, output):
    return ablation_page(result, parts_of(result, output))


def drawn(document):
    """Leave out the scripts, of which plotly's own names all that could be drawn."""
    return html.unescape(re.sub(r"<script.*?</script>", "", document, flags=re.DOTALL))


def n_drawn(document):
    found = re.search(r'<body data-drawn="(\d+)"', document)
    return int(found[1]) if found else -1


@pytest.fixture
def measured(browser, tmp_path):
    """Lay a page out at a width; give what the browser made of it."""

    def measure(page, width):
        (tmp_path / "inner.html").write_text(page.replace("</body>", MEASURE), encoding="utf-8")
        around = tmp_path / "around.html"
        around.write_text(AROUND.replace("{width}", str(width)), encoding="utf-8")
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={tmp_path / 'measuring'}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=20000",
            "--dump-dom",
            around.as_uri(),
        ]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        said = re.search(r'data-said="(.*?)"', ran.stdout)
        assert said, "the page was not drawn"
        return json.loads(html.unescape(said[1]))

    return measure


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def subsets(runs):
    return subsets_ablation(runs / "subsets")


def test_a_person_sees_question_verdicts_hypothesis_and_what_failed(shown, subsets, runs):
    document, said = shown(page_of(subsets, runs / "subsets"))
    # effects, scores, ranks, matrix, learning, agreement: the seventh is a picture
    assert (n_drawn(document), said) == (6, "")
    text = drawn(document)
    assert "Which modalities matter?" in text
    assert "FA and NDI overlap; T1w adds what neither has." in text
    finding = subsets.findings[0]
    for contrast in finding.contrasts:
        assert verdict_in_words(subsets, finding, contrast) in text
    assert "T1w+NDI failed in seed 1, fold 2 (TrainingDiverged: the loss of step 12" in text
    assert f"T1w cannot be built: {NOT_BUILT}" in text
    # all of it before the first figure
    first_figure = text.index('<section id="effects">')
    assert text.index(NOT_BUILT) < first_figure
    assert text.index("Hypothesis, modalities") < first_figure


def test_charts_name_arms_verdicts_and_ranks(shown, subsets, runs):
    text = drawn(shown(page_of(subsets, runs / "subsets"))[0])
    for arm, rank in zip(
        subsets.findings[0].ranking.arms, subsets.findings[0].ranking.average_ranks, strict=True
    ):
        assert f">{arm} ({rank:.2f})<" in text
    section = text[text.index('<section id="matrix">') : text.index('<section id="side_by_side">')]
    assert section.count("not resolvable") >= 3
    assert "against T1w+FA+NDI" in section


@pytest.mark.parametrize("width", [PHONE, 1200])
def test_it_is_readable_at_any_width_and_fetches_nothing(measured, subsets, runs, width):
    seen = measured(page_of(subsets, runs / "subsets"), width)
    assert seen["window"] == width
    assert seen["scroll"] <= width
    assert seen["beyond"] == []
    assert seen["fetched"] == []
    assert seen["charts"] >= 6
    ((natural_width, natural_height, shown_width, visible),) = seen["images"]
    assert natural_width > 600
    assert natural_height > 600
    assert visible
    assert 0.8 * min(width - 40, natural_width) < shown_width <= width


def test_what_is_wide_would_be_noticed(measured, subsets, runs):
    page = page_of(subsets, runs / "subsets")
    wide = page.replace("</body>", '<div style="width:900px">wide</div></body>')
    seen = measured(wide, PHONE)
    assert seen["scroll"] >= 900
    assert seen["beyond"]


def test_leaky_arms_are_labelled_in_charts_and_words(shown, runs):
    leaky = skips_ablation(runs / "leaky", leaky=("none",))
    document, said = shown(page_of(leaky, runs / "leaky"))
    assert (n_drawn(document), said) == (6, "")
    text = drawn(document)
    assert "none [LEAKY] is worse than all" in text
    rank = leaky.findings[0].ranking.average_ranks[-1]
    assert f">none [LEAKY] ({rank:.2f})<" in text
    assert '<p class="leaky">' not in text


@pytest.mark.parametrize("finished", [0, 7])
def test_an_ablation_that_is_not_over_leaves_a_page(shown, runs, finished):
    half = skips_ablation(runs / f"half-{finished}", finished=finished)
    document, said = shown(page_of(half, runs / f"half-{finished}"))
    assert said == ""
    assert n_drawn(document) == (3 if finished else 0)
    text = drawn(document)
    assert f"{finished} of 30 folds done" in text
    assert "is not finished yet" in text
    assert "Not drawn." in text


def test_a_name_cannot_run_anything(shown, subsets, runs):
    document, said = shown(page_of(renamed(subsets, NASTY), runs / "subsets"))
    assert said == ""
    assert n_drawn(document) == 5
    assert "<title>Ablation &lt;/script&gt;" in document
    scriptless = re.sub(r"<script.*?</script>", "", document, flags=re.DOTALL)
    assert re.findall(r"<img src=\"(?!data:image/png)", scriptless) == []
    assert "<img src=x" not in scriptless
