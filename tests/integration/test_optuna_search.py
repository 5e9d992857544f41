"""The ledger of a search on real Optuna: what is suggested, what is kept."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kept_study import make_ledger, seen_by_optuna, start_python
from small_space import SAMPLERS, make_ending, make_space, make_values, search

from isthmus.backends.optuna_search import OptunaLedger
from isthmus.backends.optuna_study import open_ledger
from isthmus.backends.study_storage import StudyError
from isthmus.config.search_space import SearchSpace
from isthmus.core.errors import ConfigError
from isthmus.study.records import TrialRecord

KINDS = ("sqlite", "journal")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:///{tmp_path}/below/study"


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return f"journal:///{tmp_path}/study.log"


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_serial_search_is_the_same_in_one_sitting_and_in_many(kind: str, tmp_path: Path) -> None:
    n_objectives = 1 if kind == "cmaes" else 2
    space = make_space(kind, n_objectives)
    with make_ledger(f"sqlite:///{tmp_path}/one", space) as ledger:
        at_once = search(ledger, 12, n_objectives)
    one_by_one = []
    for _ in range(12):
        with make_ledger(f"journal:///{tmp_path}/many", space) as ledger:
            one_by_one += search(ledger, 1, n_objectives)
    assert one_by_one == at_once
    with OptunaLedger(f"journal:///{tmp_path}/other", "study", space, 1) as ledger:
        assert search(ledger, 12, n_objectives) != at_once


def test_hashes_of_a_process_do_not_change_what_is_suggested(tmp_path: Path) -> None:
    script = """if True:
        import json, sys
        from small_space import SAMPLERS, make_space, search
        from isthmus.backends.optuna_search import OptunaLedger
        for kind in SAMPLERS:
            with OptunaLedger(f"journal:///{sys.argv[1]}/{kind}", "s", make_space(kind), 0) as one:
                print(json.dumps(search(one, 12)))
        """
    told = []
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        process = start_python(script, str(tmp_path / seed), PYTHONHASHSEED=seed)
        told.append(process.communicate(timeout=120)[0])
        assert process.returncode == 0
    assert told[0] == told[1]
    assert len(set(told[0].splitlines())) == len(SAMPLERS)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_points_have_the_values_of_their_dimensions(kind: str, journal: str) -> None:
    with make_ledger(journal, make_space(kind)) as ledger:
        points = search(ledger, 20)
        assert [record.point for record in ledger.trials()] == points
    assert {point["model.convolution"] for point in points} == {"separable", "standard"}
    for point in points:
        asked = (
            {"model.multiplier", "model.where"} if "sep" in point["model.convolution"] else set()
        )
        always = {"model.convolution", "model.depth", "training.learning_rate"}
        assert set(point) == asked | always
        assert type(point["model.depth"]) is int
        assert type(point["training.learning_rate"]) is float
        assert point.get("model.where") in ([1, 2], [3], None)


def test_choices_that_python_takes_for_equal_stay_apart(journal: str) -> None:
    choices = [True, 1, 1.0, "1", None, {"a": [1]}]
    space = SearchSpace.model_validate(
        {
            "space": {"model.x": {"kind": "categorical", "choices": choices}},
            "sampler": {"kind": "grid"},
        }
    )
    with make_ledger(journal, space) as ledger:
        for _ in choices:
            ledger.suggest()
        assert ledger.suggest() is None
    with open_ledger(journal, "study") as reader:
        found = [record.point["model.x"] for record in reader.trials()]
    assert sorted(map(repr, found)) == sorted(map(repr, choices))


@pytest.mark.parametrize("kind", SAMPLERS)
def test_first_points_come_first_in_order_and_once(kind: str, journal: str) -> None:
    first = [
        {
            "model.convolution": "separable",
            "model.multiplier": 2,
            "model.where": [3],
            "model.depth": 4,
            "training.learning_rate": 0.5 if kind == "grid" else 1e-3,
        },
        {
            "model.convolution": "standard",
            "model.depth": 5,
            "training.learning_rate": 0.75 if kind == "grid" else 1e-2,
        },
        {"model.convolution": "standard"},
    ]
    points = []
    for later in (first, [], first[:1]):
        with make_ledger(journal, make_space(kind), first_points=later) as ledger:
            points += search(ledger, 2)
    assert points[:2] == first[:2]
    assert points[2]["model.convolution"] == "standard"
    assert len(points[2]) == 3
    assert first[0] not in points[1:]
    assert first[1] not in points[2:]


def test_first_points_are_among_the_first_generation(journal: str) -> None:
    first = [{"model.convolution": "standard", "model.depth": 5, "training.learning_rate": 1e-2}]
    with make_ledger(journal, make_space("nsga2"), first_points=first * 3) as ledger:
        search(ledger, 3)
        # Children of three times the same parent differ from it by a mutation at most.
        assert all(point["model.convolution"] == "standard" for point in search(ledger, 1))
    generations = [
        t.system_attrs["NSGAIISampler:generation"] for t in seen_by_optuna(journal).trials
    ]
    assert generations == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ({"model.depht": 3}, "model.depht must be a dimension"),
        ({"model.depth": 6}, "model.depth must be a value"),
        ({"model.convolution": "dense"}, "model.convolution must be a value"),
    ],
)
def test_a_first_point_of_another_space_is_refused(
    point: dict[str, Any], said: str, url: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        make_ledger(url, first_points=[point])
    assert list(tmp_path.iterdir()) == []


def test_a_grid_takes_each_point_once_whatever_became_of_it(url: str) -> None:
    first = {"model.convolution": "standard", "model.depth": 4, "training.learning_rate": 0.5}
    points = []
    with make_ledger(url, make_space("grid"), first_points=[first]) as ledger:
        while (record := ledger.suggest()) is not None:
            points.append(record.point)
            if record.number % 3:
                ledger.save(make_ending(record))
    rates, depths = (0.25, 0.5, 0.75), (3, 4, 5)
    expected = [
        {"model.convolution": "standard", "model.depth": d, "training.learning_rate": r}
        for d, r in itertools.product(depths, rates)
    ] + [
        {
            "model.convolution": "separable",
            "model.depth": d,
            "training.learning_rate": r,
            "model.multiplier": m,
            "model.where": w,
        }
        for d, r, m, w in itertools.product(depths, rates, (1, 2, 3), ([1, 2], [3]))
    ]
    assert points[0] == first
    assert len(points) == len(expected) == 63
    assert all(point in points for point in expected)


def test_what_a_sampler_cannot_search_is_refused(journal: str) -> None:
    with pytest.raises(ConfigError, match="one objective"):
        make_ledger(journal, make_space("cmaes", 2))
    endless = make_space("tpe").model_copy(update={"sampler": make_space("grid").sampler})
    with pytest.raises(ConfigError, match=r"training\.learning_rate has none"):
        make_ledger(journal, endless)


def _endings(record: TrialRecord) -> dict[str, TrialRecord]:
    """A record in each of its states, with every field set."""
    full = replace(
        record,
        digest="ab" * 32,
        folder="small-ab",
        reports=((1, 0.25), (3, 0.1 + 0.2)),
        changed={"training.accumulation_steps": 4, "model.where": [1, 2]},
        attempts=2,
        seconds=1 / 3,
        gpu_seconds=1e-12,
        facts={"embedding_size": 64, "name": "small", "share": 0.5},
        leaky=True,
    )
    values, errors = (0.1, 2 / 3), (0.01, None)
    return {
        "running": full,
        "finished": replace(full, state="finished", values=values, standard_errors=errors),
        "stopped": replace(full, state="stopped", reason="asha at fold 1"),
        "failed": replace(full, state="failed", reason="TrainingDiverged: step 12"),
        "infeasible": replace(record, state="infeasible", reason="too deep"),
        "repeated": replace(record, state="repeated", same_as=1, values=values),
        "repeated of none": replace(record, state="repeated", same_as=0, reason="same as 0"),
    }


STATES = {
    "running": "RUNNING",
    "finished": "COMPLETE",
    "stopped": "PRUNED",
    "failed": "FAIL",
    "infeasible": "PRUNED",
    "repeated": "COMPLETE",
    "repeated of none": "FAIL",
}


def test_records_come_back_as_they_were_and_optuna_knows_their_states(url: str) -> None:
    kept = []
    with make_ledger(url, make_space("random", 2)) as ledger:
        for name in STATES:
            record = ledger.suggest()
            assert record.suggested_after == max(0, record.number - 1)
            ending = _endings(record)[name]
            for _ in range(2):  # the second time changes nothing
                ledger.save(ending)
            kept.append(ending)
        assert ledger.trials() == tuple(kept)
    with open_ledger(url, "study") as reader:
        assert reader.trials() == tuple(kept)
        assert [one.metric for one in reader.objectives] == ["validation_mse", "robustness_score"]
    seen = seen_by_optuna(url).trials
    assert [trial.state.name for trial in seen] == list(STATES.values())
    assert [trial.values for trial in seen if trial.state.name == "COMPLETE"] == [[0.1, 2 / 3]] * 2
    assert seen[1].intermediate_values == {1: 0.25, 3: 0.1 + 0.2}
    assert seen[4].values is None


def test_a_final_state_stays(url: str) -> None:
    with make_ledger(url) as ledger:
        done = make_ending(ledger.suggest())
        ledger.save(done)
        for other in (
            replace(done, state="failed", values=None, standard_errors=None),
            replace(done, values=(0.0,)),
            replace(done, point={**done.point, "model.depth": 9}),
            replace(done, reports=((1, 0.5),)),
        ):
            with pytest.raises(ValueError, match="trial 0"):
                ledger.save(other)
        with pytest.raises(ValueError, match="there is no trial 1"):
            ledger.save(replace(done, number=1))
        assert ledger.trials() == (done,)


@pytest.mark.parametrize(
    "values", [(float("nan"),), (float("inf"),), (0.1, 0.2), (), None], ids=str
)
def test_values_that_are_none_are_refused(values: tuple[float, ...] | None, journal: str) -> None:
    with make_ledger(journal) as ledger:
        record = ledger.suggest()
        with pytest.raises(ValueError, match="trial 0"):
            ledger.save(replace(record, state="finished", values=values))
        with pytest.raises(ValueError, match="no values"):
            ledger.save(replace(record, state="stopped", values=(0.1,)))
        with pytest.raises(ValueError, match="must be finite"):
            ledger.report(0, 1, float("nan"))
        assert ledger.trials() == (record,)


def test_a_level_is_reported_once(url: str) -> None:
    with make_ledger(url, make_space("tpe", 2)) as ledger:
        record = ledger.suggest()
        for level, value in ((2, 0.5), (1, 0.7), (2, 0.9)):
            ledger.report(0, level, value)
        assert ledger.trials() == (replace(record, reports=((1, 0.7), (2, 0.5))),)


def test_notes_are_kept_beside_what_the_ledger_notes_itself(url: str) -> None:
    with make_ledger(url) as ledger:
        assert ledger.notes() == {}
        ledger.note("wall_seconds", "1")
        ledger.note("wall_seconds", "2")
        with pytest.raises(ValueError, match="another name"):
            ledger.note("isthmus", "x")
    with open_ledger(url, "study") as reader:
        assert reader.notes() == {"wall_seconds": "2"}


@pytest.mark.parametrize("kind", ["tpe", "multivariate_tpe", "nsga2"])
def test_stopped_trials_with_reports_do_not_end_a_search_for_several_objectives(
    kind: str, journal: str
) -> None:
    with make_ledger(journal, make_space(kind, 2)) as ledger:
        for _ in range(8):
            record = ledger.suggest()
            ledger.save(replace(record, state="stopped", reports=((1, 0.5),)))
        search(ledger, 8, 2)


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_tpe_learns_to_avoid_what_cannot_be_built(n_objectives: int, journal: str) -> None:
    with make_ledger(journal, make_space("tpe", n_objectives)) as ledger:
        for _ in range(40):
            record = ledger.suggest()
            if record.point["model.convolution"] == "separable":
                ledger.save(replace(record, state="infeasible", reason="too wide"))
            else:
                values = make_values(record.point, n_objectives)
                ledger.save(replace(record, state="finished", values=values))
        late = [record.state for record in ledger.trials()[20:]]
    assert late.count("infeasible") <= 5


def test_a_running_trial_counts_for_the_next_suggestion(tmp_path: Path) -> None:
    points = []
    for kind in ("running", "failed"):  # what is learned of a failed trial is nothing
        with make_ledger(f"journal:///{tmp_path}/{kind}") as ledger:
            search(ledger, 10)
            record = ledger.suggest()
            ledger.save(replace(record, state=kind))
            points.append(ledger.suggest().point)
    assert points[0] != points[1]


def test_what_others_put_into_a_study_is_left_out(url: str) -> None:
    space = make_space("random")
    with make_ledger(url, space) as ledger:
        before = search(ledger, 1)
        other = seen_by_optuna(url)
        other.enqueue_trial({"x": 1})
        other.tell(other.ask(), 0.5)
        other.enqueue_trial({"x": 2})
        after = search(ledger, 1)
        assert [record.number for record in ledger.trials()] == [0, 3]
        assert [record.point for record in ledger.trials()] == before + after


def test_a_second_driver_is_noticed(journal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.backends import optuna_search

    with make_ledger(journal) as one, make_ledger(journal) as other:
        choose: Callable[..., Any] = optuna_search.propose

        def meanwhile(*arguments: Any) -> Any:
            monkeypatch.setattr(optuna_search, "propose", choose)
            other.suggest()
            return choose(*arguments)

        monkeypatch.setattr(optuna_search, "propose", meanwhile)
        with pytest.raises(StudyError, match="One search at a time"):
            one.suggest()
