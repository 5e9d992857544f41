"""Laying single settings over an experiment."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import explain
from isthmus.config.paths import put
from isthmus.core.errors import ConfigError


def laid_over(config: ExperimentConfig, values: Mapping[str, Any], source: str) -> ExperimentConfig:
    """Lay values over an experiment's settings and check all of them together.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved settings.
    values : Mapping of str to Any
        By dotted path.
    source : str
        What asks for them, for messages.

    Returns
    -------
    ExperimentConfig
        With the values.

    Raises
    ------
    ConfigError
        If they do not go together.
    """
    content = config.model_dump(mode="json")
    for path, value in values.items():
        put(content, path, value)
    try:
        return ExperimentConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(explain(error, source)) from None
