"""Where `isthmus stratify` writes in MLflow: below the run that made the embeddings."""

from collections.abc import Callable
from pathlib import Path

from isthmus.backends.tracking_uri import TrackingError, sqlite_uri
from isthmus.cli.terminal import err
from isthmus.core.ports import RunLogger, RunReader
from isthmus.report.stratify_publish import stratify_run_name
from isthmus.trial.embedded import STRATIFY_TAG, Embedded
from isthmus.trial.restratify import Prepared

_USUAL_STORE = Path("runs") / "mlflow.db"
_EXPERIMENT = "stratify"

Page = Callable[[], RunLogger]


class Logbook:
    """Finds the runs that results belong below.

    Parameters
    ----------
    tracking_uri : str or None
        As given by the user; None: the one in ``runs/``, or that of the trial's own settings.
    """

    def __init__(self, tracking_uri: str | None) -> None:
        self._uri = tracking_uri
        self._readers: dict[str, RunReader] = {}

    def reader(self) -> RunReader:
        """Open the store that a run's id is looked up in.

        Returns
        -------
        RunReader
            The store given, or the one that `isthmus train` makes in ``runs/``.

        Raises
        ------
        TrackingError
            If there is none.
        """
        if self._uri is None and not _USUAL_STORE.is_file():
            raise TrackingError(
                f"A run's id is looked up in MLflow, but there is no {_USUAL_STORE} here. Name its "
                "store with --tracking-uri, or give the trial's folder."
            )
        return self._reader(self._uri or sqlite_uri(_USUAL_STORE))

    def page(self, trial: Prepared) -> Page | None:
        """Find the run that a trial's results are to be written below.

        Parameters
        ----------
        trial : Prepared
            About to be computed.

        Returns
        -------
        callable or None
            Opens the run of this computation, continuing it where it exists; None where nothing
            is logged, which is said on the terminal.

        Raises
        ------
        TrackingError
            If the embeddings come from a run, or a store was named, and it does not answer.
        """
        embedded = trial.embedded
        name, tags = stratify_run_name(trial.key), {STRATIFY_TAG: trial.key}
        if embedded.experiment is None:
            return self._page_of_its_own(embedded, trial.key)
        try:
            if embedded.folder is None:
                reader, run_id = self.reader(), embedded.run_id
            else:
                reader = self._reader(self._uri or embedded.experiment.tracking_uri)
                run_id = embedded.run_id or _trial_run(reader, embedded.fold_run_id)
            if run_id is None:
                raise TrackingError("the trial was not published to a tracking store.")
            above = reader.logger(run_id)
        except TrackingError as error:
            if embedded.folder is None or self._uri is not None:
                raise
            err.print(f"note: not logged to MLflow: {error}", markup=False)
            return None
        return lambda: above.child(name, tags)

    def _page_of_its_own(self, embedded: Embedded, key: str) -> Page | None:
        """Log another tool's embeddings only where that was asked for."""
        if self._uri is None:
            return None
        from isthmus.backends.mlflow_store import MlflowRunStore  # noqa: PLC0415

        store = MlflowRunStore(self._uri)
        name = f"{embedded.label} {stratify_run_name(key)}"
        return lambda: store.open_run(_EXPERIMENT, name, key, {STRATIFY_TAG: key})

    def _reader(self, uri: str) -> RunReader:
        """Open a store once."""
        # MLflow takes seconds to import: only what is used is.
        from isthmus.backends.mlflow_reader import MlflowRunReader  # noqa: PLC0415

        if uri not in self._readers:
            self._readers[uri] = MlflowRunReader(uri)
        return self._readers[uri]


def _trial_run(reader: RunReader, fold_run_id: str | None) -> str | None:
    """Find a trial's run from that of one of its folds."""
    return None if fold_run_id is None else reader.run(fold_run_id).parent_id
