"""Where a search or an ablation is kept, and whether it is the one that is there.

Its folder lies beside those of its trials, under a name of its own, and in it a record says what
it is. One that is begun again goes on there; one that differs is refused with the differences, or
begun beside it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_json

Identity = Mapping[str, Any]

_MOST_SHOWN = 12


@dataclass(frozen=True)
class Kind:
    """What is kept, in words and names.

    Attributes
    ----------
    noun : str
        Such as ``search``.
    file : str
        Name of the record in its folder.
    key : str
        What the record calls its identifier.
    language : str
        What else but the experiment it is described by, such as ``space``.
    """

    noun: str
    file: str
    key: str
    language: str

    def is_begun(self, folder: Path) -> bool:
        """Tell whether one is kept in a folder."""
        return (folder / self.file).exists()

    def read(self, folder: Path) -> dict[str, Any]:
        """Read what is kept in a folder."""
        content: dict[str, Any] = json.loads((folder / self.file).read_text(encoding="utf-8"))
        return content

    def write(self, folder: Path, identifier: str, identity: Identity) -> None:
        """Write down what is kept in a folder."""
        content = {"schema_version": 1, self.key: identifier, "identity": dict(identity)}
        write_json(folder / self.file, content)


def find_place(
    output: Path, name: str, kind: Kind, identifier: str, identity: Identity, fork: bool
) -> Path:
    """Find the folder of what may have been begun before; nothing is written.

    Parameters
    ----------
    output : Path
        Folder of the folders.
    name : str
        Of the first folder; those of others of the name are numbered, from 2.
    kind : Kind
        What is kept.
    identifier : str
        Of the one that is sought.
    identity : Mapping of str to Any
        What it is made of, by dotted path.
    fork : bool
        Begin another beside those of the name that differ.

    Returns
    -------
    Path
        Of the one that was begun, or a free one.

    Raises
    ------
    ConfigError
        If one of the name is there, but another, and `fork` is false; the message lists the
        differences.
    """
    places = [folder for folder in _places(output, name) if kind.is_begun(folder)]
    here = next((f for f in places if kind.read(f)[kind.key] == identifier), None)
    if here is None and places and not fork:
        raise ConfigError(_another(places[-1], kind, identity))
    if here is None:
        here = next(f for f in _names(output, name) if not kind.is_begun(f))
    return here


def _another(folder: Path, kind: Kind, now: Identity) -> str:
    """Say how one differs from the one that is there."""
    before, now = kind.read(folder)["identity"], json.loads(json.dumps(dict(now)))
    lines = []
    for path in sorted({*before, *now}):
        old, new = before.get(path, "not there"), now.get(path, "not there")
        if old != new:
            lines.append(f"  {path}: was {json.dumps(old):.80}, is {json.dumps(new):.80}")
    more = f"\n  and {len(lines) - _MOST_SHOWN} more" if len(lines) > _MOST_SHOWN else ""
    listed = "\n".join(lines[:_MOST_SHOWN])
    article = "an" if kind.noun[0] in "aeiou" else "a"
    return (
        f"{folder}: {article} {kind.noun} that is continued must be the one that was begun, but it "
        f"differs:\n{listed}{more}\nTake that back, give the {kind.language} another name, or "
        f"begin another {kind.noun} beside it with --fork; finished trials that it has in common "
        "are not repeated."
    )


def _names(output: Path, name: str) -> Iterator[Path]:
    """Name the first place, and those of forks."""
    yield output / name
    number = 2
    while True:
        yield output / f"{name}-{number}"
        number += 1


def _places(output: Path, name: str) -> list[Path]:
    """List the places in use, oldest first."""
    places: list[Path] = []
    for folder in _names(output, name):
        if not folder.exists():
            return places
        places.append(folder)
    return places
