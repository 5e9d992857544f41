"""Findings asked again of other subjects: false replications are rare, planted ones come back.

Development is one cohort with planted strata, all six of whose targets are significant. Each
simulation is a lockbox of its own, in which families share a stratum and half of every phenotype's
variance.
"""

from collections.abc import Callable

import numpy as np
from asked_again import development, draw, together

from isthmus.promotion.bundle.strata_rule import StrataRule
from isthmus.promotion.lockbox.replicated import TargetReplication
from isthmus.promotion.lockbox.replication import questions_of, replicate
from isthmus.stratification.partition import Partition

N_SIMULATIONS, N_SUBJECTS, N_PERMUTATIONS = 200, 40, 199
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Show = Callable[..., int]


def look(simulation: int, effect: float) -> tuple[TargetReplication, ...]:
    """Open one simulated lockbox."""
    people, table, report = development()
    assert isinstance(report.strata, Partition)
    other = draw("box", 1000 + simulation, N_SUBJECTS, effect)
    everybody = together(people, other)
    labels = StrataRule.of(table, report.strata, report.config).assign(other.values)[0]
    asked = questions_of(report, everybody)
    assert len(asked.findings) == 6
    return replicate(asked, everybody, other.ids, labels, simulation, N_PERMUTATIONS)


def below(p_values: list[float | None], alpha: float) -> bool:
    """Whether any p-value is."""
    return any(p is not None and p <= alpha for p in p_values)


def test_where_there_is_nothing_few_lockboxes_replicate_anything(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    n, alpha = simulations(N_SIMULATIONS), development()[2].config.alpha
    replicated = adjusted = plain = 0
    for simulation in range(n):
        answers = look(simulation, effect=0.0)
        assert all(answer.verdict != "untestable" for answer in answers)
        replicated += any(answer.verdict == "replicated" for answer in answers)
        adjusted += below([answer.p_adjusted for answer in answers], alpha)
        plain += below([answer.p_value for answer in answers], alpha)
    _, high = acceptance(n, alpha)
    # the direction must fit too, so that "replicated" is rarer than a small p-value
    assert show(replicated, n, alpha, "replicated") <= adjusted
    assert show(adjusted, n, alpha, "Holm") <= high
    assert show(plain, n, alpha, "plain p") > high


def test_planted_strata_replicate(simulations: Number) -> None:
    n = min(30, simulations(30))
    shares = np.array(
        [
            [answer.verdict == "replicated" for answer in look(5000 + simulation, effect=1.5)]
            for simulation in range(n)
        ]
    )
    assert shares.mean() > 0.9
