"""A search of 2,000 trials: what each step of it takes, and what grows faster than the trials.

    python benchmarks/load_study.py                               # 2,000 trials, sqlite
    python benchmarks/load_study.py --trials 60 --published 3     # quick
    python benchmarks/load_study.py --postgresql postgresql://user@host/db

One tiny trial is trained; the others are its copies with points, digests and numbers of their own,
each asked for, told of and closed through the search's own director and study (`made_study.py`).
Some are published to MLflow as a search does; the others' runs are rows like theirs.
"""

import argparse
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from load_tracking import tracking_rows
from machine import Neighbours, markdown, peak_mib
from made_study import MadeStudy, open_study, train_one
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from isthmus.cli.compare import load_study
from isthmus.promotion.contest import contest_of_search
from isthmus.promotion.evidence.gather import gather_evidence
from isthmus.report.story.files import write_report
from isthmus.report.story.gather import gather_bundle
from isthmus.report.story.pdf import find_browser
from isthmus.report.study_files import PAGE_FILE
from isthmus.report.study_summary import study_tables
from isthmus.study.ranking import pareto_front
from isthmus.study.records import StudyResult
from isthmus.trial.provenance import describe_machine
from isthmus_dashboard.addresses import Address
from isthmus_dashboard.context import Context
from isthmus_dashboard.folder_source import FolderSource
from isthmus_dashboard.last_seen import LastSeen
from isthmus_dashboard.pages.overview import overview_page
from isthmus_dashboard.scans import Scans

AT = (10, 100, 500, 1000, 2000)
LEARNERS = ("tpe", "nsga2")
# Optuna's own walk through each tree grows with the square of the trials.
COMPARED = 150


class Table:
    """Rows of what was measured, printed as they come."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def add(self, what: str, said: str) -> None:
        """Keep a row."""
        self.rows.append((what, said))
        print(f"{what}: {said}", flush=True)

    def time(self, what: str, act: Callable[[], Any], more: str = "") -> Any:
        """Time something once: seconds on the clock, and of the processors."""
        wall, busy = time.perf_counter(), time.process_time()
        made = act()
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
        self.add(what, f"{wall:.3g} s, processor {busy:.3g} s{more}")
        return made


def main() -> None:
    """Make the study and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=2000, metavar="N")
    parser.add_argument("--published", type=int, default=5, help="through MLflow, before and after")
    parser.add_argument("--judged", type=int, default=5, help="trials that promotion gathers of")
    parser.add_argument("--postgresql", metavar="URL", help="keep the study there")
    parser.add_argument("--folder", type=Path, help="kept, and gone on with")
    parser.add_argument("--no-browser", action="store_true")
    arguments = parser.parse_args()
    neighbours, table = Neighbours(), Table()
    with folder_of(arguments.folder) as root:
        measure(root, arguments, table)
    versions = ", ".join(f"{name} {version(name)}" for name in ("optuna", "mlflow"))
    print(f"\n{describe_machine()}, Python {platform.python_version()}, {versions}.")
    print(f"{arguments.trials:,} trials. {neighbours.described()}\n")
    print("\n".join(markdown(("what", "takes"), table.rows)))


@contextmanager
def folder_of(kept: Path | None) -> Iterator[Path]:
    """Give a folder to work in."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def measure(root: Path, arguments: argparse.Namespace, table: Table) -> None:
    """Go through a search from its first question to its promotion."""
    trained = next(iter(sorted(root.glob("trained/*-*"))), None) or train_one(root)
    n = arguments.trials
    study = open_study(root, trained, "random", n, arguments.postgresql)
    grow(study, n, table)
    table.time("how it stands, which is told at each ending", study.standing)
    learners(study, n, table)
    study.close()
    study = table.time(
        "the search opened again",
        lambda: open_study(root, trained, "random", n, arguments.postgresql),
    )
    whole = table.time("how it ends: with importance, selection", lambda: study.standing(True))
    table.time("tables, pictures and page of the search", lambda: study.write_files(whole))
    folder = study.prepared.folder
    table.add("study.html", f"{(folder / PAGE_FILE).stat().st_size / 1e6:.1f} MB")
    compared(study, whole, table)
    study.close()
    looked_at(folder, whole, table, arguments)
    tracking_rows(folder, study.prepared, whole, arguments.published, table)
    table.add("peak memory", f"{peak_mib():.0f} MiB")


def grow(study: MadeStudy, n: int, table: Table) -> None:
    """Run the trials, and say what the first and the last took."""
    began = time.perf_counter()
    study.go_on(n, time.process_time)
    table.add(f"{n:,} trials of no length", f"{time.perf_counter() - began:.0f} s")
    for what, words in (("ask", "asking for a trial"), ("end", "recording an ending")):
        taken = study.seconds[what]
        for at in sorted({min(at, n) for at in AT}):
            around = sorted(taken[k] for k in range(at - 10, at) if k in taken)
            if around:
                middle = around[len(around) // 2]
                table.add(f"{words} at trial {at:,} (random)", f"{1000 * middle:.1f} ms processor")


def learners(study: MadeStudy, n: int, table: Table) -> None:
    """Ask samplers that learn, of the same trials."""
    from made_study import space_of  # noqa: PLC0415

    from isthmus.backends.optuna_samplers import propose  # noqa: PLC0415

    trials, records = study.ledger._numbered()
    for kind in LEARNERS:
        space = space_of(kind, n + 1)
        for at in sorted({min(at, n) for at in AT}):
            began = time.process_time()
            propose(trials[:at], records[:at], space, 0)
            table.add(
                f"choosing a point after {at:,} trials ({kind})",
                f"{1000 * (time.process_time() - began):.1f} ms processor",
            )


def compared(study: MadeStudy, whole: StudyResult, table: Table) -> None:
    """Set the ways that were mended beside the plain ones, on the same trials."""
    from isthmus.backends.optuna_importance import _of_one_objective, importances  # noqa: PLC0415

    trials, records = study.ledger._numbered()
    few = min(COMPARED, len(trials))
    table.time("importance of all", lambda: importances(trials, records, whole.objectives))
    finished = [one for one in records[:few] if one.state == "finished"]
    own = [trials[one.number] for one in finished]
    values = [one.values[0] for one in finished if one.values]
    plain = _of_one_objective(own, values, whole.objectives[0])
    evaluator = FanovaImportanceEvaluator(seed=0)
    began = time.process_time()
    theirs = get_param_importances(plain, evaluator=evaluator, normalize=True)
    middle = time.process_time()
    ours = importances(own, finished, whole.objectives[:1])[0]
    ended = time.process_time()
    apart = max(abs(theirs[path] - share) for path, share in ours.shares.items())
    if apart > 1e-9:
        raise SystemExit(f"fANOVA differs from Optuna's by {apart}")
    ratio = (middle - began) / (ended - middle)
    table.add(f"importance of {few} trials, Optuna's fANOVA / ours with PED-ANOVA", f"{ratio:.1f}")
    began = time.process_time()
    front = pareto_front(whole.trials, whole.objectives)
    middle = time.process_time()
    if plain_front(whole) != set(front):
        raise SystemExit("the Pareto front differs from that of all pairs")
    ratio = (time.process_time() - middle) / (middle - began)
    table.add(f"Pareto front ({len(front)} trials), all pairs / ours", f"{ratio:.1f}")


def plain_front(study: StudyResult) -> set[int]:
    """Compare all pairs of finished trials."""
    signs = [1 if one.direction == "minimize" else -1 for one in study.objectives]
    losses = {
        one.number: tuple(s * v for s, v in zip(signs, one.values, strict=True))
        for one in study.trials
        if one.state == "finished" and one.values is not None
    }
    points = set(losses.values())
    beaten = {
        p
        for p in points
        if any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in points)
    }
    return {number for number, point in losses.items() if point not in beaten}


def looked_at(
    folder: Path, whole: StudyResult, table: Table, arguments: argparse.Namespace
) -> None:
    """Compare, report, live view, promotion."""
    now = table.time("`isthmus compare`: reading", lambda: load_study(folder))
    table.time("`isthmus compare`: tables", lambda: study_tables(now, 20))
    bundle = table.time("`isthmus report`: gathering", lambda: gather_bundle(folder, whole))
    report = folder.parent.parent / "report"
    files = table.time("`isthmus report`: writing", lambda: write_report(bundle, report, ()))
    pages = [folder / PAGE_FILE, files[0]]
    table.add("report's page", f"{files[0].stat().st_size / 1e6:.1f} MB")
    table.add("report, all files", f"{sum(f.stat().st_size for f in files) / 1e6:.1f} MB")
    if not arguments.no_browser:
        for page in pages:
            opened_in_browser(page, table)
    source = FolderSource(folder.parent, load_study)
    table.time("live view, folder: list of studies", source.entries)
    table.time(
        "live view, folder: a study, each time it is looked at",
        lambda: source.standing(folder.name),
    )
    context, address = Context(LastSeen(source), Scans()), Address(folder.name)
    standing = source.standing(folder.name)
    table.time("live view: overview drawn", lambda: overview_page(context, standing, address))
    contest = table.time("`isthmus promote`: the trials", lambda: contest_of_search(folder, whole))
    some = sorted(contest.directories)[: arguments.judged]
    table.time(
        f"`isthmus promote`: evidence of {len(some)} trials, without latency",
        lambda: [gather_evidence(contest.directories[k], whole, k) for k in some],
    )


def opened_in_browser(page: Path, table: Table) -> None:
    """Load a page until its charts are drawn."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(find_browser()))
        try:
            tab = browser.new_page()
            began = time.perf_counter()
            tab.goto(page.as_uri(), timeout=300_000)
            tab.wait_for_function(
                "() => document.querySelectorAll('.main-svg').length > 0", timeout=300_000
            )
            table.add(
                f"{page.name} in Chromium, until charts are drawn",
                f"{time.perf_counter() - began:.1f} s",
            )
        finally:
            browser.close()


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
