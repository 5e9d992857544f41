"""What a fault did, kept as a file for the table in docs/reliability.md.

Where ISTHMUS_RELIABILITY names a folder, each test of a fault writes one file there;
`tests/faults/reliability_table.py` makes the table of them. Elsewhere nothing is written.
"""

import json
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Group = Literal["nodes", "services", "elastic"]
VARIABLE = "ISTHMUS_RELIABILITY"


@dataclass(frozen=True)
class FaultRecord:
    """One line of the table.

    Attributes
    ----------
    group : str
        Whose table it is in.
    fault : str
        What was done, as a reader would say it: "a node's link cut for 20 s".
    happened : str
        What the study did about it, in a sentence.
    noticed_s : float or None
        From the fault to the first line of a log, or an error, that tells of it; None: it never
        shows, and need not.
    finished_s : float or None
        From the fault to the study's end, commands that were given again included; None where
        nothing was to be finished.
    result : str
        How the result compares with the undisturbed one: "equal to the last bit".
    order : int
        Place in the group.
    """

    group: Group
    fault: str
    happened: str
    noticed_s: float | None
    finished_s: float | None
    result: str
    order: int = 0


@dataclass
class FaultClock:
    """Seconds since a fault was injected."""

    injected: float = 0.0
    noticed_s: float | None = None
    finished_s: float | None = None

    def start(self) -> None:
        """The fault is injected now."""
        self.injected = time.monotonic()

    def notice(self) -> None:
        """It has been noticed; what was first counts."""
        if self.noticed_s is None:
            self.noticed_s = time.monotonic() - self.injected

    def finish(self) -> None:
        """The study is over."""
        self.finished_s = time.monotonic() - self.injected


def record_fault(
    group: Group,
    fault: str,
    happened: str,
    clock: FaultClock,
    result: str = "equal to the last bit",
    order: int = 0,
) -> None:
    """Keep what a fault did, if somebody asked for it; called at the end of a test that passes."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return
    record = FaultRecord(group, fault, happened, clock.noticed_s, clock.finished_s, result, order)
    name = re.sub(r"[^a-z0-9]+", "-", f"{group} {order:02} {fault}".lower()).strip("-")
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{name[:100]}.json").write_text(json.dumps(asdict(record), indent=2) + "\n")
