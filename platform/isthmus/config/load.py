"""Loading an experiment: preset, then file, then overrides; each miss named with its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.paths import did_you_mean, merge, put, require_path, settings_paths
from isthmus.config.strict_yaml import format_yaml, parse_yaml
from isthmus.core.errors import ConfigError

_MOST_BYTES = 2**22
_MOST_MISSES = 50


@dataclass(frozen=True)
class Experiment:
    """A resolved experiment and the folder its relative paths start from.

    Attributes
    ----------
    config : ExperimentConfig
        All settings, resolved.
    folder : Path
        Absolute folder of the experiment file.
    """

    config: ExperimentConfig
    folder: Path

    @property
    def cohort_root(self) -> Path:
        """Absolute folder of the cohort."""
        return (self.folder / self.config.cohort.root).resolve()

    @property
    def output(self) -> Path:
        """Absolute folder of the trials."""
        return (self.folder / self.config.execution.output).resolve()

    @property
    def store_url(self) -> str:
        """Absolute folder, or URL, of the volume store."""
        store = self.config.execution.store
        return store if "://" in store else str((self.folder / store).resolve())

    @property
    def tracking_uri(self) -> str:
        """MLflow's address: as set, or a sqlite file beside the trials."""
        return self.config.execution.tracking_uri or f"sqlite:///{self.output / 'mlflow.db'}"

    def located(self, split_file: Path | None) -> ExperimentConfig:
        """Return the settings with absolute places and a fixed split, to be run from anywhere.

        Parameters
        ----------
        split_file : Path or None
            The split that was used; None: the one that is set, or drawn anew from the seed.

        Returns
        -------
        ExperimentConfig
            Same digest; places that were relative to ``folder`` are absolute. Passwords of
            databases are left out, and all of a URI that may hold a secret elsewhere.
        """
        cohort = {"root": str(self.cohort_root)}
        execution: dict[str, str | None] = {"output": str(self.output), "store": self.store_url}
        for setting in ("tracking_uri", "study_storage"):
            execution[setting] = _without_secret(getattr(self.config.execution, setting))
        given = self.config.cross_validation.split_file
        if split_file is None and given is not None:
            split_file = self.folder / given
        return self.config.model_copy(
            update={
                "cohort": self.config.cohort.model_copy(update=cohort),
                "execution": self.config.execution.model_copy(update=execution),
                "cross_validation": self.config.cross_validation.model_copy(
                    update={"split_file": str(split_file.resolve()) if split_file else None}
                ),
            }
        )


def _without_secret(uri: str | None) -> str | None:
    """Leave out a database's password, and a URI in which there may be one elsewhere."""
    parts = urlsplit(uri or "")
    user, at, host = parts.netloc.rpartition("@")
    rest = f"{parts.path}?{parts.query}#{parts.fragment}"
    if not parts.netloc:
        return uri
    # the user of a web address may be a token
    if "@" in rest or "password" in parts.query or (at and parts.scheme.startswith("http")):
        return None
    return (uri or "").replace(parts.netloc, f"{user.partition(':')[0]}{at}{host}", 1)


def preset_names() -> tuple[str, ...]:
    """List the presets in the package.

    Returns
    -------
    tuple of str
        Sorted names.
    """
    folder = resources.files("isthmus.config") / "presets"
    return tuple(
        sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    )


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Resolve an experiment file.

    Parameters
    ----------
    path : Path
        The experiment's YAML.
    overrides : sequence of str
        ``dotted.path=value``, the value in YAML.

    Returns
    -------
    Experiment
        Preset, file and overrides laid over each other and checked.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a setting is unknown or has an impossible value.
    """
    content = read_yaml(path)
    return Experiment(resolve(content, overrides, source=str(path)), path.resolve().parent)


def resolve(
    content: Mapping[str, Any], overrides: Sequence[str] = (), source: str = "experiment"
) -> ExperimentConfig:
    """Lay preset, content and overrides over each other and check every setting.

    Parameters
    ----------
    content : Mapping
        As read from an experiment file.
    overrides : sequence of str
        ``dotted.path=value``.
    source : str
        Where the content is from, for messages.

    Returns
    -------
    ExperimentConfig
        The resolved experiment.

    Raises
    ------
    ConfigError
        If a setting is unknown or has an impossible value.
    """
    layers = merge(content, parse_overrides(overrides))
    preset = layers.get("preset")
    if preset is not None:
        layers = merge(_preset(str(preset), source), layers)
    try:
        return ExperimentConfig.model_validate(layers)
    except ValidationError as error:
        raise ConfigError(explain(error, source)) from None


def parse_overrides(
    overrides: Sequence[str], known: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Read what was given with ``--set``.

    Parameters
    ----------
    overrides : sequence of str
        ``dotted.path=value``, the value in YAML.
    known : Mapping, optional
        Keyed by the paths there are; none given: those of an experiment.

    Returns
    -------
    dict
        Nested mappings.

    Raises
    ------
    ConfigError
        If one has no value, a path names no setting, or a value is no YAML.

    Examples
    --------
    >>> parse_overrides(["model.depth=4", "cohort.confounds=[age]"])
    {'model': {'depth': 4}, 'cohort': {'confounds': ['age']}}
    """
    above: dict[str, Any] = {}
    for override in overrides:
        key, value = _parse_override(override, known)
        put(above, key, value)
    return above


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping, safely.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    ConfigError
        If the file is missing, is no YAML, or holds no mapping.
    """
    try:
        with path.open("rb") as file:  # one byte more than is taken, whatever the file's size
            content = parse_yaml(file.read(_MOST_BYTES + 1).decode())
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file.") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: must be a YAML file, got a folder.") from None
    except OSError as error:
        raise ConfigError(f"{path}: must be readable: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: must be YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold settings (a mapping), got {content!r:.60}.")
    return content


def dump_experiment(config: ExperimentConfig) -> str:
    """Write the resolved experiment as YAML that loads to the same experiment.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved settings.

    Returns
    -------
    str
        YAML, all settings written out; the preset's name is left out, its values are in.
    """
    content = config.model_dump(mode="json", exclude={"preset"})
    return format_yaml(content)


def _preset(name: str, source: str) -> dict[str, Any]:
    """Read a preset of the package."""
    known = preset_names()
    if name not in known:
        hint = did_you_mean(name, dict.fromkeys(known))
        raise ConfigError(
            f"{source}: preset: must be one of {list(known)}, got {name!r:.80}.{hint}"
        )
    text = (resources.files("isthmus.config") / "presets" / f"{name}.yaml").read_text("utf-8")
    content: dict[str, Any] = parse_yaml(text)
    return content


def _parse_override(text: str, known: Mapping[str, Any] | None) -> tuple[str, Any]:
    """Split ``path=value`` and read the value as YAML."""
    path, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set must be path=value, got {text!r}.")
    path = path.strip()
    require_path(path, "--set", known)
    try:
        return path, parse_yaml(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {path}: the value must be YAML, got {value!r}.") from None


def explain(error: ValidationError, source: str, known: Mapping[str, Any] | None = None) -> str:
    """Say what is wrong with settings, a line for each thing.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    source : str
        Where the settings are from.
    known : Mapping, optional
        Keyed by the paths there are; none given: those of an experiment.

    Returns
    -------
    str
        Each line with its place, what must hold and what was given; of many misses the first.
    """
    items = [(_path(item["loc"]), item) for item in error.errors()[:_MOST_MISSES]]
    lines = []
    for path, item in items:
        rivals = [rival for other, rival in items if other == path]
        telling = [rival for rival in rivals if not _is_of_type(rival["type"])]
        if _is_of_type(item["type"]) and (
            any(other.startswith(f"{path}.") for other, _ in items)
            or item is not (telling or rivals)[0]
        ):
            continue  # the branch of a union that was not meant, or what follows from below
        given = (item["type"], item["msg"], item["input"])
        line = _what_is_wrong(path, *given, settings_paths() if known is None else known)
        lines.append(f"{source}: {path}: {line}" if path else f"{source}: {line}")
    n_more = error.error_count() - len(items)
    return "\n".join([*dict.fromkeys(lines), *([f"{source}: and {n_more} more"] if n_more else [])])


def _is_of_type(kind: str) -> bool:
    """Tell misses of a value's type from those of the value, which say more."""
    return kind.endswith(("_type", "too_short"))


def _what_is_wrong(path: str, kind: str, message: str, given: Any, known: Mapping[str, Any]) -> str:
    """Say what must hold, what was given, and what to do."""
    if kind == "extra_forbidden":
        groups = {name.rsplit(".", 1)[0]: None for name in known if "." in name}
        return f"no such setting.{did_you_mean(path, {**known, **groups})}"
    if kind == "missing":
        return "must be given."
    if kind == "model_type":
        return f"must be a group of settings, got {given!r:.80}."
    message = message.removeprefix("Value error, ").replace("Input should be", "must be")
    message = message.replace("valid tuple", "list").replace("a valid string", "text")
    if not isinstance(given, Mapping) and ", got" not in message:
        message += f", got {given!r:.80}"
    if kind == "string_type" and isinstance(given, bool | int | float):
        message += "; put it in quotes if that text is meant"
    return f"{message}."


def _path(places: tuple[int | str, ...]) -> str:
    """Dotted path of an error."""
    return ".".join(str(part) for part in places if not _is_union_tag(part))


def _is_union_tag(part: int | str) -> bool:
    """Pydantic names the branches of a union in its paths; a user never wrote those."""
    return isinstance(part, str) and ("[" in part or part in {"int", "float", "constrained-int"})
