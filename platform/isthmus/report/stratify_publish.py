"""What `isthmus stratify` found, as files and in a tracking store.

A run below the trial's, named after what was computed; below it one for each encoder, where there
are several.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import isthmus
from isthmus.config.stratify import StratifySettings
from isthmus.core.files import write_json, write_text
from isthmus.core.ports import RunLogger
from isthmus.report.publish import publish_across, publish_stratification
from isthmus.report.strata_files import write_across_files, write_strata_files
from isthmus.trial.embedded import STRATIFY_TAG
from isthmus.trial.restratify import SETTINGS_FILE, Restratified
from isthmus.trial.strata import ACROSS_FILE, STRATA_FILE
from isthmus.trial.tables import write_strata_tables

PUBLISHED_FILE, DRAWN_FILE = "published", "drawn.json"


@dataclass(frozen=True)
class Drawn:
    """The files of one trial's results.

    Attributes
    ----------
    encoders : Mapping of str to tuple of Path
        Those of each encoder: record, tables, pictures and page.
    across : tuple of Path
        Those of all of them together.
    """

    encoders: Mapping[str, tuple[Path, ...]]
    across: tuple[Path, ...]


def draw_restratified(done: Restratified) -> Drawn:
    """Write pictures, pages and tables beside the records.

    Parameters
    ----------
    done : Restratified
        What was found.

    Returns
    -------
    Drawn
        Every file that belongs to it, the records among them. What this version drew before is
        not drawn again.
    """
    before = _read_drawn(done)
    if before is not None:
        return before
    encoders = {}
    for name, report in done.reports.items():
        folder = done.directory / name
        tables = write_strata_tables(report, folder)
        files = write_strata_files(report, folder, done.leaky)
        encoders[name] = (folder / STRATA_FILE, *tables, *files)
    across = write_across_files(done.across, done.directory, done.leaky)
    drawn = Drawn(encoders, (done.directory / ACROSS_FILE, *across))
    _write_drawn(drawn, done)
    return drawn


def publish_restratified(
    done: Restratified, drawn: Drawn, settings: StratifySettings, run: RunLogger
) -> None:
    """Write one trial's results to a run, unless that was done before.

    Parameters
    ----------
    done : Restratified
        What was found.
    drawn : Drawn
        Its files.
    settings : StratifySettings
        What it was found with.
    run : RunLogger
        Open, and this computation's own; it is closed here.
    """
    published = done.directory / PUBLISHED_FILE
    if published.exists() and published.read_text(encoding="utf-8") == run.run_id:
        run.finish(succeeded=True)
        return
    succeeded = False
    try:
        run.log_params(settings.flat())
        run.log_artifact(done.directory / SETTINGS_FILE)
        for name, report in done.reports.items():
            alone = len(done.reports) == 1
            own = run if alone else run.child(name, {STRATIFY_TAG: done.key})
            publish_stratification(own, report, drawn.encoders[name])
            if not alone:
                own.finish(succeeded=True)
        publish_across(run, done.across, drawn.across)
        write_text(published, run.run_id)
        succeeded = True
    finally:
        run.finish(succeeded)


def stratify_run_name(key: str) -> str:
    """Name the run of a computation.

    Parameters
    ----------
    key : str
        What it computes.

    Returns
    -------
    str
        It is found again by this name below its parent.

    Examples
    --------
    >>> stratify_run_name("4f6e2a1c" + 56 * "0")
    'stratify 4f6e2a1c'
    """
    return f"stratify {key[:8]}"


def _write_drawn(drawn: Drawn, done: Restratified) -> None:
    """List the files of a drawing that is complete."""
    content = {
        "version": isthmus.__version__,
        "encoders": {name: [file.name for file in files] for name, files in drawn.encoders.items()},
        "across": [file.name for file in drawn.across],
    }
    write_json(done.directory / DRAWN_FILE, content)


def _read_drawn(done: Restratified) -> Drawn | None:
    """Find a complete drawing by this version."""
    try:
        content = json.loads((done.directory / DRAWN_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    drawn = Drawn(
        {
            name: tuple(done.directory / name / file for file in files)
            for name, files in content["encoders"].items()
        },
        tuple(done.directory / file for file in content["across"]),
    )
    files = [*drawn.across, *(file for own in drawn.encoders.values() for file in own)]
    there = all(file.exists() for file in files)
    return drawn if there and content["version"] == isthmus.__version__ else None
