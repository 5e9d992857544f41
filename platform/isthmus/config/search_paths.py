"""Which settings a search may vary, and what a value of one of them must be."""

import functools
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from isthmus.config.load import explain
from isthmus.config.paths import settings_paths, why_unusable
from isthmus.config.search_space import FloatRange, IntRange
from isthmus.core.errors import ConfigError

VARIED = ("model", "training")
WHY_NOT = {
    "model.family": "which family of models is better is a question for an ablation",
    "model.modalities": "trials on other modalities answer another question, one for an ablation, "
    "and their errors are of other images",
    "training.early_stopping.monitor_share": "it changes who is trained on, and trials would no "
    "longer be compared on the same subjects",
    "preset": "it stands for many settings; vary those, and name presets in try_first",
    "seed": "the best of several seeds is the luckiest one",
    "cohort": "it changes who is studied, and with that the question",
    "volumes": "it changes the images, and with them the units of the objectives",
    "cross_validation": "it changes the folds, and trials would no longer be compared on the same",
    "controls": "it changes what trials are compared with, not what is trained",
    "stratification": "it would tune the test to the data",
    "execution": "it changes no result",
}


def varied_paths() -> dict[str, FieldInfo]:
    """List the settings that a search may vary.

    Returns
    -------
    dict of str to FieldInfo
        By dotted path, in the order of declaration.

    Examples
    --------
    >>> "model.depth" in varied_paths(), "model.family" in varied_paths()
    (True, False)
    """
    return {
        path: field
        for path, field in settings_paths().items()
        if path.partition(".")[0] in VARIED and path not in WHY_NOT
    }


def why_not_varied(path: str) -> str | None:
    """Say why a search cannot vary a path.

    Parameters
    ----------
    path : str
        Dotted path, as it was written.

    Returns
    -------
    str or None
        The reason as a sentence, with what was probably meant; None if it can be varied.

    Examples
    --------
    >>> why_not_varied("model.dept")
    "no such setting. Did you mean 'model.depth'?"
    >>> why_not_varied("seed")
    'a search cannot vary this: the best of several seeds is the luckiest one.'
    """
    if path in varied_paths():
        return None
    return why_unusable(path, "a search cannot vary this", WHY_NOT)


def plain_value(path: str, value: Any, place: str) -> Any:
    """Check a value against its setting alone, and write it as a file would.

    Parameters
    ----------
    path : str
        Dotted path of the setting.
    value : Any
        What it is to be.
    place : str
        Where the value was written, for the message.

    Returns
    -------
    Any
        The value in the setting's own type: 1 becomes 1.0 where a number need not be whole, a
        tuple becomes a list.

    Raises
    ------
    ConfigError
        If the setting cannot be that.

    Examples
    --------
    >>> plain_value("training.learning_rate", 1, "here")
    1.0
    >>> plain_value("model.kernel_size", (5, 6, 5), "here")
    [5, 6, 5]
    """
    adapter = _adapter(path)
    try:
        return adapter.dump_python(adapter.validate_python({place: value}), mode="json")[place]
    except ValidationError as error:
        lines = explain(error, "").splitlines()
        raise ConfigError("\n".join(line.removeprefix(": ") for line in lines)) from None


def why_not_a_range(path: str, dimension: IntRange | FloatRange) -> str | None:
    """Say why a setting cannot be drawn from a range.

    Parameters
    ----------
    path : str
        Dotted path of the setting.
    dimension : IntRange or FloatRange
        The range.

    Returns
    -------
    str or None
        What to write instead; None if it can.

    Examples
    --------
    >>> why_not_a_range("model.depth", FloatRange(low=2, high=4))
    'kind must be int or categorical, for the setting is a whole number, got float'
    >>> why_not_a_range("model.depth", IntRange(low=2, high=4)) is None
    True
    """
    types = set(_types(settings_paths()[path].annotation))
    if (int if dimension.kind == "int" else float) in types:
        return None
    if int in types:
        what, fitting = "a whole number", "int or categorical"
    elif float in types:
        what, fitting = "a number that need not be whole", "float or categorical"
    else:
        what, fitting = "no number", "categorical"
    return f"kind must be {fitting}, for the setting is {what}, got {dimension.kind}"


@functools.cache
def _adapter(path: str) -> TypeAdapter[Any]:
    """Make the check of one setting, apart from the group that it stands in."""
    field = settings_paths()[path]
    rules = [*field.metadata]
    if bool not in _types(field.annotation):
        rules.append(BeforeValidator(_no_truth_for_numbers))
    kind: Any = Annotated[field.annotation, *rules] if rules else field.annotation
    # keyed by the place where the value was written: its errors then begin with that
    return TypeAdapter(dict[str, kind], config=ConfigDict(allow_inf_nan=False))


def _no_truth_for_numbers(value: Any) -> Any:
    """Refuse true and false where a number is due, as every group of settings does."""
    parts = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(part, bool) for part in parts):
        raise ValueError(f"must not be true or false, got {value}")
    return value


def _types(annotation: Any) -> Iterator[type]:
    """Yield the plain types that a single value may have."""
    origin = get_origin(annotation)
    if isinstance(annotation, type) and origin is None:
        yield annotation
    elif origin is Annotated:
        yield from _types(get_args(annotation)[0])
    elif origin not in (tuple, Literal):
        for part in get_args(annotation):
            yield from _types(part)
