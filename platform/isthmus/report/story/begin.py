"""The first chapters: the question, the cohort, and what was tried."""

from isthmus.report.ablation.labels import counted
from isthmus.report.ablation.lead import cautions, what_failed
from isthmus.report.ablation.outcome import counts_in_words as ablation_counts
from isthmus.report.ablation.tables import arms_table, failed_table
from isthmus.report.ablation.tables import spent_table as ablation_spent
from isthmus.report.page import Section
from isthmus.report.space_tables import dimensions_table, search_table
from isthmus.report.story.arm_sections import arm_section
from isthmus.report.story.bundle import ReportBundle
from isthmus.report.story.chapter import Block, Chapter, nothing, said, with_rows
from isthmus.report.story.learning import learning_section
from isthmus.report.study_captions import STUDY_CAPTIONS
from isthmus.report.study_charts import history_chart
from isthmus.report.study_summary import changed_table, spent_table, unfinished_table
from isthmus.report.study_words import counts_in_words
from isthmus.report.summary import facts_table, failures_table
from isthmus.report.table import Table
from isthmus.study.ablation.place import ABLATION_FILE

# More rows belong into the bundle: a page is read.
MOST_ROWS = 100


def cohort_chapter(bundle: ReportBundle) -> Chapter:
    """Tell what was asked, of whom.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.

    Returns
    -------
    Chapter
        The first.
    """
    cohort = bundle.cohort
    kinds = {"search": "a search", "ablation": "an ablation", "trial": "one trial"}
    asked = (
        bundle.question
        or {
            "search": "Which settings serve best? The search's file says no more (`description`).",
            "ablation": "The ablation's question could not be read.",
            "trial": "What does this one experiment give, and what must it beat?",
        }[bundle.kind]
    )
    sought = [
        f"Sought: {one.metric}, {'less' if one.direction == 'minimize' else 'more'} is better."
        for one in (bundle.study.objectives if bundle.study else ())
    ]
    lockbox = {
        None: "How many subjects are in the lockbox is not known here.",
        0: "There is no lockbox: every number in this report was there to be chosen by.",
    }.get(
        cohort.n_lockbox,
        f"{cohort.n_lockbox} more are in the lockbox. Nothing in this report has seen them, but "
        "for what the chapter on promotion says of them.",
    )
    blocks: list[Block] = [
        said(
            "The question", f"This is {kinds[bundle.kind]} of {bundle.experiment}.", asked, *sought
        )
    ]
    if cohort.n_subjects is None:
        blocks.append(nothing("The cohort", "It is not known: see what is missing, at the end."))
    else:
        families = "" if cohort.n_families is None else f" of {cohort.n_families} families"
        blocks.append(
            said("The cohort", f"{cohort.n_subjects} subjects{families} for development.", lockbox)
        )
    blocks += with_rows((_cohort_table(bundle), _counts_table(bundle)))
    if cohort.facts:
        blocks.append(facts_table(cohort.facts))
    return Chapter(
        "cohort",
        "The question and the cohort",
        "What was asked before anything ran, and of how many people.",
        "Whether they stand for anybody else: who takes part in a study is not drawn by lot.",
        tuple(blocks),
    )


def tried_chapter(bundle: ReportBundle) -> Chapter:
    """Tell what was tried, and what became of it.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.

    Returns
    -------
    Chapter
        Space and budget, trials and failures, learning curves.
    """
    blocks = {"search": _of_search, "ablation": _of_ablation, "trial": _of_trial}[bundle.kind](
        bundle
    )
    lead = bundle.details[0] if bundle.details else None
    learned = arm_section(bundle, "learning") or learning_section(lead)
    return Chapter(
        "tried",
        "What was tried",
        "What could have been chosen, what was run for it, what it cost, and what failed.",
        "What was not tried. A setting outside the space was not found wanting: nobody looked.",
        (*blocks, learned),
    )


def _of_search(bundle: ReportBundle) -> tuple[Block, ...]:
    """Tell of a search's space, trials and failures."""
    study, space = bundle.study, bundle.space
    spaces = (
        (nothing("The space", "It could not be read: see what is missing, at the end."),)
        if space is None
        else (dimensions_table(space), search_table(space))
    )
    if study is None:
        return (*spaces, nothing("Trials", "None is known yet: no sitting has come to its end."))
    running = sum(one.state == "running" for one in study.trials)
    still = f"{counted(running, 'trial')} not over: what follows is how it stands now."
    history = Section("history", STUDY_CAPTIONS["history"], history_chart(study))
    tables = with_rows((unfinished_table(study, MOST_ROWS), changed_table(study, MOST_ROWS)))
    return (
        *spaces,
        said(
            "Trials",
            f"{counts_in_words(study)}; the budget is {study.n_trials} trials.",
            still if running else "",
        ),
        history,
        *tables,
        spent_table(study),
    )


def _of_ablation(bundle: ReportBundle) -> tuple[Block, ...]:
    """Tell of an ablation's arms and failures."""
    result = bundle.ablation
    if result is None:
        why = f"They could not be read yet. {ABLATION_FILE} in its folder says what is asked."
        return (nothing("Arms", why),)
    hypotheses = tuple(
        (one.name, ", ".join(one.levels), one.reference, one.hypothesis)
        for one in result.plan.factors
    )
    columns = ("factor", "levels", "baseline", "expected before anything ran")
    blocks: list[Block] = [said("Arms", f"{ablation_counts(result)}.")]
    failed, careful = what_failed(result), cautions(result)
    blocks += [said("What failed", *failed, warns=True)] if failed else []
    blocks += [said("To be careful of", *careful, warns=True)] if careful else []
    blocks += with_rows(
        (
            Table("Factors and hypotheses", columns, hypotheses),
            arms_table(result),
            failed_table(result),
            ablation_spent(result),
        )
    )
    return tuple(blocks)


def _of_trial(bundle: ReportBundle) -> tuple[Block, ...]:
    """Tell how far one trial is."""
    brief = bundle.trials[0]
    blocks: list[Block] = [
        said(
            "One trial",
            f"{brief.n_folds_done} of {brief.n_folds or 'unknown'} folds have finished.",
            "Nothing was searched: its settings stand at the end.",
        )
    ]
    if bundle.details and bundle.details[0].result.failures:
        blocks.append(failures_table(bundle.details[0].result))
    return tuple(blocks)


def _cohort_table(bundle: ReportBundle) -> Table:
    """Show what the cohort's columns are taken for."""
    cohort = bundle.cohort
    size = cohort.voxel_size_mm
    rows = (
        ("modalities", ", ".join(cohort.modalities)),
        ("grid (voxels)", cohort.grid),
        ("voxel (mm)", " x ".join(f"{edge:g}" for edge in size) if size else ""),
        ("families kept together by", cohort.group_by or "nothing: each subject for itself"),
        ("phenotypes", ", ".join(cohort.phenotypes)),
        ("categorical phenotypes", ", ".join(cohort.categorical_phenotypes)),
        ("regressed out (confounds)", ", ".join(cohort.confounds) or "nothing"),
    )
    known = tuple(row for row in rows if row[1])
    return Table("What is looked at", ("what", "value"), known if cohort.modalities else ())


def _counts_table(bundle: ReportBundle) -> Table:
    """Count the development subjects by site, sex and the like."""
    rows = tuple(
        (name, value, str(count))
        for name, counts in bundle.cohort.counts.items()
        for value, count in counts.items()
    )
    columns = ("column", "value", "development subjects")
    return Table("Who takes part", columns, rows)
