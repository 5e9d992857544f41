"""The saved comparison: what it selects, that MLflow can read it, and how it is reached."""

import base64
import json
import zlib

import pytest
from run_tree import Tree

from isthmus.report.comparison_view import (
    METRICS,
    PARAMS,
    VIEW_TAG,
    SavedComparison,
    comparison_view,
    keep_comparison,
    kept_comparison,
)
from isthmus.report.run_naming import described, leading_first
from isthmus.report.study_publish import StudyPublisher
from isthmus.study.records import Objective

BEST = (Objective("probe_IQ (full).r", "maximize"), Objective("validation_mse", "minimize"))


def view(name="sizes", varied=("training.learning_rate", "model.depth"), sought=BEST):
    return comparison_view(name, "ab" * 32, sought, varied)


def test_the_view_is_ordered_by_the_first_objective_as_the_store_names_it():
    state = view().state
    assert state["orderByKey"] == "metrics.`probe_IQ _full_.r`"
    assert state["orderByAsc"] is False
    assert state["searchFilter"] == (
        "tags.`isthmus.study` = 'sizes' and tags.`isthmus.state` = 'finished'"
    )


def test_what_always_matters_and_what_varies_is_shown_once():
    columns = view().state["selectedColumns"]
    assert len(columns) == len(set(columns))
    asked = {f"params.`{path}`" for path in (*PARAMS, "training.learning_rate")}
    asked |= {f"metrics.`{name}`" for name in (*METRICS, "probe_IQ _full_.r")}
    assert set(columns) == asked


def test_the_lines_are_coloured_by_the_first_objective():
    parallel, *others = view().state["compareRunCharts"]
    assert parallel["type"] == "PARALLEL"
    assert parallel["selectedMetrics"][-1] == "probe_IQ _full_.r"
    assert len({chart["uuid"] for chart in (parallel, *others)}) == 1 + len(others)


def test_a_name_with_a_quote_is_quoted_otherwise():
    assert view("it's").state["searchFilter"].startswith('tags.`isthmus.study` = "it\'s"')


def test_the_label_is_what_mlflow_unpacks_and_fits_for_a_space_of_any_size():
    many = [f"model.some.long.path.of.a.setting_{i}" for i in range(300)]
    wide = view(varied=many)
    ((name, text),) = wide.label(5).items()
    assert name == f"{VIEW_TAG}isthmus-abababababab"
    assert len(text) < 5000
    content = json.loads(text)
    assert (content["name"], content["createdAt"]) == ("Trials of sizes", 5)
    packed = content["state"].removeprefix("deflate;")
    assert json.loads(zlib.decompress(base64.b64decode(packed))) == wide.state


def test_the_publisher_saves_it_with_the_experiment():
    tree = Tree()
    publisher = StudyPublisher(tree, "sizes", "id", "small", {}, {})
    assert publisher.save_view(view()) == "small"
    assert list(tree.runs["small"]) == [f"{VIEW_TAG}{view().key}"]


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/#/experiments/7/runs"),
        ("https://me:***@host/mlflow/", "https://host/mlflow/#/experiments/7/runs"),
        ("sqlite:////runs/mlflow.db", None),
    ],
)
def test_its_address(uri, address):
    found = SavedComparison(uri, "7", "key").address
    assert (found.partition("?")[0] if found else found) == address


def test_it_is_kept_beside_the_study_and_an_unreadable_note_is_none(tmp_path):
    saved = SavedComparison("sqlite:////runs/mlflow.db", "7", "key")
    assert kept_comparison(tmp_path) is None
    keep_comparison(saved, tmp_path)
    assert kept_comparison(tmp_path) == saved
    for broken in ("{", "[]", '{"view": "key"}'):
        (tmp_path / "comparison.json").write_text(broken)
        assert kept_comparison(tmp_path) is None


def test_pictures_of_a_description_are_found_among_the_artifacts_and_addresses_stay():
    text = "![A](strata/a b.png) and ![B](https://host/b.png) and [no](picture.png)"
    assert described(text, "id") == (
        "![A](get-artifact?path=strata%2Fa%20b.png&run_uuid=id) and ![B](https://host/b.png) and "
        "[no](picture.png)"
    )


def test_metrics_begin_with_what_is_read_first_and_none_is_lost():
    metrics = dict.fromkeys(
        ("pca_mse", "strata_n", "validation_mse/FA", "validation_mse_se", "validation_mse"), 1.0
    )
    ordered = list(leading_first(metrics))
    assert ordered[:4] == ["validation_mse", "validation_mse/FA", "validation_mse_se", "strata_n"]
    assert set(ordered) == set(metrics)
