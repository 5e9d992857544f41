"""The settings of `isthmus stratify`: those of an experiment that need neither image nor model."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from isthmus.config.execution import ExecutionConfig
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import explain, parse_overrides, read_yaml
from isthmus.config.paths import merge, settings_paths
from isthmus.config.people import PeopleConfig
from isthmus.config.settings import Settings
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import ConfigError

_EXECUTION = ("tracking_uri", "address", "stratification_workers")


class StratifySettings(Settings):
    """What the robustness job is told, for embeddings that are there already.

    The paths are those of an experiment, so that what is learnt of one serves the other.
    """

    seed: int = Field(0, ge=0, description="The root of every random stream.")
    cohort: PeopleConfig = Field(PeopleConfig(), description="What is known of the participants.")
    stratification: StratificationConfig = Field(
        StratificationConfig(), description="Strata and phenotypes."
    )
    execution: ExecutionConfig = Field(ExecutionConfig(), description="How it is run.")

    def identifying_settings(self) -> dict[str, Any]:
        """List the settings that can change a report.

        Returns
        -------
        dict
            Nested, JSON-serialisable; `execution` is left out.
        """
        return self.model_dump(mode="json", exclude={"execution"})

    def flat(self) -> dict[str, str | int | float | bool]:
        """List the settings that can change a report by dotted path, for a tracking store.

        Returns
        -------
        dict
            Numbers, booleans and text as they are, the rest as compact JSON.
        """
        values: dict[str, str | int | float | bool] = {}
        for path in settings_paths(type(self)):
            value = reduce(getattr, path.split("."), self)
            if not path.startswith("execution."):
                plain = isinstance(value, str | int | float)
                values[path] = value if plain else json.dumps(value)  # type: ignore[assignment]
        return values


def stratify_paths() -> dict[str, FieldInfo]:
    """List the settings that `isthmus stratify` takes by their dotted paths.

    Returns
    -------
    dict of str to FieldInfo
        Without those of `execution` that would have no effect.

    Examples
    --------
    >>> "cohort.phenotypes" in stratify_paths(), "execution.device" in stratify_paths()
    (True, False)
    """
    return {
        path: field
        for path, field in settings_paths(StratifySettings).items()
        if not path.startswith("execution.") or path.removeprefix("execution.") in _EXECUTION
    }


def settings_of(config: ExperimentConfig, overrides: Sequence[str] = ()) -> StratifySettings:
    """Take the settings of the robustness job from an experiment.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment that made the embeddings.
    overrides : sequence of str
        ``dotted.path=value``.

    Returns
    -------
    StratifySettings
        The experiment's, with the overrides laid over them.

    Raises
    ------
    ConfigError
        If an override names no setting of the robustness job, or has an impossible value.
    """
    everything = config.model_dump()
    groups = {name: everything[name] for name in StratifySettings.model_fields}
    groups["cohort"] = {name: groups["cohort"][name] for name in PeopleConfig.model_fields}
    return _checked(groups, overrides, "--set")


def load_settings(path: Path | None, overrides: Sequence[str] = ()) -> StratifySettings:
    """Read the settings for embeddings that another tool made.

    Parameters
    ----------
    path : Path or None
        YAML of settings; None: the defaults.
    overrides : sequence of str
        ``dotted.path=value``.

    Returns
    -------
    StratifySettings
        Defaults, file and overrides laid over each other and checked.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a setting is unknown or has an impossible value.
    """
    content = {} if path is None else read_yaml(path)
    source = "--set" if path is None else str(path)
    for written in _written(content):
        _refuse_idle(written, source)
    return _checked(content, overrides, source)


def _written(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """List the settings of a file by their dotted paths."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _written(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _refuse_idle(path: str, source: str) -> None:
    """Refuse a setting of an experiment that would have no effect here."""
    if path in settings_paths() and path not in stratify_paths():
        raise ConfigError(
            f"{source}: {path}: `isthmus stratify` trains nothing and would ignore it. It takes "
            "seed, stratification, of cohort what needs no image, and of execution "
            f"{', '.join(_EXECUTION)}."
        )


def _checked(content: Mapping[str, Any], overrides: Sequence[str], source: str) -> StratifySettings:
    """Lay overrides over settings, and check them all."""
    known = stratify_paths()
    for override in overrides:
        _refuse_idle(override.partition("=")[0].strip(), "--set")
    layers = merge(content, parse_overrides(overrides, known))
    try:
        return StratifySettings.model_validate(layers)
    except ValidationError as error:
        raise ConfigError(explain(error, source, known)) from None
