"""Publishing a search: a run for the study, below it one for each trial, below that its folds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from isthmus.core.ports import RunLogger, RunStore
from isthmus.report.publish import NOTE_TAG, TrackingPublisher
from isthmus.report.run_naming import legal_names, run_name
from isthmus.study.records import OPEN, OVER, Objective, Point, StudyResult, TrialRecord
from isthmus.trial.events import TrialStarted
from isthmus.trial.replay import is_published, mark_published, replay

STATE_TAG, REASON_TAG = "isthmus.state", "isthmus.reason"
RETRIED_TAG = "isthmus.retried"


class StudyPublisher:
    """Writes a study and its trials to a tracking store.

    Parameters
    ----------
    store : RunStore
        Where to write.
    study_name : str
        What people call the study, and its run.
    study_id : str
        Its identity, by which the run is found again.
    experiment_name : str
        The store's experiment that holds the run.
    params : Mapping
        Settings that are part of what the study is; they must not change.
    tags : Mapping of str to str
        Labels of the study's run.
    files : sequence of Path
        Copied into the run when it is opened, such as the space's file.

    Notes
    -----
    The run is opened when something is first written, and whatever writes can be called again with
    the same, so all of it can go through an `isthmus.report.outbox.Outbox`; that, too, keeps it in
    one thread.
    """

    def __init__(
        self,
        store: RunStore,
        study_name: str,
        study_id: str,
        experiment_name: str,
        params: Mapping[str, str | int | float | bool],
        tags: Mapping[str, str],
        files: Sequence[Path] = (),
    ) -> None:
        self._store = store
        self._name, self._id, self._experiment = study_name, study_id, experiment_name
        self._params, self._labels, self._files = dict(params), dict(tags), tuple(files)
        self._run: RunLogger | None = None
        self._open = False
        self._trials: dict[int, TrackingPublisher] = {}
        self._course_up_to = 0

    @property
    def run_id(self) -> str | None:
        """The tracking store's identifier of the study's run, once it is open."""
        return self._run.run_id if self._run else None

    def open(self) -> None:
        """Open the study's run, so that it is there before the first trial."""
        self._study()

    def trial(self, number: int, point: Point) -> TrackingPublisher:
        """Make the publisher of one trial, or take the one that was made; nothing is written yet.

        Parameters
        ----------
        number : int
            Of the trial.
        point : Mapping of str to Any
            What it varies.

        Returns
        -------
        TrackingPublisher
            Writes to a run below the study's.
        """
        if number not in self._trials:
            values = ", ".join(f"{path} = {value}" for path, value in point.items())
            note = f"Trial {number} of {self._name}: {values}"
            labels = {
                "isthmus.study": self._name,
                "isthmus.trial_number": str(number),
                **{f"isthmus.point.{path}": str(value) for path, value in point.items()},
                NOTE_TAG: note,
            }

            def open_trial(event: TrialStarted, tags: Mapping[str, str]) -> RunLogger:
                name = f"trial {number} {run_name(event.config, event.digest)}"
                return self._study().child(name, {**tags, **labels})

            self._trials[number] = TrackingPublisher(open_trial, note)
        return self._trials[number]

    def give_up(self, number: int, why: str) -> None:
        """Note that an attempt at a trial ended before its time; the next one continues its run.

        Parameters
        ----------
        number : int
            Of the trial.
        why : str
            What ended the attempt.
        """
        if number in self._trials:
            self._trials[number].label({RETRIED_TAG: why})

    def after_trial(self, record: TrialRecord, result: StudyResult) -> None:
        """Close the run of a trial that is over, and follow what the study has come to.

        Parameters
        ----------
        record : TrialRecord
            The trial, in its final state.
        result : StudyResult
            The study as it stands, with this trial.

        Notes
        -----
        The study's metrics stand at the trials' numbers as steps: each objective, the best so far,
        the hypervolume and how many trials ended how, over the trials up to that number. A step is
        written once all trials before it are over, so that a number never changes.
        """
        study = self._study()
        if record.state in OVER:
            tags: dict[str, str] = {STATE_TAG: record.state}
            if record.reason:
                tags[REASON_TAG] = record.reason
            succeeded = record.state != "failed"
            publisher = self._trials.get(record.number)
            if publisher is not None and publisher.directory is not None:
                publisher.end(succeeded, tags)
                mark_published(publisher.directory, str(publisher.run_id), study.run_id)
            elif record.digest is None:
                # It failed before it could say what it was.
                labels = {f"isthmus.point.{path}": str(v) for path, v in record.point.items()}
                run = study.child(f"trial {record.number} {record.state}", {**labels, **tags})
                run.finish(succeeded)
        self._write_course(result)
        self._trials.pop(record.number, None)

    def publish_left(self, record: TrialRecord, directory: Path, result: StudyResult) -> bool:
        """Write a trial that an earlier sitting left, from its folder, unless all is written.

        Parameters
        ----------
        record : TrialRecord
            A trial that is over.
        directory : Path
            Its folder; a trial that was never begun has none.
        result : StudyResult
            The study as it stands.

        Returns
        -------
        bool
            Whether anything was left to write of the trial.

        Raises
        ------
        ConfigError
            If the folder is not a trial's.
        """
        study = self._study()
        left = record.digest is not None and record.state in OVER
        if left and not is_published(directory, study.run_id):
            publisher = self.trial(record.number, record.point)
            for event in replay(directory):
                publisher(event)
            self.after_trial(record, result)
            return True
        self._write_course(result)
        return False

    def publish_files(self, files: Sequence[Path], folder: str = "") -> None:
        """Copy files into the study's run, replacing those of the same names.

        Parameters
        ----------
        files : sequence of Path
            Such as tables, pictures and a page.
        folder : str
            Folder of the run's artifacts.
        """
        study = self._study()
        for file in files:
            study.log_artifact(file, folder)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Label the study's run, or describe it (``mlflow.note.content``).

        Parameters
        ----------
        tags : Mapping of str to str
            Labels that may change from one sitting to the next.
        """
        self._study().set_tags(tags)

    def finish(self, succeeded: bool) -> None:
        """Close the study's run.

        Parameters
        ----------
        succeeded : bool
            Whether its budget was spent as it should be.
        """
        self._study().finish(succeeded)
        self._open = False

    def close(self) -> None:
        """Close as failed what is still open: the search was cut short.

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

    def _study(self) -> RunLogger:
        """Open the study's run the first time."""
        if self._run is None:
            run = self._store.open_run(self._experiment, self._name, self._id, self._labels)
            run.log_params(self._params)
            for file in self._files:
                run.log_artifact(file)
            self._run, self._open = run, True
        return self._run

    def _write_course(self, result: StudyResult) -> None:
        """Write the study's metrics as far as all trials are over."""
        hypervolume = dict(result.hypervolume)
        over: list[TrialRecord] = []
        for record in sorted(result.trials, key=lambda trial: trial.number):
            if record.state in OPEN:
                break
            over.append(record)
            if record.number < self._course_up_to:
                continue
            metrics = _metrics(over, result.objectives)
            if record.number in hypervolume:
                metrics["hypervolume"] = hypervolume[record.number]
            self._study().log_metrics(legal_names(metrics), step=record.number)
            self._course_up_to = record.number + 1


def _metrics(over: Sequence[TrialRecord], objectives: Sequence[Objective]) -> dict[str, float]:
    """Say what the last trial came to, what the best did, and how many ended how."""
    metrics: dict[str, float] = {}
    finished = [trial.values for trial in over if trial.state == "finished" and trial.values]
    last = over[-1]
    for i, objective in enumerate(objectives):
        if last.state == "finished" and last.values is not None:
            metrics[objective.metric] = last.values[i]
        if finished:
            best = min if objective.direction == "minimize" else max
            metrics[f"best_{objective.metric}"] = best(values[i] for values in finished)
    for state in sorted({trial.state for trial in over}):
        metrics[f"n_trials_{state}"] = sum(trial.state == state for trial in over)
    return metrics
