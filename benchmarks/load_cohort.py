"""A cohort of 10,000 subjects with families and tiny volumes: what each step takes and needs.

    python benchmarks/load_cohort.py                              # 10,000 subjects, 8 x 8 x 8
    python benchmarks/load_cohort.py --subjects 300               # quick
    python benchmarks/load_cohort.py --folder SCRATCH             # kept, and gone on with

Commands run in processes of their own; their memory is that of the whole tree of processes, added
up ten times a second, pages that they share counted in each. The robustness job runs in full but
for its numbers of draws and permutations, on made-up embeddings; what a draw takes is printed
beside it, for the times of the whole job are theirs times the draws.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from machine import Neighbours, markdown

from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import make_phantom
from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.config.load import load_experiment
from isthmus.config.stratification import StratificationConfig
from isthmus.core.seeds import generator
from isthmus.stratification.cloud import make_cloud
from isthmus.stratification.clusterers import Clustering, recluster
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import Variables, stratify
from isthmus.stratification.memory import bytes_of_clustering
from isthmus.trial.provenance import describe_machine
from isthmus.trial.run import prepare_trial
from isthmus.volumes.store import open_store

REDUCED = {
    "n_permutations": 99,
    "robustness": {
        "n_draws": 4,
        "n_null_phenotypes": 19,
        "n_matched_nulls": 19,
        "n_null_draws": 2,
    },
    "specifications": {"n_null_phenotypes": 19},
}
DEADLINE = 7200.0
"""Seconds that any one command may take."""


class Peak:
    """The most memory that a process and those below it were seen to have at once."""

    def __init__(self, process_id: int) -> None:
        self._process = psutil.Process(process_id)
        self._over = threading.Event()
        self.mib = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        """Look until it is over."""
        while not self._over.wait(0.1):
            try:
                below = self._process.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            total = 0
            for one in (self._process, *below):
                try:
                    total += one.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.mib = max(self.mib, total / 2**20)


class Table:
    """Rows of what was measured, printed as they come."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []

    def add(self, what: str, seconds: str = "", busy: str = "", memory: str = "") -> None:
        """Keep a row."""
        self.rows.append((what, seconds, busy, memory))
        print(" | ".join(self.rows[-1]), flush=True)

    def command(self, folder: Path, *arguments: str) -> str:
        """Run a command of isthmus to its end, with one thread a process."""
        began, before = time.perf_counter(), os.times()
        with subprocess.Popen(
            [sys.executable, "-m", "isthmus", *arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                with Peak(process.pid) as peak:
                    said = process.communicate(timeout=DEADLINE)[0]
            finally:
                process.kill()
        if process.returncode:
            raise SystemExit(f"`isthmus {' '.join(arguments)}` ended with {process.returncode}")
        after = os.times()
        busy = after.children_user + after.children_system
        busy -= before.children_user + before.children_system
        took = f"{time.perf_counter() - began:.1f}"
        self.add(f"`isthmus {arguments[0]}`", took, f"{busy:.1f}", f"{peak.mib:.0f}")
        return said

    def inside(self, what: str, act: Callable[[], Any]) -> Any:
        """Do something in this process; its memory is what it adds."""
        before = psutil.Process().memory_info().rss / 2**20
        began, busy = time.perf_counter(), time.process_time()
        with Peak(os.getpid()) as peak:
            made = act()
        taken = (time.perf_counter() - began, time.process_time() - busy)
        more = max(0.0, peak.mib - before)
        self.add(what, f"{taken[0]:.2f}", f"{taken[1]:.2f}", f"{more:.0f} more")
        return made


def main() -> None:
    """Make the cohort and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--subjects", type=int, default=10_000, metavar="N")
    parser.add_argument("--no-job", action="store_true", help="leave the robustness job out")
    parser.add_argument("--folder", type=Path, help="kept, and gone on with")
    arguments = parser.parse_args()
    neighbours, table = Neighbours(), Table()
    with folder_of(arguments.folder) as root:
        file = ingested(root, arguments.subjects, table)
        read(file, table)
        clusterings(arguments.subjects, table)
        if not arguments.no_job:
            robustness(file, table)
    print(f"\n{describe_machine()}, Python {platform.python_version()}, numpy {np.__version__}.")
    print(f"{neighbours.described()}\n")
    print("\n".join(markdown(("what", "s", "processor s", "MiB"), table.rows)))


@contextmanager
def folder_of(kept: Path | None) -> Iterator[Path]:
    """Give a folder to work in."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def ingested(root: Path, n: int, table: Table) -> Path:
    """Make the cohort, look at it, ingest it, and ingest it again."""
    config = PhantomConfig(n_subjects=n, grid=(8, 8, 8))
    table.inside(f"phantom cohort of {n:,}", lambda: make_phantom(root / "cohort", config))
    file = root / "experiment.yaml"
    table.command(root, "init", "cohort", "-o", str(file), "--force")
    table.command(root, "check", str(file))
    table.command(root, "ingest", str(file))
    table.command(root, "ingest", str(file))
    n_files = sum(len(files) for _, _, files in os.walk(root / "store"))
    table.add(f"files of the store: {n_files:,}, {n_files / n:.2f} a subject")
    return file


def read(file: Path, table: Table) -> None:
    """Open what a trial opens, check its families, and read an epoch's subjects."""
    experiment = load_experiment(file, ["model.depth=2"])
    everybody = table.inside("participants read", lambda: load_participants(experiment))
    trial = table.inside("trial prepared: store, folds, checks", lambda: prepare_trial(experiment))
    family = dict(zip(everybody.ids, everybody.families.tolist(), strict=True))
    for fold in trial.split.folds:
        owners = [{family[name] for name in ids} for ids in fold.parts.values()]
        if sum(map(len, owners)) != len(set().union(*owners)):
            raise SystemExit(f"fold {fold.number} breaks a family")
    store = open_store(experiment.store_url)

    def epoch() -> None:
        for name in trial.split.folds[0].train:
            store.read(name, store.modalities)

    table.inside(f"an epoch's {len(trial.split.folds[0].train):,} subjects read", epoch)


def embeddings(ids: tuple[str, ...], n_columns: int = 64) -> EmbeddingTable:
    """Make up embeddings with four clouds in them."""
    n = len(ids)
    stream = generator(0, "load", "cohort", n)
    values = stream.standard_normal((n, n_columns))
    values += 1.5 * stream.standard_normal((4, n_columns))[np.arange(n) % 4]
    return EmbeddingTable("load", ids, values, ("validation",) * n)


def clusterings(n: int, table: Table) -> None:
    """Cluster once by what holds pairs, beside what is estimated before a trial."""
    values = embeddings(tuple(f"sub-{i:06d}" for i in range(n))).values
    config = StratificationConfig()
    cloud = table.inside(f"cloud of {n:,}", lambda: make_cloud(values, config, 0))
    few = make_cloud(values[:100], config, 0)
    recluster(few, np.arange(50), -100.0, config, 0)  # compiles
    for one in ("affinity_propagation", "ward"):
        own = config.model_copy(update={"clusterer": one})
        setting = 8.0
        if one == "affinity_propagation":
            setting = 40.0 * float(np.median(cloud.similarity_LL[:256]))
        size = bytes_of_clustering(one, config, n) / 2**20
        large = bytes_of_clustering(one, config, 40_000) / 1e9
        found = table.inside(
            f"one clustering by {one} (estimated: {size:.0f} MiB; of 40,000: {large:.1f} GB)",
            lambda own=own, setting=setting: recluster(cloud, np.arange(n), setting, own, 0),
        )
        if not isinstance(found, Clustering):
            table.add(f"{one} found no strata: {found.reason}")


def robustness(file: Path, table: Table) -> None:
    """Run the job with few draws, every stage of it, on made-up embeddings of the cohort."""
    experiment = load_experiment(file)
    everybody = load_participants(experiment)
    config = StratificationConfig.model_validate(REDUCED)
    people = embeddings(tuple(sorted(everybody.ids)))
    variables = Variables.of(experiment.config.cohort)
    began: list[float] = []

    def told(n_done: int, n_pieces: int) -> None:
        began.append(time.perf_counter())
        print(f"  {n_done} of {n_pieces} pieces", end="\r", flush=True)

    report = table.inside(
        f"robustness job of {len(everybody.ids):,}: 4 draws, 19 nulls of 2 draws",
        lambda: stratify(people, everybody, config, variables, 0, on_progress=told),
    )
    if report.robustness is None:
        raise SystemExit("no strata were found in embeddings that have some")
    if len(began) > 1:
        table.add("a piece of it, the middle one", f"{np.median(np.diff(began)):.1f}")


if __name__ == "__main__":
    main()
