"""What `isthmus stratify` found, as files and in a tracking store.

A run below the trial's, named after what was computed; below it one for each encoder, where there
are several.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.config.stratify import StratifySettings
from isthmus.core.files import write_text
from isthmus.core.ports import RunLogger
from isthmus.report.drawn import Groups, drawn_once
from isthmus.report.publish import publish_across, publish_stratification
from isthmus.report.strata_files import write_across_files, write_strata_files
from isthmus.trial.embedded import STRATIFY_TAG
from isthmus.trial.restratify import SETTINGS_FILE, Restratified
from isthmus.trial.strata import ACROSS_FILE, STRATA_FILE
from isthmus.trial.tables import write_strata_tables

PUBLISHED_FILE = "published"
_ENCODER, _ACROSS = "encoder ", "across"


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

    def draw() -> Groups:
        groups = {}
        for name, report in done.reports.items():
            folder = done.directory / name
            tables = write_strata_tables(report, folder)
            files = write_strata_files(report, folder, done.leaky)
            groups[f"{_ENCODER}{name}"] = (folder / STRATA_FILE, *tables, *files)
        across = write_across_files(done.across, done.directory, done.leaky)
        groups[_ACROSS] = (done.directory / ACROSS_FILE, *across)
        return groups

    groups = drawn_once(done.directory, done.key, draw)
    return Drawn({name: groups[f"{_ENCODER}{name}"] for name in done.reports}, groups[_ACROSS])


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
