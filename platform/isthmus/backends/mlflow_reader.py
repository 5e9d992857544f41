"""Reading a tracking store on MLflow: runs, what is below them, and the files they left."""

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mlflow.exceptions import MlflowException

from isthmus.backends.mlflow_store import PARENT_TAG, MlflowRunLogger, MlflowRunStore
from isthmus.backends.tracking_limits import first_line, quotable
from isthmus.backends.tracking_uri import SQLITE, TrackingError, checked_uri, shown
from isthmus.core.files import write_bytes
from isthmus.core.ports import StoredRun

_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_NAME_TAG = "mlflow.runName"
_RUNS_PER_PAGE = 1000


class MlflowRunReader:
    """Implement `isthmus.core.ports.RunReader` on an MLflow tracking store.

    Parameters
    ----------
    tracking_uri : str
        As `MlflowRunStore` takes it. A sqlite file must be there: a store that is to be read is
        not made.

    Raises
    ------
    ConfigError
        If the URI is of another kind.
    TrackingError
        If there is no such file, or nothing answers at the URI.
    """

    def __init__(self, tracking_uri: str) -> None:
        uri = checked_uri(tracking_uri)
        _require_file(uri)
        self._store = MlflowRunStore(uri)
        self._client = self._store._client

    def run(self, run_id: str) -> StoredRun:
        """Look up a run.

        Parameters
        ----------
        run_id : str
            32 hexadecimal digits.

        Returns
        -------
        StoredRun
            As it is now.

        Raises
        ------
        TrackingError
            If there is no such run, it was deleted, or the store does not answer.
        """
        return _stored(self._found(run_id))

    def children(self, run_id: str, ended_since: float | None = None) -> tuple[StoredRun, ...]:
        """List the runs below a run, in the order in which they were started.

        Parameters
        ----------
        run_id : str
            An existing run.
        ended_since : float, optional
            Seconds since 1970: leave out runs that ended before, and list those that are open and
            those that ended since. By default all are listed.

        Returns
        -------
        tuple of StoredRun
            Without deleted ones.

        Raises
        ------
        TrackingError
            As `run`.
        """
        parent = self._found(run_id)
        parts = [""]  # MLflow's filters have no "or"
        if ended_since is not None:
            ended = f"attributes.end_time >= {int(1000 * ended_since)}"
            parts = [" and attributes.status = 'RUNNING'", f" and {ended}"]
        with self._store._answers(f"list the runs below {run_id}"):
            below = f"tags.`{PARENT_TAG}` = '{quotable(run_id)}'"
            where, order = [parent.info.experiment_id], "attributes.start_time ASC"
            found = [run for part in parts for run in self._all_runs(where, below + part, order)]
        # one that ends meanwhile is in both: as it is when it was asked for last
        listed = {one.info.run_id: one for one in found}.values()
        return tuple(map(_stored, sorted(listed, key=lambda one: one.info.start_time)))

    def tagged(
        self, tag: str, value: str | None = None, alone: bool = False
    ) -> tuple[StoredRun, ...]:
        """List the runs that have a label, the newest first.

        Parameters
        ----------
        tag : str
            Name of the label.
        value : str, optional
            What it says; by default anything.
        alone : bool
            Leave out runs below another: a search of thousands of trials is then one run.

        Returns
        -------
        tuple of StoredRun
            Of all experiments, without deleted ones.

        Raises
        ------
        TrackingError
            If the store does not answer.
        """
        # sqlite would go on in a file that was moved away, or make an empty one in its place
        _require_file(self._store.tracking_uri)
        with self._store._answers(f"list the runs with the tag {tag}"):
            experiments = [one.experiment_id for one in self._client.search_experiments()]
            said = "!= ''" if value is None else f"= '{quotable(value)}'"
            top = f" and tags.`{PARENT_TAG}` IS NULL" if alone else ""
            wanted = f"tags.`{tag}` {said}{top}"
            found = self._all_runs(experiments, wanted, "attributes.start_time DESC")
            return tuple(map(_stored, found))

    def history(self, run_id: str, metric: str) -> tuple[tuple[int, float], ...]:
        """List the steps at which a number was recorded.

        Parameters
        ----------
        run_id : str
            An existing run.
        metric : str
            The number's name.

        Returns
        -------
        tuple of (int, float)
            Step and value, by step; empty where the run has no such number.

        Raises
        ------
        TrackingError
            If there is no such run, or the store does not answer.
        """
        with self._store._answers(f"give the course of {metric} in run {run_id}"):
            found = self._client.get_metric_history(run_id, metric)
        return tuple(sorted((int(one.step), float(one.value)) for one in found))

    def fetch(self, run_id: str, artifact: str, destination: Path) -> Path:
        """Copy one of the run's artifacts to a folder.

        Parameters
        ----------
        run_id : str
            An existing run.
        artifact : str
            Its path among the run's artifacts, with ``/``.
        destination : Path
            The folder; made when missing.

        Returns
        -------
        Path
            The file, under the artifact's own name. It is there whole or not at all.

        Raises
        ------
        TrackingError
            If the run has no such artifact, or it cannot be read.
        """
        folder = str(PurePosixPath(artifact).parent)
        with self._store._answers(f"list the artifacts of run {run_id}"):
            listed = self._client.list_artifacts(run_id, None if folder == "." else folder)
        if artifact not in {item.path for item in listed if not item.is_dir}:
            has = sorted(item.path for item in listed)
            raise TrackingError(
                f"Run {run_id} of {shown(self._store.tracking_uri)} must have the artifact "
                f"{artifact}, but it has {has or 'none'}. Is it a run of isthmus, and finished?"
            )
        target = destination / PurePosixPath(artifact).name
        with tempfile.TemporaryDirectory() as beside:
            with self._store._answers(f"give the artifact {artifact} of run {run_id}"):
                copied = self._client.download_artifacts(run_id, artifact, beside)
            write_bytes(target, Path(copied).read_bytes())
        return target

    def logger(self, run_id: str) -> MlflowRunLogger:
        """Reach a run for opening others below it; its status stays as it is.

        Parameters
        ----------
        run_id : str
            An existing run.

        Returns
        -------
        MlflowRunLogger
            Of this run.

        Raises
        ------
        TrackingError
            As `run`.
        """
        return MlflowRunLogger(self._store, self._found(run_id))

    def _all_runs(self, experiments: list[str], wanted: str, order: str) -> Iterator[Any]:
        """Search runs a page at a time, until there are no more."""
        token = None
        while True:
            page = self._client.search_runs(
                experiments, wanted, max_results=_RUNS_PER_PAGE, order_by=[order], page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _found(self, run_id: str) -> Any:
        """Ask the store for a run."""
        where = shown(self._store.tracking_uri)
        with self._store._answers(f"look up the run {run_id}"):
            try:
                run = self._client.get_run(run_id)
            except MlflowException as error:
                if error.error_code not in _UNKNOWN:
                    raise
                raise TrackingError(
                    f"There must be a run {run_id} in {where}, but there is none "
                    f"({first_line(error)}) Copy its id from MLflow's page of the run, or name "
                    "another store with --tracking-uri."
                ) from None
        if run.info.lifecycle_stage != "active":
            raise TrackingError(
                f"Run {run_id} of {where} was deleted. Restore it with `mlflow runs restore "
                f"--run-id {run_id}`, or name another."
            )
        return run


def _require_file(uri: str) -> None:
    """Refuse a sqlite store whose file is not there."""
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():
        raise TrackingError(
            f"A tracking store must be there to be read, but there is no file "
            f"{uri.removeprefix(SQLITE)}. Name MLflow's with --tracking-uri."
        )


def _stored(run: Any) -> StoredRun:
    """Make of MLflow's record ours."""
    tags = dict(run.data.tags)
    started, ended = run.info.start_time, run.info.end_time
    return StoredRun(
        run_id=str(run.info.run_id),
        name=tags.get(_NAME_TAG, ""),
        parent_id=tags.get(PARENT_TAG),
        finished=run.info.status == "FINISHED",
        tags=tags,
        running=run.info.status == "RUNNING",
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        started=None if started is None else started / 1000,
        ended=None if ended is None else ended / 1000,
    )
