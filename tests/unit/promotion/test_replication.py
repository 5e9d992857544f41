"""What is asked again, and what is answered: planted effects, none, reversed, and too few."""

from dataclasses import replace

import numpy as np
import pytest
from asked_again import PHENOTYPES, People, development, draw, together

from isthmus.core.errors import StratificationError
from isthmus.promotion.bundle.strata_rule import StrataRule
from isthmus.promotion.lockbox.replicated import TargetReplication, profile_agreement
from isthmus.promotion.lockbox.replication import LEAST_PERMUTATIONS, questions_of, replicate
from isthmus.stratification.carried_factors import factor_rule
from isthmus.stratification.correction import holm
from isthmus.stratification.factors import Factors
from isthmus.stratification.partition import NonConvergence, Partition
from isthmus.stratification.tested import Profile

ALL = ("factor_1", *PHENOTYPES, "hand")


def labels(other: People) -> np.ndarray:
    _, table, report = development()
    assert isinstance(report.strata, Partition)
    return StrataRule.of(table, report.strata, report.config).assign(other.values)[0]


def ask(other: People, n_permutations: int | None = 999) -> dict[str, TargetReplication]:
    people, _, report = development()
    everybody = together(people, other)
    asked = questions_of(report, everybody)
    answers = replicate(asked, everybody, other.ids, labels(other), 1, n_permutations)
    return {answer.target: answer for answer in answers}


def test_planted_effects_replicate() -> None:
    answers = ask(draw("box", 1, 40, effect=1.0))
    assert tuple(answers) == ALL
    assert {answer.verdict for answer in answers.values()} == {"replicated"}
    for answer in answers.values():
        assert answer.reason is None
        assert answer.profiles.correlation is not None
        assert answer.profiles.correlation > 0.7
        assert answer.tested is not None
        assert (answer.tested.n_subjects, answer.tested.n_families) == (40, 20)
        assert answer.tested.n_permutations == 999
    p_values = np.array([answer.p_value for answer in answers.values()])
    adjusted = [answer.p_adjusted for answer in answers.values()]
    np.testing.assert_allclose(adjusted, holm(p_values))


def test_nothing_is_replicated_where_there_is_nothing() -> None:
    answers = ask(draw("box", 2, 40, effect=0.0))
    assert {answer.verdict for answer in answers.values()} == {"not_replicated"}


def test_strata_that_differ_the_other_way_round_do_not_replicate() -> None:
    answers = ask(draw("box", 3, 40, effect=-1.0))
    memory = answers["memory"]
    assert memory.p_adjusted is not None
    assert memory.p_adjusted <= 0.05
    assert memory.verdict == "not_replicated"
    assert memory.profiles.correlation is not None
    assert memory.profiles.correlation < 0
    assert memory.profiles.n_same_sign < memory.profiles.n_compared == 3
    assert "not the way" in str(memory.reason)


def test_too_few_subjects_are_untestable_with_counts() -> None:
    answers = ask(draw("box", 4, 8, effect=1.0))
    assert {answer.verdict for answer in answers.values()} == {"untestable"}
    assert all("8 subjects only; 10 are needed" in str(a.reason) for a in answers.values())
    assert all(answer.p_adjusted is None for answer in answers.values())


def test_one_stratum_is_untestable() -> None:
    other = draw("box", 5, 40, effect=1.0)
    alike = replace(other, values=np.repeat(other.values[:1], 40, axis=0))
    for answer in ask(alike).values():
        assert answer.verdict == "untestable"
        assert "all in one stratum" in str(answer.reason)
        assert answer.profiles.correlation is None


def test_permutations_too_few_to_decide_are_said_to_be() -> None:
    answers = ask(draw("box", 6, 40, effect=3.0), n_permutations=99)
    assert {answer.verdict for answer in answers.values()} == {"untestable"}
    assert all("With 99 permutations p is at least 0.01" in str(a.reason) for a in answers.values())
    enough = ask(draw("box", 6, 40, effect=3.0), n_permutations=119)
    assert {answer.verdict for answer in enough.values()} == {"replicated"}


def test_permutations_are_many_unless_asked_otherwise() -> None:
    answer = ask(draw("box", 7, 20, effect=1.0), n_permutations=None)["memory"]
    assert answer.tested is not None
    assert (
        answer.tested.n_permutations == LEAST_PERMUTATIONS > development()[2].config.n_permutations
    )


def test_only_what_was_significant_is_asked() -> None:
    people, _, report = development()
    (factor, phenotype, category) = report.tests
    dull = replace(phenotype.associations[1], verdict="not_significant")
    rest = (phenotype.associations[0], dull, *phenotype.associations[2:])
    fewer = replace(report, tests=(factor, replace(phenotype, associations=rest), category))
    asked = questions_of(fewer, together(people))
    assert tuple(finding.target for finding in asked.findings) == tuple(
        name for name in ALL if name != "memory"
    )
    failed = NonConvergence(people.ids, 8, 0, "ward", 3.0, (), 1, "It did not.")
    assert questions_of(replace(report, strata=failed), together(people)).findings == ()
    other = draw("box", 1, 40, effect=1.0)
    nothing = questions_of(replace(report, tests=()), together(people))
    assert replicate(nothing, together(people, other), other.ids, labels(other), 1) == ()


def test_factors_are_carried_over_and_not_fitted_again() -> None:
    people, _, report = development()
    assert isinstance(report.factors, Factors)
    rule = factor_rule(report.factors, together(people))
    values = together(people).numeric(report.factors.phenotypes, report.participant_ids)
    np.testing.assert_allclose(rule.scores(values), report.factors.scores, atol=1e-10)
    # Somebody at development's medians is where imputation puts whoever has no value at all.
    nobody = rule.scores(np.full((1, len(rule.phenotypes)), np.nan))
    np.testing.assert_allclose(nobody, rule.scores(np.median(values, axis=0)[None]))
    # Shifting the others shifts their scores: their own mean plays no part.
    assert (rule.scores(values + 10.0) > rule.scores(values) + 1.0).all()


def test_phenotypes_that_changed_since_are_refused() -> None:
    people, _, report = development()
    frame = people.frame.assign(memory=people.frame["memory"].to_numpy()[::-1])
    with pytest.raises(StratificationError, match="has changed since"):
        questions_of(report, together(replace(people, frame=frame)))


def test_agreement_is_a_weighted_correlation() -> None:
    def profiles(kind: str, *rows: tuple[str, int, int, float]) -> tuple[Profile, ...]:
        return tuple(Profile(k, name, kind, n, mean, None) for name, k, n, mean in rows)  # type: ignore[arg-type]

    before = profiles("phenotype", ("a", 0, 9, 0.0), ("a", 1, 9, 1.0), ("a", 2, 9, 2.0))
    after = profiles("phenotype", ("a", 0, 1, 5.0), ("a", 1, 2, 6.0), ("a", 2, 3, 9.0))
    found = profile_agreement(before, after, "phenotype", "a")
    n = [1, 2, 3]
    cov = np.cov([0.0, 1.0, 2.0], [5.0, 6.0, 9.0], fweights=n)
    assert found.correlation == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))
    assert (found.n_same_sign, found.n_compared) == (3, 3)
    assert profile_agreement(before, after, "phenotype", "b").correlation is None
    assert profile_agreement(before, after[:1], "phenotype", "a").n_compared == 0
    shares = profiles("category", ("hand=left", 0, 4, 0.2), ("hand=left", 1, 4, 0.8))
    others = profiles("category", ("handed=left", 0, 4, 0.2), ("handed=left", 1, 4, 0.8))
    assert profile_agreement(shares, shares, "category", "hand").correlation == pytest.approx(1.0)
    assert profile_agreement(others, others, "category", "hand").correlation is None
