"""Gathering all that is shown of a study from its folder: of a search, an ablation or a trial."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from isthmus.config.load import Experiment, load_experiment
from isthmus.config.paths import flatten
from isthmus.config.search_load import load_space
from isthmus.config.search_space import SearchSpace
from isthmus.core.errors import ConfigError, IsthmusError
from isthmus.report.story.bundle import (
    CohortSummary,
    KeptPicture,
    Kind,
    ReadyPart,
    ReportBundle,
    TrialBrief,
    TrialDetail,
)
from isthmus.report.story.gather_ablation import ablation_now, briefs_of_runs, side_by_side
from isthmus.report.story.gather_cohort import summarise_cohort
from isthmus.report.story.gather_trials import brief_from_folder, detail_from_folder
from isthmus.study.ablation.findings import AblationResult
from isthmus.study.ablation.place import ABLATION_FILE, RECORD_FILE
from isthmus.study.ablation.result_json import RESULT_FILE
from isthmus.study.ranking import ranked
from isthmus.study.record_json import STUDY_FILE, read_study
from isthmus.study.records import StudyResult, TrialRecord
from isthmus.study.search import SEARCH_FILE, SPACE_FILE
from isthmus.trial.run import EXPERIMENT_FILE, IDENTITY_FILE, TRIAL_FILE

# Trials that are told in full: what they take is most of a bundle.
MOST_DETAILS = 3


@dataclass(frozen=True)
class _Found:
    """What one kind of study says of itself."""

    kind: Kind
    leading: tuple[TrialBrief, ...] = ()
    trials: tuple[TrialBrief, ...] = ()
    study: StudyResult | None = None
    space: SearchSpace | None = None
    ablation: AblationResult | None = None
    question: str = ""
    picture: KeptPicture | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def is_study_folder(folder: Path) -> bool:
    """Tell whether a folder is one that a report can be made of.

    Parameters
    ----------
    folder : Path
        Any.

    Returns
    -------
    bool
        Whether it is a search's, an ablation's or a trial's.
    """
    names = (SEARCH_FILE, STUDY_FILE, RECORD_FILE, RESULT_FILE, IDENTITY_FILE, TRIAL_FILE)
    return any((folder / name).exists() for name in names)


def gather_bundle(
    folder: Path,
    study: StudyResult | None = None,
    n_details: int = MOST_DETAILS,
    chosen: int | None = None,
    with_people: bool = False,
    promotion: Sequence[ReadyPart] = (),
) -> ReportBundle:
    """Gather all that is shown of a study, also while it runs.

    Parameters
    ----------
    folder : Path
        Of a search, an ablation or a trial.
    study : StudyResult, optional
        How a search stands now; by default as its last sitting wrote it.
    n_details : int
        Trials in full, the leading ones: the chosen one, the best, the smallest within one
        standard error of it, the Pareto front, the ranking. Of an ablation the baseline and the
        arms after it at the first seed.
    chosen : int, optional
        Number of the trial that leads, such as one that was promoted.
    with_people : bool
        Hand on the declared columns of the development subjects. Not for a report that is passed
        on: they are values of single people.
    promotion : sequence of ReadyPart
        What promotion said, ready-made.

    Returns
    -------
    ReportBundle
        What could not be read is told in `missing`. Nothing is written.

    Raises
    ------
    ConfigError
        If the folder is of none of these, or no trial has the chosen number.
    """
    if not is_study_folder(folder):
        raise ConfigError(
            f"{folder}: must be the folder of a search, an ablation or a trial, but has none of "
            f"{SEARCH_FILE}, {RECORD_FILE} and {IDENTITY_FILE}. `isthmus search`, `isthmus "
            "ablate` and `isthmus train` name their folders at their ends."
        )
    experiment, unread = _experiment_of(folder)
    if study is not None or (folder / SEARCH_FILE).exists() or (folder / STUDY_FILE).exists():
        found = _search(folder, study, experiment, chosen)
    elif (folder / RECORD_FILE).exists() or (folder / RESULT_FILE).exists():
        found = _ablation(folder, experiment, chosen)
    else:
        if chosen is not None:
            raise ConfigError(f"{folder}: is one trial, which leads; got {chosen} to lead instead.")
        found = _trial(folder)
    output = folder if found.kind == "trial" else folder.parent
    details = _details(found.leading, output, n_details)
    facts = next((one.facts for one in (*found.leading, *found.trials) if one.facts), {})
    cohort, people, unknown = (
        (CohortSummary(facts=facts), None, ())
        if experiment is None
        else summarise_cohort(experiment, facts, with_people)
    )
    own_name = folder.resolve().name
    return ReportBundle(
        kind=found.kind,
        name=own_name,
        experiment=experiment.config.name if experiment else own_name.rpartition("-")[0],
        question=found.question,
        identity={**(details[0].result.identity if details else {}), **found.identity},
        cohort=cohort,
        settings=flatten(experiment.config.identifying_settings()) if experiment else {},
        space=found.space,
        study=found.study,
        ablation=found.ablation,
        trials=found.trials,
        details=details,
        side_by_side=found.picture,
        promotion=tuple(promotion),
        people=people,
        commands=_commands(own_name, found.kind),
        missing=(*unread, *found.missing, *unknown),
    )


def _search(
    folder: Path, study: StudyResult | None, experiment: Experiment | None, chosen: int | None
) -> _Found:
    """Read a search."""
    missing: tuple[str, ...] = ()
    if study is None:
        study = read_study(folder) if (folder / STUDY_FILE).exists() else None
    if study is None:
        said = f"The search's trials are not known: no sitting has written {STUDY_FILE} yet."
        return _Found("search", missing=(said,))
    space = None
    try:
        if experiment is not None:
            space = load_space(folder / SPACE_FILE, experiment.config)
    except IsthmusError as error:
        missing = (f"The space could not be read: {error}",)
    briefs = {one.number: _brief_of(one, folder.parent) for one in study.trials}
    if chosen is not None and chosen not in briefs:
        raise ConfigError(
            f"{folder}: the trial that leads must be one of the search's, 0 to "
            f"{len(briefs) - 1}, got {chosen}."
        )
    order = [briefs[number] for number in leading_numbers(study, chosen)]
    return _Found(
        "search",
        leading=tuple(order),
        trials=tuple(briefs.values()),
        study=study,
        space=space,
        question=space.description if space else "",
        identity={"study": study.study_id},
        missing=missing,
    )


def leading_numbers(study: StudyResult, chosen: int | None = None) -> tuple[int, ...]:
    """Put a search's trials in the order in which they are worth telling of.

    Parameters
    ----------
    study : StudyResult
        A search as it stands.
    chosen : int, optional
        The trial that leads.

    Returns
    -------
    tuple of int
        The chosen one, the best, the smallest as good, the front, the ranking, then those that
        have not finished, all of which may have a folder.
    """
    order = ranked(study.trials, study.objectives[0])
    first = (chosen, study.best, study.smallest, *study.front, *(one.number for one in order))
    rest = (one.number for one in study.trials if one.folder is not None)
    return tuple(dict.fromkeys(n for n in (*first, *rest) if n is not None))


def _brief_of(record: TrialRecord, output: Path) -> TrialBrief:
    """Tell of one trial of a search in short."""
    known = {
        "number": record.number,
        "state": record.state,
        "reason": record.reason,
        "point": record.point,
        "digest": record.digest,
        "facts": record.facts,
        "leaky": record.leaky,
    }
    # a trial that never ran has no folder, nor has one whose folder is elsewhere
    return brief_from_folder(output / (record.folder or "."), f"trial {record.number}", known)


def _ablation(folder: Path, experiment: Experiment | None, chosen: int | None) -> _Found:
    """Read an ablation."""
    result, missing = ablation_now(folder, experiment)
    if result is None:
        return _Found("ablation", missing=missing)
    briefs = briefs_of_runs(result, folder.parent)
    if chosen is not None and chosen not in range(len(briefs)):
        raise ConfigError(
            f"{folder}: the run that leads must be one of the ablation's, 0 to {len(briefs) - 1}, "
            f"got {chosen}."
        )
    first = [one for one in briefs if one.seed == result.plan.seeds[0]]
    ahead = [] if chosen is None else [briefs[chosen]]
    return _Found(
        "ablation",
        leading=tuple({one.label: one for one in (*ahead, *first)}.values()),
        trials=briefs,
        ablation=result,
        question=result.plan.question,
        picture=side_by_side(result, folder.parent),
        identity={"ablation": result.plan.ablation_id},
        missing=missing,
    )


def _trial(folder: Path) -> _Found:
    """Read a trial that stands alone."""
    brief = brief_from_folder(folder, "the trial", {})
    state = "finished" if brief.summary else "failed" if (folder / TRIAL_FILE).exists() else ""
    brief = replace(brief, state=state or "running")
    identity = {"trial": brief.digest} if brief.digest else {}
    return _Found("trial", leading=(brief,), trials=(brief,), identity=identity)


def _details(leading: Sequence[TrialBrief], output: Path, n: int) -> tuple[TrialDetail, ...]:
    """Read the leading trials in full, until there are enough that have something to tell."""
    found: list[TrialDetail] = []
    for brief in leading:
        if len(found) >= n:
            break
        if brief.folder is None:
            continue
        folder = output if output.name == brief.folder else output / brief.folder
        detail = detail_from_folder(folder, brief.label, brief.number)
        found += [detail] if detail is not None else []
    return tuple(found)


def _experiment_of(folder: Path) -> tuple[Experiment | None, tuple[str, ...]]:
    """Read the experiment of a study."""
    try:
        return load_experiment(folder / EXPERIMENT_FILE), ()
    except IsthmusError as error:
        return None, (f"Settings and cohort are not known: {error}",)


def _commands(name: str, kind: Kind) -> tuple[str, ...]:
    """Say how a study is run again, from the folder that its folder is in."""
    files = {
        "search": ("search", SPACE_FILE),
        "ablation": ("ablate", ABLATION_FILE),
        "trial": ("train", None),
    }
    verb, language = files[kind]
    places = [f"{name}/{EXPERIMENT_FILE}", *([f"{name}/{language}"] if language else [])]
    again = " ".join(("isthmus", verb, *map(shlex.quote, places)))
    looked = "compare" if kind != "trial" else "report"
    more = "" if kind != "trial" else f" -o {shlex.quote(name)}-report"
    return (again, f"isthmus {looked} {shlex.quote(name)}{more}")
