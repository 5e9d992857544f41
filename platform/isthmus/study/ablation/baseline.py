"""The settings that all arms start from: the ablation's own, over those of a search's winner."""

from collections.abc import Mapping
from typing import Any

from isthmus.config.ablation.design import AblationConfig
from isthmus.config.load import Experiment
from isthmus.core.errors import ConfigError
from isthmus.study.prospects import unasked
from isthmus.study.record_json import read_study
from isthmus.study.records import StudyResult, TrialRecord
from isthmus.study.search import SEARCH, identity_of, read_search
from isthmus.trial.run import prepare_trial

_OF_THE_COHORT = ("digest of images", "digest of participants")
_MOST_SHOWN = 5


def settings_in_common(
    experiment: Experiment, ablation: AblationConfig
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Find what is laid over the experiment in every arm.

    Parameters
    ----------
    experiment : Experiment
        What is ablated.
    ablation : AblationConfig
        As `load_ablation` gives it.

    Returns
    -------
    settings : dict of str to Any
        By dotted path.
    notes : tuple of str
        What to know of where they come from.

    Raises
    ------
    ConfigError
        If a search is named that there is not, was of another cohort, or has no such trial.
    """
    if ablation.baseline.search is None:
        return dict(ablation.settings), ()
    settings, notes = _searched(experiment, ablation)
    return {**settings, **ablation.settings}, notes


def _searched(
    experiment: Experiment, ablation: AblationConfig
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read a search's winner."""
    name, wanted = ablation.baseline.search, ablation.baseline.trial
    folder = experiment.output / f"{experiment.config.name}-search-{name}"
    try:
        kept, result = read_search(folder), read_study(folder)
    except ConfigError as error:
        raise ConfigError(f"baseline.search: {name}: {error}") from None
    before, now = (
        SEARCH.read(folder)["identity"],
        identity_of(prepare_trial(experiment), kept.space),
    )
    differing = _differing(before, now)
    if set(differing) & set(_OF_THE_COHORT):
        raise ConfigError(
            f"baseline.search: {name}: must be a search of this cohort, but {folder} is of other "
            "images or participants. Search again, or name the settings in baseline.file."
        )
    record = _trial(result, wanted)
    notes = [f"Settings of trial {record.number} ({wanted}) of the search {folder.name}."]
    seed = kept.experiment.config.seed
    if seed in range(experiment.config.seed, experiment.config.seed + ablation.n_seeds):
        notes.append(
            f"That trial was chosen by its scores on the folds of seed {seed}, which this ablation "
            "uses too: the baseline looks better there than it is."
        )
    if differing:
        listed = ", ".join(differing[:_MOST_SHOWN])
        notes.append(f"The search was run with other settings than now: {listed}.")
    return {**unasked(kept.space, record.point), **record.point, **record.changed}, tuple(notes)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List what a search was run with that is otherwise now."""
    paths = sorted({*before, *now})
    return [p for p in paths if before.get(p) != now.get(p) and p != "digest of split"]


def _trial(result: StudyResult, wanted: str | int) -> TrialRecord:
    """Find the trial that was asked for."""
    number = {"best": result.best, "smallest": result.smallest}.get(str(wanted), wanted)
    finished = {one.number: one for one in result.trials if one.state == "finished"}
    if number not in finished:
        raise ConfigError(
            f"baseline.trial: must be a finished trial of the search, one of {sorted(finished)}, "
            f"got {wanted!r}."
        )
    return finished[int(number)]
