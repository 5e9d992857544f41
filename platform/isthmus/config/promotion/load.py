"""Loading gates: a file, or one of those in the package, then overrides."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from isthmus.config.file_overrides import read_overridden
from isthmus.config.paths import did_you_mean
from isthmus.config.promotion.gates import PromotionConfig
from isthmus.config.settings import Settings
from isthmus.core.errors import ConfigError

OPTION = "--gates-set"
Keys = tuple[str | int, ...]


def is_gates(content: Mapping[str, Any]) -> bool:
    """Tell gates from an experiment, a search space and an ablation.

    Parameters
    ----------
    content : Mapping
        As read from a file.

    Returns
    -------
    bool
        Whether it has gates.
    """
    return "gates" in content


def gate_names() -> tuple[str, ...]:
    """List the gates' files in the package.

    Returns
    -------
    tuple of str
        Sorted names.
    """
    folder = resources.files("isthmus.config") / "gates"
    return tuple(
        sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    )


def load_gates(
    name_or_file: str | Path = "standard", overrides: Sequence[str] = ()
) -> PromotionConfig:
    """Read gates and check every threshold.

    Parameters
    ----------
    name_or_file : str or Path
        One of `gate_names`, or a YAML file: what ends in ``.yaml`` or ``.yml``, has a folder, or
        is a Path is a file.
    overrides : sequence of str
        ``dotted.path=value``, the value in YAML: ``gates.pca.max_ratio=0.9``;
        ``gates.latency=false`` does not ask a gate, ``gates.integrity=true`` asks one with its
        own thresholds.

    Returns
    -------
    PromotionConfig
        Named after its file, unless it names itself.

    Raises
    ------
    ConfigError
        If there is no such file or name, a gate or threshold is unknown or has an impossible
        value, or no gate is asked.
    """
    if _is_file(name_or_file):
        return read_overridden(Path(name_or_file), PromotionConfig, _known, overrides, OPTION)
    known = gate_names()
    if name_or_file not in known:
        hint = did_you_mean(str(name_or_file), dict.fromkeys(known))
        raise ConfigError(
            f"Gates must be one of {list(known)}, or a YAML file, got {name_or_file!r}.{hint}"
        )
    shipped = resources.files("isthmus.config") / "gates" / f"{name_or_file}.yaml"
    with resources.as_file(shipped) as path:
        return read_overridden(path, PromotionConfig, _known, overrides, OPTION)


def gates_paths() -> dict[str, Keys]:
    """List every dotted path into the language of gates.

    Returns
    -------
    dict of str to tuple of str
        Gates by themselves and each of their thresholds, with the keys that they stand for.

    Examples
    --------
    >>> [path for path in gates_paths() if path.startswith("gates.latency")]
    ['gates.latency', 'gates.latency.max_seconds']
    """
    return {".".join(keys): keys for keys in _walk(PromotionConfig, ())}


def _known(content: Mapping[str, Any]) -> Mapping[str, Keys]:
    """List the paths into a file; they are the same whatever it holds."""
    return gates_paths()


def _walk(group: type[Settings], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield a group's settings, and those of the groups in it, be they asked or not."""
    for name, field in group.model_fields.items():
        keys = (*above, name)
        kinds = [field.annotation, *get_args(field.annotation)]
        below = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Settings)]
        if field.annotation not in below:
            yield keys
        for kind in below:
            yield from _walk(kind, keys)


def _is_file(name_or_file: str | Path) -> bool:
    """Tell a file from a name."""
    path = Path(name_or_file)
    return isinstance(name_or_file, Path) or path.suffix in (".yaml", ".yml") or len(path.parts) > 1
