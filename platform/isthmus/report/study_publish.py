"""Publishing a search: a run for the study, below it one for each trial, below that its folds."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from isthmus.core.ports import RunStore
from isthmus.report.comparison_view import ComparisonView
from isthmus.report.parent_publish import REASON_TAG, STATE_TAG, ParentPublisher
from isthmus.report.publish import TrackingPublisher
from isthmus.report.run_naming import legal_names, trial_title
from isthmus.study.records import OPEN, OVER, Objective, Point, StudyResult, TrialRecord


class StudyPublisher(ParentPublisher):
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
        super().__init__(store, study_name, study_id, experiment_name, params, tags, files)
        self._course_up_to = 0

    def save_view(self, view: ComparisonView) -> str:
        """Have the store's pages list a comparison of the study's trials.

        Parameters
        ----------
        view : ComparisonView
            What it shows.

        Returns
        -------
        str
            The store's name of the experiment, by which the view is reached.
        """
        label = view.label(round(1000 * time.time()))
        return self._store.label_experiment(self._experiment, label)

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
        values = ", ".join(f"{path} = {value}" for path, value in point.items())
        labels = {
            "isthmus.study": self._name,
            "isthmus.trial_number": str(number),
            **{f"isthmus.point.{path}": str(value) for path, value in point.items()},
        }
        note = f"Trial {number} of {self._name}: {values}"
        return self._below(number, trial_title(number), labels, note)

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
        study = self._parent()
        if record.state in OVER:
            tags: dict[str, str] = {STATE_TAG: record.state}
            if record.reason:
                tags[REASON_TAG] = record.reason
            succeeded = record.state != "failed"
            if not self._end(record.number, succeeded, tags) and record.digest is None:
                # It failed before it could say what it was.
                labels = {f"isthmus.point.{path}": str(v) for path, v in record.point.items()}
                run = study.child(
                    f"{trial_title(record.number)} {record.state}", {**labels, **tags}
                )
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
        left = record.digest is not None and record.state in OVER
        if left and self._is_left(directory):
            self._replay(self.trial(record.number, record.point), directory)
            self.after_trial(record, result)
            return True
        self._write_course(result)
        return False

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
            self._parent().log_metrics(legal_names(metrics), step=record.number)
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
