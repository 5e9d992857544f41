"""A look into the lockbox, in words and in tables, for the terminal and for pages."""

from isthmus.promotion.lockbox.record import LockboxReport
from isthmus.promotion.lockbox.replicated import TargetReplication, Verdict
from isthmus.report.strata_words import EFFECTS, STATISTICS, number
from isthmus.report.table import Table
from isthmus.training.controls import MODEL
from isthmus.training.evaluate import ALL

VERDICTS: dict[Verdict, str] = {
    "replicated": "replicated",
    "not_replicated": "not replicated",
    "untestable": "untestable",
}
METRICS = ("mse", "delta_mse", "normalised_difference", "cnr_ratio", "psnr", "ssim")


def look_in_words(report: LockboxReport) -> str:
    """Say what a look found, how often the lockbox was opened first of all.

    Parameters
    ----------
    report : LockboxReport
        What the look found.

    Returns
    -------
    str
        A paragraph.
    """
    families = "1 family" if report.n_families == 1 else f"{report.n_families} families"
    subjects = "1 subject" if report.n_subjects == 1 else f"{report.n_subjects} subjects"
    said = [
        f"Look {report.number} of this lockbox: {subjects} of {families}, for {report.label} "
        f"({report.reason}).",
        _earlier(report),
        _errors(report),
        _findings(report),
    ]
    return " ".join(sentence for sentence in said if sentence)


def tables(report: LockboxReport) -> tuple[Table, ...]:
    """Put a look into tables: who and how often, fidelity, strata, findings, subjects.

    Parameters
    ----------
    report : LockboxReport
        What the look found.

    Returns
    -------
    tuple of Table
        Tables without a row are left out, but for that of the findings, whose note says why there
        are none.
    """
    found = [looks_table(report), fidelity_table(report), ratios_table(report)]
    found += [strata_table(report)]
    kept = [table for table in found if table.rows]
    shown = (*kept, replication_table(report), subjects_table(report))
    return tuple(table.labelled(report.leaky) for table in shown)


def looks_table(report: LockboxReport) -> Table:
    """List every opening of the lockbox.

    Parameters
    ----------
    report : LockboxReport
        What the look found.

    Returns
    -------
    Table
        The last row is this look.
    """
    rows = tuple((str(i), look.time, look.reason) for i, look in enumerate(report.looks, 1))
    left_out = []
    if report.n_unlisted:
        left_out.append(f"{report.n_unlisted} of them are no longer in the participants table")
    if report.n_without_images:
        left_out.append(f"of {report.n_without_images} no image can be used")
    note = f"{report.n_sealed} subjects are set aside"
    note = f"{note}; {' and '.join(left_out)}." if left_out else f"{note}."
    note = f"{note} {_earlier(report)}".strip()
    return Table(
        "Looks into the lockbox",
        ("look", "time (UTC)", "reason"),
        rows,
        note,
    )


def fidelity_table(report: LockboxReport) -> Table:
    """Show how well the lockbox's images are reconstructed, by the model and by its controls.

    Parameters
    ----------
    report : LockboxReport
        What the look found.

    Returns
    -------
    Table
        A row for the model and each control, means over subjects and modalities.
    """
    controls = dict.fromkeys(found.control for found in report.fidelity)
    rows = tuple(
        (name.replace("_", " "), *(number(report.mean(name, metric)) for metric in METRICS))
        for name in controls
    )
    note = (
        "delta_mse is a control's error less the model's: positive where the model does better. "
        "Mean image and principal components were fitted on the encoder's training subjects."
    )
    return Table(
        f"Fidelity on {report.n_subjects} lockbox subjects", ("predictor", *METRICS), rows, note
    )


def ratios_table(report: LockboxReport) -> Table:
    """Compare the model's errors with those on held-out development subjects.

    Parameters
    ----------
    report : LockboxReport
        What the look found.

    Returns
    -------
    Table
        A row a modality; for a refit beside those whom the folds' encoders held out.
    """
    rows = tuple(
        (
            "all modalities" if ratio.modality == ALL else ratio.modality,
            number(ratio.lockbox_mse),
            number(ratio.validation_mse),
            number(ratio.ratio),
        )
        for ratio in report.ratios
    )
    note = "A ratio of 1: unseen subjects fare as those whom development held out."
    return Table(
        "Error in the lockbox against validation",
        ("", "lockbox", "validation", "ratio"),
        rows,
        note,
    )


def strata_table(report: LockboxReport) -> Table:
    """Show how many of the lockbox fall into each of development's strata.

    Parameters
    ----------
    report : LockboxReport
        What the look found.

    Returns
    -------
    Table
        A row a stratum; none where development has no strata.
    """
    rows = tuple(
        (
            str(stratum.stratum),
            stratum.exemplar_id,
            f"{stratum.n_development} ({stratum.share_development:.0%})",
            f"{stratum.n_lockbox} ({stratum.share_lockbox:.0%})",
            number(stratum.mean_membership),
        )
        for stratum in report.strata
    )
    agreement = "" if report.rule_agreement is None else f"{report.rule_agreement:.0%}"
    note = (
        "Each subject joins the nearest stratum; the rule puts "
        f"{agreement} of development's subjects where the clusterer did. Membership is in [0, 1]: "
        "0 half-way between two strata, 1 at a centre; it is no probability."
    )
    columns = ("stratum", "exemplar", "development", "lockbox", "mean membership")
    return Table("Development's strata in the lockbox", columns, rows, note)


def replication_table(report: LockboxReport) -> Table:
    """Show what became of each of development's findings.

    Parameters
    ----------
    report : LockboxReport
        What the look found.

    Returns
    -------
    Table
        A row a finding; without any, the note says why.
    """
    columns = (
        "target",
        "kind",
        "in development",
        "subjects",
        "statistic",
        "effect size",
        "p",
        "p (Holm)",
        "direction",
        "verdict",
    )
    rows = tuple(_row(found) for found in report.replications)
    note = _findings(report)
    if rows:
        note = (
            "Asked again is what was significant in development, and nothing else; p by "
            f"permutation within families, alpha = {report.alpha:g} over all of them by Holm's "
            "method. Direction: correlation of the strata's means with development's, which must "
            "be above 0. Not replicated is no proof of absence: few subjects show large effects "
            "alone."
        )
    return Table("Development's findings, asked again", columns, rows, note)


def subjects_table(report: LockboxReport) -> Table:
    """Show each subject of the lockbox.

    Parameters
    ----------
    report : LockboxReport
        What the look found.

    Returns
    -------
    Table
        A row a subject; `Table.first` cuts a long one.
    """
    controls = tuple(dict.fromkeys(found.control for found in report.fidelity))
    rows = tuple(
        (
            subject.participant_id,
            "-" if subject.stratum is None else str(subject.stratum),
            number(subject.membership),
            *(number(subject.mse.get(control)) for control in controls),
        )
        for subject in report.subjects
    )
    names = tuple(control.replace("_", " ") for control in controls)
    note = "MSE of the model and of each control, mean over the subject's modalities."
    columns = ("subject", "stratum", "membership", *names)
    return Table("Subjects of the lockbox", columns, rows, note)


def _row(found: TargetReplication) -> tuple[str, ...]:
    """Write one finding's row."""
    effect = f"{EFFECTS[found.kind]} = {number(found.development_effect_size)}"
    verdict = VERDICTS[found.verdict]
    return (
        found.target,
        found.kind,
        f"{found.development_verdict.replace('_', ' ')}, {effect}",
        str(found.tested.n_subjects) if found.tested else "-",
        f"{STATISTICS[found.kind]} = {number(found.statistic)}",
        f"{EFFECTS[found.kind]} = {number(found.effect_size)}",
        number(found.p_value),
        number(found.p_adjusted),
        _direction(found),
        f"{verdict}: {found.reason}" if found.reason else verdict,
    )


def _direction(found: TargetReplication) -> str:
    """Write how far strata differ the same way."""
    profiles = found.profiles
    if profiles.correlation is None:
        return "-"
    same = f"{profiles.n_same_sign} of {profiles.n_compared} same side"
    return f"{number(profiles.correlation, 2)} ({same})"


def _earlier(report: LockboxReport) -> str:
    """Say what earlier looks mean for this one."""
    if report.number == 1:
        return ""
    before = report.looks[-2]
    times = "once" if report.number == 2 else f"{report.number - 1} times"
    return (
        f"It was opened {times} before, last on {before.time[:10]} ({before.reason}): what was "
        "chosen since may depend on it, and no p-value here is corrected for that."
    )


def _errors(report: LockboxReport) -> str:
    """Compare the error with that of validation, and with the mean image's."""
    own, mean_image = report.mean(MODEL, "mse"), report.mean("mean_image", "mse")
    said = f"MSE {number(own)} (mean image: {number(mean_image)})"
    ratio = next((found.ratio for found in report.ratios if found.modality == ALL), None)
    if ratio is not None:
        return f"{said}, {number(ratio)} times that of validation."
    if report.label == "refit":
        return f"{said}; a refit has no validation error to compare it with."
    return f"{said}."


def _findings(report: LockboxReport) -> str:
    """Count what came back, or say why nothing was asked."""
    n = len(report.replications)
    if not n:
        if report.no_strata_because is not None:
            return f"Development has no strata to ask about. {report.no_strata_because}"
        return (
            f"None of the {report.n_development_tests} targets tested in development was "
            "significant, so nothing was asked again."
        )
    counted = [f"{report.count('replicated')} of {n} findings replicated"]
    if report.count("untestable"):
        counted.append(f"{report.count('untestable')} could not be tested")
    return f"{', '.join(counted)}."
