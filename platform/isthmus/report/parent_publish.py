"""A run with trials below it: what publishing a search and an ablation have in common."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from isthmus.core.ports import RunLogger, RunStore
from isthmus.report.publish import NOTE_TAG, TrackingPublisher
from isthmus.report.run_naming import described, run_name
from isthmus.trial.events import TrialStarted
from isthmus.trial.replay import is_published, mark_published, replay

STATE_TAG, REASON_TAG = "isthmus.state", "isthmus.reason"
RETRIED_TAG = "isthmus.retried"


class ParentPublisher:
    """Writes a run, and runs of trials below it, to a tracking store.

    Parameters
    ----------
    store : RunStore
        Where to write.
    name : str
        What people call what is published, and its run.
    key : str
        Its identity, by which the run is found again.
    experiment_name : str
        The store's experiment that holds the run.
    params : Mapping
        Settings that are part of what it is; they must not change.
    tags : Mapping of str to str
        Labels of its run.
    files : sequence of Path
        Copied into the run when it is opened, such as what was asked for.

    Notes
    -----
    The run is opened when something is first written, and whatever writes can be called again with
    the same, so all of it can go through an `isthmus.report.outbox.Outbox`; that, too, keeps it in
    one thread.
    """

    def __init__(
        self,
        store: RunStore,
        name: str,
        key: str,
        experiment_name: str,
        params: Mapping[str, str | int | float | bool],
        tags: Mapping[str, str],
        files: Sequence[Path] = (),
    ) -> None:
        self._store = store
        self._name, self._id, self._experiment = name, key, experiment_name
        self._params, self._labels, self._files = dict(params), dict(tags), tuple(files)
        self._run: RunLogger | None = None
        self._open = False
        self._trials: dict[int | str, TrackingPublisher] = {}

    @property
    def run_id(self) -> str | None:
        """The tracking store's identifier of the run, once it is open."""
        return self._run.run_id if self._run else None

    def open(self) -> None:
        """Open the run, so that it is there before the first trial."""
        self._parent()

    def give_up(self, key: int | str, why: str) -> None:
        """Note that an attempt at a trial ended before its time; the next one continues its run.

        Parameters
        ----------
        key : int or str
            Of the trial.
        why : str
            What ended the attempt.
        """
        if key in self._trials:
            self._trials[key].label({RETRIED_TAG: why})

    def publish_files(self, files: Sequence[Path], folder: str = "") -> None:
        """Copy files into the run, replacing those of the same names.

        Parameters
        ----------
        files : sequence of Path
            Such as tables, pictures and a page.
        folder : str
            Folder of the run's artifacts.
        """
        run = self._parent()
        for file in files:
            run.log_artifact(file, folder)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Label the run.

        Parameters
        ----------
        tags : Mapping of str to str
            Labels that may change from one sitting to the next.
        """
        self._parent().set_tags(tags)

    def describe(self, markdown: str) -> None:
        """Describe the run, with the pictures that are among its files.

        Parameters
        ----------
        markdown : str
            Its pictures are named as the run's artifacts are.
        """
        run = self._parent()
        run.set_tags({NOTE_TAG: described(markdown, run.run_id)})

    def finish(self, succeeded: bool) -> None:
        """Close the run.

        Parameters
        ----------
        succeeded : bool
            Whether it came to its end.
        """
        self._parent().finish(succeeded)
        self._open = False

    def close(self) -> None:
        """Close as failed what is still open: it was cut short.

        Raises
        ------
        StoreUnavailable
            If the store is away; what is left can be closed by calling this again.
        """
        for publisher in self._trials.values():
            publisher.close()
        if self._run is not None and self._open:
            self._run.finish(succeeded=False)
            self._open = False

    def _parent(self) -> RunLogger:
        """Open the run the first time."""
        if self._run is None:
            run = self._store.open_run(self._experiment, self._name, self._id, self._labels)
            run.log_params(self._params)
            for file in self._files:
                run.log_artifact(file)
            self._run, self._open = run, True
        return self._run

    def _below(
        self, key: int | str, title: str, labels: Mapping[str, str], note: str
    ) -> TrackingPublisher:
        """Make the publisher of one trial, or take the one that was made; nothing is written."""
        if key not in self._trials:

            def open_trial(event: TrialStarted, tags: Mapping[str, str]) -> RunLogger:
                name = f"{title} {run_name(event.config, event.digest)}"
                return self._parent().child(name, {**labels, NOTE_TAG: note, **tags})

            self._trials[key] = TrackingPublisher(open_trial, note)
        return self._trials[key]

    def _end(self, key: int | str, succeeded: bool, tags: Mapping[str, str]) -> bool:
        """Close the run of a trial that is over; say whether it had one."""
        publisher = self._trials.get(key)
        if publisher is None or publisher.directory is None:
            return False
        publisher.end(succeeded, tags)
        mark_published(publisher.directory, str(publisher.run_id), self._parent().run_id)
        del self._trials[key]  # once nothing can keep it from being closed
        return True

    def _is_left(self, directory: Path) -> bool:
        """Whether a trial has results that are not below this run yet."""
        return not is_published(directory, self._parent().run_id)

    def _replay(self, publisher: TrackingPublisher, directory: Path) -> None:
        """Write a trial from its folder."""
        for event in replay(directory):
            publisher(event)
