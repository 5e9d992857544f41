"""A decision in tables and sentences: for the terminal, the report page and the model's card."""

from isthmus.config.promotion.gates import PromotionConfig
from isthmus.config.promotion.thresholds import GateSettings
from isthmus.promotion.decision import JudgedTrial, PromotionDecision
from isthmus.promotion.lockbox.words import (
    fidelity_table,
    looks_table,
    ratios_table,
    replication_table,
    strata_table,
)
from isthmus.promotion.verdict import GateVerdict, failed
from isthmus.report.strata_words import number
from isthmus.report.table import Table

PASSED, FAILED = "passed", "FAILED"


def decision_tables(decision: PromotionDecision) -> tuple[Table, ...]:
    """Put a decision into tables.

    Parameters
    ----------
    decision : PromotionDecision
        Refused or not.

    Returns
    -------
    tuple of Table
        The gates', then the lockbox's where it was opened.
    """
    return (*gate_tables(decision), *lockbox_tables(decision))


def gate_tables(decision: PromotionDecision) -> tuple[Table, ...]:
    """Put what the gates said into tables.

    Parameters
    ----------
    decision : PromotionDecision
        Refused or not.

    Returns
    -------
    tuple of Table
        All trials beside all gates; gate by gate what was found of the chosen trial, or of each
        trial where none passed.
    """
    chosen = decision.chosen_trial
    if chosen is not None:
        return trials_table(decision), gates_table(_title(chosen), decision.verdicts)
    each = (gates_table(_title(one), one.verdicts) for one in decision.judged)
    return trials_table(decision), *each


def lockbox_tables(decision: PromotionDecision) -> tuple[Table, ...]:
    """Put what the lockbox showed into tables that name none of its subjects.

    Parameters
    ----------
    decision : PromotionDecision
        Refused or not.

    Returns
    -------
    tuple of Table
        Empty where it was not opened.
    """
    report = decision.lockbox
    if report is None:
        return ()
    shown = (looks_table, fidelity_table, ratios_table, strata_table, replication_table)
    tables = (make(report).labelled(report.leaky) for make in shown)
    return tuple(table for table in tables if table.rows or table.note)


def asked_table(config: PromotionConfig) -> Table:
    """Show what a file of gates asks.

    Parameters
    ----------
    config : PromotionConfig
        Gates and thresholds.

    Returns
    -------
    Table
        One row a gate that is asked, in the order in which they are asked.
    """
    groups = [("", config.gates.asked()), ("lockbox.", config.lockbox.asked())]
    asked = [(prefix + name, gate) for prefix, group in groups for name, gate in group]
    if config.champion is not None:
        asked.insert(len(list(config.gates.asked())), ("champion", config.champion))
    rows = tuple((name, _thresholds(gate)) for name, gate in asked)
    return Table(f"Gates of {config.name!r}", ("gate", "thresholds"), rows, config.description)


def trials_table(decision: PromotionDecision) -> Table:
    """Show which trial passed which gate.

    Parameters
    ----------
    decision : PromotionDecision
        Refused or not.

    Returns
    -------
    Table
        One row a finished trial, one column a gate.
    """
    gates = tuple(dict.fromkeys(v.gate for one in decision.judged for v in one.verdicts))
    rows = []
    for one in decision.judged:
        said = {verdict.gate: verdict for verdict in one.verdicts}
        cells = (_mark(said[gate]) if gate in said else "-" for gate in gates)
        rows.append((str(one.number), "yes" if one.passed else "no", *cells))
    n_passed = sum(one.passed for one in decision.judged)
    counted = f"{n_passed} of {len(decision.judged)} finished trials passed every gate."
    note = " ".join(decision.chosen.steps) if decision.chosen else counted
    return Table(
        f"Gates of {decision.gates['name']!r}", ("trial", "all", *gates), tuple(rows), note
    )


def gates_table(title: str, verdicts: tuple[GateVerdict, ...]) -> Table:
    """Show gate by gate what was found.

    Parameters
    ----------
    title : str
        Of what.
    verdicts : tuple of GateVerdict
        What its gates said.

    Returns
    -------
    Table
        One row a gate.
    """
    rows = tuple(
        (v.gate, _mark(v), number(v.found, 4), number(v.threshold, 4), v.words) for v in verdicts
    )
    note = f"{len(failed(verdicts))} of {len(verdicts)} gates failed." if failed(verdicts) else ""
    return Table(title, ("gate", "verdict", "found", "threshold", "in words"), rows, note)


def outcome_in_words(decision: PromotionDecision) -> str:
    """Say in one paragraph what was decided.

    Parameters
    ----------
    decision : PromotionDecision
        Refused or not.

    Returns
    -------
    str
        With the reason of an override.
    """
    before = decision.n_earlier
    decisions = "1 decision" if before == 1 else f"{before} decisions"
    nth = f" {decisions} on this study came before." if before else ""
    if decision.chosen is None:
        return f"Refused: no trial passed every gate.{nth}"
    model = decision.registered
    where = f"{model.model} version {model.version}" if model else "the model"
    refused = failed(decision.verdicts)
    gates = ", ".join(verdict.gate for verdict in refused)
    said = {
        "refused": f"Refused: {gates}.",
        "challenger": f"Registered as challenger: {where}.",
        "champion": f"Promoted: {where} is the champion.",
        "already": f"Nothing to do: {where} is the champion already.",
    }[decision.outcome]
    if decision.override and refused:
        said += f" Overridden were: {gates}. The reason given: {decision.override}"
    return said + nth


def gates_in_words(decision: PromotionDecision) -> str:
    """Say how the chosen model stands to its gates, whatever an alias points at later.

    Parameters
    ----------
    decision : PromotionDecision
        With a trial chosen.

    Returns
    -------
    str
        With the reason of an override.
    """
    refused, n_asked = failed(decision.verdicts), len(decision.verdicts)
    name = f"{decision.gates['name']!r}"
    before = decision.n_earlier
    nth = f" Decisions on this study that came before: {before}." if before else ""
    if not refused:
        return f"It passed every gate of {name} that was asked, {n_asked} in all.{nth}"
    gates = ", ".join(verdict.gate for verdict in refused)
    said = f"It did not pass {len(refused)} of {n_asked} gates of {name}: {gates}."
    if decision.override:
        said += f" They were overridden, for this reason: {decision.override}"
    return said + nth


def _thresholds(gate: GateSettings) -> str:
    """Write a gate's thresholds."""
    shown = gate.model_dump(mode="json", exclude_none=True)
    return ", ".join(f"{name} {value}" for name, value in shown.items()) or "none"


def _title(one: JudgedTrial) -> str:
    """Name a trial."""
    return f"Trial {one.number}, {one.folder}"


def _mark(verdict: GateVerdict) -> str:
    """Write a verdict in a word."""
    return PASSED if verdict.passed else FAILED
