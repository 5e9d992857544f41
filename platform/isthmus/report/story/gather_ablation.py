"""An ablation as it stands, read from its folder, also between its sittings' ends."""

from collections import Counter
from pathlib import Path

from isthmus.config.ablation.load import load_ablation
from isthmus.config.load import Experiment
from isthmus.core.errors import IsthmusError
from isthmus.report.ablation.labels import arm_label
from isthmus.report.ablation.side_by_side import side_by_side_figure, side_by_side_view
from isthmus.report.pictures import png_of
from isthmus.report.story.bundle import KeptPicture, TrialBrief
from isthmus.report.story.gather_trials import brief_from_folder
from isthmus.report.strata_views import Absent
from isthmus.study.ablation.conclude import conclude
from isthmus.study.ablation.findings import AblationResult
from isthmus.study.ablation.place import ABLATION_FILE
from isthmus.study.ablation.plan import prepare_ablation
from isthmus.study.ablation.progress import is_up_to_date, read_progress
from isthmus.study.ablation.records import AblationPlan, ArmRun, FoldRun
from isthmus.study.ablation.result_json import RESULT_FILE, read_result


def ablation_now(
    folder: Path, experiment: Experiment | None
) -> tuple[AblationResult | None, tuple[str, ...]]:
    """Say how an ablation stands.

    Parameters
    ----------
    folder : Path
        The ablation's.
    experiment : Experiment or None
        Its experiment, where that can be read.

    Returns
    -------
    result : AblationResult or None
        As its last sitting wrote it if nothing has happened since; else concluded anew from the
        trials' folders, which needs the volume store. None where neither can be had.
    missing : tuple of str
        Why it is not up to date, or not there.
    """
    written = read_result(folder) if (folder / RESULT_FILE).exists() else None
    try:
        if experiment is None:
            return written, ()
        if written is not None and is_up_to_date(written.plan, written.progress, folder):
            return written, ()
        ablation = load_ablation(folder / ABLATION_FILE, experiment.config)
        plan = prepare_ablation(experiment, ablation).plan
        progress = read_progress(plan, folder.parent, folder)
        concluded = conclude(plan, progress, folder.parent, ablation.contrasts, ablation.inference)
        return concluded, ()
    except (IsthmusError, OSError) as error:
        if written is not None:
            return written, (f"What happened since the last sitting's end is not in here: {error}",)
        return None, (f"The ablation could not be read before its first sitting's end: {error}",)


def briefs_of_runs(result: AblationResult, output: Path) -> tuple[TrialBrief, ...]:
    """Tell of every run of an ablation in short.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    output : Path
        Folder that the trials are in.

    Returns
    -------
    tuple of TrialBrief
        By number.
    """
    return tuple(_brief_of(result, run, output) for run in result.plan.runs)


def side_by_side(result: AblationResult, output: Path) -> KeptPicture | None:
    """Draw what every arm makes of one held-out subject.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    output : Path
        Folder that the trials are in.

    Returns
    -------
    KeptPicture or None
        None where no arm has kept its slices yet.
    """
    view = side_by_side_view(result, output)
    if isinstance(view, Absent):
        return None
    return KeptPicture(
        name="side_by_side",
        title="All arms, the same subject",
        alternative=view.in_words,
        png_base64=KeptPicture.encoded(png_of(side_by_side_figure(view))),
        participant_id=view.participant_id,
    )


def _brief_of(result: AblationResult, run: ArmRun, output: Path) -> TrialBrief:
    """Tell of one run in short."""
    plan: AblationPlan = result.plan
    arm = next(one for one in plan.arms if one.name == run.arm)
    folds = [fold for fold in result.progress.folds if fold.run == run.number]
    failed = next((fold.reason for fold in folds if fold.state == "failed"), "")
    known = {
        "number": run.number,
        "arm": run.arm,
        "seed": run.seed,
        "state": _state_of(folds),
        "reason": failed,
        "point": dict(arm.settings),
        "digest": run.digest,
        "leaky": arm.leaky,
    }
    label = f"{arm_label(plan, run.arm)}, seed {run.seed}"
    return brief_from_folder(output / run.folder, label, known)


def _state_of(folds: list[FoldRun]) -> str:
    """Say how a run stands, by its folds."""
    counts = Counter(fold.state for fold in folds)
    if counts["failed"]:
        return "failed"
    if folds and counts["done"] == len(folds):
        return "finished"
    return "running" if counts["running"] or counts["done"] else "waiting"
