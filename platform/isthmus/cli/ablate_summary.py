"""What the terminal shows of an ablation that ended; all the rest stands on its page."""

from collections import Counter

from isthmus.cli.terminal import out, print_table
from isthmus.report.ablation.lead import RESOLVED, what_failed
from isthmus.report.ablation.outcome import primary_of
from isthmus.report.ablation.tables import contrasts_table
from isthmus.report.ablation.words import CORRECTIONS, VERDICTS, level_in_words, sample_in_words
from isthmus.report.table import Table
from isthmus.study.ablation.findings import AblationResult, MetricFindings

MOST_VERDICTS = 20
MOST_FAILURES = 5
_SHOWN = ("comparison", "verdict", "difference", "p adjusted")


def show_verdicts(result: AblationResult) -> None:
    """Print what the primary metric says, the other metrics in a line each, and what failed.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    """
    print_table(verdicts_table(result))
    others = [one for one in result.findings if not one.is_primary]
    for number, finding in enumerate(others):
        heading = "other metrics" if number == 0 else ""
        out.print(f"{heading:<14}{finding.metric}: {_counted(finding)}", markup=False)
    failed = what_failed(result)
    for sentence in failed[:MOST_FAILURES]:
        out.print(f"! {sentence}", markup=False)
    if len(failed) > MOST_FAILURES:
        out.print(f"! and {len(failed) - MOST_FAILURES} more: see the report", markup=False)


def verdicts_table(result: AblationResult) -> Table:
    """Show the primary metric's comparisons, those of significance first.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Table
        At most `MOST_VERDICTS` rows, in the columns that fit a terminal.
    """
    whole, finding = contrasts_table(result), primary_of(result)
    kept = [whole.columns.index(column) for column in _SHOWN]
    rows = [tuple(row[column] for column in kept) for row in whole.rows]
    resolved = {word for verdict, word in VERDICTS.items() if verdict in RESOLVED}
    rows.sort(key=lambda row: row[1] not in resolved)
    note = whole.note if finding is None else _note(result, finding)
    return Table(whole.title, _SHOWN, tuple(rows), note).first(MOST_VERDICTS)


def _note(result: AblationResult, finding: MetricFindings) -> str:
    """Explain the columns, shortly."""
    correction = CORRECTIONS.get(result.correction, result.correction)
    return (
        f"Paired over {sample_in_words(finding.blocks)}; {level_in_words(result.alpha)}, not "
        f"corrected; p adjusted after {correction}."
    )


def _counted(finding: MetricFindings) -> str:
    """Count a metric's verdicts, by kind."""
    counts = Counter(VERDICTS[one.verdict] for one in finding.contrasts)
    said = [f"{counts[word]} {word}" for word in VERDICTS.values() if counts[word]]
    return ", ".join(said) or "nothing was compared"
