"""YAML without its traps: YAML 1.2's plain scalars, and a key written twice is an error.

PyYAML follows YAML 1.1, where ``no`` and ``off`` are false, ``1e-3`` is text, ``1:30`` is 90, and
of two equal keys the last silently wins. Objects are never built: this is a safe loader.
"""

import re
from typing import Any

import yaml

_SCALARS = (
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
        r"|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$",
        list("-+0123456789."),
    ),
    ("tag:yaml.org,2002:merge", r"^<<$", ["<"]),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars above and unique keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice in one mapping."""
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would read as something other than text."""


_Loader.yaml_implicit_resolvers = {}  # instead of those of YAML 1.1
for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)
    _Dumper.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def parse_yaml(text: str) -> Any:
    """Read one YAML document.

    Parameters
    ----------
    text : str
        The document.

    Returns
    -------
    Any
        Mappings, sequences, strings, numbers, booleans or None.

    Raises
    ------
    yaml.YAMLError
        If it is no YAML, asks for an object to be built, has a key twice in one mapping, or a
        value that does not fit its tag (``!!int abc``).

    Examples
    --------
    >>> parse_yaml("{skips: no, rate: 1e-3}")
    {'skips': 'no', 'rate': 0.001}
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # PyYAML lets through what Python says of `!!int abc`, `!!bool maybe` or `!!timestamp x`.
        raise yaml.YAMLError(f"a value does not fit its tag, or is too deep: {error}") from None


def format_yaml(value: Any) -> str:
    """Write a value as YAML that `parse_yaml` reads back to the same value.

    Parameters
    ----------
    value : Any
        Mappings, sequences, strings, numbers, booleans or None.

    Returns
    -------
    str
        The document, keys in their given order.
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
