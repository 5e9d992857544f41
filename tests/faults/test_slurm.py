"""deploy/slurm/isthmus.sbatch under a real Slurm of two nodes: a search, its time over, its end."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from disturbed_search import SEARCH, undisturbed, what_it_found, write_small
from slurm_cluster import Slurm, slurm_cluster
from tiny_search import search_folder, study_records

pytestmark = [
    pytest.mark.long,
    pytest.mark.ray,
    pytest.mark.timeout(1500),
    # MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]

OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"}


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    with slurm_cluster(tmp_path) as cluster:
        yield cluster


def test_a_job_whose_time_is_over_goes_on_by_itself(
    slurm: Slurm, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected: Mapping[str, Any] = undisturbed(tmp_path_factory)
    write_small(tmp_path)
    job = slurm.submit(*SEARCH)
    slurm.wait_until(
        lambda: any(tmp_path.glob("runs/*/fold-0/history.jsonl")), "the first epoch", job
    )
    slurm.stop(job, "--signal=USR1", "--batch")
    waiting = slurm.wait_for_state(job, "PENDING")
    assert waiting["Restarts"] == "1"
    assert "the job goes on when it is next its turn" in slurm.log(job)
    assert not any(record.state == "finished" for record in study_records(search_folder(tmp_path)))
    slurm.begin_again(job)
    over = slurm.wait_for_state(job, *OVER)
    said = slurm.log(job)
    assert (over["JobState"], over["ExitCode"]) == ("COMPLETED", "0:0"), said
    assert said.count("isthmus.sbatch: 2 nodes, head 127.0.0.1:") == 2
    assert what_it_found(tmp_path / "runs", f"sqlite:///{tmp_path}/runs/mlflow.db") == expected
    slurm.wait_until(lambda: not slurm.left_behind(job), "the nodes have cleaned up", job)


def test_a_job_goes_on_when_a_node_is_lost(
    slurm: Slurm, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected: Mapping[str, Any] = undisturbed(tmp_path_factory)
    write_small(tmp_path)
    job = slurm.submit(*SEARCH)
    slurm.wait_until(
        lambda: any(tmp_path.glob("runs/*/fold-0/history.jsonl")), "the first epoch", job
    )
    slurm.lose("n2")
    over = slurm.wait_for_state(job, *OVER)
    assert (over["JobState"], over["Restarts"]) == ("COMPLETED", "0"), slurm.log(job)
    found = what_it_found(tmp_path / "runs", f"sqlite:///{tmp_path}/runs/mlflow.db")
    for run in found["runs"].values():
        run["tags"].pop("isthmus.retried", None)  # what it says is true, and all that differs
    assert found == expected


def test_a_job_whose_first_node_is_lost_is_queued_again(slurm: Slurm, tmp_path: Path) -> None:
    write_small(tmp_path)
    soon = {"RAY_gcs_rpc_server_reconnect_timeout_s": "3", "ISTHMUS_WATCH_SECONDS": "1"}
    job = slurm.submit(*SEARCH, **soon)
    slurm.wait_until(lambda: "isthmus.sbatch: 2 nodes" in slurm.log(job), "Ray on both nodes", job)
    slurm.lose("n1")
    waiting = slurm.wait_for_state(job, "PENDING", *OVER)
    assert (waiting["JobState"], waiting["Restarts"]) == ("PENDING", "1"), slurm.log(job)
    kept = tmp_path / "private" / f"job-{job}" / "lost"
    assert kept.read_text() == "n1 was lost, where the command ran; the job goes on\n"


def test_a_job_that_is_cancelled_does_not_go_on_and_leaves_nothing(
    slurm: Slurm, tmp_path: Path
) -> None:
    write_small(tmp_path)
    job = slurm.submit(*SEARCH)
    slurm.wait_until(lambda: "trial 0: begun" in slurm.log(job), "the first trial begun", job)
    assert [file.stat().st_mode & 0o777 for file in tmp_path.glob("private/job-*/token")] == [0o600]
    slurm.stop(job)
    slurm.wait_for_state(job, "CANCELLED")
    slurm.wait_until(lambda: not slurm.left_behind(job), "the nodes have cleaned up", job)
    assert "Interrupted. Run the same command again to continue." in slurm.log(job)
    assert slurm.state(job)["Restarts"] == "0"


def test_what_cannot_start_says_so(slurm: Slurm) -> None:
    told = {
        slurm.submit("demo", "--subjects=24"): "on a cluster, not 'demo'",
        slurm.submit("search"): "needs an isthmus command",
        slurm.submit(*SEARCH, ISTHMUS_INTERFACE="nothere0"): "no IPv4 address on nothere0",
        slurm.submit(*SEARCH, ISTHMUS_START_SECONDS="2"): "waited 2 s for",
    }
    for job, message in told.items():
        over = slurm.wait_for_state(job, *OVER)
        assert (over["JobState"], over["ExitCode"]) == ("FAILED", "2:0"), slurm.log(job)
        assert message in slurm.log(job)
        slurm.wait_until(lambda job=job: not slurm.left_behind(job), "all cleaned up", job)
