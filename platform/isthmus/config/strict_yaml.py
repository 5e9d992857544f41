"""YAML without its traps: YAML 1.2's plain scalars, and a key written twice is an error.

PyYAML follows YAML 1.1, where ``no`` and ``off`` are false, ``1e-3`` is text, ``1:30`` is 90, and
of two equal keys the last silently wins. Objects are never built: this is a safe loader. Nor does
a short text become a long one: what aliases repeat counts as often as it is repeated.
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

_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")
)
_MOST_CHARACTERS = 2**20
# Whoever has more settings than this has an alias that repeats an alias.
_MOST_VALUES = 100_000
_DEEPEST = 40


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars above, unique keys and bounded content."""

    def get_single_node(self) -> yaml.Node | None:
        """Compose the document, and refuse it before anything is built where it is no plain one."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _require_plain(node, {}, 0)
        return node

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


def _require_plain(node: yaml.Node, sizes: dict[int, int], depth: int) -> int:
    """Count the values that a node stands for, its aliases followed, and refuse what is no plain.

    A node that is being counted has the size 0: an alias of it from within is a circle.
    """
    known = sizes.get(id(node))
    if known == 0:
        raise yaml.MarkedYAMLError(problem="a value contains itself", problem_mark=node.start_mark)
    if known is not None:
        return known
    if node.tag not in _TAGS:
        what = f"the tag {node.tag!r:.60} is not taken: settings are text, numbers, lists or groups"
        raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)
    if depth > _DEEPEST:
        what = f"at most {_DEEPEST} levels are taken"
        raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)
    sizes[id(node)] = 0
    if isinstance(node, yaml.ScalarNode):
        size = 1 + len(node.value) // 100
        if not node.value.isascii() and any("\ud800" <= char <= "\udfff" for char in node.value):
            what = "half of a surrogate pair is no character"
            raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)
    else:
        pairs = isinstance(node, yaml.MappingNode)
        below = [part for pair in node.value for part in pair] if pairs else node.value
        size = 1 + sum(_require_plain(part, sizes, depth + 1) for part in below)
    if size > _MOST_VALUES:
        what = f"at most {_MOST_VALUES:,} values are taken, repeated ones counted as often"
        raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)
    sizes[id(node)] = size
    return size


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
        If it is no YAML, asks for an object to be built (dates, sets and binary data among them),
        has a key twice in one mapping, a value that does not fit its tag (``!!int abc``) or one
        that contains itself; or is longer, deeper or, its aliases followed, larger than settings
        ever are: 2**20 characters, 40 levels, 100,000 values.

    Examples
    --------
    >>> parse_yaml("{skips: no, rate: 1e-3}")
    {'skips': 'no', 'rate': 0.001}
    """
    if len(text) > _MOST_CHARACTERS:
        raise yaml.YAMLError(
            f"at most {_MOST_CHARACTERS:,} characters are taken, got {len(text):,}"
        )
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
