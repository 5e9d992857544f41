"""What shows under the pointer in the interactive figures of a study."""

from collections.abc import Sequence
from textwrap import wrap

from isthmus.report.chart_looks import safe
from isthmus.report.study_words import (
    STATES,
    dimensions,
    estimate_in_words,
    point_in_words,
    short_paths,
)
from isthmus.study.records import StudyResult, TrialRecord

HOVER = "%{text}<extra></extra>"


def hover_texts(result: StudyResult, trials: Sequence[TrialRecord]) -> list[str]:
    """Describe trials: number, state, point, reason, values.

    Parameters
    ----------
    result : StudyResult
        The study that they are of.
    trials : sequence of TrialRecord
        Which.

    Returns
    -------
    list of str
        Lines with breaks between them; whatever a user named is escaped.
    """
    names = short_paths(dimensions(result.trials))
    said = []
    for one in trials:
        lines = [f"trial {one.number}, {STATES[one.state]}", *wrap(point_in_words(one, names), 70)]
        if one.reason:
            lines += wrap(one.reason, 70)
        if one.values is not None:
            lines += [
                f"{objective.metric} {estimate_in_words(one, i)}"
                for i, objective in enumerate(result.objectives)
            ]
        said.append("<br>".join(safe(line) for line in lines))
    return said
