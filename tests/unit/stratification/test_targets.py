"""Who is tested on what, and what is known to be untestable beforehand."""

import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import CohortError, StratificationError
from isthmus.stratification.factors import find_factors
from isthmus.stratification.targets import TargetGroup, indicators, make_groups
from isthmus.stratification.variables import Variables

N = 40
IDS = tuple(f"sub-{i:03d}" for i in range(N))
RNG = np.random.default_rng(0)


def frame() -> pd.DataFrame:
    """Three numeric phenotypes, two categories, two confounds, pairs of relatives."""
    return pd.DataFrame(
        {
            "grip": RNG.uniform(10, 60, N),
            "speed": RNG.standard_normal(N),
            "memory": RNG.standard_normal(N),
            "diagnosis": np.array(["none", "mild", "severe"])[np.arange(N) % 3],
            "grade": (np.arange(N) % 4).astype(float),
            "age": RNG.uniform(20, 80, N),
            "sex": np.where(np.arange(N) % 2, "F", "M"),
            "family": [f"fam-{i // 2}" for i in range(N)],
            "role": ["twin", "twin"] * (N // 2),
        },
        index=pd.Index(IDS, name="participant_id"),
    )


def groups_of(
    table: pd.DataFrame,
    variables: Variables,
    config: StratificationConfig | None = None,
    ids: tuple[str, ...] = IDS,
    kinship: str | None = None,
) -> tuple[TargetGroup, ...]:
    config = config or StratificationConfig()
    people = Participants(table, "family", None, kinship_column=kinship)
    names = variables.phenotypes
    values = people.numeric(names, ids) if names else np.empty((len(ids), 0))
    factors = find_factors(values, names, ids, config.factors, seed=0)
    return make_groups(factors, people, ids, config, variables)


def test_kinds_come_in_order_and_share_subjects_where_they_can() -> None:
    table = frame()
    table.loc[IDS[3], "memory"] = np.nan
    variables = Variables(("grip", "memory", "speed"), ("diagnosis", "grade"), ("age", "sex"))
    factors, grip, memory, diagnosis, grade = groups_of(table, variables)
    assert factors.kind == "factor"
    assert factors.names[0] == "factor_1"
    assert (grip.kind, grip.names, grip.places) == ("phenotype", ("grip", "speed"), (0, 2))
    assert (memory.kind, memory.names, memory.places) == ("phenotype", ("memory",), (1,))
    assert (diagnosis.kind, diagnosis.names, diagnosis.places) == ("category", ("diagnosis",), (0,))
    assert diagnosis.levels == ("mild", "none", "severe")
    assert (grade.names, grade.places, grade.levels) == (("grade",), (1,), ("0", "1", "2", "3"))
    # The factors' gap was filled with the median; the phenotype's is left out.
    assert len(factors.rows_N) == len(grip.rows_N) == N
    np.testing.assert_array_equal(memory.rows_N, np.delete(np.arange(N), 3))
    assert all(group.testable for group in (factors, grip, memory, diagnosis, grade))


def test_subjects_with_an_unknown_confound_are_left_out_and_counted() -> None:
    table = frame()
    table.loc[[IDS[0], IDS[7]], "age"] = np.nan
    table.loc[IDS[5], "grip"] = np.nan
    (grip,) = groups_of(
        table,
        Variables(("grip",), (), ("age", "sex")),
        StratificationConfig(targets=("phenotype",)),
    )
    np.testing.assert_array_equal(grip.rows_N, np.delete(np.arange(N), [0, 5, 7]))
    assert grip.n_missing_confounds == 2
    assert grip.confounds_NC is not None
    assert grip.confounds_NC.shape == (N - 3, 2)
    assert np.isfinite(grip.confounds_NC).all()
    assert grip.families == tuple(f"fam-{i // 2}" for i in grip.rows_N)
    # Values stay with everybody of whom they are known, for the profiles.
    np.testing.assert_array_equal(np.isnan(grip.values_AV[:, 0]), np.arange(N) == 5)


def test_values_are_z_scores_and_indicators() -> None:
    table = frame()
    grip, diagnosis = groups_of(
        table,
        Variables(("grip",), ("diagnosis",)),
        StratificationConfig(targets=("phenotype", "category")),
    )
    expected = (table["grip"] - table["grip"].mean()) / table["grip"].std()
    np.testing.assert_allclose(grip.scores[:, 0], expected)
    assert grip.confounds_NC is None
    for v, level in enumerate(diagnosis.levels):
        np.testing.assert_array_equal(diagnosis.scores[:, v], table["diagnosis"] == level)


def test_kinship_and_ignored_families() -> None:
    variables = Variables(("grip",))
    with_kinship = groups_of(frame(), variables, kinship="role")[0]
    assert with_kinship.kinship == ("twin",) * N
    assert with_kinship.plan(19, seed=0).n_families == N // 2
    assert groups_of(frame(), variables)[0].kinship is None
    free = groups_of(frame(), variables, StratificationConfig(blocks="none"), kinship="role")[0]
    assert free.families is None
    assert free.kinship is None
    assert free.plan(19, seed=0).n_families == N


def test_only_the_kinds_asked_for() -> None:
    variables = Variables(("grip", "speed"), ("diagnosis",))
    for kind in ("factor", "phenotype", "category"):
        found = groups_of(frame(), variables, StratificationConfig(targets=(kind,)))
        assert {group.kind for group in found} == {kind}
    assert groups_of(frame(), Variables()) == ()


def test_a_constant_phenotype_is_untestable_and_leaves_its_group_be() -> None:
    table = frame().assign(speed=0.1 + 0.2)
    (group,) = groups_of(
        table, Variables(("grip", "speed")), StratificationConfig(targets=("phenotype",))
    )
    assert group.names == ("grip", "speed")
    assert group.reasons == (None, "All 40 subjects tested have one value.")
    assert not group.scores[:, 1].any()


def test_all_missing_and_hardly_known_phenotypes_are_untestable() -> None:
    table = frame()
    table["memory"] = np.nan
    table.loc[list(IDS[9:]), "speed"] = np.nan
    found = groups_of(
        table,
        Variables(("memory", "speed", "grip"), ("diagnosis",)),
        StratificationConfig(targets=("phenotype",)),
    )
    assert [(group.names, group.testable) for group in found] == [
        (("memory",), False),
        (("speed",), False),
        (("grip",), True),
    ]
    assert found[0].reasons == ("It is known for 0 subjects only; 10 are needed.",)
    assert found[1].reasons == ("It is known for 9 subjects only; 10 are needed.",)


def test_too_few_with_all_confounds_is_the_reason_of_all() -> None:
    table = frame()
    table.loc[list(IDS[9:]), "age"] = np.nan
    found = groups_of(table, Variables(("grip",), ("diagnosis",), ("age",)))
    assert [group.kind for group in found] == ["factor", "phenotype", "category"]
    for group in found:
        assert not group.testable
        assert "confounds are known for 9 subjects only; 10 are needed." in str(group.reasons[0])


def test_a_category_of_one_value_or_of_nobody_is_untestable() -> None:
    table = frame()
    table["diagnosis"] = np.where(np.arange(N) == 0, "mild", "none")
    table["grade"] = np.nan
    config = StratificationConfig(targets=("category",))
    diagnosis, grade = groups_of(table, Variables((), ("diagnosis", "grade")), config, ids=IDS[1:])
    assert diagnosis.reasons == ("All 39 subjects tested have one category.",)
    assert diagnosis.levels == ("none",)
    assert grade.reasons == ("It is known for 0 subjects only; 10 are needed.",)
    assert grade.values_AV.shape == (N - 1, 0)


def test_missing_categories_are_left_out_not_a_category() -> None:
    table = frame()
    table.loc[[IDS[1], IDS[2]], "diagnosis"] = None
    (group,) = groups_of(
        table, Variables((), ("diagnosis",)), StratificationConfig(targets=("category",))
    )
    assert len(group.rows_N) == N - 2
    assert group.levels == ("mild", "none", "severe")
    assert (group.scores.sum(axis=1) == 1).all()


@pytest.mark.parametrize("name", ["age", "family", "label"])
def test_a_column_that_tells_everybody_apart_is_no_category(name: str) -> None:
    table = frame().assign(label=[f"x{i}" for i in range(N)])
    table["family"] = table["label"]
    people = Participants(table, None, None)
    with pytest.raises(CohortError, match=rf"'{name}' must have few values .* 40 over 40"):
        indicators(people, name, IDS)


def test_unknown_columns_and_infinite_phenotypes_are_errors() -> None:
    with pytest.raises(CohortError, match="no column 'diagnosi'"):
        groups_of(frame(), Variables((), ("diagnosi",)))
    table = frame()
    table.loc[IDS[4], "grip"] = np.inf
    people = Participants(table, "family", None, digest="of an infinite table there is none")
    none = find_factors(np.empty((N, 0)), (), IDS, StratificationConfig().factors, seed=0)
    with pytest.raises(StratificationError, match="infinity in grip"):
        make_groups(none, people, IDS, StratificationConfig(), Variables(("speed", "grip")))
