"""A decision, or a report, in the tracking store: with the run of what it is about."""

import logging
from pathlib import Path

from isthmus.core.ports import RunReader
from isthmus.promotion.contest import Contest
from isthmus.promotion.decision import DECISION_FILE, PromotionDecision
from isthmus.promotion.promote import FOLDER
from isthmus.promotion.registering import CARD_FILE
from isthmus.promotion.tracked import STUDY_TAG, TRIAL_TAG, find_run
from isthmus.promotion.words import outcome_in_words
from isthmus.report.run_naming import legal_names
from isthmus.report.story.bundle import ReportBundle

OUTCOME_TAG, MODEL_TAG = "isthmus.promotion", "isthmus.promoted_model"
REPORT_FOLDER = "report"
_TAGS = {
    "search": (STUDY_TAG, "study"),
    "ablation": ("isthmus.ablation_id", "ablation"),
    "trial": (TRIAL_TAG, "trial"),
}
_log = logging.getLogger("isthmus.promotion")


def publish_decision(decision: PromotionDecision, contest: Contest, reader: RunReader) -> None:
    """Write a decision to the run of what it is about; the run's status stays as it is.

    Parameters
    ----------
    decision : PromotionDecision
        Refused or not.
    contest : Contest
        The study or trial.
    reader : RunReader
        The tracking store. Where it has no such run nothing is written, which is said.
    """
    tag = TRIAL_TAG if contest.study is None else STUDY_TAG
    run = find_run(reader, tag, contest.key)
    if run is None:
        _log.info("the tracking store has no run of %s: the decision is not in it", contest.name)
        return
    logger = reader.logger(run.run_id)
    folder = contest.folder / FOLDER
    logger.log_artifact(folder / DECISION_FILE, FOLDER)
    tags = {OUTCOME_TAG: outcome_in_words(decision)}
    if decision.registered is not None:
        tags[MODEL_TAG] = f"{decision.registered.model}/{decision.registered.version}"
    if decision.chosen is not None and (folder / decision.chosen.encoder_id / CARD_FILE).is_file():
        logger.log_artifact(folder / decision.chosen.encoder_id / CARD_FILE, FOLDER)
    if decision.lockbox is not None:
        logger.log_metrics(legal_names(decision.lockbox.metrics()))
    logger.set_tags(tags)


def publish_report(page: Path, bundle: ReportBundle, reader: RunReader) -> bool:
    """Put a report's page with the run of what it tells of, where MLflow shows it.

    Parameters
    ----------
    page : Path
        One file that needs no other.
    bundle : ReportBundle
        What it shows.
    reader : RunReader
        The tracking store.

    Returns
    -------
    bool
        Whether the store has such a run; otherwise nothing is written.
    """
    tag, name = _TAGS[bundle.kind]
    key = bundle.identity.get(name)
    run = None if key is None else find_run(reader, tag, key)
    if run is None:
        return False
    reader.logger(run.run_id).log_artifact(page, REPORT_FOLDER)
    return True
