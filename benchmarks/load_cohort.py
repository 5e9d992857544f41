"""A cohort of 10,000 subjects with families and tiny volumes: what each step takes and needs.

    python benchmarks/load_cohort.py                              # 10,000 subjects, 8 x 8 x 8
    python benchmarks/load_cohort.py --subjects 300               # quick
    python benchmarks/load_cohort.py --folder SCRATCH             # kept
    python benchmarks/load_cohort.py --folder SCRATCH --only job  # of what is kept there

Commands run in processes of their own; their memory is that of the whole tree of processes, added
up ten times a second, pages that they share counted in each. The robustness job runs on made-up
embeddings, with fewer draws and permutations: in full with landmarks, and with all pairs at one
preference until a limit of time, for the times of the whole job follow from those of a piece.
"""

import argparse
import math
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
PARTS = ("ingest", "read", "cluster", "job")


class Enough(Exception):
    """The robustness job has run for as long as was wanted."""


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
    parser.add_argument("--folder", type=Path, help="kept")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--landmarks", type=int, default=1000, help="of the whole robustness job")
    parser.add_argument("--limit-s", type=float, default=600.0, help="of the job with all pairs")
    arguments = parser.parse_args()
    neighbours, table = Neighbours(), Table()
    with folder_of(arguments.folder) as root:
        file = root / "experiment.yaml"
        if "ingest" in arguments.only:
            ingested(root, file, arguments.subjects, table)
        if "read" in arguments.only:
            read(file, table)
        if "cluster" in arguments.only:
            clusterings(arguments.subjects, table)
        if "job" in arguments.only:
            job(file, arguments.landmarks, arguments.limit_s, table)
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


def ingested(root: Path, file: Path, n: int, table: Table) -> None:
    """Make the cohort, look at it, ingest it, and ingest it again."""
    config = PhantomConfig(n_subjects=n, grid=(8, 8, 8))
    table.inside(f"phantom cohort of {n:,}", lambda: make_phantom(root / "cohort", config))
    table.command(root, "init", "cohort", "-o", str(file), "--force")
    table.command(root, "check", str(file))
    table.command(root, "ingest", str(file))
    table.command(root, "ingest", str(file))
    n_files = sum(len(files) for _, _, files in os.walk(root / "store"))
    table.add(f"files of the store: {n_files:,}, {n_files / n:.2f} a subject")


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


def job(file: Path, landmarks: int, limit_s: float, table: Table) -> None:
    """Run the robustness job with landmarks to its end, and with all pairs for a while."""
    everybody = load_participants(load_experiment(file))
    landmarks = min(landmarks, len(everybody.ids) // 2)
    few = StratificationConfig.model_validate(
        {**REDUCED, "affinity_propagation": {"landmarks": landmarks}}
    )
    robustness(file, few, f"{landmarks:,} landmarks, preferences swept", math.inf, table)
    cloud = make_cloud(embeddings(everybody.ids).values, few, 0)
    preference = 40.0 * float(np.median(cloud.similarity_LL))
    del cloud
    pairs = StratificationConfig.model_validate(
        {**REDUCED, "affinity_propagation": {"preference": preference}}
    )
    robustness(file, pairs, "all pairs, one preference", limit_s, table)


def robustness(
    file: Path, config: StratificationConfig, words: str, limit_s: float, table: Table
) -> None:
    """Run the job with few draws, every stage of it, on made-up embeddings of the cohort."""
    experiment = load_experiment(file)
    everybody = load_participants(experiment)
    people = embeddings(tuple(sorted(everybody.ids)))
    variables = Variables.of(experiment.config.cohort)
    began = time.perf_counter()
    done: list[tuple[int, float, float]] = []

    def told(n_done: int, n_pieces: int) -> None:
        done.append((n_done, time.perf_counter(), time.process_time()))
        print(f"  {n_done} of {n_pieces} pieces", flush=True)
        if n_done < n_pieces and time.perf_counter() - began > limit_s:
            raise Enough

    def act() -> bool:
        try:
            report = stratify(people, everybody, config, variables, 0, on_progress=told)
        except Enough:
            return False
        if report.robustness is None:
            raise SystemExit("no strata were found in embeddings that have some")
        return True

    what = f"robustness job of {len(everybody.ids):,} ({words}): 4 draws, 19 nulls of 2 draws"
    whole = table.inside(what, act)
    if not whole:
        table.add(f"... stopped after {done[-1][0]} of 8 pieces")
    if len(done) > 1:
        walls, busies = (np.diff([one[k] for one in done]) for k in (1, 2))
        table.add(
            "... a piece of three nulls, swept and drawn, the middle one",
            f"{np.median(walls):.1f}",
            f"{np.median(busies):.1f}",
        )


if __name__ == "__main__":
    main()
