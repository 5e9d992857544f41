"""The live view in a real browser: every page, by mouse and by keyboard, and what is not there."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from dashboard_pages import PAGES, drawn, heading
from dashboard_process import dashboard, status_of
from playwright.sync_api import Page, expect
from shown_runs import ABLATION, FAILED, OPEN_TRIAL, SEARCH, ShownRuns, make_runs
from werkzeug.serving import make_server

from isthmus.cli.compare import load_study
from isthmus_dashboard.app import make_app
from isthmus_dashboard.folder_source import FolderSource

expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def shown_runs(tmp_path_factory: pytest.TempPathFactory) -> ShownRuns:
    return make_runs(tmp_path_factory.mktemp("shown"))


@pytest.fixture(scope="module")
def served(shown_runs: ShownRuns) -> Iterator[str]:
    folder = shown_runs.runs.parent
    with dashboard("--output", shown_runs.runs, folder=folder) as (address, command):
        yield address
        assert "Traceback" not in command.said()


@contextmanager
def served_here(runs: Path) -> Iterator[str]:
    """Serve a folder of runs from this process, looking again every second."""
    app = make_app(FolderSource(runs, load_study), refresh_seconds=1)
    server = make_server("127.0.0.1", 0, app.server, threaded=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def middle(page: Page, selector: str) -> None:
    """Click what a chart drew; its own layer for the pointer lies above it."""
    page.locator(selector).first.scroll_into_view_if_needed()
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_every_page_of_a_search_is_drawn(page, shoot, served):
    page.goto(served)
    heading(page, "Studies")
    shoot(page, "dashboard-studies")
    page.get_by_role("link", name=SEARCH).click()
    counts = {}
    for name in PAGES:
        page.get_by_role("link", name=name, exact=True).click()
        heading(page, name)
        expect(page).to_have_title(f"{name}: {SEARCH} - isthmus")
        counts[name] = drawn(page)
        shoot(page, f"dashboard-{name.split()[0].lower()}", whole=True)
    assert counts["Overview"] == 4
    assert counts["Pareto front"] == counts["Embeddings"] == 1
    assert counts["Robustness"] >= 7
    assert counts["Images"] == 3


def test_the_overview_tells_what_runs_and_what_failed(page, served):
    page.goto(f"{served}/study/{SEARCH}")
    heading(page, "Overview")
    tiles = page.get_by_label("Trials by state")
    for words in ("7 finished", "1 failed", "1 infeasible", "1 not over"):
        expect(tiles).to_contain_text(words)
    running = page.get_by_role("region", name="Trials that are not over")
    expect(running).to_contain_text("trial 11")
    expect(running).to_contain_text("epoch 1 of 2")
    assert page.get_by_role("progressbar").get_attribute("value") == "1"
    failures = page.locator(".notice.warns", has_text="Failures")
    expect(failures).to_contain_text(f"trial {FAILED}: TrainingDiverged: the loss of step 12")


def test_a_point_of_the_front_leads_to_its_trial(page, served):
    page.goto(f"{served}/study/{SEARCH}/front")
    drawn(page)
    page.get_by_label("Upwards").select_option("n_parameters")
    expect(page).to_have_url(re.compile("y=n_parameters"))
    expect(page.locator(".ytitle")).to_contain_text("n_parameters")
    middle(page, ".scatterlayer .trace:first-child .points path")
    expect(page).to_have_url(re.compile("trial=small-"))
    expect(page.locator("#trial dl")).to_contain_text("model.embedding_size")
    page.go_back()
    expect(page.locator("#trial")).to_have_count(0)
    assert page.get_by_label("Trial", exact=True).input_value() == ""


def test_a_subject_is_chosen_in_the_plane_and_seen_in_three(page, shoot, served):
    page.goto(f"{served}/study/{SEARCH}/embeddings")
    drawn(page)
    page.get_by_label("Colour by").select_option(label="age")
    expect(page.locator(".chart .colorbar, .chart .cbtitle").first).to_be_visible()
    middle(page, ".scatterlayer .trace:first-child .points path")
    expect(page).to_have_url(re.compile("subject=sub-"))
    card = page.locator("#subject")
    expect(card).to_contain_text("part in training")
    expect(card.locator("dl")).to_contain_text("memory_recall")
    subject = card.locator("h2").inner_text()
    shoot(page, "dashboard-subject", whole=True)
    card.get_by_role("link", name="Its images").click()
    heading(page, "Images")
    drawn(page)
    assert page.get_by_label("Subject").input_value() == subject
    slider = page.get_by_label(re.compile("Sagittal slice"))
    before = int(slider.input_value())
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(f"i={before + 1}"))
    expect(page.locator("main")).to_contain_text(f"Voxel {before + 1},")
    # who moves a slider by keys keeps hold of it while the planes follow
    assert page.evaluate("document.activeElement.id") == "choice-i"
    drawn(page)
    axial = page.locator(".planes .chart").nth(2).locator(".nsewdrag").first
    axial.scroll_into_view_if_needed()
    box = axial.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4)
    expect(page).to_have_url(re.compile(r"j=\d+"))
    assert f"i={before + 1}" not in page.url
    page.get_by_label("Modality").select_option("FA")
    expect(page).to_have_url(re.compile("modality=FA"))


def test_an_ablation_says_its_verdicts_first(page, shoot, served):
    page.goto(f"{served}/study/{ABLATION}/ablation")
    heading(page, "Ablation verdicts")
    assert drawn(page) >= 4
    first = page.locator(".notice").first
    expect(first).to_contain_text("Do skips bypass the embedding?")
    expect(page.locator("main img")).to_have_attribute("alt", re.compile("."))
    shoot(page, "dashboard-ablation", whole=True)


def test_the_keyboard_alone_is_enough(page, served):
    page.goto(f"{served}/study/{SEARCH}")
    heading(page, "Overview")
    page.keyboard.press("Tab")
    skip = page.locator(".skip")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "page"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Pareto front")
    expect(link).to_be_focused()
    assert link.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    heading(page, "Pareto front")
    expect(page.get_by_role("link", name="Pareto front")).to_have_attribute("aria-current", "page")


def test_a_narrow_screen_needs_no_scrolling_sideways_and_controls_have_names(page, shoot, served):
    page.set_viewport_size({"width": 400, "height": 800})
    for name in ("overview", "front", "robustness", "images"):
        page.goto(f"{served}/study/{SEARCH}/{name}")
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, name
        assert page.locator("h1").count() == 1
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('main select, main input, main img')]"
            ".filter(e => !(e.labels && e.labels.length) && !e.alt && !e.ariaLabel).length"
        )
        assert unnamed == 0, name
    shoot(page, "dashboard-narrow", whole=True)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/study/nothing", "Choose one from the list"),
        ("/study/..%2F..%2Fetc", "Choose one from the list"),
        ("/nowhere", "Go to the list of studies"),
        (f"/study/{SEARCH}/ablation", "is no ablation"),
        (f"/study/{ABLATION}/front", "Choose a search"),
        (f"/study/{SEARCH}/robustness?trial=nobody", "Choose one from the list"),
        (f"/study/{SEARCH}/robustness?trial={OPEN_TRIAL}", "has no trial.json"),
        (f"/study/{SEARCH}/robustness?fold=7", "no finished fold 7"),
        (f"/study/{SEARCH}/images?subject=sub-999", "whoever is in the lockbox is not shown"),
        (f"/study/{OPEN_TRIAL}", "It is not over"),
    ],
)
def test_what_is_not_there_is_said_with_what_to_do(page, served, path, words):
    page.goto(f"{served}{path}")
    expect(page.locator(".notice").first).to_contain_text(words)


def test_a_name_from_elsewhere_is_refused(served):
    assert status_of(served, "evil.example") == 403
    assert status_of(served, "localhost") == 200


def test_a_store_that_goes_away_leaves_the_last_view(page, shoot, shown_runs, tmp_path):
    runs = tmp_path / "runs"
    with served_here(runs) as address:
        page.goto(address)
        expect(page.locator(".notice.warns")).to_contain_text("There must be a folder of runs")
        runs.mkdir()
        expect(page.locator(".notice")).to_contain_text("No studies yet")
        shutil.copytree(shown_runs.runs / SEARCH, runs / SEARCH)
        expect(page.get_by_role("link", name=SEARCH)).to_be_visible()
        page.get_by_role("link", name=SEARCH).click()
        drawn(page)
        runs.rename(tmp_path / "elsewhere")
        away = page.locator(".notice.warns", has_text="The store is away")
        expect(away).to_contain_text("as it was last seen, at 20")
        assert drawn(page) == 4
        shoot(page, "dashboard-away")
        Path(tmp_path / "elsewhere").rename(runs)
        expect(away).to_have_count(0)
        page.goto("about:blank")  # which asks for nothing once the server is gone
