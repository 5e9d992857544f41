"""Dotted paths into the experiment: the one language to override, to search and to ablate."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.settings import Settings
from isthmus.core.errors import ConfigError

# Below this similarity a suggestion misleads more than it helps: "preference" is no "kernel_size".
_NEAR = 0.7
# Comparing takes time in the square of the lengths: what is longer than this is no slip of the pen.
_LONGEST_WORD = 200


def settings_paths(group: type[Settings] = ExperimentConfig) -> dict[str, FieldInfo]:
    """List every setting of a group by its dotted path.

    Parameters
    ----------
    group : type of Settings
        Where to start; the whole experiment by default.

    Returns
    -------
    dict of str to FieldInfo
        Leaf settings only, in the order of declaration.

    Examples
    --------
    >>> "model.embedding_size" in settings_paths()
    True
    """
    return dict(_walk(group, ""))


def _walk(group: type[Settings], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the leaves below a group."""
    for name, field in group.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from _walk(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def require_path(path: str, source: str, known: Mapping[str, Any] | None = None) -> None:
    """Refuse a path that names no setting, and say which it may have meant.

    Parameters
    ----------
    path : str
        Dotted path.
    source : str
        Where the path was written, for the message.
    known : Mapping, optional
        Keyed by the paths there are; none given: those of an experiment.

    Raises
    ------
    ConfigError
        If there is no such setting.
    """
    reason = why_no_setting(path, settings_paths() if known is None else known)
    if reason is not None:
        raise ConfigError(f"{source}: {path}: {reason}")


def why_no_setting(path: str, known: Mapping[str, Any]) -> str | None:
    """Say why a path names no setting, and which it may have meant.

    Parameters
    ----------
    path : str
        Dotted path.
    known : Mapping
        Keyed by the paths there are.

    Returns
    -------
    str or None
        The reason as a sentence; None if it names one.

    Examples
    --------
    >>> why_no_setting("model.dept", settings_paths())
    "no such setting. Did you mean 'model.depth'?"
    """
    if path in known:
        return None
    inside = [name for name in known if name.startswith(f"{path}.")]
    if inside:
        return f"a group of settings; name one of {inside}."
    return f"no such setting.{did_you_mean(path, known)}"


def why_unusable(path: str, what: str, reasons: Mapping[str, str]) -> str:
    """Say why a path cannot be used where only some settings can.

    Parameters
    ----------
    path : str
        Dotted path, of a setting that cannot, or of none.
    what : str
        What cannot be done with it.
    reasons : Mapping of str to str
        By dotted path or by first name; what is not there changes nothing that is trained.

    Returns
    -------
    str
        The reason as a sentence.
    """
    missing = why_no_setting(path, settings_paths())
    if missing is not None:
        return missing
    reason = reasons.get(path) or reasons.get(path.partition(".")[0])
    return f"{what}: {reason or 'it changes nothing that is trained'}."


def did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    """Suggest the nearest known path.

    Parameters
    ----------
    word : str
        What was written.
    known : Mapping
        Keyed by what could have been meant.

    Returns
    -------
    str
        ``" Did you mean 'x'?"``, or an empty string when nothing is near.
    """
    leaf = word.rpartition(".")[2]
    if len(word) > _LONGEST_WORD:
        return ""

    def nearness(name: str) -> tuple[float, float]:
        """Compare the last names first: a setting is misspelt, or looked for in a wrong group."""
        last = name.rpartition(".")[2]
        return _similarity(leaf, last), _similarity(word, name)

    likely = (name for name in known if len(name) <= _LONGEST_WORD)
    best = max(likely, key=nearness, default=None)
    if best is None or nearness(best)[0] < _NEAR:
        return ""
    return f" Did you mean '{best}'?"


def _similarity(one: str, other: str) -> float:
    """Share of letters in common, 0 to 1, whatever their case."""
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def put(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set a value in a nested mapping by its dotted path, in place.

    Parameters
    ----------
    tree : dict
        Nested mappings; missing groups are made.
    path : str
        Dotted path.
    value : Any
        What to set.

    Raises
    ------
    ConfigError
        If the path leads through something that is not a group.
    """
    *groups, leaf = path.split(".")
    for name in groups:
        below = tree.setdefault(name, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{path}: '{name}' must be a group of settings, got {below!r}.")
        tree = below
    tree[leaf] = value


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested mapping over another; groups merge, everything else is replaced.

    Parameters
    ----------
    below, above : Mapping
        Nested mappings; ``above`` wins.

    Returns
    -------
    dict
        A new nested mapping.
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """List the leaves of a nested mapping by dotted path.

    Parameters
    ----------
    tree : Mapping
        Nested mappings.
    prefix : str
        What each path begins with.

    Returns
    -------
    dict of str to Any
        In the order of the tree; an empty mapping is a leaf.

    Examples
    --------
    >>> flatten({"model": {"depth": 4}, "seed": 0})
    {'model.depth': 4, 'seed': 0}
    """
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        leaves |= (
            flatten(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
        )
    return leaves
