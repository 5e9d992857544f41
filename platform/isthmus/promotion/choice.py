"""Which of the trials that passed goes on: front, one standard error, smallest."""

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.promotion.verdict import GateVerdict, failed
from isthmus.report.study_words import objective_in_words
from isthmus.study.ranking import (
    best_trial,
    pareto_front,
    smallest_embedding,
    within_one_standard_error,
)
from isthmus.study.records import Objective, TrialRecord


@dataclass(frozen=True)
class Candidate:
    """A finished trial with what its gates said.

    Attributes
    ----------
    record : TrialRecord
        As its study has it; finished, with its values.
    verdicts : tuple of GateVerdict
        What was asked of it.
    """

    record: TrialRecord
    verdicts: tuple[GateVerdict, ...]

    @property
    def passed(self) -> bool:
        """Whether it passed every gate that it was asked, and was asked one."""
        return bool(self.verdicts) and not failed(self.verdicts)


@dataclass(frozen=True)
class Choice:
    """Which trial goes on, and how it was arrived at.

    Attributes
    ----------
    passed : tuple of int
        Trials that passed every gate, by number.
    front : tuple of int
        Of these, those that no other of them beats in all objectives.
    within_one_se : tuple of int
        Of the front, those within one standard error of its best, the best among them.
    chosen : int or None
        The smallest of these; None where none passed.
    steps : tuple of str
        What each step left and why, a sentence each.
    """

    passed: tuple[int, ...]
    front: tuple[int, ...]
    within_one_se: tuple[int, ...]
    chosen: int | None
    steps: tuple[str, ...]


def choose(candidates: Sequence[Candidate], objectives: Sequence[Objective]) -> Choice:
    """Choose among the trials that passed their gates.

    Parameters
    ----------
    candidates : sequence of Candidate
        Finished trials of one study; others are left out.
    objectives : sequence of Objective
        The study's, in the order of the trials' values.

    Returns
    -------
    Choice
        With every step in words; nothing is chosen where no candidate passed.

    Notes
    -----
    First the Pareto front over the study's objectives, among those that passed alone: a trial that
    was refused beats nobody. Then those whose first objective is within one standard error of the
    front's best, and of these the smallest (`isthmus.study.ranking`). With a single objective the
    front would be the best trial and nothing be left to the second step; it is left out.

    It is a rule and no test. What it leaves out is not shown to be worse.
    """
    known = [one for one in candidates if one.record.state == "finished" and one.record.values]
    records = [one.record for one in known if one.passed]
    passed = tuple(sorted(record.number for record in records))
    steps = [_passed_in_words(known, passed)]
    if not records:
        return Choice((), (), (), None, tuple(steps))
    front = pareto_front(records, objectives) if len(objectives) > 1 else passed
    steps.append(_front_in_words(front, passed, objectives))
    left = [record for record in records if record.number in front]
    near = within_one_standard_error(left, objectives[0])
    best = best_trial(left, objectives[0])
    steps.append(_near_in_words(near, best, left, objectives[0]))
    chosen = smallest_embedding(left, near)
    steps.append(_chosen_in_words(chosen, near, left))
    return Choice(passed, front, near, chosen, tuple(steps))


def _passed_in_words(known: Sequence[Candidate], passed: Sequence[int]) -> str:
    """Say who passed."""
    if not known:
        return "No trial has finished, so none could be asked anything."
    if not passed:
        return f"None of {len(known)} finished trials passed every gate."
    return f"{len(passed)} of {len(known)} finished trials passed every gate: {_listed(passed)}."


def _front_in_words(
    front: Sequence[int], passed: Sequence[int], objectives: Sequence[Objective]
) -> str:
    """Say whom nobody beats."""
    if len(objectives) == 1:
        return (
            f"The study has one objective ({objective_in_words(objectives[0])}), so there is no "
            "front to take."
        )
    sought = "; ".join(map(objective_in_words, objectives))
    return (
        f"Of these, {len(front)} of {len(passed)} are beaten by none of the others in all of "
        f"{sought}: {_listed(front)}."
    )


def _near_in_words(
    near: Sequence[int], best: int | None, left: Sequence[TrialRecord], objective: Objective
) -> str:
    """Say who is as good as the best, give or take its error."""
    record = next(one for one in left if one.number == best)
    value = record.values[0] if record.values else float("nan")
    error = record.standard_errors[0] if record.standard_errors else None
    if error is None:
        return (
            f"The best of these by {objective.metric} is trial {best} ({value:.4g}); it has no "
            f"standard error (one fold), so only its equals stay: {_listed(near)}."
        )
    return (
        f"The best of these by {objective.metric} is trial {best} ({value:.4g} +- {error:.2g}); "
        f"within one standard error of it: {_listed(near)}."
    )


def _chosen_in_words(chosen: int | None, near: Sequence[int], left: Sequence[TrialRecord]) -> str:
    """Say who is the smallest."""
    record = next(one for one in left if one.number == chosen)
    size, n_parameters = (record.facts.get(name) for name in ("embedding_size", "n_parameters"))
    of_size = f"{size} embedding values and {n_parameters} parameters"
    if len(near) == 1:
        return f"Trial {chosen} is chosen ({of_size}): no other is left."
    return f"Trial {chosen} is chosen: the smallest of {len(near)} ({of_size})."


def _listed(numbers: Sequence[int]) -> str:
    """List trials."""
    return f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {', '.join(map(str, numbers))}"
