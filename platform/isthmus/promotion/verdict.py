"""What a gate says: passed or not, by how much, and on what evidence."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from isthmus.core.errors import ConfigError

Scalar = bool | int | float | str | None
ScalarT = TypeVar("ScalarT", bound=Scalar)


@dataclass(frozen=True)
class GateVerdict:
    """One gate's answer.

    Attributes
    ----------
    gate : str
        Its name, as in the gates' file; of the lockbox with ``lockbox.`` before it.
    passed : bool
        Whether the model may go on. Missing evidence is no pass.
    found : float or None
        What was held against the threshold; of several, the worst. None where there is none.
    threshold : float or None
        The threshold; None where the gate has none.
    words : str
        One or more sentences: what was found, and of a failed gate by how much it failed.
    evidence : Mapping of str to (bool, int, float, str or None)
        The numbers behind it, by short names.
    """

    gate: str
    passed: bool
    found: float | None
    threshold: float | None
    words: str
    evidence: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write what is no number as None: JSON has no other word for it."""
        object.__setattr__(self, "found", _finite(self.found))
        object.__setattr__(self, "threshold", _finite(self.threshold))
        evidence = {name: _finite(value) for name, value in self.evidence.items()}
        object.__setattr__(self, "evidence", evidence)


def _finite(value: ScalarT) -> ScalarT | None:
    """Give None for infinity and for what is no number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


_VERDICTS: TypeAdapter[tuple[GateVerdict, ...]] = TypeAdapter(tuple[GateVerdict, ...])


def verdicts_to_json(verdicts: Iterable[GateVerdict]) -> str:
    """Write verdicts as JSON; `verdicts_from_json` gives equal ones back.

    Parameters
    ----------
    verdicts : iterable of GateVerdict
        In the order in which they are to be read.

    Returns
    -------
    str
        Indented, keys in the order of the fields.
    """
    content = _VERDICTS.dump_python(tuple(verdicts), mode="json")
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def verdicts_from_json(text: str) -> tuple[GateVerdict, ...]:
    """Read what `verdicts_to_json` wrote.

    Parameters
    ----------
    text : str
        JSON.

    Returns
    -------
    tuple of GateVerdict
        Equal to those written.

    Raises
    ------
    ConfigError
        If the text is no such list.
    """
    try:
        return _VERDICTS.validate_python(json.loads(text))
    except (ValidationError, json.JSONDecodeError) as error:
        raise ConfigError(f"Verdicts must be what `verdicts_to_json` wrote: {error}") from None


def failed(verdicts: Iterable[GateVerdict]) -> tuple[GateVerdict, ...]:
    """Pick out the gates that a model did not pass.

    Parameters
    ----------
    verdicts : iterable of GateVerdict
        All of a model.

    Returns
    -------
    tuple of GateVerdict
        In the same order; empty where it passed.
    """
    return tuple(verdict for verdict in verdicts if not verdict.passed)


def refusal(what: str, verdicts: Sequence[GateVerdict]) -> str:
    """Say which gates a model did not pass, and by how much, a line for each.

    Parameters
    ----------
    what : str
        The model, such as ``trial 3``.
    verdicts : sequence of GateVerdict
        All of it, of which at least one failed.

    Returns
    -------
    str
        Fit for `isthmus.core.errors.PromotionRefused`.

    Examples
    --------
    >>> print(refusal("trial 3", [GateVerdict("size", False, 5.0, 4.0, "It is 1 too large.")]))
    trial 3 does not pass 1 of 1 gates:
      size: It is 1 too large.
    """
    lines = [f"  {verdict.gate}: {verdict.words}" for verdict in failed(verdicts)]
    head = f"{what} does not pass {len(lines)} of {len(verdicts)} gates:"
    return "\n".join([head, *lines])
