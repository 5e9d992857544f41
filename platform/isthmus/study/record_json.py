"""A study as JSON: `study.json`."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_text
from isthmus.study.records import StudyResult

SCHEMA_VERSION = 1
STUDY_FILE = "study.json"

_STUDY: TypeAdapter[StudyResult] = TypeAdapter(StudyResult)


def study_to_json(result: StudyResult) -> dict[str, Any]:
    """Turn a study into JSON-serialisable values.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    dict
        What `study_from_json` reads, in the order of the record's fields.
    """
    content = _STUDY.dump_python(result, mode="json")
    return {"schema_version": SCHEMA_VERSION, **content}


def study_from_json(content: Any, where: str = "study") -> StudyResult:
    """Read what `study_to_json` made.

    Parameters
    ----------
    content : Any
        Decoded JSON.
    where : str
        Where it is from, for the error.

    Returns
    -------
    StudyResult
        Equal to the one written.

    Raises
    ------
    ConfigError
        If it is no such record, or one of another version.
    """
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"{where}: must be the record of a study of schema_version {SCHEMA_VERSION}, got "
            f"{version!r}. Run the search's command again: it writes the record anew."
        )
    try:
        return _STUDY.validate_python(
            {name: value for name, value in content.items() if name != "schema_version"}
        )
    except ValidationError as error:
        raise ConfigError(
            f"{where}: must be the record of a study, but {error}. Run the search's command "
            "again: it writes the record anew."
        ) from None


def write_study(result: StudyResult, directory: Path) -> Path:
    """Write `study.json`, whole or not at all.

    Parameters
    ----------
    result : StudyResult
        A study.
    directory : Path
        Folder of the file; made when missing.

    Returns
    -------
    Path
        The file.
    """
    path = directory / STUDY_FILE
    write_text(path, json.dumps(study_to_json(result), indent=2, allow_nan=False) + "\n")
    return path


def read_study(directory: Path) -> StudyResult:
    """Read `study.json`.

    Parameters
    ----------
    directory : Path
        Folder of the file.

    Returns
    -------
    StudyResult
        As it was written.

    Raises
    ------
    ConfigError
        If there is none, or none that this version can read.
    """
    path = directory / STUDY_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{directory}: must be the folder of a search, but has no {STUDY_FILE}."
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: must be JSON, but {error}.") from None
    return study_from_json(content, str(path))
