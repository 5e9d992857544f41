"""Gathering the evidence on a finished trial: from its folder, its study and its cohort."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from isthmus.cohort.participants import Participants, load_participants
from isthmus.config.load import Experiment, load_experiment
from isthmus.core.errors import ConfigError, IsthmusError
from isthmus.promotion.evidence.groups import compare_groups, read_fidelity, subject_errors
from isthmus.promotion.evidence.integrity import SPLIT_FILE, check_trial
from isthmus.promotion.evidence.record import (
    FoldEvidence,
    GroupsEvidence,
    LatencyEvidence,
    SelectionEvidence,
    StrataEvidence,
    TrialEvidence,
)
from isthmus.stratification.across import SelectionReport
from isthmus.stratification.record import RobustnessReport
from isthmus.study.records import StudyResult
from isthmus.study.significance import adjust_study
from isthmus.training.card import read_card
from isthmus.training.history import MONITORED, read_history
from isthmus.trial.records import FoldResult, TrialResult
from isthmus.trial.run import EXPERIMENT_FILE, TRIAL_FILE, load_trial

Measure = Callable[[Path], LatencyEvidence]
DEFAULT_COLUMNS = ("sex", "site")
_ERRORS = ("validation", "mean_image", "pca", "embedding_shuffle")
_ALONE = 0


def gather_evidence(
    trial_directory: Path,
    study: StudyResult | None = None,
    number: int | None = None,
    latency: Measure | None = None,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    selection: SelectionReport | None = None,
) -> TrialEvidence:
    """Gather all that gates are told of a finished trial.

    Parameters
    ----------
    trial_directory : Path
        As `isthmus.trial.run.run_trial` left it.
    study : StudyResult, optional
        The study that the trial is of; none given: a trial by itself.
    number : int, optional
        The trial's number within the study.
    latency : callable, optional
        Measures an encoder by its folder, as
        `isthmus.promotion.evidence.latency.measure_latency` does; none given: it is not measured.
    columns : sequence of str
        Columns whose groups are compared: `PromotionConfig.columns`.
    selection : SelectionReport, optional
        The study's adjusted p-values, where they were computed after the study; none given: the
        study's own.

    Returns
    -------
    TrialEvidence
        What could not be gathered is absent, with the reason in `TrialEvidence.missing`.

    Raises
    ------
    ConfigError
        If the trial has not finished, or its result cannot be read at all.

    Notes
    -----
    Of the participants table only development subjects are looked at, as ``split.json`` names
    them; the lockbox stays shut. A trial by itself has no study to adjust for: its p-values are
    computed here as those of a study of one trial, which are adjusted for its own partitions and
    factors alone.
    """
    result = _result(trial_directory)
    missing: dict[str, str] = {}
    experiment, people = _people(trial_directory, missing)
    measured = None
    if latency is not None and result.folds:
        try:
            measured = latency(trial_directory / f"fold-{result.folds[0].number}")
        except (IsthmusError, OSError) as error:
            missing["latency"] = f"It could not be measured: {error}"
    return TrialEvidence(
        digest=result.digest,
        name=result.name,
        number=number,
        identity=result.identity,
        modalities=tuple(str(result.facts["modalities"]).split(" ")),
        embedding_size=int(result.facts["embedding_size"]),
        leaky=result.leaky,
        failures=tuple(f"fold {f.number}: {f.kind}: {f.message}" for f in result.failures),
        folds=tuple(_fold(trial_directory, fold) for fold in result.folds),
        selection=_selection(
            trial_directory, study, number, selection, (experiment, people), missing
        ),
        groups=_groups(trial_directory, result, people, columns, missing),
        integrity=check_trial(trial_directory, result, people, study, number),
        latency=measured,
        missing=missing,
    )


def _result(directory: Path) -> TrialResult:
    """Read the trial's result."""
    path = directory / TRIAL_FILE
    try:
        return load_trial(directory)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: a trial must have finished to be promoted, but there is no such file."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, IsthmusError) as error:
        raise ConfigError(
            f"{path}: must be the result of a trial, but cannot be read ({error!s:.200}). Run the "
            "trial again: what is finished is not repeated."
        ) from None


def _people(
    directory: Path, missing: dict[str, str]
) -> tuple[Experiment | None, Participants | None]:
    """Read experiment and development subjects; say why where they cannot be read."""
    try:
        experiment = load_experiment(directory / EXPERIMENT_FILE)
        split = json.loads((directory / SPLIT_FILE).read_text(encoding="utf-8"))
        ids = {name for fold in split["folds"] for part in fold.values() for name in part}
        return experiment, load_participants(experiment).select(sorted(ids))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IsthmusError) as error:
        reason = f"The participants cannot be read: {error}"
        missing |= {"groups": reason, "selection": reason}
        return None, None


def _fold(directory: Path, fold: FoldResult) -> FoldEvidence:
    """Pick out what gates look at of one fold."""
    folder = directory / f"fold-{fold.number}"
    try:
        history = read_history(folder)
    except (OSError, ValueError):
        history = ()
    monitored = bool(history) and MONITORED in history[0]
    loss = MONITORED if monitored else "train_loss"
    try:
        leaky = read_card(folder).leaky
    except ConfigError:
        leaky = False  # what is wrong with the card is told by the integrity gate
    return FoldEvidence(
        number=fold.number,
        encoder_id=fold.encoder_id,
        n_train=fold.n_train,
        n_validation=fold.n_validation,
        n_parameters=fold.n_parameters,
        metrics={name: value for name, value in fold.metrics.items() if _is_looked_at(name)},
        losses=tuple(float(record[loss]) for record in history if loss in record),
        monitored=monitored,
        leaky=fold.leaky or leaky,
        strata=_strata(fold.strata),
    )


def _is_looked_at(name: str) -> bool:
    """Tell the metrics that gates look at."""
    of_all = name.partition("/")[0]
    return of_all == "validation_cnr_ratio" or of_all in {f"{one}_mse" for one in _ERRORS}


def _strata(report: RobustnessReport) -> StrataEvidence:
    """Pick out what gates look at of the robustness job: factors, or phenotypes without any."""
    families = [report.family("factor"), report.family("phenotype")]
    counted = next((family for family in families if family and family.n_testable), None)
    robust = [a.target for a in counted.associations if a.verdict == "robust"] if counted else []
    null = report.robustness.matched_null if report.robustness else None
    return StrataEvidence(
        outcome=report.strata.kind,
        kind="factor" if counted and counted.kind == "factor" else "phenotype" if counted else None,
        n_testable=counted.n_testable if counted else 0,
        robust=tuple(robust),
        excess=null.excess if null else None,
        p_value=null.p_value if null else None,
    )


def _selection(
    directory: Path,
    study: StudyResult | None,
    number: int | None,
    report: SelectionReport | None,
    known: tuple[Experiment | None, Participants | None],
    missing: dict[str, str],
) -> SelectionEvidence | None:
    """Find the trial's adjusted p-value; of a trial by itself, compute it."""
    if study is not None:
        missing.pop("selection", None)
        found = report or study.selection
        if found is None:
            missing["selection"] = (
                f"The study {study.name!r} has no adjusted p-values: it declares no numeric "
                "phenotypes, or they were not computed."
            )
            return None
        return _of_report(found, number, True, missing)
    experiment, people = known
    if experiment is None or people is None:
        return None
    try:
        alone = report or adjust_study(experiment, people, {_ALONE: directory})
    except IsthmusError as error:
        missing["selection"] = f"No p-value can be computed: {error}"
        return None
    if alone is None:
        missing["selection"] = "The experiment declares no numeric phenotypes."
        return None
    return _of_report(alone, _ALONE, False, missing)


def _of_report(
    report: SelectionReport, number: int | None, of_study: bool, missing: dict[str, str]
) -> SelectionEvidence | None:
    """Look a trial up among a study's."""
    one = next((one for one in report.trials if one.trial == f"trial {number}"), None)
    if one is None:
        missing["selection"] = f"Trial {number} is not among the study's adjusted p-values."
        return None
    return SelectionEvidence(one.target, one.p_naive, one.p_adjusted, len(report.trials), of_study)


def _groups(
    directory: Path,
    result: TrialResult,
    people: Participants | None,
    columns: Sequence[str],
    missing: dict[str, str],
) -> tuple[GroupsEvidence, ...]:
    """Compare the groups' errors."""
    if people is None or not result.folds or not columns:
        return ()
    try:
        tables = [read_fidelity(directory / f"fold-{fold.number}") for fold in result.folds]
        return compare_groups(subject_errors(tables), people, columns)
    except (IsthmusError, ValueError, KeyError) as error:
        missing["groups"] = f"The held-out subjects' errors cannot be compared: {error}"
        return ()
