"""Fuzz one target by one engine in a process of its own, and write down what was counted.

    python -m fuzz.run TARGET ENGINE N_INPUTS FOLDER

The process is its own so that its limits (memory, processor time an input), its watch over files
that are written, and the guided engine's instrumented modules touch nobody else.
"""

import importlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from peak_memory import peak_bytes

SECONDS_AN_INPUT = 5.0
MOST_BYTES = 8 * 2**30
TARGETS = {
    "images": "fuzz.nifti_images",
    "settings": "fuzz.settings_files",
    "manifests": "fuzz.image_tables",
    "participants": "fuzz.participants_tables",
}
GUIDED_BY = {
    "images": ("isthmus.volumes", "gzip"),
    "settings": ("isthmus.config", "yaml"),
    "manifests": ("isthmus.cohort", "isthmus.volumes.sources"),
    "participants": ("isthmus.cohort",),
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Of what is changed, which arguments are places that change.
_CHANGES = {
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.utime"), (0,)),
    **dict.fromkeys(("os.chmod", "os.chown", "os.setxattr", "os.removexattr"), (0,)),
    **dict.fromkeys(("os.rename", "os.link", "shutil.move"), (0, 1)),
    **dict.fromkeys(("os.symlink", "shutil.copyfile", "shutil.copytree"), (1,)),
    **dict.fromkeys(("shutil.copymode", "shutil.copystat", "shutil.unpack_archive"), (1,)),
    **dict.fromkeys(("shutil.rmtree", "shutil.make_archive"), (0,)),
}
_FORBIDDEN = {
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect"),
    "pickle.find_class",
}


class TooLong(BaseException):
    """An input that takes longer than any may."""


class OutOfBounds(BaseException):
    """A file written outside the scratch folder, a program started, or an object unpickled."""


class Watch:
    """Counts what comes of inputs, and lets none write elsewhere, run on, or fail otherwise."""

    def __init__(self, accept: Callable[[bytes], bool], folder: Path, n_inputs: int) -> None:
        self.accept, self.folder, self.n_inputs = accept, folder, n_inputs
        self.within = (f"{folder}{os.sep}", f"{folder.resolve()}{os.sep}")
        self.counts = {"inputs": 0, "accepted": 0, "refused": 0}
        self.slowest_seconds = 0.0
        self.armed = False
        self.started = time.process_time()
        # not before: the guided engine instruments what is imported
        self.own = importlib.import_module("isthmus.core.errors").IsthmusError
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGPROF, _too_long)

    def take(self, data: bytes) -> None:
        """Give one input to the platform."""
        self.counts["inputs"] += 1
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS_AN_INPUT)
        self.armed = True
        try:
            self.counts["accepted" if self.accept(data) else "refused"] += 1
        except self.own as error:
            self.counts["refused"] += 1
            if not str(error).strip():
                raise AssertionError("an error without a word") from error
        except BaseException:
            (self.folder / "failing-input").write_bytes(data)
            raise
        finally:
            self.armed = False
            signal.setitimer(signal.ITIMER_PROF, 0.0)
        self.slowest_seconds = max(self.slowest_seconds, time.process_time() - began)
        if self.counts["inputs"] == self.n_inputs:
            self.write_down()

    def write_down(self) -> None:
        """Leave the counts in the folder."""
        seconds = time.process_time() - self.started
        record = {
            **self.counts,
            "processor_seconds": round(seconds, 1),
            "inputs_a_processor_second": round(self.counts["inputs"] / seconds),
            "slowest_ms": round(1000 * self.slowest_seconds),
            "peak_mib": peak_bytes() // 2**20,
        }
        (self.folder / "counts.json").write_text(json.dumps(record))

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse what no input may bring about; called for every event of the interpreter."""
        if not self.armed:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes) and flags & _WRITES:
                self._require_within(path)
        elif event in _CHANGES:
            for number in _CHANGES[event]:
                self._require_within(arguments[number])
        elif event in _FORBIDDEN:
            raise OutOfBounds(f"{event}{arguments!r:.200}")

    def _require_within(self, path: Any) -> None:
        """Refuse a place outside the folder."""
        if isinstance(path, int):  # a file that is open, and was looked at then
            return
        at = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        if not f"{at}{os.sep}".startswith(self.within):
            raise OutOfBounds(f"{path!r} is written to")


def _too_long(number: int, frame: FrameType | None) -> None:
    """End an input that runs on."""
    raise TooLong(f"an input took more than {SECONDS_AN_INPUT} seconds of processor time")


def run_structured(name: str, n_inputs: int, folder: Path) -> None:
    """Let hypothesis draw valid inputs with edits."""
    from hypothesis import HealthCheck, Phase, given, seed, settings

    target = importlib.import_module(TARGETS[name]).TARGET
    watch = Watch(target.prepare(folder), folder, n_inputs)

    @seed(0)
    @settings(
        max_examples=n_inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs())
    def take(data: bytes) -> None:
        watch.take(data)

    take()


def run_guided(name: str, n_inputs: int, folder: Path) -> None:
    """Let atheris search for inputs that reach new branches; does not return."""
    import atheris

    with atheris.instrument_imports(include=list(GUIDED_BY[name])):
        target = importlib.import_module(TARGETS[name]).TARGET
    watch = Watch(target.prepare(folder), folder, n_inputs)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, one in enumerate(target.seeds):
        (corpus / f"{number:02d}").write_bytes(one)

    def mutate(data: bytes, max_size: int, number: int) -> bytes:
        draw = random.Random(number)
        how = draw.random()
        if how < 0.2:
            return bytes(atheris.Mutate(data, max_size))
        if how < 0.5:  # or else the search dwells on inputs that are refused at once
            data = draw.choice(target.seeds)
        return target.mutate(data, draw)[:max_size]

    options = [f"-runs={n_inputs}", "-seed=1", "-max_len=4096", "-timeout=3600", "-rss_limit_mb=0"]
    options += ["-print_final_stats=1", "-reload=0", f"-artifact_prefix={folder}/", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], watch.take, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    which, engine, how_many, where = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    engines = {"structured": run_structured, "guided": run_guided}
    engines[engine](which, int(how_many), Path(where))
