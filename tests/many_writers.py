"""Processes that all write at once, forked from one that has imported everything.

Run as `python many_writers.py runs|studies URL N FOLDER`; prints a line of JSON for each writer.
32 separate processes with MLflow in each would need 10 GB and minutes of importing; forked ones
share what was imported, and nothing that was opened.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from small_space import make_space, search

from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.backends.optuna_search import OptunaLedger

N_STEPS, N_PARAMS, N_TRIALS = 5, 4, 4
SECONDS = 400


def write_runs(uri: str, number: int, folder: Path) -> None:
    """Track what a trial with one fold does; twice, as one that was begun again would."""
    file = folder / f"{number}.txt"
    file.write_text(f"written by {number}\n")
    for _ in range(2):
        run = MlflowRunStore(uri).open_run("many", f"trial-{number}", f"digest-{number}", {})
        run.log_params({f"setting_{name}": number for name in range(N_PARAMS)})
        fold = run.child("fold-0", {"fold": "0"})
        for step in range(N_STEPS):
            fold.log_metrics({"loss": number + step / 10, "mse": step}, step)
        fold.log_artifact(file, "tables")
        fold.finish(succeeded=True)
        run.finish(succeeded=True)


def write_studies(url: str, number: int, _: Path) -> None:
    """Search in a study of one's own."""
    with OptunaLedger(url, f"study-{number}", make_space("random"), number) as ledger:
        search(ledger, N_TRIALS)


def _forked(write: Callable[[str, int, Path], None], url: str, number: int, folder: Path) -> int:
    """Start one writer, which waits for the others; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(SECONDS)
    started, error = time.monotonic(), ""
    try:
        write(url, number, folder)
    except BaseException as failed:
        error = traceback.format_exception_only(failed)[-1].strip()[:1000]
    told = {"number": number, "seconds": time.monotonic() - started, "error": error}
    os.write(1, (json.dumps(told) + "\n").encode())
    os._exit(0)


def main(what: str, url: str, n_writers: str, folder: str) -> None:
    """Fork the writers and wait for all."""
    write = {"runs": write_runs, "studies": write_studies}[what]
    pids = [_forked(write, url, number, Path(folder)) for number in range(int(n_writers))]
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
