"""From tests to words: better, worse, equivalent, or not resolvable with these subjects."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from isthmus.study.inference.multiplicity import Correction, adjust, level_at_worst
from isthmus.study.inference.resampled_t import Constant, Outcome, ResampledT, TooFewBlocks

Direction = Literal["minimize", "maximize", "either"]
Decision = Literal[
    "better", "worse", "higher", "lower", "equivalent", "not_resolvable", "undefined"
]


@dataclass(frozen=True)
class Rule:
    """How a family of comparisons is decided.

    Attributes
    ----------
    direction : {"minimize", "maximize", "either"}
        Which way is better.
    alpha : float
        Level of the family.
    power : float
        At which the smallest resolvable difference is said.
    correction : {"holm", "bonferroni", "fdr_by"}
        Over the family.
    """

    direction: Direction
    alpha: float = 0.05
    power: float = 0.8
    correction: Correction = "holm"


@dataclass(frozen=True)
class Judgement:
    """What is said of one comparison.

    Attributes
    ----------
    decision : str
        The verdict.
    reason : str
        Why there is none; empty if there is one.
    note : str
        What to know of a verdict; mostly empty.
    p_value, p_value_adjusted : float or None
        Two-sided, before and after correction; 1 where all differences are 0.
    equivalence_p_value, equivalence_p_value_adjusted : float or None
        Of the two one-sided tests; None without a margin, or without variance.
    smallest_resolvable : float or None
        The true difference found with `Rule.power` if no other of the family is significant.
    """

    decision: Decision
    reason: str = ""
    note: str = ""
    p_value: float | None = None
    p_value_adjusted: float | None = None
    equivalence_p_value: float | None = None
    equivalence_p_value_adjusted: float | None = None
    smallest_resolvable: float | None = None


def judge(
    outcomes: Sequence[Outcome], margins: Sequence[float | None], rule: Rule
) -> tuple[Judgement, ...]:
    """Decide a family of comparisons together.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of each comparison, as `isthmus.study.inference.resampled_t.resampled_t` gives it.
    margins : sequence of (float or None)
        Half-width of each one's region of practical equivalence; None without.
    rule : Rule
        Level, direction and correction.

    Returns
    -------
    tuple of Judgement
        In the same order.

    Notes
    -----
    In this order: *equivalent* where the two one-sided tests are significant after correction,
    also if the difference itself is significant (it is there, and too small to matter); *better*,
    *worse* (*higher*, *lower* where neither is better) where the difference is significant after
    correction; else *not resolvable*, which is no evidence of equality.

    Tests of difference and of equivalence are corrected each over the whole family, one with a
    margin counting once in each. Where no arms differ, any "better" or "worse" in a family has a
    chance of at most alpha under Holm and Bonferroni; so has any "equivalent" of arms that differ
    by a margin or more.

    Differences without variance count in the family with a p-value of 1. Where all are 0, the
    verdict is *not resolvable*, also with a margin: scores that take few values (a number of
    strata) are alike in some folds by chance, and no variance says what other folds would give.
    Where all are one other number, or there is one fold, the verdict is *undefined*.
    """
    tested = [isinstance(outcome, ResampledT) for outcome in outcomes]
    p_values = [one.p_value if isinstance(one, ResampledT) else 1.0 for one in outcomes]
    adjusted = adjust(p_values, rule.correction)
    one_sided = _equivalence(outcomes, margins)
    with_margin = [i for i, margin in enumerate(margins) if margin is not None]
    corrected = dict(
        zip(with_margin, adjust([one_sided[i] for i in with_margin], rule.correction), strict=True)
    )
    return tuple(
        _decide(
            outcome,
            rule,
            (p_values[i], adjusted[i]),
            (one_sided[i], corrected[i]) if i in corrected and tested[i] else None,
            len(outcomes),
        )
        for i, outcome in enumerate(outcomes)
    )


def _equivalence(outcomes: Sequence[Outcome], margins: Sequence[float | None]) -> list[float]:
    """Test each comparison for equivalence; 1 where that cannot be tested."""
    return [
        outcome.equivalence_p_value(margin)
        if margin is not None and isinstance(outcome, ResampledT)
        else 1.0
        for outcome, margin in zip(outcomes, margins, strict=True)
    ]


def _decide(
    outcome: Outcome,
    rule: Rule,
    p: tuple[float, float],
    equivalence: tuple[float, float] | None,
    n_tests: int,
) -> Judgement:
    """Decide one comparison, given what correction over the family made of its p-values."""
    if isinstance(outcome, TooFewBlocks):
        reason = (
            f"A test needs two paired differences or more, of different splits, and there is "
            f"{outcome.n_blocks}. Ask for more folds or seeds."
        )
        return Judgement("undefined", reason)
    if isinstance(outcome, Constant):
        reason = (
            f"The difference is {outcome.mean:.6g} in each of {outcome.n_blocks} blocks: without "
            "any spread there is nothing to test it by."
        )
        return Judgement("undefined", reason)
    if not isinstance(outcome, ResampledT):
        note = f"The scores are equal in each of {outcome.n_blocks} blocks."
        return Judgement("not_resolvable", "", note, 1.0, 1.0)
    decision: Decision = "not_resolvable"
    if equivalence is not None and equivalence[1] < rule.alpha:
        decision = "equivalent"
    elif p[1] < rule.alpha:
        decision = _side(outcome.mean, rule.direction)
    level = level_at_worst(rule.alpha, n_tests, rule.correction)
    return Judgement(
        decision,
        p_value=p[0],
        p_value_adjusted=p[1],
        equivalence_p_value=equivalence[0] if equivalence else None,
        equivalence_p_value_adjusted=equivalence[1] if equivalence else None,
        smallest_resolvable=outcome.smallest_resolvable(level, rule.power),
    )


def _side(difference: float, direction: Direction) -> Decision:
    """Say which way a difference goes."""
    if direction == "either":
        return "higher" if difference > 0 else "lower"
    return "better" if (difference > 0) == (direction == "maximize") else "worse"
