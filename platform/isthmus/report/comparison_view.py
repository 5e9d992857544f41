"""The comparison of a study's trials as a saved view of MLflow's page of runs, and its address.

MLflow's pages keep a view (which runs, in which order, which columns and charts) as a label of the
experiment that holds the runs, where the menu *Views* lists it and an address opens it.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from isthmus.core.files import write_json
from isthmus.report.run_naming import legal_name
from isthmus.study.records import Objective

VIEW_FILE = "comparison.json"
VIEW_TAG = "mlflow.sharedViewState."
PARAMS = ("model.embedding_size", "model.depth", "model.convolution")
"""Settings that are shown whatever the search varies."""
METRICS = ("validation_mse", "validation_cnr_ratio", "strata_robustness_score")
"""Metrics that are shown whatever the search seeks."""

_MOST_COLUMNS, _MOST_AXES = 24, 6  # more cannot be read, and a label has its longest
_STUDY_TAG, _STATE_TAG = "isthmus.study", "isthmus.state"
_COMPARED, _EACH = "compared", "each"


@dataclass(frozen=True)
class ComparisonView:
    """What MLflow's page of runs shows of a study's trials.

    Attributes
    ----------
    key : str
        Names the view in addresses; the same for a study at any time.
    name : str
        What MLflow's menu of views calls it.
    state : Mapping of str to Any
        Filter, order, columns and charts, as MLflow's page keeps them.
    """

    key: str
    name: str
    state: Mapping[str, Any]

    def label(self, milliseconds: int) -> dict[str, str]:
        """Write the view as a label of an experiment.

        Parameters
        ----------
        milliseconds : int
            Since 1970: when the view is saved.

        Returns
        -------
        dict of str to str
            The label's name and value; the value is compressed, for MLflow takes 5,000 characters.
        """
        packed = base64.b64encode(zlib.compress(json.dumps(self.state).encode())).decode()
        content = {
            "name": self.name,
            "createdAt": milliseconds,
            "updatedAt": milliseconds,
            "state": f"deflate;{packed}",
        }
        return {f"{VIEW_TAG}{self.key}": json.dumps(content)}


def comparison_view(
    study_name: str, study_id: str, objectives: Sequence[Objective], varied: Iterable[str]
) -> ComparisonView:
    """Arrange the comparison of a study's finished trials.

    Parameters
    ----------
    study_name : str
        As its trials' runs are labelled.
    study_id : str
        The study's identity.
    objectives : sequence of Objective
        What is sought; the first one ranks.
    varied : iterable of str
        Dotted paths of the settings that the search varies.

    Returns
    -------
    ComparisonView
        All finished trials, the best by the first objective first, with the settings of `PARAMS`
        and those that vary, the metrics of `METRICS` and the objectives. Charts show the first 10.
        As it holds a condition and no list of runs, it is right while the search goes on.

    Examples
    --------
    >>> view = comparison_view("sizes", 64 * "0", [Objective("validation_mse", "minimize")], [])
    >>> view.key, view.name
    ('isthmus-000000000000', 'Trials of sizes')
    >>> view.state["orderByKey"], view.state["orderByAsc"]
    ('metrics.`validation_mse`', True)
    """
    sought = [legal_name(objective.metric) for objective in objectives]
    metrics = list(dict.fromkeys([*sought, *METRICS]))
    params = list(dict.fromkeys([*PARAMS, *varied]))[: _MOST_COLUMNS - len(metrics)]
    columns = [*(f"params.`{path}`" for path in params), *(f"metrics.`{name}`" for name in metrics)]
    mark = '"' if "'" in study_name else "'"  # the language of filters has no escapes
    of_study = f"tags.`{_STUDY_TAG}` = {mark}{study_name}{mark}"
    state = {
        "searchFilter": f"{of_study} and tags.`{_STATE_TAG}` = 'finished'",
        "orderByKey": f"metrics.`{sought[0]}`",
        "orderByAsc": objectives[0].direction == "minimize",
        "selectedColumns": columns,
        "runsHiddenMode": "FIRST_10_RUNS",
        "compareRunSections": [
            _section(_COMPARED, "Compared", columns=1),
            _section(_EACH, "Each metric", columns=2),
        ],
        "compareRunCharts": _charts(params, metrics, sought),
    }
    return ComparisonView(f"isthmus-{study_id[:12]}", f"Trials of {study_name}", state)


@dataclass(frozen=True)
class SavedComparison:
    """Where a study's comparison is kept.

    Attributes
    ----------
    tracking_uri : str
        Of the tracking store, without a password.
    experiment_id : str
        MLflow's identifier of the experiment that holds the study's runs.
    view : str
        The view's key.
    """

    tracking_uri: str
    experiment_id: str
    view: str

    @property
    def route(self) -> str:
        """The address behind that of MLflow's server."""
        experiment, view = quote(self.experiment_id, safe=""), quote(self.view, safe="")
        page = f"#/experiments/{experiment}/runs"
        return f"{page}?viewStateShareKey={view}&workflowType=machine_learning"

    @property
    def address(self) -> str | None:
        """The whole address where the store is a server; None where MLflow's UI is yet to start."""
        parts = urlsplit(self.tracking_uri)
        if parts.scheme not in ("http", "https"):
            return None
        host = parts.netloc.rpartition("@")[2]  # a browser asks for the name and the password
        return f"{parts.scheme}://{host}{parts.path.rstrip('/')}/{self.route}"


def keep_comparison(saved: SavedComparison, folder: Path) -> None:
    """Note in a study's folder where its comparison is.

    Parameters
    ----------
    saved : SavedComparison
        Where it is.
    folder : Path
        The study's.
    """
    content = {
        "tracking_uri": saved.tracking_uri,
        "experiment_id": saved.experiment_id,
        "view": saved.view,
    }
    write_json(folder / VIEW_FILE, content)


def kept_comparison(folder: Path) -> SavedComparison | None:
    """Look up where a study's comparison is.

    Parameters
    ----------
    folder : Path
        The study's.

    Returns
    -------
    SavedComparison or None
        None where none was saved, or the note cannot be read: a link is no reason to fail.
    """
    try:
        content = json.loads((folder / VIEW_FILE).read_text(encoding="utf-8"))
        return SavedComparison(
            *(str(content[name]) for name in ("tracking_uri", "experiment_id", "view"))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _section(key: str, name: str, columns: int) -> dict[str, Any]:
    """Describe a group of charts."""
    return {
        "uuid": key,
        "name": name,
        "display": True,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
        "columns": columns,
    }


def _charts(
    params: Sequence[str], metrics: Sequence[str], sought: Sequence[str]
) -> list[dict[str, Any]]:
    """Describe the charts: all settings against all metrics, what differs, and each metric."""
    charts = [
        # The last axis colours the lines: the objective that ranks.
        _chart(
            "PARALLEL",
            _COMPARED,
            selectedParams=list(params[:_MOST_AXES]),
            selectedMetrics=list(reversed(metrics)),
        ),
        _chart(
            "DIFFERENCE",
            _COMPARED,
            compareGroups=["Parameters"],
            chartName="Settings that differ",
            showChangeFromBaseline=False,
            showDifferencesOnly=True,
            baselineColumnUuid="",
        ),
    ]
    if len(sought) > 1:
        x, y = ({"key": name, "type": "METRIC"} for name in sought[:2])
        charts.append(_chart("SCATTER", _EACH, xaxis=x, yaxis=y))
    charts += [_chart("BAR", _EACH, metricKey=name, displayName=name) for name in metrics]
    return [{**chart, "uuid": f"{chart['type'].lower()}-{i}"} for i, chart in enumerate(charts)]


def _chart(kind: str, section: str, **more: Any) -> dict[str, Any]:
    """Describe one chart."""
    return {
        "type": kind,
        "metricSectionId": section,
        "runsCountToCompare": 10,
        "deleted": False,
        "isGenerated": False,
        **more,
    }
