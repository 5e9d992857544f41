"""An ablation's result as JSON: `result.json`."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_text
from isthmus.study.ablation.findings import AblationResult

SCHEMA_VERSION = 1
RESULT_FILE = "result.json"

_RESULT: TypeAdapter[AblationResult] = TypeAdapter(AblationResult)


def result_to_json(result: AblationResult) -> dict[str, Any]:
    """Turn a result into JSON-serialisable values.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    dict
        What `result_from_json` reads, in the order of the record's fields.
    """
    content = _RESULT.dump_python(result, mode="json")
    return {"schema_version": SCHEMA_VERSION, **content}


def result_from_json(content: Any, where: str = "result") -> AblationResult:
    """Read what `result_to_json` made.

    Parameters
    ----------
    content : Any
        Decoded JSON.
    where : str
        Where it is from, for the error.

    Returns
    -------
    AblationResult
        Equal to the one written.

    Raises
    ------
    ConfigError
        If it is no such record, or one of another version.
    """
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"{where}: must be the result of an ablation of schema_version {SCHEMA_VERSION}, got "
            f"{version!r}. Run the ablation's command again: it writes the result anew."
        )
    try:
        return _RESULT.validate_python(
            {name: value for name, value in content.items() if name != "schema_version"}
        )
    except ValidationError as error:
        raise ConfigError(
            f"{where}: must be the result of an ablation, but {error}. Run the ablation's command "
            "again: it writes the result anew."
        ) from None


def write_result(result: AblationResult, directory: Path) -> Path:
    """Write `result.json`, whole or not at all.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    directory : Path
        Folder of the file; made when missing.

    Returns
    -------
    Path
        The file.
    """
    path = directory / RESULT_FILE
    write_text(path, json.dumps(result_to_json(result), indent=2, allow_nan=False) + "\n")
    return path


def read_result(directory: Path) -> AblationResult:
    """Read `result.json`.

    Parameters
    ----------
    directory : Path
        Folder of the file.

    Returns
    -------
    AblationResult
        As it was written.

    Raises
    ------
    ConfigError
        If there is none, or none that this version can read.
    """
    path = directory / RESULT_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{directory}: must be the folder of an ablation, but has no {RESULT_FILE}."
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: must be JSON, but {error}.") from None
    return result_from_json(content, str(path))
