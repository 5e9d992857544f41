"""A trial's events as plain values, to be told in another process that sees the trial's folder.

Results are not sent: they lie in the folder, and are read from there.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isthmus.config.experiment import ExperimentConfig
from isthmus.core.ports import EpochEvent
from isthmus.trial.events import (
    EncodersComparing,
    FoldEvaluating,
    FoldFailed,
    FoldFinished,
    FoldStarted,
    StrataProgress,
    TrialEvent,
    TrialFinished,
    TrialStarted,
)
from isthmus.trial.records import FoldFailure, FoldResult
from isthmus.trial.run import FOLD_FILE, load_trial

_PLAIN = {
    kind.__name__: kind
    for kind in (EpochEvent, FoldStarted, FoldEvaluating, StrataProgress, EncodersComparing)
}


def to_wire(event: TrialEvent) -> dict[str, Any]:
    """Turn an event into values that JSON can hold.

    Parameters
    ----------
    event : TrialEvent
        Any event of a trial.

    Returns
    -------
    dict
        What `from_wire` reads; of a result, where it lies.
    """
    name = type(event).__name__
    content: dict[str, Any]
    match event:
        case TrialStarted():
            content = {
                "digest": event.digest,
                "config": event.config.model_dump(mode="json"),
                "identity": event.identity,
                "facts": event.facts,
                "directory": str(event.directory),
            }
        case FoldFinished():
            content = {"directory": str(event.directory), "reused": event.reused}
        case FoldFailed():
            content = {"failure": asdict(event.failure), "directory": str(event.directory)}
        case TrialFinished():
            content = {"directory": str(event.directory)}
        case _:
            content = asdict(event)
    return {"event": name, **content}


def from_wire(content: Mapping[str, Any]) -> TrialEvent:
    """Read what `to_wire` made.

    Parameters
    ----------
    content : Mapping
        Plain values.

    Returns
    -------
    TrialEvent
        The same event.

    Raises
    ------
    OSError
        If a result that it speaks of cannot be read in the trial's folder.
    """
    values = dict(content)
    name = values.pop("event")
    if name in _PLAIN:
        plain: TrialEvent = _PLAIN[name](**values)
        return plain
    directory = Path(values["directory"])
    if name == TrialStarted.__name__:
        config = ExperimentConfig.model_validate(values["config"])
        return TrialStarted(
            values["digest"], config, values["identity"], values["facts"], directory
        )
    if name == FoldFinished.__name__:
        text = (directory / FOLD_FILE).read_text(encoding="utf-8")
        return FoldFinished(FoldResult.from_json(json.loads(text)), directory, values["reused"])
    if name == FoldFailed.__name__:
        return FoldFailed(FoldFailure(**values["failure"]), directory)
    return TrialFinished(load_trial(directory), directory)
