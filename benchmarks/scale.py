"""What a training costs, fitted here; held against cases left out; and studies elsewhere from it.

Measured, on one thread a worker: steps of a worker by itself; all-reduces between two workers on
nodes of their own (network namespaces with a link between them; without root they share the
loopback), also over a slower link; reading a subject from the store. Lines are fitted to some of
it, and foretell the rest: a larger image, a larger batch, steps of two workers over the slow link.
Then studies are simulated on clusters that nobody has measured, and say so.

    python benchmarks/scale.py                         # some minutes; tables for docs/scale.md
    python benchmarks/scale.py --rounds 1 --steps 2    # quick, for a look
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from cost_model import Line, Link, Network
from input import make_cohort
from machine import Neighbours, markdown
from networks import PRESETS, edges
from scenarios import scenario_tables

from isthmus.config.load import load_experiment
from isthmus.trial.provenance import describe_machine
from isthmus.volumes.store import open_store

Grid = tuple[int, int, int]

FITTED: Sequence[tuple[Grid, int]] = (
    ((64, 32, 32), 1),
    ((64, 64, 32), 1),
    ((64, 64, 64), 1),
    ((64, 32, 32), 4),
)
LEFT_OUT: Sequence[tuple[Grid, int]] = (((96, 64, 64), 1), ((64, 64, 64), 2))
TOGETHER: Grid = (64, 64, 32)
MESSAGES = (1 << 10, 1 << 16, 1 << 20, 1 << 22, 1 << 24)
SLOW_MBIT = 200
READ_GRIDS: Sequence[Grid] = ((64, 32, 32), (64, 64, 32), (64, 64, 64), (96, 64, 64))
_WORKER_SECONDS = 600


@dataclass(frozen=True)
class HeldOut:
    """A case that no line was fitted to."""

    what: str
    foretold: float
    found: float
    unit: str

    def row(self) -> list[str]:
        """Write it for a table."""
        error = self.foretold / self.found - 1
        return [
            self.what,
            f"{self.foretold:.3g} {self.unit}",
            f"{self.found:.3g} {self.unit}",
            f"{error:+.0%}",
        ]


def main() -> None:
    """Measure, fit, hold against what was left out, simulate; print the tables."""
    arguments = _arguments()
    neighbours = Neighbours()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was set up is taken down
    with _two_nodes() as nodes:
        fast, slow = _links(nodes)
        networks, held = {}, []
        for preset in arguments.presets:
            networks[preset], of_preset = _network(preset, nodes, fast, slow, arguments)
            held += of_preset
    reading, compressed, read_held = _reading(arguments.rounds)
    print("\n".join(_tables(networks, fast, slow, nodes.named, reading, held + read_held)))
    print("\n".join(scenario_tables(networks[arguments.presets[0]], compressed)))
    print(neighbours.described())
    if arguments.json:
        found = {
            "machine": describe_machine(),
            "networks": {name: asdict(one) for name, one in networks.items()},
            "links": {"fast": asdict(fast), "slow": asdict(slow)},
            "reading": asdict(reading),
            "held_out": [asdict(one) for one in held + read_held],
        }
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


@dataclass(frozen=True)
class Nodes:
    """Where two workers run: how a command is started there, and where they meet."""

    named: str
    starts: tuple[tuple[str, ...], tuple[str, ...]]
    address: str
    interface: str
    network: str | None = None

    def limit(self, mbit: int | None) -> None:
        """Let each node send so many megabits a second, or as many as it can."""
        for node in range(2) if self.network else ():
            here = ["tc", "-n", f"{self.network}-{node}", "qdisc"]
            subprocess.run(
                [*here, "delete", "dev", "eth0", "root"], capture_output=True, timeout=30
            )
            if mbit is not None:
                shape = ["tbf", "rate", f"{mbit}mbit", "burst", "64kb", "latency", "400ms"]
                subprocess.run(
                    [*here, "add", "dev", "eth0", "root", *shape], check=True, timeout=30
                )


@contextmanager
def _two_nodes() -> Iterator[Nodes]:
    """Have two network namespaces with a cable between them; without root: this machine."""
    name = f"is-scale-{os.getpid()}"
    spaces = [f"{name}-{node}" for node in range(2)]
    ip = ("ip",) if os.geteuid() == 0 else None
    if ip is None:
        yield Nodes("the loopback of one machine", ((), ()), "127.0.0.1", "lo")
        return
    try:
        for space in spaces:
            _run("ip", "netns", "add", space)
        _run(
            *("ip", "-n", spaces[0], "link", "add", "eth0", "type", "veth"),
            *("peer", "name", "eth0", "netns", spaces[1]),
        )
        for node, space in enumerate(spaces):
            _run("ip", "-n", space, "address", "add", f"10.78.0.{node + 1}/24", "dev", "eth0")
            _run("ip", "-n", space, "link", "set", "lo", "up")
            _run("ip", "-n", space, "link", "set", "eth0", "up")
        starts = tuple(("ip", "netns", "exec", space) for space in spaces)
        yield Nodes("two network namespaces", (starts[0], starts[1]), "10.78.0.1", "eth0", name)
    finally:
        for space in spaces:
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, timeout=30)


def _run(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, timeout=30)


def _workers(nodes: Nodes, n_workers: int, **duty: Any) -> Mapping[str, Any]:
    """Run workers to their end; what the first one found."""
    given = {
        "preset": PRESETS[0],
        "grid": TOGETHER,
        "n_subjects": 1,
        "n_steps": 0,
        "messages": (),
        "n_workers": n_workers,
        "meeting": f"tcp://{nodes.address}:29577",
        "interface": nodes.interface,
        **duty,
    }
    script = str(Path(__file__).with_name("cost_worker.py"))
    started = [
        subprocess.Popen(
            [*nodes.starts[rank], sys.executable, script, json.dumps({**given, "rank": rank})],
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
        )
        for rank in range(n_workers)
    ]
    try:
        told = [process.communicate(timeout=_WORKER_SECONDS)[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    if any(process.returncode for process in started):
        raise SystemExit(f"a worker ended with {[p.returncode for p in started]} at {given}")
    found: Mapping[str, Any] = json.loads(told[0])
    return found


def _links(nodes: Nodes) -> tuple[Link, Link]:
    """Fit the link as it is, and as slow as it can be made."""
    found = []
    for mbit in (None, SLOW_MBIT):
        nodes.limit(mbit)
        seconds = _workers(nodes, 2, messages=MESSAGES)["messages_s"]
        found.append(Link.fitted(MESSAGES, [seconds[str(size)] for size in MESSAGES]))
    nodes.limit(None)
    return found[0], found[1]


def _network(
    preset: str, nodes: Nodes, fast: Link, slow: Link, arguments: argparse.Namespace
) -> tuple[Network, list[HeldOut]]:
    """Measure steps of a network, fit them, and foretell those that were left out."""

    def steps(grid: Grid, n_subjects: int, n_workers: int = 1) -> tuple[float, float, Any]:
        """Seconds and bytes of a step: medians over rounds, each of them new processes."""
        found = [
            _workers(
                *(nodes, n_workers),
                preset=preset,
                grid=grid,
                n_subjects=n_subjects,
                n_steps=arguments.steps,
            )
            for _ in range(arguments.rounds)
        ]
        seconds = statistics.median(statistics.median(one["step_s"]) for one in found)
        taken = statistics.median(one["peak_mib"] - one["before_mib"] for one in found)
        return seconds, taken * 2**20, found[0]

    sizes = [prod(grid) * n_subjects for grid, n_subjects in FITTED]
    measured = [steps(*one) for one in FITTED]
    together_s, _, told = steps(TOGETHER, 1, 2)
    network = Network(
        preset,
        told["n_parameters"],
        told["n_sums"],
        Line.fitted(sizes, [one[0] for one in measured]),
        Line.fitted(sizes, [one[1] for one in measured]),
    ).in_lockstep(prod(TOGETHER), fast, together_s)
    held = []
    nodes.limit(SLOW_MBIT)
    for grid in (TOGETHER, LEFT_OUT[0][0]):
        foretold = network.group_step_s(prod(grid), 1, 2, slow)
        named = f"`{preset}`, {edges(grid)}, two workers, link of {SLOW_MBIT} Mbit/s: step"
        held.append(HeldOut(named, foretold, steps(grid, 1, 2)[0], "s"))
    nodes.limit(None)
    for grid, n_subjects in LEFT_OUT:
        size = prod(grid) * n_subjects
        seconds, taken, _ = steps(grid, n_subjects)
        named = f"`{preset}`, {edges(grid)}, {n_subjects} subject{'s' * (n_subjects > 1)}"
        held.append(HeldOut(f"{named}: step", network.step_s.at(size), seconds, "s"))
        foretold = network.step_bytes.at(size) / 2**30
        held.append(HeldOut(f"{named}: memory", foretold, taken / 2**30, "GiB"))
    return network, held


def _reading(rounds: int) -> tuple[Line, float, list[HeldOut]]:
    """Time reading a subject of two modalities; also the share that compression leaves."""
    sizes, seconds, shares = [], [], []
    for grid in READ_GRIDS:
        with tempfile.TemporaryDirectory() as folder:
            experiment = load_experiment(make_cohort(Path(folder), grid, 8))
            store = open_store(experiment.store_url)
            stored = sum(f.stat().st_size for f in Path(folder, "store").rglob("*") if f.is_file())
            n_bytes = 4 * 2 * prod(grid)
            spent = []
            for _ in range(5 * rounds):
                for name in store.participant_ids:
                    started = time.perf_counter()
                    store.read(name, ("T1w", "FA"))
                    spent.append(time.perf_counter() - started)
            sizes.append(float(n_bytes))
            seconds.append(statistics.median(spent))
            shares.append(stored / 8 / n_bytes)
    line = Line.fitted(sizes[:-1], seconds[:-1])
    held = HeldOut(
        f"reading a subject, {edges(READ_GRIDS[-1])}",
        1e3 * line.at(sizes[-1]),
        1e3 * seconds[-1],
        "ms",
    )
    return line, statistics.median(shares), [held]


def _tables(
    networks: Mapping[str, Network],
    fast: Link,
    slow: Link,
    named: str,
    reading: Line,
    held: Sequence[HeldOut],
) -> list[str]:
    """Write what was fitted, and how well it foretells."""
    rows = [
        [
            f"`{preset}`",
            f"{one.n_parameters:,}",
            f"{1e3 * one.step_s.at_zero:.1f} ms + {1e9 * one.step_s.per_unit:.0f} ns a voxel",
            f"{one.step_bytes.at_zero / 2**20:.0f} MiB + {one.step_bytes.per_unit:.0f} B a voxel",
            f"{one.n_sums}",
            f"{1e3 * one.lockstep_s:.2f} ms",
        ]
        for preset, one in networks.items()
    ]
    links = [
        [what, f"{1e6 * link.latency_s:.0f} us", f"{8e-6 * link.bytes_per_s:,.0f} Mbit/s"]
        for what, link in ((named, fast), (f"the same, held to {SLOW_MBIT} Mbit/s", slow))
    ]
    decoded = f"{1e-6 / reading.per_unit:,.0f}" if reading.per_unit else "unbounded"
    return [
        f"{describe_machine()}; one thread a worker.",
        "",
        *markdown(
            [
                *("preset", "parameters", "a worker's step", "its memory", "short sums a step"),
                "each beyond its latency",
            ],
            rows,
        ),
        "",
        *markdown(["link", "latency of a short sum", "all-reduce"], links),
        "",
        f"Reading: {1e3 * reading.at_zero:.2f} ms a subject and {decoded} MB/s, decoded.",
        "",
        *markdown(
            ["left out of the fit", "foretold", "measured", "error"], [h.row() for h in held]
        ),
    ]


def _arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="processes a case")
    parser.add_argument("--steps", type=int, default=5, help="steps of each")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS))
    parser.add_argument("--json", type=Path, help="also write what was found here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
