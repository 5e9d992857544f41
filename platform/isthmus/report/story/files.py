"""A report as a folder: the page, the bundle, every table as CSV, every figure as PNG."""

import csv
import io
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from isthmus.core.errors import ConfigError
from isthmus.core.files import name_beside, room_needed, write_bytes, write_text
from isthmus.report.ablation.sections import drawing_of
from isthmus.report.drawings import Drawing, write_drawings
from isthmus.report.story.arm_sections import arm_parts
from isthmus.report.story.bundle import ReadyPart, ReportBundle
from isthmus.report.story.bundle_json import BUNDLE_FILE, write_bundle
from isthmus.report.story.chapter import Chapter
from isthmus.report.story.middle import lead_of_story
from isthmus.report.story.page import chapters_of, story_page
from isthmus.report.strata_files import across_drawings, strata_drawings
from isthmus.report.study_files import study_drawings
from isthmus.report.table import Table

PAGE_FILE = "index.html"
TABLES, PICTURES = "tables", "pictures"


def write_report(
    bundle: ReportBundle, destination: Path, extra_sections: Sequence[ReadyPart] = ()
) -> tuple[Path, ...]:
    """Write the report of a study.

    Parameters
    ----------
    bundle : ReportBundle
        All that it shows, as `isthmus.report.story.gather.gather_bundle` gives it.
    destination : Path
        Folder of the report; made when missing. A report that is there is replaced.
    extra_sections : sequence of ReadyPart
        Parts for the chapter on promotion that the bundle does not have; they become part of the
        bundle that is written.

    Returns
    -------
    tuple of Path
        ``index.html`` first, then ``report_bundle.json``, ``tables/*.csv`` and
        ``pictures/*.png``.

    Raises
    ------
    ConfigError
        If the destination holds something else than a report; that is left as it is.
    DiskFull
        If there is no room; the report that was there is left as it was.

    Notes
    -----
    All is written into a folder beside the destination, which then takes its place, so that nobody
    finds half a report, or parts of two.
    """
    require_replaceable(destination)
    whole = replace(bundle, promotion=(*bundle.promotion, *extra_sections))
    beside = name_beside(destination, "tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        with room_needed(destination.parent):
            written = _write(whole, beside)
        _take_place(beside, destination)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return tuple(destination / path.relative_to(beside) for path in written)


def require_replaceable(destination: Path) -> None:
    """Refuse a folder that a report may not take the place of.

    Parameters
    ----------
    destination : Path
        Where the report is to be.

    Raises
    ------
    ConfigError
        If it is a file, or a folder that holds something and no report.
    """
    if not destination.exists():
        return
    if not destination.is_dir():
        raise ConfigError(f"{destination}: must be a folder for the report, but is a file.")
    if any(destination.iterdir()) and not (destination / BUNDLE_FILE).exists():
        raise ConfigError(
            f"{destination}: must be a new folder, an empty one, or that of an earlier report, "
            f"which is replaced whole, but it holds other things and no {BUNDLE_FILE}. Give "
            "another folder with -o."
        )


def _write(bundle: ReportBundle, folder: Path) -> tuple[Path, ...]:
    """Write all files of a report."""
    chapters = chapters_of(bundle)
    page = folder / PAGE_FILE
    write_text(page, story_page(bundle, chapters))
    written = [page, write_bundle(bundle, folder)]
    for name, table in _named_tables(chapters):
        path = folder / TABLES / f"{name}.csv"
        write_text(path, table_csv(table))
        written.append(path)
    written += write_drawings(list(_drawings(bundle)), folder / PICTURES)
    lead = lead_of_story(bundle)
    kept = [*(lead.panels if lead else ()), *([bundle.side_by_side] if bundle.side_by_side else [])]
    for picture in kept:
        path = folder / PICTURES / f"{picture.name}.png"
        write_bytes(path, picture.png)
        written.append(path)
    return tuple(written)


def table_csv(table: Table) -> str:
    """Write a table as CSV.

    Parameters
    ----------
    table : Table
        Any.

    Returns
    -------
    str
        A heading and its rows, as they stand on the page. A cell that a spreadsheet would take
        for a formula begins with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_harmless, table.columns))
    writer.writerows([_harmless(cell) for cell in row] for row in table.rows)
    return text.getvalue()


def _harmless(cell: str) -> str:
    """Keep what a user named from being run by a spreadsheet; signs and numbers stay."""
    formula = cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not re.match(r"[+-]?[\d.]|-$", cell)
    return f"'{cell}" if formula else cell


def _named_tables(chapters: Sequence[Chapter]) -> Iterator[tuple[str, Table]]:
    """Name each table by its chapter and its title, each name once."""
    taken: dict[str, int] = {}
    for number, chapter in enumerate(chapters, 1):
        for table in chapter.tables:
            title = re.sub(r"[^a-z0-9]+", "_", table.title.lower()).strip("_")[:60] or "table"
            name = f"{number}_{chapter.key}_{title}"
            taken[name] = taken.get(name, 0) + 1
            yield (name if taken[name] == 1 else f"{name}_{taken[name]}"), table


def _drawings(bundle: ReportBundle) -> Iterator[Drawing]:
    """List the figures that are drawn as pictures."""
    if bundle.study is not None:
        yield from study_drawings(bundle.study)
    if bundle.ablation is not None:
        for part in arm_parts(bundle.ablation):
            if part.key != "side_by_side":
                yield drawing_of(bundle.ablation, part)
    lead = lead_of_story(bundle)
    if lead is None or not lead.result.folds:
        return
    first, leaky = lead.result.folds[0], lead.result.leaky
    for drawing in strata_drawings(first.strata, leaky):
        yield replace(drawing, file=f"fold_{first.number}_{drawing.file}")
    if lead.result.across is not None:
        for drawing in across_drawings(lead.result.across, leaky):
            yield replace(drawing, file=f"encoders_{drawing.file}")


def _take_place(beside: Path, destination: Path) -> None:
    """Put a finished folder in the place of an earlier one."""
    earlier = name_beside(destination, "old")
    if destination.exists():
        destination.rename(earlier)
    try:
        beside.rename(destination)
    except OSError:
        if earlier.exists():
            earlier.rename(destination)
        raise
    shutil.rmtree(earlier, ignore_errors=True)
