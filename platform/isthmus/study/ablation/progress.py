"""How far an ablation is: what trials' folders hold, and what was noted of attempts and failures.

That a fold is done is read from its folder alone, whoever ran it. ``progress.json`` in the
ablation's folder adds what no folder says: which folds failed and why, how often each was begun and
how long it ran. It goes by the trials' digests, so that it outlives another order of arms.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_json
from isthmus.study.ablation.records import AblationPlan, ArmRun, FoldRun, Progress
from isthmus.trial.run import FOLD_FILE, TRIAL_FILE

PROGRESS_FILE = "progress.json"
SCHEMA_VERSION = 1
_KEPT = ("failed", "skipped")


def is_fold_done(output: Path, run: ArmRun, fold: int) -> bool:
    """Tell whether a fold is done.

    Parameters
    ----------
    output : Path
        Folder of the trials.
    run : ArmRun
        The arm at a seed.
    fold : int
        Which fold.

    Returns
    -------
    bool
        Whether its folder holds its result.
    """
    return (output / run.folder / f"fold-{fold}" / FOLD_FILE).exists()


def is_gathered(output: Path, run: ArmRun, n_folds: int) -> bool:
    """Tell whether a trial is whole.

    Parameters
    ----------
    output : Path
        Folder of the trials.
    run : ArmRun
        The arm at a seed.
    n_folds : int
        Of the trial.

    Returns
    -------
    bool
        Whether its folder holds a result of all folds, none of which failed.
    """
    file = output / run.folder / TRIAL_FILE
    if not file.exists():
        return False
    content = json.loads(file.read_text(encoding="utf-8"))
    return bool(content["succeeded"]) and len(content["folds"]) == n_folds


def read_progress(plan: AblationPlan, output: Path, folder: Path) -> Progress:
    """Say how far an ablation is, by what lies in the folders.

    Parameters
    ----------
    plan : AblationPlan
        What is asked.
    output : Path
        Folder of the trials.
    folder : Path
        The ablation's; one that was not begun need not exist.

    Returns
    -------
    Progress
        Folds by run and number. What was running when it was noted is waiting.

    Raises
    ------
    ConfigError
        If the notes cannot be read.
    """
    notes = _read(folder / PROGRESS_FILE)
    folds = tuple(
        _fold(output, run, fold, notes["folds"].get(_key(run, fold), {}))
        for run in plan.runs
        for fold in range(plan.n_folds)
    )
    whole = {run.number for run in plan.runs} - {f.run for f in folds if f.state != "done"}
    gathered = tuple(
        run.number
        for run in plan.runs
        if run.number in whole and is_gathered(output, run, plan.n_folds)
    )
    ungathered = {
        run.number: notes["ungathered"][run.digest]
        for run in plan.runs
        if run.digest in notes["ungathered"] and run.number in whole - set(gathered)
    }
    return Progress(folds, gathered, ungathered)


def write_progress(plan: AblationPlan, progress: Progress, folder: Path) -> None:
    """Note what no trial's folder says, whole or not at all.

    Parameters
    ----------
    plan : AblationPlan
        What is asked.
    progress : Progress
        How far it is.
    folder : Path
        The ablation's; made when missing.
    """
    write_json(folder / PROGRESS_FILE, _notes(plan, progress))


def is_up_to_date(plan: AblationPlan, progress: Progress, folder: Path) -> bool:
    """Tell whether a result that was written down has all that was noted, then or since.

    What was written later is not told by the times of the files: clocks are set back.

    Parameters
    ----------
    plan : AblationPlan
        What the result is of.
    progress : Progress
        How far it was.
    folder : Path
        The ablation's.

    Returns
    -------
    bool
        Whether the notes say nothing else; true where there are none.

    Raises
    ------
    ConfigError
        If the notes cannot be read.
    """
    if not (folder / PROGRESS_FILE).exists():
        return True
    noted, known = _read(folder / PROGRESS_FILE), _notes(plan, progress)
    # That a trial could not be made whole stays noted until the next note, also if it is by now.
    whole = {run.digest for run in plan.runs if run.number in progress.gathered}
    ungathered = {run: why for run, why in noted["ungathered"].items() if run not in whole}
    return bool(noted["folds"] == known["folds"] and ungathered == known["ungathered"])


def _notes(plan: AblationPlan, progress: Progress) -> dict[str, Any]:
    """Write as plain values what no trial's folder says."""
    runs = {run.number: run for run in plan.runs}
    return {
        "schema_version": SCHEMA_VERSION,
        "folds": {
            _key(runs[fold.run], fold.fold): {
                "state": fold.state,
                "reason": fold.reason,
                "attempts": fold.attempts,
                "seconds": round(fold.seconds, 3),
                "gpu_seconds": round(fold.gpu_seconds, 3),
            }
            for fold in progress.folds
            if fold.attempts or fold.state in _KEPT
        },
        "ungathered": {runs[run].digest: why for run, why in progress.ungathered.items()},
    }


def _key(run: ArmRun, fold: int) -> str:
    """Name a fold of a trial."""
    return f"{run.digest}/{fold}"


def _fold(output: Path, run: ArmRun, fold: int, noted: dict[str, Any]) -> FoldRun:
    """Say how a fold stands."""
    attempts = noted.get("attempts", 0)
    record = FoldRun(
        run.number,
        fold,
        attempts=attempts,
        seconds=noted.get("seconds", 0.0),
        gpu_seconds=noted.get("gpu_seconds", 0.0),
    )
    if is_fold_done(output, run, fold):
        return replace(record, state="done", reused=not attempts)
    if noted.get("state") in _KEPT:
        return replace(record, state=noted["state"], reason=noted["reason"])
    return record


def _read(file: Path) -> dict[str, Any]:
    """Read the notes; empty ones before there are any."""
    if not file.exists():
        return {"folds": {}, "ungathered": {}}
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{file}: must be JSON, but {error}. Remove it to go on.") from None
    if content.get("schema_version") != SCHEMA_VERSION:
        raise ConfigError(
            f"{file}: must be of schema_version {SCHEMA_VERSION}, got "
            f"{content.get('schema_version')!r}. Remove it to go on: finished folds are known "
            "without it."
        )
    return content
