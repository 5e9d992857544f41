"""Figures on their way into files: those with something to show, and why the others have not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from isthmus.report.pictures import save_png
from isthmus.report.strata_captions import Caption
from isthmus.report.strata_views import Absent


@dataclass(frozen=True)
class Drawing:
    """One figure of a report.

    Attributes
    ----------
    file : str
        Name of its picture.
    view : object
        What it shows; `Absent` if that is nothing.
    draw : callable
        Draws it.
    words : Caption or None
        How to read it; None where words stand elsewhere.
    """

    file: str
    view: object
    draw: Callable[[], Figure]
    words: Caption | None = None


def write_drawings(drawings: Sequence[Drawing], directory: Path) -> tuple[Path, ...]:
    """Write a PNG a figure, and remove those that are no longer true.

    Parameters
    ----------
    drawings : sequence of Drawing
        All figures of a report.
    directory : Path
        Folder of the pictures.

    Returns
    -------
    tuple of Path
        Those written.
    """
    written = []
    for one in drawings:
        path = directory / one.file
        if isinstance(one.view, Absent):
            path.unlink(missing_ok=True)
        else:
            save_png(one.draw(), path)
            written.append(path)
    return tuple(written)


def drawings_in_words(drawings: Sequence[Drawing]) -> str:
    """Write what stands around the pictures, as markdown.

    Parameters
    ----------
    drawings : sequence of Drawing
        All figures of a report.

    Returns
    -------
    str
        Those that are not drawn first, each with the reason; then each picture with its words.
    """
    absent, shown = [], []
    for one in drawings:
        title = one.file if one.words is None else one.words.title
        if isinstance(one.view, Absent):
            absent.append(
                f"Not drawn, {one.file}: {one.view.reason}\n"
                if one.words is None
                else f"**{title}**: not drawn. {one.view.reason}\n"
            )
        elif one.words is not None:
            shown.append(
                f"**{title}**\n\n![{title}]({one.file})\n\n{one.words.reads}\n\n"
                f"Does not show: {one.words.not_shown}\n"
            )
    return "\n".join((*absent, *shown)) if shown else "".join(absent)
