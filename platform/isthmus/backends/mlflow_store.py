"""The tracking store on MLflow: runs found again by their key, nothing logged twice, no noise."""

import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SADeprecationWarning, SQLAlchemyError

from isthmus.backends.metric_memory import MetricMemory
from isthmus.backends.schema_lock import alone_in
from isthmus.backends.tracking_away import is_away, refusal
from isthmus.backends.tracking_experiment import experiment_id, label_experiment
from isthmus.backends.tracking_limits import (
    METRICS_PER_BATCH,
    PARAM_LENGTH,
    PARAMS_PER_BATCH,
    TAG_LENGTH,
    batches,
    cut,
    quotable,
    quoted,
)
from isthmus.backends.tracking_uri import (
    SQLITE,
    TrackingError,
    alone_at,
    checked_uri,
    engine_uri,
    require_answer,
    shown,
)

KEY_TAG = "isthmus.key"
PARENT_TAG = "mlflow.parentRunId"
# The last one is of a database whose driver is not installed.
_REFUSALS = (MlflowException, SQLAlchemyError, requests.RequestException, OSError, ImportError)


class MlflowRunStore:
    """Implement `isthmus.core.ports.RunStore` on an MLflow tracking store.

    Parameters
    ----------
    tracking_uri : str
        ``sqlite:///<file>`` (made when missing), a PostgreSQL, MySQL or SQL Server URI, or the
        address of an MLflow server. Nothing process-wide is set: stores with different URIs can
        be used side by side.

    Attributes
    ----------
    tracking_uri : str
        The URI in use; sqlite files are absolute in it.

    Raises
    ------
    ConfigError
        If the URI is of another kind.
    TrackingError
        If its schema is not MLflow's; a `TrackingUnavailable` if nothing answers at the URI,
        within seconds.

    Notes
    -----
    Creating the schema takes seconds and breaks when two processes do it at once, so it is done
    here, under a lock on a file beside a sqlite database, or in a PostgreSQL database.

    A NaN is stored as such. An infinity is stored by the SQL stores as the largest float of that
    sign, by MLflow's own doing.

    MLflow itself tries a request to a server again for about a minute. A store that has been away
    is asked whether anybody is there before anything else is: that takes seconds at most.

    The constructor's warnings filter is process-wide for the moment it lasts; make the store
    from one thread.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = checked_uri(tracking_uri)
        self._artifact_root: str | None = None
        self._away = False
        for name in ("mlflow", "alembic", "sqlalchemy"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # It prints the stack of what it raises too.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        if self.tracking_uri.startswith(SQLITE):
            database = Path(self.tracking_uri.removeprefix(SQLITE))
            self._artifact_root = (database.parent / "mlartifacts").as_uri()
            with self._answers("open the database"), alone_at(database):
                self._client = self._connect()
        else:
            require_answer(self.tracking_uri)
            alone = alone_in(self.tracking_uri, made="experiments", rival="studies")
            with self._answers("open the store"), alone:
                self._client = self._connect()

    def open_run(
        self, experiment: str, name: str, key: str, tags: Mapping[str, str]
    ) -> "MlflowRunLogger":
        """Open the run with this key in the named experiment, continuing it where it exists.

        Parameters
        ----------
        experiment : str
            Name of the MLflow experiment; made when missing.
        name : str
            What people call the run; used when the run is made.
        key : str
            Identifies what the run computes, such as an experiment's digest. It is stored as the
            tag ``isthmus.key``.
        tags : Mapping of str to str
            Searchable labels; set on a continued run too.

        Returns
        -------
        MlflowRunLogger
            The run, with the status RUNNING.

        Raises
        ------
        TrackingError
            If the experiment was deleted; as everywhere, a `TrackingUnavailable` if the store
            does not answer.
        """
        experiment_id = self._experiment_id(experiment)
        return self._open(experiment_id, name, {**tags, KEY_TAG: key}, {KEY_TAG: key})

    def label_experiment(self, experiment: str, tags: Mapping[str, str]) -> str:
        """Give an experiment, which is made when missing, the labels that it lacks.

        Parameters
        ----------
        experiment : str
            Its name.
        tags : Mapping of str to str
            Labels, or what MLflow's pages keep there, such as a saved view.

        Returns
        -------
        str
            MLflow's identifier of the experiment.
        """
        identifier = self._experiment_id(experiment)
        with self._answers(f"label the experiment {experiment!r}"):
            label_experiment(self._client, identifier, tags)
        return identifier

    def _open(
        self, experiment_id: str, name: str, tags: Mapping[str, str], identity: Mapping[str, str]
    ) -> "MlflowRunLogger":
        """Find the newest run with the identifying tags, or make it."""
        clauses = [f"tags.`{tag}` = '{quotable(value)}'" for tag, value in identity.items()]
        texts = {tag: cut(value, TAG_LENGTH) for tag, value in tags.items()}
        with self._answers(f"open the run {name!r}"):
            found = self._client.search_runs(
                [experiment_id],
                filter_string=" and ".join(clauses),
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
            if not found:
                run = self._client.create_run(experiment_id, run_name=name, tags=texts)
                return MlflowRunLogger(self, run)
            self._client.update_run(found[0].info.run_id, status="RUNNING")
        logger = MlflowRunLogger(self, found[0])
        logger.set_tags(texts)
        return logger

    def _experiment_id(self, name: str) -> str:
        """Find or make an experiment; its artifacts lie beside a sqlite database."""
        with self._answers(f"open the experiment {name!r}"):
            return experiment_id(self._client, name, self._artifact_root, self.tracking_uri)

    def _connect(self) -> MlflowClient:
        """Make the client, which makes the schema of an empty database."""
        with warnings.catch_warnings():
            # MLflow 3.17 maps its tables with a loader that SQLAlchemy 2.1 deprecates.
            warnings.simplefilter("ignore", SADeprecationWarning)
            uri = engine_uri(self.tracking_uri)
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
            return client

    @contextmanager
    def _answers(self, doing: str) -> Iterator[None]:
        """Turn what MLflow, its database or its server raise into one readable error."""
        if self._away:
            require_answer(self.tracking_uri)
        try:
            yield
        except _REFUSALS as error:
            self._away = is_away(error)
            raise refusal(error, doing, self.tracking_uri) from error
        self._away = False


class MlflowRunLogger:
    """Implement `isthmus.core.ports.RunLogger` on one MLflow run; made by `MlflowRunStore`.

    Parameters
    ----------
    store : MlflowRunStore
        Where the run is.
    run : mlflow.entities.Run
        The run as it was when it was opened.
    """

    def __init__(self, store: MlflowRunStore, run: Any) -> None:
        self._store = store
        self._client = store._client
        self._run_id = str(run.info.run_id)
        self._experiment_id = str(run.info.experiment_id)
        self._key = str(run.data.tags.get(KEY_TAG, self._run_id))
        self._params: dict[str, str] = dict(run.data.params)
        self._memory = MetricMemory(run.data.metrics, self._history_of)
        self._started_ms = int(run.info.start_time)

    @property
    def run_id(self) -> str:
        """The store's identifier of this run."""
        return self._run_id

    def child(self, name: str, tags: Mapping[str, str]) -> "MlflowRunLogger":
        """Open the run of that name below this one, continuing it where it exists.

        Parameters
        ----------
        name : str
            Name of the child, such as ``fold-0``; its key is the parent's key, ``/`` and this.
        tags : Mapping of str to str
            Searchable labels.

        Returns
        -------
        MlflowRunLogger
            The child, with the status RUNNING.
        """
        identity = {KEY_TAG: f"{self._key}/{name}", PARENT_TAG: self._run_id}
        return self._store._open(self._experiment_id, name, {**tags, **identity}, identity)

    def log_params(self, params: Mapping[str, str | int | float | bool]) -> None:
        """Record settings; repeating the same values is allowed.

        Parameters
        ----------
        params : Mapping
            Values by name. One longer than MLflow's 6,000 characters is stored as its beginning
            and its digest, so that a change is still seen.

        Raises
        ------
        TrackingError
            If a setting was recorded with another value, or the store refuses a name.
        """
        new = {}
        for name, value in params.items():
            text = cut(str(value), PARAM_LENGTH)
            known = self._params.get(name)
            if known is None:
                new[name] = text
            elif known != text:
                raise TrackingError(
                    f"A run's settings must not change, but {name} of run {self._run_id} is "
                    f"{quoted(known)} in {shown(self._store.tracking_uri)} and {quoted(text)} "
                    "now. A run with other settings needs another key."
                )
        with self._store._answers("record settings"):
            for batch in batches([Param(*item) for item in new.items()], PARAMS_PER_BATCH):
                self._client.log_batch(self._run_id, params=batch)
        self._params.update(new)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers; with a step that the run already has, nothing is written twice.

        Parameters
        ----------
        metrics : Mapping of str to float
            Numbers by name; NaN is allowed. Names hold letters, digits and ``_-./: ``.
        step : int, optional
            Such as the epoch. None: a number of the whole run, which replaces an earlier one.

        Raises
        ------
        TrackingError
            If the store does not answer or refuses a name.
        """
        with self._store._answers("record metrics"):
            new = self._memory.missing(metrics, step)
            for batch in batches([Metric(*point) for point in new], METRICS_PER_BATCH):
                self._client.log_batch(self._run_id, metrics=batch)
            self._memory.wrote(new, step)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file into the run's artifacts, replacing one of that name.

        Parameters
        ----------
        path : Path
            An existing file.
        folder : str
            Folder within the artifacts, with ``/``; empty: the top.

        Raises
        ------
        TrackingError
            If the file is missing or the store does not take it.
        """
        if not path.is_file():
            raise TrackingError(f"An artifact must be an existing file, but {path} is not one.")
        with self._store._answers(f"take the artifact {path.name}"):
            self._client.log_artifact(self._run_id, str(path), folder or None)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set searchable labels; a value longer than 8,000 characters is cut, with its digest.

        Parameters
        ----------
        tags : Mapping of str to str
            Values by name.
        """
        texts = [RunTag(tag, cut(value, TAG_LENGTH)) for tag, value in tags.items()]
        with self._store._answers("set tags"):
            for batch in batches(texts, PARAMS_PER_BATCH):
                self._client.log_batch(self._run_id, tags=batch)

    def finish(self, succeeded: bool) -> None:
        """Close the run.

        Parameters
        ----------
        succeeded : bool
            Whether the status becomes FINISHED or FAILED.
        """
        status = RunStatus.to_string(RunStatus.FINISHED if succeeded else RunStatus.FAILED)
        # A clock that was set back must not make a run end before it began.
        ended_ms = max(time.time_ns() // 1_000_000, self._started_ms)
        with self._store._answers("close the run"):
            self._client.set_terminated(self._run_id, status, ended_ms)

    def _history_of(self, name: str) -> list[tuple[int, int]]:
        """Ask the store for the step and the timestamp of each number of a metric."""
        kept = self._client.get_metric_history(self._run_id, name)
        return [(int(metric.step), int(metric.timestamp)) for metric in kept]
