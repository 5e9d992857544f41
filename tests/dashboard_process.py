"""A real `isthmus dashboard` on loopback, at a port that was free."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiny_search import Command, started


@contextmanager
def dashboard(*arguments: str | Path, folder: Path) -> Iterator[tuple[str, Command]]:
    """Start it; give its address and its process; nothing of it is left at the end."""
    with started("dashboard", "--port", "0", *arguments, folder=folder) as command:
        command.wait_until(lambda: "http://" in command.stdout(), seconds=120)
        found = re.search(r"http://\S+", command.stdout())
        assert found is not None
        yield found[0], command


def status_of(address: str, host: str) -> int:
    """Ask for a page by another host name; the answer's status."""
    asked = urllib.request.Request(address, headers={"Host": host})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
