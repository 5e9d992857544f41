"""The cost model and the simulated study, against what can be worked out by hand."""

import importlib
import json
import subprocess
import sys
from types import ModuleType

import pytest

pytestmark = pytest.mark.usefixtures("benchmarks")


@pytest.fixture
def costs(benchmarks: object) -> ModuleType:
    return importlib.import_module("cost_model")


@pytest.fixture
def studies(benchmarks: object) -> ModuleType:
    return importlib.import_module("study_simulation")


@pytest.fixture
def network(costs: ModuleType):
    # a millisecond a voxel, and nothing else
    return costs.Network("made up", 1000, 10, costs.Line(0.0, 1e-3), costs.Line(0.0, 4.0))


def study_of(studies: ModuleType, **changed: object):
    given = {
        "kind": "search",
        "n_subjects": 100,
        "n_trials": 6,
        "n_folds": 5,
        "n_epochs": 10,
        "n_voxels": 1000,
        "subject_bytes": 1000,
        "global_batch_size": 4,
    }
    return studies.Study(**{**given, **changed})


def cluster_of(studies: ModuleType, costs: ModuleType, **changed: object):
    given = {
        "n_devices": 4,
        "times": 1.0,
        "link": costs.Link(0.0, float("inf")),
        "store_bytes_per_s": float("inf"),
        "event_s": 0.0,
    }
    return studies.Cluster(**{**given, **changed})


def test_a_line_is_found_again_and_never_falls_below_zero(costs):
    line = costs.Line.fitted([1e5, 1e6, 1e7], [0.5 + 2e-6 * x for x in (1e5, 1e6, 1e7)])
    assert line.at_zero == pytest.approx(0.5)
    assert line.per_unit == pytest.approx(2e-6)
    falling = costs.Line.fitted([1.0, 2.0, 3.0], [0.5, 3.0, 6.0])
    assert falling.at_zero == 0.0
    with pytest.raises(ValueError, match="two measurements"):
        costs.Line.fitted([1.0], [1.0])


def test_a_ring_moves_each_byte_twice_and_short_sums_climb_a_tree(costs):
    link = costs.Link(latency_s=1e-3, bytes_per_s=1e6)
    assert link.all_reduce_s(1e6, 1) == 0.0
    assert link.all_reduce_s(1e6, 2) == pytest.approx(1e-3 + 1.0)
    assert link.all_reduce_s(1e6, 4) == pytest.approx(2e-3 + 1.5)
    assert link.all_reduce_s(0.0, 512) == pytest.approx(9e-3)
    assert costs.Link.fitted([1e3, 1e6], [2e-3, 1.001]).bytes_per_s == pytest.approx(1e6, rel=1e-3)


def test_workers_share_the_subjects_and_wait_for_messages(costs, network):
    link = costs.Link(latency_s=1e-3, bytes_per_s=4000.0)
    assert network.group_step_s(1000, 4, 1, link) == pytest.approx(4.0)
    assert network.group_step_s(1000, 2, 2, link) == pytest.approx(2.0 + 10 * 1e-3 + 1e-3 + 1.0)
    assert network.group_step_s(1000, 4, 1, link, times=10) == pytest.approx(0.4)


def test_what_workers_wait_for_each_other_is_found_again(costs, network):
    fast, slow = costs.Link(1e-3, 4000.0), costs.Link(2e-3, 400.0)
    found = network.group_step_s(1000, 1, 2, fast) + 0.5
    fitted = network.in_lockstep(1000, fast, found)
    assert fitted.lockstep_s == pytest.approx(0.5 / network.n_sums)
    for times in (1.0, 10.0):  # faster devices are unequal by less
        beyond = [one.group_step_s(2000, 1, 2, slow, times) for one in (fitted, network)]
        assert beyond[0] - beyond[1] == pytest.approx(0.5 / times)
    assert fitted.group_step_s(1000, 1, 1, slow) == network.group_step_s(1000, 1, 1, slow)
    assert network.in_lockstep(1000, fast, 0.0).lockstep_s == 0.0


def test_nothing_in_the_way_it_is_arithmetic(costs, studies, network):
    study, cluster = study_of(studies), cluster_of(studies, costs)
    told = studies.simulate(study, cluster, network, 1)
    # 80 subjects a fold: 20 steps of 4 s, 10 epochs, 5 folds; 6 trials on 4 devices are two turns
    assert told.hours * 3600 == pytest.approx(2 * 5 * 10 * 20 * 4.0)
    assert told.used == pytest.approx(6 / 8)
    assert (told.waiting, told.lost, told.driver, told.messages) == (0.0, 0.0, 0.0, 0.0)
    # An ablation's folds do not wait for each other: 30 of them in 8 turns.
    apart = studies.simulate(study_of(studies, kind="ablation"), cluster, network, 1)
    assert apart.hours * 3600 == pytest.approx(8 * 10 * 20 * 4.0)


def test_each_limit_binds_when_it_is_low(costs, studies, network):
    study = study_of(studies)
    slow_store = cluster_of(studies, costs, store_bytes_per_s=1000.0)  # 16 s for 4 steps' subjects
    assert studies.simulate(study, slow_store, network, 1).waiting == pytest.approx(1 - 4 / 16)
    slow_driver = cluster_of(studies, costs, event_s=1e3)
    assert studies.simulate(study, slow_driver, network, 1).driver == 1.0
    drawing = cluster_of(studies, costs, publish_s=1e5)
    assert studies.simulate(study, drawing, network, 1).hours == pytest.approx(30 * 1e5 / 3600)
    slow_link = cluster_of(studies, costs, link=costs.Link(1.0, 1e9))
    assert studies.simulate(study, slow_link, network, 4).messages == pytest.approx(22 / 23, 1e-3)
    assert studies.best(study, slow_link, network).n_workers == 1
    limits = studies.without(study, slow_store, network)
    assert limits["a store without limit"] > 2
    assert limits["links without cost"] == pytest.approx(1.0)


def test_more_devices_than_trials_and_batches_can_use_stay_idle(costs, studies, network):
    study = study_of(studies, global_batch_size=1)
    told = studies.best(study, cluster_of(studies, costs, n_devices=512), network)
    assert told.n_workers == 1
    assert told.used == pytest.approx(6 / 512)
    with pytest.raises(ValueError, match="must divide"):
        studies.simulate(study, cluster_of(studies, costs), network, 3)


def test_failures_cost_what_they_should_on_average(costs, studies, network):
    study = study_of(studies, kind="ablation", n_trials=400)
    cluster = cluster_of(studies, costs, node_hours=1.0, restart_s=60.0)
    told = studies.simulate(study, cluster, network, 1)
    fold_s, kept_s = 10 * 20 * 4.0, 20 * 4.0
    expected = fold_s / 3600 * (60.0 + kept_s / 2)
    assert told.lost == pytest.approx(expected / (fold_s + expected), rel=0.15)
    assert told.n_failures == pytest.approx(2000 * fold_s / 3600, rel=0.15)


def test_the_worker_meets_itself(benchmarks, tmp_path):
    duty = {
        "preset": "paper",
        "grid": [32, 32, 64],
        "n_subjects": 2,
        "n_steps": 1,
        "messages": [],
        "n_workers": 1,
        "rank": 0,
        "meeting": "",
        "interface": "lo",
    }
    told = subprocess.run(
        [sys.executable, str(benchmarks / "cost_worker.py"), json.dumps(duty)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(told.stdout)
    assert found["n_sums"] == 0
    assert found["peak_mib"] > found["before_mib"]
