"""Overriding what a file of another language than the experiment's says, by dotted path."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from isthmus.config.load import explain, read_yaml
from isthmus.config.paths import require_path
from isthmus.config.settings import Settings
from isthmus.config.strict_yaml import parse_yaml
from isthmus.core.errors import ConfigError

ModelT = TypeVar("ModelT", bound=Settings)
Known = Mapping[str, tuple[str | int, ...]]
"""By dotted path: the keys that it stands for, for keys may have dots themselves."""


def override_file(content: Any, text: str, known: Known, option: str, source: str) -> None:
    """Lay one override over what was read from a file, in place.

    Parameters
    ----------
    content : dict
        As read; groups that are missing are made.
    text : str
        ``dotted.path=value``, the value in YAML.
    known : Mapping of str to tuple
        Keys by dotted path.
    option : str
        How it was given, such as ``--space-set``.
    source : str
        The file, for messages.

    Raises
    ------
    ConfigError
        If there is no value, no such path, no YAML, or the file has no group there.
    """
    path, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise ConfigError(f"{option} must be path=value, got {text!r}.")
    require_path(path, option, known)
    keys = known[path]
    for name, following in pairwise(keys):
        content = content[name] if isinstance(name, int) else content.setdefault(name, {})
        kind = list if isinstance(following, int) else dict
        if not isinstance(content, kind):
            raise ConfigError(
                f"{source}: {name}: must be a {'list' if kind is list else 'group'} for {option} "
                f"{path}, got {content!r:.80}."
            )
    try:
        content[keys[-1]] = parse_yaml(value)
    except yaml.YAMLError:
        raise ConfigError(f"{option} {path}: the value must be YAML, got {value!r}.") from None


def read_overridden(
    path: Path,
    model: type[ModelT],
    known_of: Callable[[Mapping[str, Any]], Known],
    overrides: Sequence[str],
    option: str,
) -> ModelT:
    """Read a file of such a language, lay overrides over it, and check its form.

    Parameters
    ----------
    path : Path
        The YAML; what it does not name is named as the file is.
    model : type
        What it must be.
    known_of : callable
        Lists the paths into what was read, with the keys that they stand for.
    overrides : sequence of str
        ``dotted.path=value``.
    option : str
        How they were given, such as ``--space-set``.

    Returns
    -------
    Settings
        Of the model.

    Raises
    ------
    ConfigError
        If the file cannot be read, or it or an override is no such thing.
    """
    source = str(path)
    content = {"name": path.stem, **read_yaml(path)}
    for text in overrides:
        override_file(content, text, known_of(content), option, source)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(explain(error, source, known_of(content))) from None


def raise_misses(misses: Sequence[str], source: str) -> None:
    """Raise all misses as one error, a line for each.

    Parameters
    ----------
    misses : sequence of str
        What is wrong, each with its place within the file.
    source : str
        The file.

    Raises
    ------
    ConfigError
        If there is any.
    """
    if misses:
        lines = [line for miss in misses for line in miss.splitlines()]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines))
