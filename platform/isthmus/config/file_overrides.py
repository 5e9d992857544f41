"""Overriding what a file of another language than the experiment's says, by dotted path."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import yaml

from isthmus.config.paths import require_path
from isthmus.config.strict_yaml import parse_yaml
from isthmus.core.errors import ConfigError

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
