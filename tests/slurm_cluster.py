"""A real Slurm of this machine alone: munge, a controller, and two nodes that share the machine."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest
from deploy_files import DEPLOY, PROGRAMS
from process_ends import kill_tree

SCRIPT = DEPLOY / "slurm" / "isthmus.sbatch"
SOURCES = (DEPLOY.parent / "platform", DEPLOY.parent / "dashboards")
START_SECONDS, JOB_SECONDS = 60.0, 600.0
# What the end of jobs may take: longer than KillWait, below.
END_SECONDS = 90.0
_NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "squeue")
_PACKAGES = "munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins"


@dataclass(frozen=True)
class Slurm:
    """Two nodes with two cores each, and the folder that jobs are submitted from."""

    place: Path
    folder: Path
    environment: Mapping[str, str]

    def submit(self, *arguments: str, **settings: str) -> str:
        """Submit the script on both nodes, a core and a GiB each; return the job's number."""
        options = ("--parsable", "--nodes=2", "--cpus-per-task=1", "--mem=1G", "--time=15")
        return self._told("sbatch", *options, str(SCRIPT), *arguments, **settings).strip()

    def stop(self, job: str, *options: str) -> None:
        """Run scancel; `--signal=USR1 --batch` is what Slurm does before a job's time is over."""
        self._told("scancel", *options, job)

    def begin_again(self, job: str) -> None:
        """Spare a job that is in the queue again the two minutes that Slurm has it wait."""
        self._told("scontrol", "update", f"JobId={job}", "StartTime=now")

    def state(self, job: str) -> dict[str, str]:
        """Read what Slurm knows of a job: JobState, Restarts, ExitCode and the rest."""
        told = self._told("scontrol", "show", "job", job).split()
        return dict(text.split("=", 1) for text in told if "=" in text)

    def log(self, job: str) -> str:
        """What the job has said, over all of its sittings."""
        file = self.folder / f"isthmus-{job}.log"
        return file.read_text() if file.exists() else ""

    def left_behind(self, job: str) -> list[Path | psutil.Process]:
        """What lies on the nodes' disks and in the private folder, and what runs of a job."""
        private = self.folder / "private"
        files = [*Path("/tmp").glob(f"isthmus-{job}-*"), *private.glob("job-*")]
        return [*files, *self.processes(SLURM_JOB_ID=job)]

    def lose(self, node: str) -> None:
        """Kill all that runs on a node, as when its power fails, and let the controller know."""
        slurmds = [
            each
            for each in self.processes()
            if _told_of(each)[1][:4] == ["slurmd", "-D", "-N", node]
        ]
        for each in [*slurmds, *self.processes(SLURMD_NODENAME=node)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self._told("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def processes(self, **environment: str) -> list[psutil.Process]:
        """List what this Slurm started, all that is below it and the steps' daemons above it.

        Ray's workers write their titles over their environment, so they are found by their parents.
        """
        wanted = {"SLURM_CONF": str(self.place / "slurm.conf"), **environment}
        found: dict[psutil.Process, None] = {}
        for each in psutil.process_iter():
            if wanted.items() <= _told_of(each)[0].items():
                with suppress(psutil.NoSuchProcess):
                    above = each.parent()
                    if above is not None and above.name() == "slurmstepd":
                        found[above] = None
                    found.update(dict.fromkeys([each, *each.children(recursive=True)]))
        return [each for each in found if each.is_running() and _told_of(each)[1]]

    def end_jobs(self) -> None:
        """Cancel all jobs and wait for their end, for a while: what is left then is killed."""
        until = time.monotonic() + END_SECONDS
        with suppress(AssertionError, subprocess.TimeoutExpired):
            while jobs := self._told("squeue", "--noheader", "--format=%A").split():
                if time.monotonic() > until:
                    break
                self._told("scancel", *jobs)
                time.sleep(0.5)

    def kill_processes(self) -> None:
        """Kill what this Slurm started, and require that nothing of it is left."""
        until = time.monotonic() + 30.0
        while left := self.processes():
            assert time.monotonic() < until, f"killed, and not over after 30 s: {left}"
            for each in left:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            time.sleep(0.1)

    def wait_until(self, condition: Callable[[], bool], what: str, job: str) -> None:
        """Wait for a condition; fail with what the job said."""
        until = time.monotonic() + JOB_SECONDS
        while not condition():
            assert time.monotonic() < until, (
                f"not within {JOB_SECONDS:g} s: {what}\n{self.log(job)}"
            )
            time.sleep(0.3)

    def wait_for_state(self, job: str, *states: str) -> dict[str, str]:
        """Wait until a job is in one of some states; return what Slurm knows of it."""
        wanted = "job {} {}".format(job, " or ".join(states))
        self.wait_until(lambda: self.state(job)["JobState"] in states, wanted, job)
        return self.state(job)

    def _told(self, *command: str, **settings: str) -> str:
        """Run one of Slurm's commands."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Slurm]:
    """Start Slurm for jobs that are submitted from a folder; end all of it after use."""
    missing = [program for program in _NEEDED if shutil.which(program, path=_path()) is None]
    if missing:
        pytest.skip(f"Slurm is not installed ({', '.join(missing)}): apt-get install {_PACKAGES}")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started as root here")
    place = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))
    with ExitStack() as held:
        held.callback(shutil.rmtree, place, ignore_errors=True)
        first_job = 10_000 + secrets.randbelow(50_000_000)
        held.callback(_remove_folders, first_job)
        _configure(place, first_job)
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "RAY_"))},
            "PATH": f"{PROGRAMS}{os.pathsep}{_path()}",
            "PYTHONPATH": os.pathsep.join(map(str, SOURCES)),
            "SLURM_CONF": str(place / "slurm.conf"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
            # Both nodes are this machine.
            "ISTHMUS_INTERFACE": "lo",
            "ISTHMUS_PRIVATE": str(folder / "private"),
        }
        slurm = Slurm(place, folder, environment)
        held.callback(slurm.kill_processes)
        munge = ["munged", "--foreground", "--force", f"--key-file={place / 'munge.key'}"]
        munge += [f"--{name}={place / name}" for name in ("socket", "log-file", "pid-file")]
        munge += [f"--seed-file={place / 'seed'}"]
        held.enter_context(_daemon(slurm, munge, (place / "socket").exists))
        held.enter_context(_daemon(slurm, ["slurmctld", "-D"], lambda: _idle(slurm) is not None))
        for number in ("1", "2"):
            command = ["slurmd", "-D", "-N", f"n{number}"]
            ready = partial(_are_idle, slurm, number)
            held.enter_context(_daemon(slurm, command, ready))
        held.callback(slurm.end_jobs)
        yield slurm


def _remove_folders(first_job: int) -> None:
    """Remove what nodes that were lost have left of jobs, of which a test has a few."""
    for number in range(first_job, first_job + 20):
        for folder in Path("/tmp").glob(f"isthmus-{number}-*"):
            shutil.rmtree(folder, ignore_errors=True)


def _configure(place: Path, first_job: int) -> None:
    """Write Slurm's settings and munge's key.

    Jobs' numbers are in names below /tmp, and another Slurm's tests may run on this machine.
    """
    key = place / "munge.key"
    key.touch(mode=0o400)
    key.write_bytes(os.urandom(1024))
    (place / "spool").mkdir()
    (place / "state").mkdir()
    host, ports = socket.gethostname().split(".")[0], _free_ports(3)
    (place / "slurm.conf").write_text(f"""
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
FirstJobId={first_job}
AuthType=auth/munge
AuthInfo=socket={place / "socket"}
CredType=cred/munge
StateSaveLocation={place / "state"}
SlurmdSpoolDir={place / "spool"}/%n
SlurmctldPidFile={place / "slurmctld.pid"}
SlurmdPidFile={place}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=60
WaitTime=2
KillOnBadExit=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=2000
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
""")


def _idle(slurm: Slurm) -> str | None:
    """Count the nodes that take jobs; None while the controller does not answer."""
    done = subprocess.run(
        ["sinfo", "--noheader", "--states=idle", "--format=%D"],
        env=dict(slurm.environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return (done.stdout.strip() or "0") if done.returncode == 0 else None


def _told_of(process: psutil.Process) -> tuple[dict[str, str], list[str]]:
    """Read the environment and the command line of a process; empty where it is over."""
    try:
        return process.environ(), process.cmdline()
    except psutil.Error:
        return {}, []


def _are_idle(slurm: Slurm, nodes: str) -> bool:
    """Whether so many nodes take jobs."""
    return _idle(slurm) == nodes


@contextmanager
def _daemon(slurm: Slurm, command: list[str], ready: Callable[[], bool]) -> Iterator[None]:
    """Run a daemon in the foreground until it is ready, and end it and all below it after use."""
    log = slurm.place / f"{command[0]}{command[-1] if command[0] == 'slurmd' else ''}.log"
    with log.open("wb") as written:
        process = psutil.Popen(
            command,
            cwd=slurm.place,
            env=dict(slurm.environment),
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not ready():
            said = f"{command} must be ready: {log.read_text()[-3000:]}"
            assert process.poll() is None, said
            assert time.monotonic() < until, f"after {START_SECONDS:g} s {said}"
            time.sleep(0.1)
        yield
    finally:
        kill_tree(process)


def _path() -> str:
    """Where daemons are, which is not on everybody's path."""
    return f"{os.environ['PATH']}{os.pathsep}/usr/sbin"


def _free_ports(n: int) -> list[int]:
    """Find ports that nobody listens at."""
    taken = [socket.socket() for _ in range(n)]
    for each in taken:
        each.bind(("127.0.0.1", 0))
    ports: list[int] = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return ports
