"""How people name a version of a registered model: NAME@champion, NAME/3, models:/NAME@champion."""

import re
from dataclasses import dataclass

from isthmus.core.errors import ConfigError
from isthmus.promotion.registry.aliases import CHAMPION

_SCHEME = "models:/"
_ALIAS = re.compile(r"[A-Za-z0-9_-]+")
_FORMS = "NAME@alias, NAME/3 or NAME (its champion), also with models:/ before it"


@dataclass(frozen=True)
class ModelReference:
    """A version of a registered model, as somebody names it.

    Attributes
    ----------
    name : str
        Of the registered model.
    which : str
        An alias, or a version's number.
    """

    name: str
    which: str

    @property
    def uri(self) -> str:
        """The same as MLflow's commands take it."""
        return f"{_SCHEME}{self.name}{'/' if self.which.isdigit() else '@'}{self.which}"


def parse_reference(text: str) -> ModelReference:
    """Read a reference to a version of a registered model.

    Parameters
    ----------
    text : str
        ``NAME@alias``, ``NAME/3``, or ``NAME`` for its champion; ``models:/`` before it is
        allowed.

    Returns
    -------
    ModelReference
        What was named; whether there is such a version is not looked up.

    Raises
    ------
    ConfigError
        If it is of another form.

    Examples
    --------
    >>> parse_reference("models:/brain-ae@champion")
    ModelReference(name='brain-ae', which='champion')
    >>> parse_reference("brain-ae/3").uri
    'models:/brain-ae/3'
    >>> parse_reference("brain-ae").which
    'champion'
    """
    stripped = text.strip()
    bare = stripped.removeprefix(_SCHEME)
    if ":" in bare or bare.startswith(("/", "@")) or not bare:
        raise _malformed(text, "it names no model")
    name, at, alias = bare.partition("@")
    if at:
        if not _ALIAS.fullmatch(alias) or alias.isdigit():
            raise _malformed(text, "after @ must stand one alias of letters, digits, _ and -")
        if "/" in name:
            raise _malformed(text, "it names a version by its number and by an alias")
        return ModelReference(name, alias)
    name, slash, number = bare.partition("/")
    if slash and not (number.isascii() and number.isdigit() and int(number) > 0):
        raise _malformed(text, "after / must stand a version's number, from 1")
    return ModelReference(name, str(int(number)) if slash else CHAMPION)


def _malformed(text: str, reason: str) -> ConfigError:
    """Say what a reference looks like."""
    return ConfigError(f"A model must be named as {_FORMS}; {text!r} is not so: {reason}.")
