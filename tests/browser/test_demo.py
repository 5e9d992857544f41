"""`isthmus demo` to its champion, and what a person then clicks through."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dashboard_pages import PAGES, drawn, heading
from dashboard_process import dashboard
from mlflow_pages import SHOWN
from mlflow_server import MlflowServer
from playwright.sync_api import expect
from tiny_search import isthmus

from isthmus.backends.worker_share import usable_cores

pytestmark = [
    pytest.mark.long,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    pytest.mark.skipif(usable_cores() < 2, reason="two training workers need two cores"),
]
STUDY = "demo-search-space"


@dataclass(frozen=True)
class Demo:
    """What a demo left, and what it said at its end."""

    folder: Path
    said: str

    @property
    def runs(self) -> Path:
        return self.folder / "demo" / "runs"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    options = ("--subjects", "24", "--workers", "2", "--trials", "2")
    done = isthmus("demo", *options, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return Demo(folder, done.stdout)


@pytest.fixture(scope="module")
def mlflow(demo: Demo) -> Iterator[str]:
    server = MlflowServer(demo.runs)
    try:
        server.start()
        yield server.uri
    finally:
        server.kill()


def test_it_runs_all_of_it_on_ray_and_ends_with_a_champion(demo):
    assert "24 of 24 participants accepted" in demo.said
    assert "Controls, same held-out subjects and mask" in demo.said
    # The first trial of the search is the one that was trained, and is not trained again.
    assert len(list(demo.runs.glob("*/fold-*/fold.json"))) == 2 * 3
    assert len(list(demo.runs.glob("*/fold-*/reconstructions/*.png"))) >= 3
    assert "Promoted: demo version 1 is the champion." in demo.said
    assert list(demo.runs.glob("mlartifacts/*/artifacts/report/index.html"))
    for command in ("isthmus embed demo@champion", "isthmus dashboard", "mlflow ui"):
        assert command in demo.said


def test_its_report_is_drawn_from_the_cohort_to_the_verdict(demo, page, shoot):
    page.goto((demo.folder / "demo" / "report" / "index.html").as_uri())
    expect(page.locator("body[data-drawn]")).to_be_attached()
    for chapter in ("1. The question and the cohort", "8. Promotion and the lockbox"):
        expect(page.get_by_role("heading", name=chapter)).to_be_visible()
    expect(page.get_by_text("Promoted: demo version 1 is the champion.")).to_be_visible()
    shoot(page, "demo-report")


def test_every_page_of_the_live_view_shows_its_study(demo, page, shoot):
    with dashboard("--output", demo.runs, folder=demo.folder) as (address, _):
        page.goto(address)
        page.get_by_role("link", name=STUDY).click()
        for name in PAGES:
            page.get_by_role("link", name=name, exact=True).click()
            heading(page, name)
            assert drawn(page) > 0
            shoot(page, f"demo-{name.split()[0].lower()}", whole=True)


def test_mlflow_compares_its_trials_by_the_printed_link(demo, mlflow, ui, shoot):
    route = re.search(r"http://127\.0\.0\.1:\d+(/#/\S+)", demo.said)
    assert route is not None
    ui.goto(f"{mlflow}{route[1]}")
    expect(ui.get_by_role("link", name=re.compile("^trial"))).to_have_count(2)
    header = ui.locator(".ag-header").first
    for name in SHOWN:
        expect(header).to_contain_text(name)
    shoot(ui, "demo-mlflow-comparison")


def test_mlflow_shows_the_champion_and_its_card(demo, mlflow, ui, shoot):
    ui.goto(f"{mlflow}/#/models/demo/versions/1")
    expect(ui.get_by_text("champion").first).to_be_visible()
    expect(ui.get_by_text("Intended use").first).to_be_visible()
    shoot(ui, "demo-mlflow-champion")
