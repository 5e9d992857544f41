"""Drawing once: a list beside the files says what was drawn, from what, and by which version."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import isthmus
from isthmus.core.files import write_json

DRAWN_FILE = "drawn.json"

# The files of a drawing by the group that they belong to, such as a folder of a run's artifacts.
Groups = Mapping[str, tuple[Path, ...]]


def drawn_once(folder: Path, what: str, draw: Callable[[], Groups]) -> Groups:
    """Draw, unless that was done before.

    Parameters
    ----------
    folder : Path
        Every file that is drawn lies in it or below.
    what : str
        Identifies what is drawn: of other results, it is drawn again.
    draw : callable
        Writes the files and lists them.

    Returns
    -------
    Mapping of str to tuple of Path
        As ``draw`` returned it, now or when this version drew the same and all files were kept.
    """
    before = _read(folder, what)
    if before is not None:
        return before
    groups = draw()
    content = {
        "version": isthmus.__version__,
        "what": what,
        "groups": {
            name: [file.relative_to(folder).as_posix() for file in files]
            for name, files in groups.items()
        },
    }
    write_json(folder / DRAWN_FILE, content)
    return groups


def _read(folder: Path, what: str) -> Groups | None:
    """Find a complete drawing of the same by this version."""
    try:
        content = json.loads((folder / DRAWN_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if content["version"] != isthmus.__version__ or content.get("what") != what:
        return None
    groups = {
        name: tuple(folder / file for file in files) for name, files in content["groups"].items()
    }
    there = all(file.exists() for files in groups.values() for file in files)
    return groups if there else None
