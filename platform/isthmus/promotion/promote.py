"""From a study to a model in the registry: gates, choice, champion, lockbox, bundle.

What is found is kept below the study's folder, so that the same command goes on where it stopped:

    promotion/decision.json              the latest decision, refused or not
    promotion/decisions/                 all of them
    promotion/refit-<trial>/             one last training, where that was asked for
    promotion/<encoder>/                 lockbox-look-<n>.json, bundle/, card.md, evidence.json ...
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from isthmus.core.errors import ConfigError, PromotionRefused
from isthmus.core.ports import EpochListener, ModelRegistry, ModelVersion, RunReader
from isthmus.promotion.choice import Candidate, choose
from isthmus.promotion.contest import Contest, typical_fold
from isthmus.promotion.decision import (
    ChosenEncoder,
    JudgedTrial,
    PromotionDecision,
    Registered,
    count_decisions,
    keep_decision,
)
from isthmus.promotion.developed import Developed, load_developed
from isthmus.promotion.evidence.gather import Measure, gather_evidence
from isthmus.promotion.evidence.groups import read_fidelity
from isthmus.promotion.gates.judge import judge
from isthmus.promotion.gates.lockbox import judge_lockbox
from isthmus.promotion.lockbox.look import evaluate_lockbox
from isthmus.promotion.lockbox.record import LockboxReport, finished_look
from isthmus.promotion.refit import refit, refit_strata
from isthmus.promotion.registering import Package, is_of, judge_succession, register
from isthmus.promotion.registry.aliases import CHALLENGER, CHAMPION
from isthmus.promotion.request import PromotionRequest, check_request, require_lockbox
from isthmus.promotion.tracked import TRIAL_TAG, find_run
from isthmus.promotion.verdict import failed, refusal
from isthmus.trial.run import Launcher, PreparedTrial, load_trial

FOLDER = "promotion"
# Files that are not what their records say are no evidence of this model, whatever the reason.
_NEVER_OVERRIDDEN = "integrity"
_log = logging.getLogger("isthmus.promotion")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Means:
    """By what a promotion is carried out.

    Attributes
    ----------
    registry : ModelRegistry
        Where the model goes.
    reader : RunReader
        The tracking store beside it.
    launcher : TrainLauncher
        Where a refit is trained.
    measure : callable
        Measures an encoder's latency by its folder.
    tell : callable
        Hears in a sentence what is done next.
    on_epoch : callable
        Hears of each epoch of a refit.
    """

    registry: ModelRegistry
    reader: RunReader
    launcher: Launcher
    measure: Measure
    tell: Tell
    on_epoch: EpochListener


def promote(contest: Contest, request: PromotionRequest, means: Means) -> PromotionDecision:
    """Judge a study's trials, choose one, look into the lockbox, and register the model.

    Parameters
    ----------
    contest : Contest
        The finished trials.
    request : PromotionRequest
        What is asked for.
    means : Means
        By what it is carried out.

    Returns
    -------
    PromotionDecision
        With the version in the registry, or refused; either is written down below the study's
        folder, the first in the registry too.

    Raises
    ------
    ConfigError
        If a trial is asked for that has not finished, or a reason to override is not given for
        one trial.
    IsthmusError
        If the lockbox cannot be opened, or the registry does not take the model.

    Notes
    -----
    Nothing but files below the study's folder is changed before every gate has spoken. The
    champion is compared with before the lockbox is opened. A look that was taken at this encoder
    and its strata is read back, never taken again.
    """
    check_request(contest, request)
    decision = _judge_all(contest, request, means)
    decision = _choose(contest, request, decision, means.tell)
    folder = contest.folder / FOLDER
    if decision.chosen is None:
        return _written(decision, folder)
    prepared = contest.prepared(decision.chosen.trial)
    trial = contest.directories[decision.chosen.trial]
    _require_same(prepared, trial, decision)
    if request.opens_lockbox:
        require_lockbox(prepared.experiment)
    developed = load_developed(trial / f"fold-{decision.chosen.fold}")
    if request.refit:
        decision, developed = _refit(decision, prepared, trial, folder, means)
    own = folder / developed.fitted.encoder_id
    champion = means.registry.find(request.model, CHAMPION)
    if champion is not None and is_of(champion, developed):
        output = prepared.experiment.output
        known = _already(decision, request, champion, developed, own, output, means)
        return _written(known, folder)
    if champion is not None and request.gates.champion and not request.challenger:
        succession = judge_succession(decision, request.gates.champion, champion, means.registry)
        decision = replace(decision, succession=succession)
    if _may_go_on(decision, request):
        decision = _open_lockbox(decision, request, prepared, developed, own, means.tell)
    if not _may_go_on(decision, request):
        return _written(decision, folder)
    decision = replace(decision, outcome="challenger" if request.challenger else "champion")
    run = find_run(means.reader, TRIAL_TAG, prepared.digest)
    package = Package(prepared, trial, developed, own, request.model, run.run_id if run else None)
    return _written(register(decision, package, means.registry, means.tell), folder)


def refusal_of(decision: PromotionDecision) -> PromotionRefused:
    """Say which gates refused, and by how much.

    Parameters
    ----------
    decision : PromotionDecision
        Refused.

    Returns
    -------
    PromotionRefused
        To be raised.
    """
    chosen = decision.chosen_trial
    if chosen is not None:
        return PromotionRefused(refusal(f"Trial {chosen.number}", decision.verdicts))
    lines = [refusal(f"Trial {one.number}", one.verdicts) for one in decision.judged]
    return PromotionRefused("\n".join(["No trial can be promoted.", *lines]))


def _judge_all(contest: Contest, request: PromotionRequest, means: Means) -> PromotionDecision:
    """Ask every trial the gates that come before the lockbox."""
    wanted = [request.trial] if request.trial is not None else sorted(contest.directories)
    everybody = contest.prepared(wanted[0]).participants
    selection = contest.selection(everybody)
    judged = []
    for number in wanted:
        means.tell(f"trial {number}: evidence and gates")
        directory = contest.directories[number]
        evidence = gather_evidence(
            directory,
            contest.study,
            number if contest.study else None,
            means.measure if request.gates.gates.latency else None,
            request.gates.columns,
            selection,
        )
        verdicts = judge(evidence, request.gates)
        judged.append(JudgedTrial(number, directory.name, evidence, verdicts))
    return PromotionDecision(
        study=contest.name,
        key=contest.key,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        gates=request.gates.model_dump(mode="json"),
        judged=tuple(judged),
        chosen=None,
        succession=None,
        lockbox=None,
        lockbox_verdicts=(),
        outcome="refused",
        override=(request.override or "").strip(),
        n_earlier=count_decisions(contest.folder / FOLDER),
    )


def _choose(
    contest: Contest, request: PromotionRequest, decision: PromotionDecision, tell: Tell
) -> PromotionDecision:
    """Choose a trial, and of its encoders the one in the middle."""
    number, steps = _number(contest, request, decision)
    if number is None:
        return decision
    result = load_trial(contest.directories[number])
    fold = typical_fold(result)
    encoder = next(one.encoder_id for one in result.folds if one.number == fold)
    steps = (
        *steps,
        f"Of its {len(result.folds)} encoders that of fold {fold} stands for it, whose held-out "
        "error is the median.",
    )
    for step in steps:
        tell(step)
    return replace(decision, chosen=ChosenEncoder(number, encoder, fold, steps))


def _number(
    contest: Contest, request: PromotionRequest, decision: PromotionDecision
) -> tuple[int | None, tuple[str, ...]]:
    """Choose among the trials that passed; one that was asked for may be overridden."""
    named = request.trial is not None or request.override is not None or contest.study is None
    if len(decision.judged) == 1 and named:
        (one,) = decision.judged
        tampered = [v for v in failed(one.verdicts) if v.gate == _NEVER_OVERRIDDEN]
        if one.passed:
            return one.number, (f"Trial {one.number} is the one that was asked for; it passed.",)
        if request.override is None or tampered:
            return None, ()
        return one.number, (f"Trial {one.number} is asked for in spite of its gates.",)
    assert contest.study is not None
    records = {record.number: record for record in contest.study.trials}
    candidates = [Candidate(records[one.number], one.verdicts) for one in decision.judged]
    choice = choose(candidates, contest.study.objectives)
    return choice.chosen, choice.steps


def _require_same(prepared: PreparedTrial, trial: Path, decision: PromotionDecision) -> None:
    """Refuse inputs that are not those which the trial was made from."""
    judged = decision.chosen_trial
    if judged is None or prepared.digest != judged.evidence.digest:
        raise ConfigError(
            f"{trial}: must be promoted with the settings, participants and images that it was "
            "made from, but one of these was changed since. Restore it, or train again."
        )


def _already(
    decision: PromotionDecision,
    request: PromotionRequest,
    champion: ModelVersion,
    developed: Developed,
    own: Path,
    output: Path,
    means: Means,
) -> PromotionDecision:
    """Find this encoder the champion; what its look found is told again, and none is taken."""
    if means.registry.aliases(request.model).get(CHALLENGER) == champion.version:
        means.registry.drop_alias(request.model, CHALLENGER)  # a promotion was cut short there
    report = _known_look(output, developed, own)
    verdicts = () if report is None else judge_lockbox(report, request.gates)
    words = (f"Version {champion.version} is this very encoder.",)
    return replace(
        decision,
        outcome="already",
        lockbox=report,
        lockbox_verdicts=verdicts,
        registered=Registered(request.model, champion.version, words),
    )


def _refit(
    decision: PromotionDecision, prepared: PreparedTrial, trial: Path, folder: Path, means: Means
) -> tuple[PromotionDecision, Developed]:
    """Train once more, on all development subjects."""
    assert decision.chosen is not None
    experiment, directory = prepared.experiment, folder / f"refit-{prepared.digest[:12]}"
    means.tell("one last training, on all development subjects")
    fitted = refit(experiment, directory, means.launcher, means.on_epoch)
    refit_strata(experiment, directory, fitted)
    steps = (
        *decision.chosen.steps[:-1],
        "It was trained once more on all development subjects: no development subject was held "
        "out for this model, and the lockbox is its only held-out number.",
    )
    chosen = replace(decision.chosen, encoder_id=fitted.encoder_id, fold=None, steps=steps)
    # What the way of training scored on subjects whom it held out is what the lockbox is beside.
    held_out = pd.concat(
        [read_fidelity(trial / f"fold-{one.number}") for one in load_trial(trial).folds],
        ignore_index=True,
    )
    developed = replace(load_developed(directory), fidelity=held_out)
    return replace(decision, chosen=chosen), developed


def _written(decision: PromotionDecision, folder: Path) -> PromotionDecision:
    """Write a decision down, refused or not."""
    keep_decision(decision, folder)
    return decision


def _may_go_on(decision: PromotionDecision, request: PromotionRequest) -> bool:
    """Whether nothing refuses so far, or all that does is overridden."""
    return not failed(decision.verdicts) or request.override is not None


def _open_lockbox(
    decision: PromotionDecision,
    request: PromotionRequest,
    prepared: PreparedTrial,
    developed: Developed,
    own: Path,
    tell: Tell,
) -> PromotionDecision:
    """Look into the lockbox, unless that was done for this encoder, or nothing asks for it."""
    if not request.opens_lockbox:
        tell("the lockbox stays shut: the gates ask nothing of it")
        return decision
    report = _known_look(prepared.experiment.output, developed, own)
    if report is None:
        tell("the lockbox is opened")
        report = _look(decision, prepared, developed, own)
    else:
        tell(f"look {report.number} into the lockbox was at this encoder, and is read again")
    verdicts = judge_lockbox(report, request.gates)
    return replace(decision, lockbox=report, lockbox_verdicts=verdicts)


def _known_look(output: Path, developed: Developed, own: Path) -> LockboxReport | None:
    """Read the look at an encoder, which another study with the same trial may have taken."""
    encoder, table = developed.fitted.encoder_id, developed.table.digest
    folders = {own, *output.glob(f"*/{FOLDER}/{encoder}")}
    looks = [look for one in sorted(folders) if (look := finished_look(one, encoder, table))]
    return max(looks, key=lambda look: look.number, default=None)


def _look(
    decision: PromotionDecision, prepared: PreparedTrial, developed: Developed, own: Path
) -> LockboxReport:
    """Take a look that is written down."""
    reason = f"promotion of {developed.fitted.encoder_id} from {decision.study}"
    return evaluate_lockbox(prepared.experiment, developed, reason, own)
