"""The page that lists every setting, written from the settings themselves.

``python -m isthmus.config.reference docs/configuration.md`` writes it; a test holds it current.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import preset_names
from isthmus.config.search_metrics import (
    COMPRESSION,
    OF_SUBSETS,
    PROBE_SCORES,
    known_metrics,
    metrics_by_modality,
)
from isthmus.config.search_paths import VARIED, WHY_NOT
from isthmus.config.search_space import Dimension, ObjectiveConfig, SearchSpace
from isthmus.config.settings import Settings
from isthmus.core.files import write_text

_NAMES = {
    int: "integer",
    float: "number",
    str: "text",
    bool: "true or false",
    NoneType: "none",
    Any: "any value",
}
_BOUNDS = {
    "ge": "≥ {}",
    "gt": "> {}",
    "le": "≤ {}",
    "lt": "< {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
}


_EXAMPLE = """
space:
  model.depth: {kind: int, low: 3, high: 5}
  model.skips: {kind: categorical, choices: [all, deep, none]}
  model.convolution: {kind: categorical, choices: [separable, standard]}
  model.separable.depth_multiplier:
    {kind: categorical, choices: [1, 2, 4], when: {model.convolution: separable}}
  training.learning_rate: {kind: float, low: 1.0e-5, high: 1.0e-2, log: true}
try_first: [paper, {model.depth: 4, model.skips: none}]
objectives: [{metric: validation_mse, direction: minimize}]
sampler: {kind: multivariate_tpe}
scheduler: {kind: asha, unit: fold, grace: 1}
budget: {n_trials: 60, gpu_hours: 48}
"""


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
        lines += _section(f"`{path}`" if path else "The experiment", path, group)
    return "\n".join([*lines, *_search_spaces()]) + "\n"


def _search_spaces() -> list[str]:
    """Describe the language of search spaces."""
    refused = [f"`{path}`" for path in WHY_NOT if path.partition(".")[0] in VARIED]
    lines = [
        "",
        "# Search spaces",
        "",
        "A file of `search_spaces/`, or one like it, says what a search varies, what it is after, "
        "and what it may cost. Its dimensions are settings of the experiment by their dotted "
        f"paths: all of {' and '.join(f'`{group}`' for group in VARIED)}, but for "
        f"{', '.join(refused)}. Every path and value is checked when the file is loaded;",
        "`isthmus check experiment.yaml SPACE` does that alone, and `--space-set path=value` "
        "overrides what stands in the file (`budget.n_trials=3`, `space.model.depth.high=4`).",
        "",
        "```yaml",
        *_EXAMPLE.strip().splitlines(),
        "```",
    ]
    for path, group in _groups(SearchSpace, ""):
        title = f"`{path}` of a search" if path else "The search"
        lines += _section(title, path, group)
        if not path:
            for kind in get_args(get_args(Dimension)[0]):
                name = get_args(kind)[0].model_fields["kind"].default
                lines += _section(f"A dimension of kind `{name}`", "", get_args(kind)[0])
            lines += _section("An objective", "", ObjectiveConfig)
            lines += _metrics()
    return lines


def _metrics() -> list[str]:
    """List what can be sought."""

    def listed(names: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in names)

    pictures = metrics_by_modality()
    return [
        "",
        "What can be sought, where the experiment declares what it is made of (phenotypes, targets "
        "of the stratification, `T1w` for the contrast-to-noise ratio):",
        "",
        f"- of the reconstruction, the mean over modalities, or of one as `<metric>/<modality>`: "
        f"{listed(pictures)};",
        f"- of the strata: {listed(n for n in known_metrics() if n.startswith('strata_'))};",
        "- of the probes of `controls.probe_targets`: "
        f"`probe_<column>.<score>/embedding`, the score one of {listed(PROBE_SCORES)};",
        "- of the strata that fewer modalities give, where there is a subset grid (and there alone "
        f"of the synthesis, too): {listed(OF_SUBSETS)};",
        f"- of the compression: `{COMPRESSION}`.",
    ]


def _section(title: str, path: str, group: type[Settings]) -> list[str]:
    """Describe one group of settings, in a table."""
    lines = ["", f"## {title}", "", str(group.__doc__).partition("\n")[0], ""]
    lines += ["| setting | value | default | meaning |", "|---|---|---|---|"]
    return lines + [_row(path, name, field) for name, field in _leaves(group)]


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
        return " or ".join(dict.fromkeys(_kind(part) for part in inside))
    if origin is dict:
        return f"{_kind(inside[1])} by path"
    if isinstance(kind, type) and issubclass(kind, Settings):
        return "group"
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
    parts = list(value) if isinstance(value, tuple) else value
    plain = TypeAdapter(Any).dump_python(parts, mode="json")
    text = yaml.safe_dump(plain, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), reference_page())
