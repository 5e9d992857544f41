"""Trials read from their folders, in short and in full, also while they run."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isthmus.core.errors import IsthmusError
from isthmus.report.pictures import png_of, reconstruction_figure
from isthmus.report.story.bundle import (
    FoldHistory,
    KeptPicture,
    Origin,
    TrialBrief,
    TrialDetail,
)
from isthmus.report.strata_words import report_in_words
from isthmus.stratification.record import RobustnessReport
from isthmus.training.history import HISTORY_FILE, read_history
from isthmus.trial.panels import COMPARED, Panel, load_panels
from isthmus.trial.records import Estimate, FoldResult, TrialResult
from isthmus.trial.replay import PUBLISHED_FILE, fold_folders
from isthmus.trial.run import FOLD_FILE, IDENTITY_FILE, TRIAL_FILE, load_trial
from isthmus.trial.subset_grid import SYNTHESIS_PANELS

_log = logging.getLogger("isthmus.report")
# What a file that is being written, or that another version wrote, may raise.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, IsthmusError)


def brief_from_folder(folder: Path, label: str, known: Mapping[str, Any]) -> TrialBrief:
    """Read a trial in short.

    Parameters
    ----------
    folder : Path
        The trial's; it need not exist.
    label : str
        What people call it.
    known : Mapping of str to Any
        Fields of `TrialBrief` that its study says.

    Returns
    -------
    TrialBrief
        With what its folder adds. Files that cannot be read count as not there.
    """
    content, identity = read_json(folder / TRIAL_FILE), read_json(folder / IDENTITY_FILE)
    folds = content.get("folds") or [
        fold for one in fold_folders(folder) if (fold := read_json(one / FOLD_FILE))
    ]
    summary = content.get("summary", {}) if content.get("succeeded") else {}
    facts = content.get("facts") or identity.get("facts") or known.get("facts", {})
    return TrialBrief(
        **{
            **known,
            "label": label,
            "folder": folder.name if identity or content else None,
            "digest": known.get("digest") or identity.get("digest"),
            "n_folds": int(facts.get("n_folds", 0)),
            "n_folds_done": len(folds),
            "summary": {name: Estimate(**value) for name, value in summary.items()},
            "facts": facts,
            "strata": tuple(words for fold in folds if (words := _strata_words(fold))),
            "run_ids": tuple(sorted(read_json(folder / PUBLISHED_FILE))),
            "fold_run_ids": _fold_runs(folder),
            "leaky": known.get("leaky", False) or any(fold.get("leaky") for fold in folds),
        }
    )


def detail_from_folder(folder: Path, label: str, number: int | None) -> TrialDetail | None:
    """Read a trial in full.

    Parameters
    ----------
    folder : Path
        The trial's.
    label : str
        What people call it.
    number : int or None
        Its number within its study.

    Returns
    -------
    TrialDetail or None
        Of the folds that have finished, if that is not all; None where none has, or what there is
        cannot be read.
    """
    try:
        whole = (folder / TRIAL_FILE).exists()
        result = load_trial(folder) if whole else _so_far(folder)
    except _UNREADABLE as error:
        _log.warning("%s: left out of the report, for it cannot be read: %s", folder, error)
        return None
    if result is None or not (result.folds or result.failures):
        return None
    return TrialDetail(
        label=label,
        number=number,
        folder=folder.name,
        is_whole=whole,
        result=result,
        histories=histories_of(folder),
        panels=_pictures(folder, result),
        origin=origin_of(folder),
    )


def histories_of(folder: Path) -> tuple[FoldHistory, ...]:
    """Read how the folds of a trial learned.

    Parameters
    ----------
    folder : Path
        The trial's.

    Returns
    -------
    tuple of FoldHistory
        Of the folds that have an epoch.
    """
    found = []
    for one in fold_folders(folder):
        try:
            epochs = read_history(one) if (one / HISTORY_FILE).exists() else ()
        except _UNREADABLE:
            continue
        if epochs:
            found.append(FoldHistory(_fold_number(one), epochs))
    return tuple(found)


def origin_of(folder: Path) -> Origin | None:
    """Read what code, environment and machine a trial ran on.

    Parameters
    ----------
    folder : Path
        The trial's.

    Returns
    -------
    Origin or None
        None where that was not written down.
    """
    content = read_json(folder / "provenance.json")
    if not content:
        return None
    changed = [
        line
        for line in str(content.get("git_diff", "")).splitlines()
        if line[:1] in ("+", "-") and line[:3] not in ("+++", "---")
    ]
    return Origin(
        version=str(content.get("version", "")),
        git_commit=str(content.get("git_commit", "")),
        n_changed_lines=len(changed),
        python=str(content.get("python", "")),
        packages=tuple(content.get("packages", ())),
        machine=str(content.get("machine", "")),
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that may not be there, or not be whole.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        Empty where it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _so_far(folder: Path) -> TrialResult | None:
    """Put together the folds of a trial that is not over."""
    identity = read_json(folder / IDENTITY_FILE)
    if not identity:
        return None
    folds = tuple(
        FoldResult.from_json(content)
        for one in fold_folders(folder)
        if (content := read_json(one / FOLD_FILE))
    )
    return TrialResult(
        digest=identity["digest"],
        name=folder.name.rpartition("-")[0],
        identity=identity["identity"],
        facts=identity["facts"],
        leaky=any(fold.leaky for fold in folds),
        folds=tuple(sorted(folds, key=lambda fold: fold.number)),
        failures=(),
    )


def _strata_words(fold: Mapping[str, Any]) -> tuple[str, str, str, str] | None:
    """Say in a line what one fold's strata are worth."""
    try:
        return report_in_words(RobustnessReport.from_json(json.dumps(fold["strata"])))
    except _UNREADABLE:
        return None


def _fold_runs(folder: Path) -> dict[int, str]:
    """Read which runs the folds were written to."""
    found = {}
    for one in fold_folders(folder):
        try:
            run_id = (one / "published").read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if run_id:
            found[_fold_number(one)] = run_id
    return found


def _pictures(folder: Path, result: TrialResult) -> tuple[KeptPicture, ...]:
    """Draw the slices that the folds kept."""
    found = []
    for fold in result.folds:
        place = folder / f"fold-{fold.number}"
        for file, kind in (("panels.npz", "reconstruction"), (SYNTHESIS_PANELS, "synthesis")):
            try:
                panels = load_panels(place / file) if (place / file).exists() else ()
            except _UNREADABLE:
                continue
            # the one for comparison with other models is drawn beside theirs, not alone
            shown = [panel for panel in panels if panel.why != COMPARED]
            found += [_picture(panel, fold, kind, i) for i, panel in enumerate(shown)]
    return tuple(found)


def _picture(panel: Panel, fold: FoldResult, kind: str, i: int) -> KeptPicture:
    """Draw one subject."""
    alternative = (
        f"Three planes of {panel.participant_id}, held out by fold {fold.number} ({panel.why}): "
        f"input, {kind} and their difference, for {', '.join(panel.modalities)}."
    )
    return KeptPicture(
        name=f"fold_{fold.number}_{kind}_{i}",
        title=f"{panel.participant_id}, fold {fold.number}: {panel.why}",
        alternative=alternative,
        png_base64=KeptPicture.encoded(png_of(reconstruction_figure(panel, fold.leaky))),
        participant_id=panel.participant_id,
        fold=fold.number,
    )


def _fold_number(folder: Path) -> int:
    """Read a fold's number from the name of its folder."""
    return int(folder.name.removeprefix("fold-"))
