"""The best of many trials: max-T by hand, what it counts, and what has no influence on it."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kruskal

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.core.seeds import derive_seed
from isthmus.stratification import selection
from isthmus.stratification.across import SelectionReport, TrialSignificance
from isthmus.stratification.partition import Partition
from isthmus.stratification.permutation import plan_permutations
from isthmus.stratification.selection import adjust_for_selection, comparable
from isthmus.stratification.variables import Variables

PHENOTYPES = ("verbal", "memory", "grip", "speed")
FACTORS = Variables(PHENOTYPES)
Replace = Callable[[str, object], Participants]
Make = Callable[[Sequence[int], Sequence[int] | None], Partition]


@pytest.fixture
def make(participants: Participants) -> Make:
    """Make a partition from labels, of all subjects or of some rows."""

    def partition(labels: Sequence[int], rows: Sequence[int] | None = None) -> Partition:
        chosen = range(len(labels)) if rows is None else rows
        found, codes = np.unique(labels, return_inverse=True)
        return Partition(
            participant_ids=tuple(participants.ids[row] for row in chosen),
            labels=tuple(codes.tolist()),
            exemplar_ids=(),
            sizes=tuple(np.bincount(codes).tolist()),
            n_columns=8,
            n_dropped_columns=0,
            clusterer="kmeans",
            setting=float(len(found)),
            sweep=(),
            n_assigned=0,
            silhouette=None,
        )

    return partition


@pytest.fixture
def study(make: Make, truth: np.ndarray) -> dict[str, list[Partition]]:
    """One trial that found the planted strata, five that found something else."""
    rng = np.random.default_rng(3)
    other = {
        f"trial-{t}": [make(rng.integers(0, 2 + t, 60)), make(rng.integers(0, 7 - t, 60))]
        for t in range(5)
    }
    return {**other, "planted": [make(truth)]}


def of(report: SelectionReport, name: str) -> TrialSignificance:
    """One trial of a report."""
    return next(row for row in report.trials if row.trial == name)


def test_the_planted_trial_survives_the_selection(
    study: dict[str, list[Partition]], participants: Participants, config: StratificationConfig
) -> None:
    report = adjust_for_selection(study, participants, config, FACTORS, seed=0)
    first = report.trials[0]
    assert (first.trial, first.n_partitions) == ("planted", 1)
    assert first.p_naive == first.p_adjusted == pytest.approx(1 / 200)
    assert min(row.p_adjusted for row in report.trials[1:]) > 0.05
    n_factors = 2
    assert report.n_statistics == n_factors * (5 * 2 + 1)
    assert report.n_permutations == 199
    assert SelectionReport.from_json(report.to_json()) == report


def test_p_values_by_hand(
    study: dict[str, list[Partition]], participants: Participants, config: StratificationConfig
) -> None:
    """scipy's H of every permutation; moments, cube root, maxima and shares in plain loops."""
    few = config.model_copy(update={"n_permutations": 39, "targets": ("phenotype",)})
    report = adjust_for_selection(study, participants, few, FACTORS, seed=4)
    families = participants.families.tolist()
    plan = plan_permutations(families, 39, derive_seed(4, "selection", 0))
    arrangements = [np.arange(60), *(row for chunk in plan.chunks(7) for row in chunk)]
    largest = {name: np.full(40, -np.inf) for name in study}
    for name, partitions in study.items():
        for partition in partitions:
            labels = np.array(partition.labels)
            for column in PHENOTYPES:
                values = participants.table[column].to_numpy()
                h = np.array(
                    [
                        kruskal(*(values[a][labels == k] for k in np.unique(labels))).statistic
                        for a in arrangements
                    ]
                )
                scale, nu = h.var() / (2 * h.mean()), 2 * h.mean() ** 2 / h.var()
                z = np.cbrt(h / (scale * nu)) - (1 - 2 / (9 * nu))
                largest[name] = np.maximum(largest[name], z / np.sqrt(2 / (9 * nu)))
    overall = np.max(list(largest.values()), axis=0)
    for name, of_trial in largest.items():
        row = of(report, name)
        assert row.p_naive == pytest.approx((of_trial >= of_trial[0] - 1e-9).mean())
        assert row.p_adjusted == pytest.approx((overall >= of_trial[0] - 1e-9).mean())


def test_of_a_single_trial_nothing_was_selected(
    study: dict[str, list[Partition]], participants: Participants, config: StratificationConfig
) -> None:
    alone = {"trial-2": study["trial-2"]}
    row = adjust_for_selection(alone, participants, config, FACTORS, seed=0).trials[0]
    assert row.n_partitions == 2
    assert row.p_naive == row.p_adjusted
    assert row.p_naive not in (None, 1.0)


def test_other_trials_raise_the_adjusted_p_alone(
    study: dict[str, list[Partition]], participants: Participants, config: StratificationConfig
) -> None:
    alone = {"trial-2": study["trial-2"]}
    one = adjust_for_selection(alone, participants, config, FACTORS, seed=0).trials[0]
    among = of(adjust_for_selection(study, participants, config, FACTORS, seed=0), "trial-2")
    assert among.p_naive == one.p_naive
    assert among.p_adjusted > one.p_adjusted


def test_the_same_trial_twice_is_no_more_than_once(
    study: dict[str, list[Partition]], participants: Participants, config: StratificationConfig
) -> None:
    """A Bonferroni correction would double the p-value."""
    once = {"trial-2": study["trial-2"]}
    twice = {**once, "again": study["trial-2"]}
    expected = adjust_for_selection(once, participants, config, FACTORS, seed=0).trials[0]
    for row in adjust_for_selection(twice, participants, config, FACTORS, seed=0).trials:
        assert row.p_adjusted == expected.p_adjusted


def test_trials_without_a_partition_are_listed_last(
    study: dict[str, list[Partition]], participants: Participants, config: StratificationConfig
) -> None:
    some = {"a-failed-one": [], **study}
    report = adjust_for_selection(some, participants, config, FACTORS, seed=0)
    assert report.trials[-1] == TrialSignificance("a-failed-one", 0, None, None, None)
    assert report.trials[:-1] == (
        adjust_for_selection(study, participants, config, FACTORS, seed=0).trials
    )
    none = adjust_for_selection({"failed": []}, participants, config, FACTORS, seed=0)
    assert none == SelectionReport((TrialSignificance("failed", 0, None, None, None),), 0, 0)


def test_order_of_trials_and_memory_have_no_influence(
    study: dict[str, list[Partition]],
    participants: Participants,
    config: StratificationConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = Variables(PHENOTYPES, (), ("age",))
    report = adjust_for_selection(study, participants, config, variables, seed=0)
    reordered = {name: study[name] for name in sorted(study, reverse=True)}
    assert adjust_for_selection(reordered, participants, config, variables, seed=0) == report
    monkeypatch.setattr(selection, "_BLOCK_BYTES", 3 * 8 * 200 * 2)
    monkeypatch.setattr(selection, "_CHUNK_BYTES", 40 * 8 * 2 * 63)
    assert adjust_for_selection(study, participants, config, variables, seed=0) == report


def test_folds_of_different_subjects(
    make: Make, participants: Participants, truth: np.ndarray, config: StratificationConfig
) -> None:
    """Each held-out fold has its own subjects; one of nine is too small to be tested."""
    rng = np.random.default_rng(5)
    pairs = rng.permutation(30)
    folds = [np.sort(np.r_[2 * part, 2 * part + 1]) for part in np.split(pairs[:20], 2)]
    tiny = np.arange(9)
    found = [make(truth[rows], rows) for rows in folds]
    noise = [make(rng.integers(0, 3, len(rows)), rows) for rows in (*folds, tiny)]
    trials = {"found": found, "noise": noise}
    report = adjust_for_selection(trials, participants, config, FACTORS, seed=0)
    assert of(report, "found").p_adjusted <= 0.05
    assert (of(report, "found").n_partitions, of(report, "noise").n_partitions) == (2, 2)
    assert report.n_statistics == 2 * 4
    assert of(report, "noise").p_adjusted > 0.05


def test_what_age_explains_is_gone_once_age_is_a_confound(
    make: Make, participants: Participants, with_column: Replace, config: StratificationConfig
) -> None:
    age = participants.table["age"].to_numpy()
    rng = np.random.default_rng(6)
    aged = with_column("grip", age + 5 * rng.standard_normal(60))
    trials = {"by_age": [make(np.digitize(age, [40, 60]))], "noise": [make(rng.integers(0, 3, 60))]}
    declared = config.model_copy(update={"targets": ("phenotype",)})
    plain = adjust_for_selection(trials, aged, declared, Variables(("grip",)), seed=0)
    assert of(plain, "by_age").p_adjusted == pytest.approx(1 / 200)
    with_age = Variables(("grip",), (), ("age",))
    assert adjust_for_selection(trials, aged, declared, with_age, seed=0).trials[0].p_naive > 0.05


def test_phenotypes_known_of_different_subjects_are_corrected_by_bonferroni(
    make: Make,
    participants: Participants,
    truth: np.ndarray,
    with_column: Replace,
    config: StratificationConfig,
) -> None:
    grip = participants.table["grip"].to_numpy().copy()
    grip[:12] = np.nan
    partly = with_column("grip", grip)
    phenotypes = config.model_copy(update={"targets": ("phenotype",)})
    trials = {"planted": [make(truth)]}
    alone = adjust_for_selection(trials, partly, phenotypes, Variables(("verbal",)), seed=0)
    both = adjust_for_selection(trials, partly, phenotypes, Variables(("verbal", "grip")), seed=0)
    assert both.trials[0].target == alone.trials[0].target == "verbal"
    assert both.trials[0].p_adjusted == pytest.approx(2 * alone.trials[0].p_adjusted)
    assert both.trials[0].p_naive == pytest.approx(2 * alone.trials[0].p_naive)


@pytest.mark.parametrize("variables", [Variables(), Variables((), ("sex",))])
def test_without_a_target_nothing_is_claimed(
    study: dict[str, list[Partition]],
    participants: Participants,
    config: StratificationConfig,
    variables: Variables,
) -> None:
    report = adjust_for_selection(study, participants, config, variables, seed=0)
    assert report.n_statistics == 0
    assert {(row.target, row.p_naive, row.p_adjusted) for row in report.trials} == {
        (None, None, None)
    }


def test_families_that_allow_no_permutation_give_no_p_value(
    study: dict[str, list[Partition]], participants: Participants, config: StratificationConfig
) -> None:
    frame = participants.table.assign(
        family_id=[f"fam-{i}" for i in range(60)], kin=[f"kind-{i}" for i in range(60)]
    )
    unique = Participants(frame, group_by="family_id", kinship_column="kin")
    report = adjust_for_selection(study, unique, config, FACTORS, seed=0)
    assert report.n_permutations == 0
    assert {row.p_adjusted for row in report.trials} == {None}


def test_bad_input_is_refused(
    study: dict[str, list[Partition]], participants: Participants, config: StratificationConfig
) -> None:
    with pytest.raises(StratificationError, match="at least one trial"):
        adjust_for_selection({}, participants, config, FACTORS, seed=0)
    fewer = Participants(pd.DataFrame(participants.table.iloc[1:]), group_by="family_id")
    with pytest.raises(StratificationError, match=r"trial 'trial-0' has sub-000 \(1 in all\)"):
        adjust_for_selection(study, fewer, config, FACTORS, seed=0)


def test_comparable_statistics() -> None:
    rng = np.random.default_rng(1)
    h_AF = np.column_stack([rng.chisquare(df, 4000) for df in (1, 4, 19)]) * [1.0, 2.0, 0.5]
    z_AF = comparable(h_AF)
    assert np.allclose(z_AF.mean(axis=0), 0.0, atol=0.1)
    assert np.allclose(np.quantile(z_AF, 0.999, axis=0), 3.09, atol=0.4)
    assert (np.argsort(z_AF, axis=0) == np.argsort(h_AF, axis=0)).all()
    without = comparable(np.array([[np.nan, 2.0], [4.0, 2.0], [1.0, 2.0]]))
    assert np.isfinite(without).all()
    assert without[0, 0] < without[2, 0] < without[1, 0]
    assert (without[:, 1] == 0.0).all()
