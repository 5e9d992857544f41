"""The page that lists every setting, written from the settings themselves.

``python -m isthmus.config.reference docs/configuration.md`` writes it; a test holds it current.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import preset_names
from isthmus.config.settings import Settings
from isthmus.core.files import write_text

_NAMES = {int: "integer", float: "number", str: "text", bool: "true or false", NoneType: "none"}
_BOUNDS = {
    "ge": "≥ {}",
    "gt": "> {}",
    "le": "≤ {}",
    "lt": "< {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
}


def reference_page() -> str:
    """Describe every setting, a table for each group.

    Returns
    -------
    str
        Markdown: dotted path, what it may be, default and description of every setting.

    Examples
    --------
    >>> "`model.embedding_size`" in reference_page()
    True
    """
    presets = ", ".join(f"`{name}`" for name in preset_names())
    lines = [
        "# Settings",
        "",
        "Written by `make docs` from the settings themselves; a test holds it current.",
        "",
        "A dotted path names a setting in an experiment's YAML, in `--set path=value`, and in the "
        "files that search or ablate.",
        f"`preset` names the values to start from ({presets}); the experiment's file is laid over "
        "it, and `--set` over both.",
        "",
        "Everything enters the digest that identifies an experiment, but for `preset`, `name`, "
        "`cohort.root`, `execution` and `cross_validation`, whose folds have a digest of their own",
        "([why](decisions/0002-what-enters-the-digest.md)).",
    ]
    for path, group in _groups(ExperimentConfig, ""):
        title = f"`{path}`" if path else "The experiment"
        lines += ["", f"## {title}", "", str(group.__doc__).partition("\n")[0], ""]
        lines += ["| setting | value | default | meaning |", "|---|---|---|---|"]
        lines += [_row(path, name, field) for name, field in _leaves(group)]
    return "\n".join(lines) + "\n"


def _groups(group: type[Settings], path: str) -> Iterator[tuple[str, type[Settings]]]:
    """Yield a group that has settings of its own, then those below it."""
    if any(True for _ in _leaves(group)):
        yield path, group
    for name, field in group.model_fields.items():
        if _is_group(field.annotation):
            assert isinstance(field.annotation, type)
            yield from _groups(field.annotation, f"{path}.{name}".lstrip("."))


def _leaves(group: type[Settings]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the settings that stand directly in a group."""
    for name, field in group.model_fields.items():
        if not _is_group(field.annotation):
            yield name, field


def _is_group(kind: Any) -> bool:
    """Say whether a field holds further settings."""
    return isinstance(kind, type) and issubclass(kind, Settings)


def _row(path: str, name: str, field: FieldInfo) -> str:
    """One line of a table."""
    dotted = f"{path}.{name}".lstrip(".")
    default = "must be given" if field.is_required() else f"`{_shown(field.default)}`"
    kind, none, _ = _kind(field.annotation).partition(" or none")
    value = " ".join(filter(None, [kind, _limits(field.metadata)])) + none
    cells = [f"`{dotted}`", value, default, str(field.description)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(kind: Any) -> str:
    """Say in words what a value may be."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return " ".join(filter(None, [_kind(inside[0]), _limits(_constraints(inside[1:]))]))
    if origin is Literal:
        return ", ".join(f"`{_shown(value)}`" for value in inside)
    if origin in (Union, UnionType):
        return " or ".join(_kind(part) for part in inside)
    if origin is tuple and inside[-1] is ...:
        return f"list of {_kind(inside[0])}"
    if origin is tuple:
        return f"{len(inside)} times {_kind(inside[0])}"
    return _NAMES[kind]


def _constraints(metadata: tuple[Any, ...]) -> list[Any]:
    """Unpack the bounds that pydantic's ``Field`` carries inside ``Annotated``."""
    return [rule for item in metadata for rule in getattr(item, "metadata", [item])]


def _limits(metadata: list[Any]) -> str:
    """Say in words what bounds a value."""
    return ", ".join(
        words.format(getattr(rule, attribute))
        for rule in metadata
        for attribute, words in _BOUNDS.items()
        if hasattr(rule, attribute)
    )


def _shown(value: Any) -> str:
    """Write a value as it would stand in an experiment's YAML."""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), reference_page())
