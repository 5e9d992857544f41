"""The model card: what a model is for, what it is made from, how well it does for whom, its limits.

The order of its sections is that of Mitchell et al. (2019), Model cards for model reporting.
"""

import pandas as pd

from isthmus.cohort.participants import Participants
from isthmus.core.errors import CohortError
from isthmus.promotion.bundle.errors_seen import ALL
from isthmus.promotion.bundle.record import BundleRecord
from isthmus.promotion.decision import PromotionDecision
from isthmus.promotion.developed import Developed
from isthmus.promotion.evidence.groups import group_labels
from isthmus.promotion.lockbox.words import fidelity_table, look_in_words, replication_table
from isthmus.promotion.words import gates_in_words, gates_table
from isthmus.report.strata_words import number, strata_in_words
from isthmus.report.table import Table
from isthmus.training.controls import CONTROLS, MODEL
from isthmus.trial.records import TrialResult
from isthmus.trial.run import PreparedTrial

_LEAST_SHOWN = 3
"""Members below which a group's error is not shown: it would be that of a person."""

_USE = """This model embeds co-registered, brain-masked images of people like those that it was
trained on into one vector, puts a new subject into one of the strata of that embedding, says how
unusual the images are to it, and reconstructs them. It is meant for research on groups: phenotypes
related to strata, contrasts compared, data checked.

It is **not** meant for decisions about a person: no diagnosis, prognosis or treatment. Strata
describe a sample; a stratum is no disease, and its membership strength no probability. Nor is it
meant for images of another kind, scanner or population, unless its error on them was looked at:
`out_of_distribution` marks what is far from what it knows, and what is not marked need not be
near."""

_LIMITS = (
    "A low reconstruction error is no proof that the embedding carries it: skip connections pass "
    "images around it. The controls above say how much is lost when the embedding is another "
    "subject's.",
    "Relatives count as one family in splits and tests; family ties that the participants table "
    "does not have are not known.",
    "Groups with few held-out subjects are compared without power: a difference that was not "
    "found may be there.",
    "Associations of strata are of the columns that were declared, by rank tests; they say nothing "
    "of causes.",
)


def model_card(
    decision: PromotionDecision,
    record: BundleRecord,
    prepared: PreparedTrial,
    developed: Developed,
    result: TrialResult,
) -> str:
    """Write the card of a model that is promoted.

    Parameters
    ----------
    decision : PromotionDecision
        With all verdicts; the lockbox where it was opened.
    record : BundleRecord
        Of its bundle.
    prepared : PreparedTrial
        Its trial.
    developed : Developed
        Its encoder.
    result : TrialResult
        What the trial's folds scored.

    Returns
    -------
    str
        Markdown. It names no participant.
    """
    config = prepared.experiment.config
    leaky = "\n\n**LEAKY: normalisation saw held-out subjects. No number here is held out.**"
    parts = [
        f"# {config.name}: {'+'.join(record.modalities)} to {record.embedding_size} values",
        gates_in_words(decision) + (leaky if record.leaky else ""),
        "## Intended use",
        _USE,
        "## Model",
        _model(decision, record, prepared).to_markdown(),
        "## Data",
        _data(prepared, developed).to_markdown(),
        "## Held-out error in development",
        _development(decision, result).to_markdown(),
        *(_groups(decision, prepared, developed)),
        "## Lockbox",
        *_lockbox(decision),
        "## Strata",
        f"{strata_in_words(developed.strata)[:1].upper()}{strata_in_words(developed.strata)[1:]}. "
        f"{_rule(record)}",
        "## Gates",
        gates_table("What was asked", decision.verdicts).to_markdown(),
        "## Limits",
        "\n".join(f"- {limit}" for limit in (*_LIMITS, *_own_limits(decision, record))),
        "## Provenance",
        _provenance(decision, prepared).to_markdown(),
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _model(decision: PromotionDecision, record: BundleRecord, prepared: PreparedTrial) -> Table:
    """Describe the network."""
    model, chosen = prepared.experiment.config.model, decision.chosen
    assert chosen is not None
    origin = "refit on all development subjects" if chosen.is_refit else f"fold {chosen.fold}"
    rows = (
        ("encoder", record.encoder_id),
        ("trained as", origin),
        ("inputs", " ".join(record.modalities)),
        ("grid (voxels)", "x".join(map(str, record.grid))),
        ("embedding values", f"{record.embedding_size:,}"),
        ("trainable parameters", f"{record.n_parameters:,}"),
        ("convolution, depth", f"{model.convolution}, {model.depth}"),
        ("subjects without every image", "accepted" if record.accepts_missing else "refused"),
        ("made with", ", ".join(f"{name} {v}" for name, v in sorted(record.made_with.items()))),
    )
    return Table("The network", ("what", "value"), rows, " ".join(chosen.steps))


def _data(prepared: PreparedTrial, developed: Developed) -> Table:
    """Describe who was trained on; groups, not people."""
    people, fold = prepared.participants, developed.fold
    rows = [
        ("development subjects", f"{len(people.ids):,}"),
        ("families", f"{people.families.nunique():,}"),
        ("trained on", f"{len(fold.train):,}"),
        ("chose the epoch", f"{len(fold.monitor):,}"),
        ("held out", f"{len(fold.validation):,}"),
    ]
    for name in ("age", "sex", people.site):
        if name is None or name not in people.table.columns:
            continue
        rows.append((name, _described(people, name)))
    note = "All that stands in this card is of groups; the bundle itself names its participants."
    return Table("The cohort", ("what", "value"), tuple(rows), note)


def _described(people: Participants, name: str) -> str:
    """Describe a column of the participants."""
    values = people.column(name).dropna()
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > 10:
        return f"median {values.median():.3g}, {values.min():.3g} to {values.max():.3g}"
    counts = values.astype(str).value_counts().sort_index()
    return ", ".join(
        f"{value}: {n if n >= _LEAST_SHOWN else f'fewer than {_LEAST_SHOWN}'}"
        for value, n in counts.items()
    )


def _development(decision: PromotionDecision, result: TrialResult) -> Table:
    """Show the trial's error beside its controls'."""
    rows = []
    for name in (MODEL, *CONTROLS):
        prefix = "validation" if name == MODEL else name
        found = result.summary.get(f"{prefix}_mse")
        if found is not None:
            error = "-" if found.standard_error is None else number(found.standard_error, 2)
            rows.append((name.replace("_", " "), number(found.mean, 4), error))
    note = f"Mean squared error on the normalised scale over {len(result.folds)} folds' held-out "
    note += "subjects, with the standard error over folds."
    if decision.chosen is not None and decision.chosen.is_refit:
        note += " These are the folds' encoders, not this one: a refit has no held-out subjects."
    return Table("Model and controls", ("predictor", "MSE", "standard error"), tuple(rows), note)


def _groups(
    decision: PromotionDecision, prepared: PreparedTrial, developed: Developed
) -> tuple[str, ...]:
    """Show this encoder's held-out error by group."""
    table, people = developed.fidelity, prepared.participants
    if table is None or developed.is_refit:
        return ("No development subject was held out for this encoder: no error by group.",)
    own = table[(table["control"] == MODEL) & (table["metric"] == "mse")]
    error = own.groupby("participant_id")["value"].mean()
    rows: list[tuple[str, ...]] = []
    asked = decision.gates["gates"].get("equal_performance") or {}
    for column in asked.get("columns", ("sex", "site")):
        try:
            labels = group_labels(people, column).reindex(error.index)
        except CohortError:
            rows.append((column, "-", "-", "no such column, or none of groups"))
            continue
        for value, members in error.groupby(labels):
            shown = len(members) >= _LEAST_SHOWN
            n = str(len(members)) if shown else f"fewer than {_LEAST_SHOWN}"
            rows.append((column, str(value), n, number(members.mean(), 4) if shown else "-"))
    note = (
        "Mean squared error of this encoder's own held-out subjects. Whether groups differ is what "
        "the gate equal_performance tests, over all folds."
    )
    columns = ("column", "group", "subjects", "MSE")
    return (Table("By group", columns, tuple(rows), note).to_markdown(),)


def _lockbox(decision: PromotionDecision) -> tuple[str, ...]:
    """Say what the lockbox showed."""
    report = decision.lockbox
    if report is None:
        return ("It was not opened: nothing here was measured on subjects that no choice saw.",)
    tables = (fidelity_table(report), replication_table(report))
    return (look_in_words(report), *(table.to_markdown() for table in tables))


def _rule(record: BundleRecord) -> str:
    """Say how a new subject gets a stratum."""
    if record.strata is None:
        return f"New subjects get no stratum: {record.without_strata}"
    return (
        "A new subject joins the stratum whose exemplar is nearest; by that rule "
        f"{record.strata.agreement:.0%} of the subjects who were clustered "
        f"({record.strata.clusterer}) get the stratum that the clusterer gave them."
    )


def _own_limits(decision: PromotionDecision, record: BundleRecord) -> tuple[str, ...]:
    """List the limits of this very model."""
    seen = record.errors.by_name.get(ALL)
    limits = []
    if seen is not None:
        n = seen.parts[seen.reference].n
        marked = max(seen.false_alarms, 1 - record.errors.quantile)
        limits.append(
            f"`out_of_distribution` compares with {n} {seen.reference} subjects; of new subjects "
            f"like them about {number(marked, 2)} are marked all the same."
        )
    if decision.override and not decision.passed:
        limits.append(f"Gates were overridden, for this reason: {decision.override}")
    return tuple(limits)


def _provenance(decision: PromotionDecision, prepared: PreparedTrial) -> Table:
    """List what it can be traced to."""
    rows = (
        ("study", decision.study),
        ("trial", prepared.digest),
        *((f"digest of {name}", value) for name, value in sorted(prepared.identity.items())),
        ("gates", str(decision.gates["name"])),
        ("decided (UTC)", decision.time),
    )
    return Table("Where it is from", ("what", "value"), rows)
