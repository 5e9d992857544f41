"""A plan in tables: what a person reads before anything is started, and the same as JSON."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.config.ablation.load import load_ablation
from isthmus.config.load import load_experiment
from isthmus.report.ablation.plan_tables import plan_tables, plan_to_json, question_tables
from isthmus.report.table import Table
from isthmus.study.ablation.cost import estimate_cost
from isthmus.study.ablation.plan import prepare_ablation
from isthmus.study.ablation.progress import read_progress

ABLATIONS = Path(__file__).resolve().parents[4] / "ablations"


@pytest.fixture
def shown(ran, tmp_path):
    """Plan a shipped ablation of the experiment that was run once, and show it."""

    def show(name: str, *overrides: str) -> tuple[dict[str, Table], dict]:
        experiment = load_experiment(ran.experiment.folder / "experiment.yaml")
        asked = load_ablation(ABLATIONS / f"{name}.yaml", experiment.config, overrides)
        prepared = prepare_ablation(experiment, asked)
        progress = read_progress(prepared.plan, experiment.output, tmp_path)
        cost = estimate_cost(prepared)
        tables = plan_tables(asked, prepared.plan, progress, cost)
        return {t.title: t for t in tables}, plan_to_json(prepared.plan, progress, cost)

    return show


def test_arms_are_shown_with_what_they_differ_in_and_their_size(shown):
    tables, _ = shown("skips")
    rows = {row[0]: row for row in tables["Arms"].rows}
    assert rows["all"][1:3] == ("-", "T1w FA")
    assert rows["none"][1] == "model.skips=none"
    assert rows["all"][3:] == ("5,501", "9.6", "64", "2", "baseline")
    assert tables["Factors"].rows[0][:3] == ("model.skips", "all; deep; none", "all")
    assert tables["Metrics"].rows[1][1:] == (
        "validation_mse",
        "smaller",
        "+- 0.05 x the baseline's",
    )
    assert tables["Comparisons"].rows == (
        ("with the baseline", "2", "deep against all; none against all"),
    )
    assert tables["Comparisons"].note.startswith("Tests: 8, comparisons times metrics (2 x 4)")


def test_what_is_done_is_told_from_what_is_left(shown):
    tables, content = shown("skips")
    rows = tables["Trials"].rows
    # the experiment itself was trained before: it is the baseline at the first seed
    assert rows[0][2] == "2 of 4"
    assert rows[1][2] == "0 of 4"
    assert 0 < float(rows[0][3]) < float(rows[1][3])
    assert rows[-1][2] == "2 of 12"
    assert "estimate from 2 finished folds" in tables["Trials"].note
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert [fold["state"] for fold in content["progress"]["folds"][:3]] == [
        "done",
        "done",
        "waiting",
    ]
    assert content["plan"]["arms"][0]["size"]["n_parameters"] == 5501
    assert content["cost"]["n_measured"] == 2


def test_arms_that_are_not_run_are_shown_with_the_reason(shown):
    tables, _ = shown("fusion_timing")
    rows = {row[0]: row for row in tables["Arms"].rows}
    assert rows["timing gradual"][3:] == ("-", "-", "-", "-", "cannot be built")
    notes = dict(tables["What to know"].rows)
    assert "gradual must have at least 3 modalities, got 2" in notes["timing gradual"]
    tables, _ = shown("normalisation")
    assert tables["Arms [LEAKY normalisation]"].rows[1][-1] == "LEAKY"
    tables, _ = shown("separable_vs_standard")
    rows = {row[0]: row for row in tables["Arms"].rows}
    assert rows["separable, compute matched"][-1] == "same as separable"


def test_a_question_is_shown_without_a_cohort():
    tables = {
        t.title: t for t in question_tables(load_ablation(ABLATIONS / "modality_subsets.yaml"))
    }
    assert tables["Factors"].rows[0][:3] == ("modalities", "all sets", "all")
    assert ("design", "modality_subsets") in tables["Design"].rows
    listed = load_ablation(
        ABLATIONS / "modality_subsets.yaml", None, ["subsets.listed=[[T1w, FA], [NDI]]"]
    )
    assert question_tables(listed)[0].rows[0][1] == "T1w+FA; NDI; and all"
    baseline = listed.baseline.model_copy(update={"search": "smoke", "trial": 3})
    over = listed.model_copy(update={"baseline": baseline, "settings": {"training.epochs": 3}})
    rows = question_tables(over)[2].rows
    assert ("baseline", "trial 3 of search smoke") in rows
    assert ("training.epochs, all arms", "3") in rows
    assert replace(tables["Metrics"], note="").rows[0][0] == "primary"
