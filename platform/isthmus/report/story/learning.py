"""How a trial's folds learned, drawn like an ablation's arms: a line a fold."""

from collections.abc import Sequence

from isthmus.report.ablation.charts import learning_chart
from isthmus.report.ablation.learning import Band, Learning
from isthmus.report.page import Section
from isthmus.report.story.bundle import FoldHistory, TrialDetail
from isthmus.report.strata_captions import Caption
from isthmus.report.strata_views import Absent

_TITLE = "How the leading trial learned"
_READS = "Training loss by epoch, a line a fold; below it what was monitored, where anything was."
_NOT_SHOWN = (
    "Fidelity on held-out subjects: a training loss falls on what is being learnt. That a curve "
    "has become flat is no proof that more epochs would change nothing."
)


def learning_section(detail: TrialDetail | None) -> Section:
    """Draw how a trial learned, also while it does.

    Parameters
    ----------
    detail : TrialDetail or None
        The leading trial, if any has come so far.

    Returns
    -------
    Section
        Of the page.
    """
    label = f" ({detail.label})" if detail else ""
    words = Caption(f"{_TITLE}{label}", _READS, _NOT_SHOWN)
    histories = detail.histories if detail else ()
    if not histories:
        return Section("learning", words, Absent("No trial has come to the end of an epoch yet."))
    view = Learning(_bands(histories, "train_loss"), _bands(histories, "monitor_mse"))
    return Section("learning", words, learning_chart(view))


def _bands(histories: Sequence[FoldHistory], name: str) -> tuple[Band, ...]:
    """Make a band of one line of each fold."""
    bands = []
    for history in histories:
        known = [(int(one["epoch"]), one[name]) for one in history.epochs if name in one]
        if known:
            epochs, values = (tuple(of) for of in zip(*known, strict=True))
            label = f"fold {history.fold}"
            bands.append(
                Band(label, history.fold, epochs, values, values, values, (1,) * len(epochs))
            )
    return tuple(bands)
