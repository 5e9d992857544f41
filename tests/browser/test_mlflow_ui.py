"""What a person meets in MLflow's pages: a real study on a real server in a real browser."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from mlflow_pages import SHOWN
from mlflow_server import MlflowServer
from playwright.sync_api import Page, expect
from published_study import STUDY, Published, publish_study, run_study
from typer.testing import CliRunner

from isthmus.cli.compare import compare

AS_TRAINING = "workflowType=machine_learning"


@dataclass(frozen=True)
class Served:
    """A study, and the address of the server that has it."""

    uri: str
    study: Published

    def page_of(self, run_id: str, tab: str = "") -> str:
        """Say where the page of a run is."""
        runs = f"{self.uri}/#/experiments/{self.study.comparison.experiment_id}/runs"
        return f"{runs}/{run_id}{tab}?{AS_TRAINING}"


@pytest.fixture(scope="module")
def served(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("mlflow")
    server = MlflowServer(folder / "server")
    try:
        with ThreadPoolExecutor(1) as beside:  # either takes its time
            started = beside.submit(server.start)
            ran = run_study(folder / "study")
            started.result()
        yield Served(server.uri, publish_study(ran, server.uri))
    finally:
        server.kill()


def test_the_experiment_says_what_it_holds_and_runs_are_nested(ui, served, shoot):
    ui.goto(f"{served.uri}/#/experiments")
    row = ui.get_by_role("row").filter(has=ui.get_by_role("link", name="small", exact=True))
    expect(row).to_contain_text("Trials, searches and ablations of the experiment small")
    experiment = served.study.comparison.experiment_id
    ui.goto(f"{served.uri}/#/experiments/{experiment}/runs?{AS_TRAINING}")
    expect(ui.get_by_role("link", name=STUDY)).to_be_visible()
    expect(ui.get_by_role("link", name=re.compile("^trial"))).to_have_count(0)
    _expand(ui, STUDY)
    trials = ui.get_by_role("link", name=re.compile("^trial"))
    expect(trials).to_have_count(2)
    assert {text[:9] for text in trials.all_inner_texts()} == {"trial 000", "trial 001"}
    assert all("T1w+FA E" in text for text in trials.all_inner_texts())
    _expand(ui, "trial 000")
    expect(ui.get_by_role("link", name=re.compile("^fold [01]$"))).to_have_count(2)
    shoot(ui, "ui-mlflow-runs")


def test_the_run_of_a_trial_is_described_and_begins_with_the_model(ui, served, shoot):
    ui.goto(served.page_of(served.study.trial_run_ids[0]))
    expect(ui.get_by_role("heading", name=re.compile("^trial 000 T1w.FA E64 depth 2 sep")))
    expect(ui.get_by_text(f"Trial 0 of {STUDY}: model.embedding_size = 64")).to_be_visible()
    expect(ui.get_by_role("link", name=STUDY)).to_be_visible()
    names = ui.get_by_role("cell", name=re.compile(r"^(model|cohort)\."))
    expect(names.first).to_have_text("model.family")
    metrics = ui.get_by_role("link", name=re.compile("_mse|_cnr_ratio"))
    expect(metrics.first).to_have_text(re.compile("^validation_"))
    ui.get_by_placeholder("Search metrics").fill("validation_cnr_ratio")
    expect(ui.get_by_role("link", name="validation_cnr_ratio", exact=True)).to_be_visible()
    shoot(ui, "ui-mlflow-trial")


def test_the_description_of_the_study_shows_its_figures(ui, served):
    ui.goto(served.page_of(served.study.run_id))
    ui.get_by_text("Show more", exact=True).first.click()
    expect(ui.get_by_text(f"Search {STUDY} of small")).to_be_visible()
    expect(ui.locator("img[src*='path=pareto_front.png']")).to_be_visible()
    ui.wait_for_function("[...document.images].every((one) => one.complete)")
    widths = ui.evaluate("[...document.images].map((one) => one.naturalWidth)")
    assert len(widths) >= 3
    assert min(widths) > 100, widths


@pytest.mark.parametrize(
    ("artifact", "of", "heading"),
    [
        ("study.html", "study", f"Search {STUDY} of small"),
        ("across_encoders/across_encoders.html", "trial", None),
    ],
)
def test_a_page_among_the_artifacts_is_drawn_in_the_ui(ui, served, shoot, artifact, of, heading):
    run = served.study.run_id if of == "study" else served.study.trial_run_ids[0]
    ui.goto(served.page_of(run, f"/artifacts/{artifact}"))
    inside = ui.frame_locator("iframe")
    drawn = inside.locator("body[data-drawn]")
    expect(drawn).to_be_attached()
    assert int(drawn.get_attribute("data-drawn")) > 0
    expect(inside.locator("section .main-svg").first).to_be_visible()
    if heading is not None:
        expect(inside.get_by_role("heading", name=heading)).to_be_visible()
        shoot(ui, "ui-mlflow-page")


def test_a_figure_among_the_artifacts_is_shown(ui, served):
    ui.goto(served.page_of(served.study.trial_run_ids[0], "/artifacts/learning_curves.png"))
    picture = ui.locator("img[src^='blob:'], img[src*='get-artifact']").first
    expect(picture).to_be_visible()
    assert picture.evaluate("(one) => one.naturalWidth") > 100


def test_the_printed_link_compares_the_trials(ui, served, shoot):
    printed = _printed_link(served.study.folder)
    assert printed.startswith(served.uri)
    ui.goto(printed)
    trials = ui.get_by_role("link", name=re.compile("^trial"))
    expect(trials).to_have_count(2)
    best = served.study.result.trials[served.study.result.best]
    expect(trials.first).to_have_text(re.compile(f"^trial {best.number:03d}"))
    expect(ui.get_by_role("button", name=f"Trials of {STUDY}")).to_be_visible()
    header = ui.locator(".ag-header").first
    for name in SHOWN:
        expect(header).to_contain_text(name)
    first = ui.locator(".ag-center-cols-container [role=row]").first.inner_text().split("\n")
    assert {str(best.point["model.embedding_size"]), best.point["model.convolution"]} <= set(first)
    assert any(value.startswith(str(best.values[0])[:9]) for value in first), first
    shoot(ui, "ui-mlflow-comparison")


def test_the_charts_of_the_comparison_show_what_matters(ui, served, shoot):
    ui.goto(f"{served.study.comparison.address}&compareRunsMode=CHART")
    axes = ui.locator(".parcoords text.label")
    expect(axes).to_have_count(len(SHOWN))
    assert axes.last.text_content() == "validation_mse"
    shoot(ui, "ui-mlflow-charts")


def test_all_settings_and_metrics_side_by_side(ui, served):
    ui.goto(str(served.study.comparison.address))
    ui.get_by_role("checkbox", name="Select all runs").check()
    ui.get_by_role("button", name="Compare").click()
    expect(ui.get_by_text("Comparing 2 Runs from 1 Experiment")).to_be_visible()
    for name in SHOWN[:3]:
        expect(ui.get_by_role("rowheader", name=name, exact=True)).to_be_attached()
    expect(ui.get_by_role("rowheader", name="isthmus.state")).to_be_attached()


def _expand(ui: Page, run: str) -> None:
    """Open what is below a run in MLflow's list."""
    row = ui.locator(".ag-row").filter(has=ui.get_by_role("link", name=re.compile(f"^{run}")))
    row.get_by_role("button").first.click()


def _printed_link(study: Path) -> str:
    """Type `isthmus compare`, and take the address from what it prints."""
    app = typer.Typer()
    app.command()(compare)
    shown = CliRunner().invoke(app, [str(study)], env={"COLUMNS": "140"})
    assert shown.exit_code == 0, shown.output
    found = re.search(r"^compare runs +(\S+)$", shown.stdout, flags=re.MULTILINE)
    assert found is not None, shown.stdout
    return found[1]
