"""The boards for Grafana ask for metrics that the installed Ray has, and for nothing else."""

import json
import re
from pathlib import Path

import pytest
from ray.dashboard.modules.metrics.dashboards.default_dashboard_panels import (
    default_dashboard_config,
)
from ray.dashboard.modules.metrics.dashboards.train_dashboard_panels import (
    train_dashboard_config,
)

BOARDS = sorted((Path(__file__).parents[3] / "dashboards" / "grafana").glob("*.json"))
NAME = re.compile(r"\bray_[a-z0-9_]+")


def metrics_of_ray() -> set[str]:
    """Names of metrics in the expressions of Ray's own panels; labels stand within braces."""
    names: set[str] = set()
    for config in (default_dashboard_config, train_dashboard_config):
        panels = [*config.panels, *(panel for row in config.rows for panel in row.panels)]
        for panel in panels:
            for target in panel.targets:
                names |= metrics_in(target.expr.replace("{{", "{").replace("}}", "}"))
    return names


def metrics_in(expression: str) -> set[str]:
    """Names of metrics in an expression: outside of braces and of lists of labels."""
    without = re.sub(r"\{[^}]*\}+", "", expression)
    without = re.sub(r"\b(by|without)\s*\([^)]*\)", "", without)
    return set(NAME.findall(without))


def asked_by(board: dict) -> set[str]:
    asked = {t["expr"] for panel in board["panels"] for t in panel["targets"]}
    listed = {v["query"] for v in board["templating"]["list"] if v["type"] == "query"}
    names = {name for expression in asked for name in metrics_in(expression)}
    return names | {re.search(r"label_values\((\w+),", query)[1] for query in listed}


def test_there_are_boards_for_ray_and_for_training():
    assert [path.stem for path in BOARDS] == ["ray", "training"]


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_metric_is_one_that_ray_shows_itself(path):
    known = metrics_of_ray()
    assert {"ray_node_mem_used", "ray_train_controller_state"} <= known
    assert "ray_train_run_name" not in known  # a label
    asked = asked_by(json.loads(path.read_text()))
    assert len(asked) > 5
    assert asked - known == set()


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_can_be_imported_as_it_is(path):
    board = json.loads(path.read_text())
    assert "Ray 2.60" in board["description"]
    assert "dashboard_panels.py" in board["description"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"


def test_a_metric_that_ray_does_not_have_is_found():
    board = {"panels": [{"targets": [{"expr": "sum(ray_made_up{a='b'}) by (ray_label)"}]}]}
    board["templating"] = {"list": []}
    assert asked_by(board) - metrics_of_ray() == {"ray_made_up"}
