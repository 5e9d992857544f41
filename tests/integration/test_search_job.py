"""A search as a job of a cluster: `ray job submit`, `ray job stop`, and submitted again."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from job_cluster import JOB_SECONDS, Cluster, job_cluster, wait_until
from tiny_search import isthmus, study_records, write_search

from isthmus.backends.worker_share import usable_cores
from isthmus.study.records import OVER, TrialRecord

pytestmark = [
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(usable_cores() < 2, reason="two trials at a time need two cores"),
]

SEARCH = ("isthmus", "search", "experiment.yaml", "search_spaces/architecture.yaml")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with two cores, and a search whose places are absolute, ready to be submitted."""
    shared = tmp_path_factory.mktemp("shared")
    places = {"cohort.root": "cohort", "execution.output": "runs", "execution.store": "store"}
    experiment, space = write_search(
        shared,
        n_trials=12,
        settings={
            **{setting: str(shared / name) for setting, name in places.items()},
            "execution.concurrent_trials": 2,
        },
        scheduler={"kind": "asha", "unit": "fold", "reduction_factor": 2},
    )
    folder = tmp_path_factory.mktemp("submitted")
    (folder / "search_spaces").mkdir()
    shutil.copy(experiment, folder / "experiment.yaml")
    shutil.copy(space, folder / "search_spaces" / "architecture.yaml")
    with job_cluster(folder) as made:
        yield made


def kept_trials(cluster: Cluster) -> tuple[TrialRecord, ...]:
    """Read the ledger of the search, which is in the shared folder."""
    return study_records(_output(cluster) / "small-search-architecture")


def _output(cluster: Cluster) -> Path:
    content = (cluster.folder / "experiment.yaml").read_text()
    found = re.search(r"^  output: (.+)$", content, re.MULTILINE)
    assert found is not None
    return Path(found[1])


def begun(log: str) -> list[int]:
    """List the trials that a job's log says were begun, in order."""
    return [int(number) for number in re.findall(r"^trial (\d+): begun", log, re.MULTILINE)]


def test_a_stopped_job_is_finished_by_the_next(cluster):
    submitted = cluster.submit("first", SEARCH, "--no-wait")
    assert submitted.returncode == 0, submitted.stdout
    wait_until(
        lambda: sum(record.state in OVER for record in kept_trials(cluster)) >= 5,
        JOB_SECONDS,
        lambda: cluster.job("logs", "first").stdout,
    )
    stopped = cluster.job("stop", "first")
    assert "was stopped" in stopped.stdout, stopped.stdout
    first_log = cluster.job("logs", "first").stdout
    # what was running when Ray was left does not join it again
    assert "Connecting to existing Ray cluster" not in first_log, first_log
    before = {record.number: record for record in kept_trials(cluster)}
    over = {number for number, record in before.items() if record.state in OVER}
    assert len(over) < 12, first_log
    assert over <= set(begun(first_log)) <= set(before), first_log
    assert re.search(r"trial \d+: finished \(\d+ of 12\): validation_mse", first_log), first_log

    again = cluster.submit("second", SEARCH)
    assert again.returncode == 0, again.stdout
    assert "'second' succeeded" in again.stdout
    after = {record.number: record for record in kept_trials(cluster)}
    assert sorted(after) == list(range(12))
    assert {record.state for record in after.values()} <= set(OVER)
    assert len({record.digest for record in after.values()}) == 12
    assert {number: after[number] for number in over} == {number: before[number] for number in over}
    # none that was over is begun again, none is begun twice, none is left out
    assert sorted(begun(again.stdout)) == sorted(set(after) - over), again.stdout
    for number in before.keys() - over:
        # the job may have been stopped between the choice of a trial and its start
        assert after[number].attempts == before[number].attempts + 1
        if before[number].attempts:
            assert f"trial {number}: begun again, attempt 2" in again.stdout


def test_a_job_whose_results_would_be_lost_is_refused_in_its_log(cluster):
    file = cluster.folder / "experiment.yaml"
    absolute = file.read_text()
    file.write_text(absolute.replace(f"output: {_output(cluster)}", "output: runs"))
    try:
        refused = cluster.submit("relative", SEARCH)
    finally:
        file.write_text(absolute)
    assert refused.returncode == 1
    assert "Set execution.output to an absolute path that all nodes share" in refused.stdout
    assert "failed with exit code 2" in refused.stdout


def test_a_command_joins_the_cluster_by_its_address(cluster):
    """It goes on with the jobs' search, or begins one where this test is run alone."""
    n_trials = len(kept_trials(cluster)) + 1
    done = isthmus(
        *SEARCH[1:],
        *("--address", cluster.head, "--space-set", f"budget.n_trials={n_trials}"),
        folder=cluster.folder,
        environment=cluster.environment,
    )
    assert done.returncode == 0, done.stderr
    assert begun(done.stderr) == [n_trials - 1]
    assert kept_trials(cluster)[-1].state in OVER
