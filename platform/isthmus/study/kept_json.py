"""A record that a folder keeps as JSON, with its version: a study's, an ablation's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_text

RecordT = TypeVar("RecordT")


@dataclass(frozen=True)
class KeptJson(Generic[RecordT]):
    """How one kind of record is written and read.

    Attributes
    ----------
    adapter : TypeAdapter
        Of the record's class.
    file : str
        Name of the file within its folder.
    version : int
        Version of the record.
    what : str
        What it is, such as ``the record of a study``.
    folder : str
        Whose folder it lies in, such as ``a search``.
    remedy : str
        What to do where it cannot be read, as a sentence.
    indent : int or None
        Spaces a level; None for one line, of a record that is too large to be read by people.
    """

    adapter: TypeAdapter[RecordT]
    file: str
    version: int
    what: str
    folder: str
    remedy: str
    indent: int | None = 2

    def to_json(self, record: RecordT) -> dict[str, Any]:
        """Turn a record into JSON-serialisable values.

        Parameters
        ----------
        record : RecordT
            Of the class.

        Returns
        -------
        dict
            What `from_json` reads, in the order of the record's fields.
        """
        return {"schema_version": self.version, **self.adapter.dump_python(record, mode="json")}

    def from_json(self, content: Any, where: str | None = None) -> RecordT:
        """Read what `to_json` made.

        Parameters
        ----------
        content : Any
            Decoded JSON.
        where : str, optional
            Where it is from, for the error; none given: the file's name without its ending.

        Returns
        -------
        RecordT
            Equal to the one written.

        Raises
        ------
        ConfigError
            If it is no such record, or one of another version.
        """
        place = where or Path(self.file).stem
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != self.version:
            raise ConfigError(
                f"{place}: must be {self.what} of schema_version {self.version}, got {version!r}. "
                f"{self.remedy}"
            )
        try:
            return self.adapter.validate_python(
                {name: value for name, value in content.items() if name != "schema_version"}
            )
        except ValidationError as error:
            raise ConfigError(f"{place}: must be {self.what}, but {error}. {self.remedy}") from None

    def write(self, record: RecordT, directory: Path) -> Path:
        """Write the file, whole or not at all.

        Parameters
        ----------
        record : RecordT
            As it stands.
        directory : Path
            Folder of the file; made when missing.

        Returns
        -------
        Path
            The file.
        """
        path = directory / self.file
        content = self.to_json(record)
        separators = (",", ":") if self.indent is None else None
        text = json.dumps(content, indent=self.indent, separators=separators, allow_nan=False)
        write_text(path, text + "\n")
        return path

    def read(self, directory: Path) -> RecordT:
        """Read the file.

        Parameters
        ----------
        directory : Path
            Folder of the file.

        Returns
        -------
        RecordT
            As it was written.

        Raises
        ------
        ConfigError
            If there is none, or none that this version can read.
        """
        path = directory / self.file
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(
                f"{directory}: must be the folder of {self.folder}, but has no {self.file}."
            ) from None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ConfigError(f"{path}: must be JSON, but {error}.") from None
        return self.from_json(content, str(path))
