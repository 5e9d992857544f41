"""Whether a written result has all that was noted of an ablation, whatever the clocks said."""

import os
from dataclasses import replace

from simulated_ablation import plan_of, progress_of

from isthmus.study.ablation.progress import PROGRESS_FILE, is_up_to_date, write_progress
from isthmus.study.ablation.records import FoldRun, Progress


def begun(progress: Progress) -> Progress:
    """The same, with the attempts and the times of folds that this ablation ran itself."""
    folds = [replace(fold, attempts=1, seconds=2.125) for fold in progress.folds]
    return replace(progress, folds=tuple(folds))


def changed(progress: Progress, **values: object) -> Progress:
    """The same, but for the last fold."""
    *others, last = progress.folds
    return replace(progress, folds=(*others, replace(last, **values)))


def test_what_was_noted_since_is_seen_though_the_clock_was_set_back(tmp_path):
    plan = plan_of({"all": ("T1w", "FA"), "T1w": ("T1w",)}, "all")
    result = begun(progress_of(plan))
    assert is_up_to_date(plan, result, tmp_path)  # nothing was noted
    write_progress(plan, result, tmp_path)
    assert is_up_to_date(plan, result, tmp_path)
    for since in (
        changed(result, attempts=2),
        changed(result, state="failed", reason="TrainingDiverged"),
        replace(result, ungathered={0: "its folds disagree"}),
        replace(result, folds=(*result.folds, FoldRun(0, plan.n_folds, attempts=1))),
    ):
        write_progress(plan, since, tmp_path)
        os.utime(tmp_path / PROGRESS_FILE, (0, 0))  # noted in 1970, by the clock
        assert not is_up_to_date(plan, result, tmp_path)


def test_a_note_that_a_whole_trial_has_outlived_is_nothing_new(tmp_path):
    plan = plan_of({"all": ("T1w", "FA"), "T1w": ("T1w",)}, "all")
    result = replace(begun(progress_of(plan)), gathered=(0,))
    write_progress(plan, replace(result, ungathered={0: "killed"}, gathered=()), tmp_path)
    assert is_up_to_date(plan, result, tmp_path)
