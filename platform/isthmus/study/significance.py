"""What the strata of a study's trials are worth once the best trial was picked out of them."""

from collections.abc import Mapping
from pathlib import Path

from isthmus.cohort.participants import Participants
from isthmus.config.load import Experiment
from isthmus.core.errors import StratificationError
from isthmus.stratification.across import SelectionReport
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.runner import InProcessRunner
from isthmus.trial.strata import STRATA_FILE, read_report, strata_job


def adjust_study(
    experiment: Experiment, participants: Participants, directories: Mapping[int, Path]
) -> SelectionReport | None:
    """Judge each finished trial's best finding as one of all that the study looked at.

    Parameters
    ----------
    experiment : Experiment
        The one that the study varies. Its phenotypes, confounds, permutations and seed are used
        for all trials, whatever a trial changed of them.
    participants : Participants
        Everybody who is in a trial, as `isthmus.trial.run.prepare_trial` has them.
    directories : Mapping of int to Path
        The folder of each finished trial by its number; repeated trials are left out, the
        experiment counts once.

    Returns
    -------
    SelectionReport or None
        The naive and the adjusted p-value of each, under names such as ``trial 3``. A trial
        without a partition is listed without p-values. None where the experiment declares no
        numeric phenotypes, or no trial has finished: then there is nothing to adjust.

    Raises
    ------
    StratificationError
        If a fold of a trial has no report, or a subject is not among the participants.

    Notes
    -----
    Of the study and not of a trial: the order of the trials makes no difference, and all numbers
    change when another one finishes. It makes up for choosing among the finished trials; not for
    the choice of the experiment, of its phenotypes, or of the space. Method and cost are those of
    `isthmus.stratification.selection.adjust_for_selection`.
    """
    config = experiment.config
    if not config.cohort.phenotypes or not directories:
        return None
    job = strata_job(
        participants, config.cohort, config.stratification, config.seed, InProcessRunner()
    )
    return job.selection(
        {f"trial {number}": _reports(directories[number]) for number in sorted(directories)}
    )


def _reports(directory: Path) -> list[RobustnessReport]:
    """Read the reports of a finished trial, one a fold."""
    folds = sorted(
        (path for path in directory.glob("fold-*") if path.is_dir()),
        key=lambda path: (len(path.name), path.name),
    )
    reports = [read_report(fold / STRATA_FILE) for fold in folds]
    found = [report for report in reports if report is not None]
    if not found or len(found) < len(folds):
        missing = [fold.name for fold, report in zip(folds, reports, strict=True) if not report]
        lacking = f"{', '.join(missing)} has none" if missing else "there is no fold"
        raise StratificationError(
            f"{directory}: each fold of a finished trial must have a {STRATA_FILE} of this "
            f"version, but {lacking}. Delete fold.json there "
            "and run `isthmus train` on the trial's experiment.yaml: it makes the report anew "
            "from the weights that are there."
        )
    return found
