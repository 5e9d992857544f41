"""The last chapters: what promotion said, what all this cannot say, how to run it again."""

from collections.abc import Sequence

import isthmus
from isthmus.report.story.bundle import ReadyPart, ReportBundle
from isthmus.report.story.chapter import Block, Chapter, nothing, said, with_rows
from isthmus.report.story.middle import lead_of_story
from isthmus.report.study_words import value_in_words
from isthmus.report.table import Table

# Packages that a result can depend on; all of them stand in the bundle.
_TELLING = ("torch", "numpy", "scipy", "scikit-learn", "ray", "optuna", "mlflow", "zarr", "nibabel")


def promotion_chapter(bundle: ReportBundle, extra: Sequence[ReadyPart]) -> Chapter:
    """Hand on what promotion said, gate by gate, and of the lockbox.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.
    extra : sequence of ReadyPart
        Further parts, after those of the bundle.

    Returns
    -------
    Chapter
        Each part in its order; words where there is none.
    """
    parts = (*bundle.promotion, *extra)
    blocks: list[Block] = []
    for part in parts:
        shown = f"Does not show: {part.not_shown}" if part.not_shown else ""
        if part.shows or shown:
            blocks.append(said(part.title, part.shows, shown))
        blocks += (*part.passages, *with_rows(part.tables))
    if not parts:
        why = (
            "No trial of this study has been put before the gates, and its lockbox has not been "
            "opened for it. `isthmus promote` does both."
        )
        blocks.append(nothing("Not promoted", why))
    return Chapter(
        "promotion",
        "Promotion and the lockbox",
        "Which gates a trial had to pass, what was found at each, and what subjects say that no "
        "choice had seen.",
        "That a model which passed is fit for any use beyond the one that its gates were written "
        "for.",
        tuple(blocks),
    )


def limits_chapter(bundle: ReportBundle) -> Chapter:
    """Tell what all this cannot say, and how to run it again.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.

    Returns
    -------
    Chapter
        The last.
    """
    blocks: list[Block] = [said("Limits", *_limits(bundle))]
    if bundle.missing:
        blocks.append(said("What is missing from this report", *bundle.missing, warns=True))
    again = (
        "Type these in the folder that the study's folder is in; what is finished is not repeated."
    )
    blocks.append(said("To run it again", again, *bundle.commands))
    blocks += with_rows((_identity_table(bundle), _origin_table(bundle), _settings_table(bundle)))
    return Chapter(
        "limits",
        "Limits, and how to run it again",
        "What to keep in mind, and all that decides the numbers: digests, code, settings.",
        "That another machine gives the same last digits: some sums depend on the order in which "
        "processors add.",
        tuple(blocks),
    )


def _limits(bundle: ReportBundle) -> tuple[str, ...]:
    """Say what every study of this kind leaves open, and what this one does."""
    n_subjects = bundle.cohort.n_subjects
    small = n_subjects is not None and n_subjects < 100
    n_folds = max((one.n_folds for one in bundle.trials), default=0)
    return (
        "Folds share training subjects, so standard errors over folds are too small; they are for "
        "looking, and tests correct for it.",
        f"With {n_subjects} subjects only large effects can be told from none." if small else "",
        "There is one fold: nothing here says how far numbers would move." if n_folds == 1 else "",
        "Whoever picks the best of many trials must quote the adjusted p-value."
        if bundle.kind == "search"
        else "",
        "Strata, factors and effects are of these people, scanners and sites; nothing here says "
        "that they hold elsewhere.",
        "Normalisation saw the held-out subjects of some trials: their numbers flatter."
        if any(one.leaky for one in bundle.trials)
        else "",
    )


def _identity_table(bundle: ReportBundle) -> Table:
    """Show the digests that say what this is of."""
    rows = tuple((name, digest) for name, digest in bundle.identity.items())
    note = "Equal digests: the same settings, images, participants, folds."
    return Table("Identity", ("what", "digest (SHA-256)"), rows, note)


def _origin_table(bundle: ReportBundle) -> Table:
    """Show code and environment of the leading trial."""
    lead = lead_of_story(bundle)
    origin = lead.origin if lead else None
    rows = [("isthmus that wrote this report", isthmus.__version__)]
    if origin is not None:
        changed = f", {origin.n_changed_lines} lines changed" if origin.n_changed_lines else ""
        packages = [p for p in origin.packages if p.partition("==")[0].lower() in _TELLING]
        rows += [
            ("isthmus that ran the trial", origin.version),
            ("commit", f"{origin.git_commit or 'not in a checkout'}{changed}"),
            ("Python", origin.python),
            ("packages", ", ".join(packages)),
            ("machine", origin.machine),
        ]
    note = "" if origin else "What the trial ran on was not written down."
    return Table("Code and machine", ("what", "value"), tuple(rows), note)


def _settings_table(bundle: ReportBundle) -> Table:
    """Show the experiment's settings."""
    rows = tuple((path, value_in_words(value)) for path, value in bundle.settings.items())
    note = "What can change a result; a search or an ablation lays its values over these."
    return Table("Settings of the experiment", ("setting", "value"), rows, note)
