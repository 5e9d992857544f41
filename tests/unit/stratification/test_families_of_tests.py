"""Each kind of target is corrected on its own; what cannot be tested says why."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import FactorsConfig, StratificationConfig
from isthmus.core.seeds import derive_seed
from isthmus.stratification import families_of_tests, tested
from isthmus.stratification.association import associate
from isthmus.stratification.categories import associate_category
from isthmus.stratification.correction import false_discovery_rate, holm, max_t
from isthmus.stratification.factors import Factors, find_factors
from isthmus.stratification.partition import NonConvergence, Partition
from isthmus.stratification.targets import TargetGroup, make_groups
from isthmus.stratification.variables import Variables

N = 60
IDS = tuple(f"sub-{i:03d}" for i in range(N))
TRUTH = np.arange(N) // 2 % 3
CONFIG = StratificationConfig(n_permutations=199)
SEED = 4


def frame() -> pd.DataFrame:
    """Phenotypes and a category that follow the strata, and some that do not; pairs."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "verbal": 2.0 * TRUTH + rng.standard_normal(N),
            "memory": rng.standard_normal(N),
            "grip": rng.standard_normal(N),
            "diagnosis": np.where(rng.random(N) < 0.2, "mild", np.array(["a", "b", "c"])[TRUTH]),
            "hand": rng.choice(["left", "right"], N),
            "age": rng.uniform(20, 80, N),
            "family": [f"fam-{i // 2}" for i in range(N)],
        },
        index=pd.Index(IDS, name="participant_id"),
    )


VARIABLES = Variables(("verbal", "memory", "grip"), ("diagnosis", "hand"))


def groups_of(
    table: pd.DataFrame, variables: Variables = VARIABLES, config: StratificationConfig = CONFIG
) -> tuple[TargetGroup, ...]:
    people = Participants(table, "family", None)
    values = people.numeric(variables.phenotypes, IDS)
    factors = find_factors(values, variables.phenotypes, IDS, config.factors, seed=0)
    return make_groups(factors, people, IDS, config, variables)


def strata(labels: np.ndarray = TRUTH) -> Partition:
    sizes = tuple(np.bincount(labels).tolist())
    return Partition(IDS, tuple(labels.tolist()), IDS[: len(sizes)], sizes, 8, 0, "kmeans", 3.0,
                     (), 0, 0.5)  # fmt: skip


def found(
    table: pd.DataFrame, config: StratificationConfig = CONFIG, variables: Variables = VARIABLES
) -> dict[str, "tested.FamilyOfTests"]:
    groups = groups_of(table, variables, config)
    families = families_of_tests.test_targets(groups, strata(), config, SEED)
    return {family.kind: family for family in families}


def column(family: "tested.FamilyOfTests", name: str) -> np.ndarray:
    return np.array([getattr(row, name) for row in family.associations], dtype=float)


def test_numbers_are_those_of_the_tests_and_corrections() -> None:
    families = found(frame())
    assert list(families) == ["factor", "phenotype", "category"]
    groups = groups_of(frame())
    phenotypes = next(group for group in groups if group.kind == "phenotype")
    plan = phenotypes.plan(199, derive_seed(SEED, "permutations"))
    test = associate(phenotypes.scores, TRUTH, plan)
    family = families["phenotype"]
    assert family.family_wise == "max_t"
    np.testing.assert_array_equal(column(family, "statistic"), test.statistic)
    np.testing.assert_array_equal(column(family, "effect_size"), test.effect_size)
    np.testing.assert_array_equal(column(family, "p_permutation"), test.p_permutation)
    np.testing.assert_array_equal(column(family, "p_chi2"), test.p_chi2)
    np.testing.assert_array_equal(
        column(family, "q_value"), false_discovery_rate(test.p_permutation)
    )
    np.testing.assert_array_equal(column(family, "p_family_wise"), max_t(test.statistic, test.null))
    verdicts = [row.verdict for row in family.associations]
    assert verdicts == ["significant_but_unstable", "not_significant", "not_significant"]


def test_categories_are_corrected_by_holm() -> None:
    family = found(frame())["category"]
    p_values = []
    for group in groups_of(frame())[-2:]:
        plan = group.plan(199, derive_seed(SEED, "permutations"))
        p_values.append(associate_category(group.scores, TRUTH, plan).p_permutation[0])
    assert family.family_wise == "holm"
    np.testing.assert_array_equal(column(family, "p_permutation"), p_values)
    np.testing.assert_array_equal(column(family, "p_family_wise"), holm(np.array(p_values)))
    assert [row.significant for row in family.associations] == [True, False]


def test_what_stands_behind_a_p_value() -> None:
    stands = found(frame())["phenotype"].associations[0].tested
    assert stands is not None
    assert (stands.n_subjects, stands.n_strata, stands.n_families) == (60, 3, 30)
    assert (stands.n_permutations, stands.enumerated, stands.smallest_p) == (199, False, 1 / 200)
    assert stands.n_permutations_available is None
    assert stands.log10_permutations_available == pytest.approx(41.45, abs=0.01)


def test_phenotypes_known_of_different_subjects_are_corrected_by_holm_in_the_order_declared() -> (
    None
):
    table = frame()
    table.loc[IDS[0], "memory"] = np.nan
    family = found(table)["phenotype"]
    assert [row.target for row in family.associations] == ["verbal", "memory", "grip"]
    assert [row.tested.n_subjects for row in family.associations if row.tested] == [60, 59, 60]
    assert family.family_wise == "holm"
    np.testing.assert_array_equal(
        column(family, "p_family_wise"), holm(column(family, "p_permutation"))
    )
    alone = found(frame().drop(columns="memory"), variables=Variables(("verbal", "grip")))
    assert family.associations[0].p_permutation == alone["phenotype"].associations[0].p_permutation


def test_untestable_targets_are_left_out_and_counted() -> None:
    table = frame().assign(grip=1.0, hand="right")
    table["memory"] = np.nan
    families = found(table)
    phenotypes = families["phenotype"]
    assert (phenotypes.n_testable, phenotypes.n_untestable) == (1, 2)
    assert phenotypes.family_wise == "max_t"
    verbal, memory, grip = phenotypes.associations
    assert verbal.q_value == verbal.p_family_wise == verbal.p_permutation == 1 / 200
    assert memory.reason == "It is known for 0 subjects only; 10 are needed."
    assert grip.reason == "All 60 subjects tested have one value."
    for row in (memory, grip):
        assert row == tested.Association(row.target, "phenotype", "untestable", row.reason)
    category = families["category"]
    assert (category.n_testable, category.n_untestable, category.family_wise) == (1, 1, "max_t")
    assert category.associations[0].q_value == category.associations[0].p_permutation
    json.dumps([asdict(family) for family in families.values()], allow_nan=False)


def test_a_constant_factor_is_untestable_and_spoils_no_other() -> None:
    people = Participants(frame(), "family", None)
    values = people.numeric(VARIABLES.phenotypes, IDS)
    whole = CONFIG.model_copy(update={"targets": ("factor",)})
    factors = find_factors(values, VARIABLES.phenotypes, IDS, FactorsConfig(n_factors=2), seed=0)
    assert isinstance(factors, Factors)
    flat = replace(factors, scores=tuple((first, 0.25) for first, _ in factors.scores))

    def tests_of(made_of: Factors) -> tuple[tested.Association, ...]:
        groups = make_groups(made_of, people, IDS, whole, VARIABLES)
        return families_of_tests.test_targets(groups, strata(), whole, SEED)[0].associations

    varied, constant = tests_of(flat)
    assert constant.verdict == "untestable"
    assert constant.reason == "All 60 subjects tested have one value."
    assert varied.p_permutation == tests_of(factors)[0].p_permutation == varied.q_value


def test_what_varies_by_rounding_alone_among_those_tested_is_constant() -> None:
    table = frame().assign(grip=3.0 + 1e-13 * TRUTH)
    table.loc[IDS[0], "grip"] = 5.0
    table.loc[IDS[0], "age"] = np.nan
    family = found(table, variables=replace(VARIABLES, confounds=("age",)))["phenotype"]
    assert family.associations[2].verdict == "untestable"
    assert family.associations[2].reason == "All 59 subjects tested have one value."
    assert family.n_testable == 2


def test_no_permutations_at_all_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"(?s)n_permutations.*greater than or equal to 1"):
        StratificationConfig(n_permutations=0)


def test_a_target_that_the_confounds_explain() -> None:
    table = frame().assign(grip=lambda t: 3.0 * t["age"], hand=lambda t: t["diagnosis"])
    variables = replace(VARIABLES, confounds=("age", "diagnosis"))
    families = found(table, variables=variables)
    assert families["phenotype"].associations[2].reason == (
        "It is constant once the confounds are regressed out."
    )
    assert [row.verdict for row in families["category"].associations] == ["untestable"] * 2
    assert families["category"].n_testable == 0


def test_without_a_partition_everything_is_untestable_for_that_reason() -> None:
    failed = NonConvergence(IDS, 8, 0, "affinity_propagation", -9.0, (), 1000, "It gave up.")
    families = families_of_tests.test_targets(groups_of(frame()), failed, CONFIG, SEED)
    rows = [row for family in families for row in family.associations]
    assert len(rows) == sum(family.n_untestable for family in families) > 5
    assert {row.reason for row in rows} == {"There are no strata to compare. It gave up."}
    assert {row.verdict for row in rows} == {"untestable"}


def test_a_lone_stratum_among_those_with_known_confounds() -> None:
    table = frame()
    table.loc[TRUTH > 0, "age"] = np.nan
    families = found(table, variables=replace(VARIABLES, confounds=("age",)))
    for family in families.values():
        assert family.n_missing_confounds == 40
        reasons = {row.reason for row in family.associations}
        assert reasons == {"The subjects tested are all in one stratum."}


def test_families_that_allow_no_permutation() -> None:
    table = frame()
    table.loc[list(IDS[10:]), "memory"] = np.nan
    # Four families of as many sizes, and every member of a kind of its own.
    table["family"] = ["a", "b", "b", "c", "c", "c", "d", "d", "d", "d"] + ["rest"] * 50
    table["role"] = [str(i) for i in range(N)]
    people = Participants(table, "family", None, kinship_column="role")
    config = CONFIG.model_copy(update={"targets": ("phenotype",)})
    none = find_factors(np.empty((N, 0)), (), IDS, config.factors, seed=0)
    groups = make_groups(none, people, IDS, config, Variables(("memory",)))
    (family,) = families_of_tests.test_targets(groups, strata(), config, SEED)
    assert family.associations[0].reason == "The families allow no permutation."


def test_where_permutations_and_not_data_decided_the_record_says_so() -> None:
    rare = found(frame(), CONFIG.model_copy(update={"n_permutations": 9}))["phenotype"]
    reasons = [row.reason for row in rare.associations]
    assert (
        reasons
        == [
            "With 9 permutations (p >= 0.1) no p-value can reach alpha = 0.05. "
            "Raise stratification.n_permutations."
        ]
        * 3
    )
    few = found(frame(), CONFIG.model_copy(update={"n_permutations": 39}))["phenotype"]
    verbal, memory, grip = few.associations
    assert (verbal.p_permutation, verbal.verdict) == (1 / 40, "not_significant")
    assert verbal.reason == (
        "With 39 permutations (p >= 0.025) p cannot fall far enough for q <= 0.05 over 3 targets. "
        "Raise stratification.n_permutations."
    )
    assert (memory.reason, grip.reason) == (None, None)
    enough = found(frame(), CONFIG.model_copy(update={"n_permutations": 59}))["phenotype"]
    assert enough.associations[0].significant
    assert all(row.reason is None for row in enough.associations)


def test_renaming_strata_changes_nothing_that_is_counted() -> None:
    renamed = np.array([2, 0, 1])[TRUTH]
    plain = families_of_tests.test_targets(groups_of(frame()), strata(), CONFIG, SEED)
    other = families_of_tests.test_targets(groups_of(frame()), strata(renamed), CONFIG, SEED)
    for ours, theirs in zip(plain, other, strict=True):
        for name in ("p_permutation", "q_value", "p_family_wise"):
            np.testing.assert_array_equal(column(ours, name), column(theirs, name))
