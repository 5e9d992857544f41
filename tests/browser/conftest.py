"""A page in a real browser: opened once and read (`shown`), or clicked through (`page`)."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mlflow_pages import CLOSED, MLFLOW_SAYS
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    Response,
    WebSocket,
    expect,
    sync_playwright,
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
VIEWPORT = {"width": 1280, "height": 800}
LOCAL_HOSTS = ("127.0.0.1", "localhost")
LOCAL_SCHEMES = ("data", "blob", "file", "about")
PATIENCE_MS = 30_000
"""How long a page may take to show what a test waits for: two cores, and others use them too."""


@dataclass
class Complaints:
    """What went wrong in a page; a test fails at its end when anything did that it did not allow.

    `found` holds console errors, uncaught errors, requests that failed or were refused (from 400
    on), and whatever was asked of another machine, each as one line that begins with its kind:
    ``console``, ``error``, ``failed``, ``refused`` or ``away``.
    """

    found: list[str] = field(default_factory=list)
    allowed: list[re.Pattern[str]] = field(default_factory=list)

    def allow(self, pattern: str, because: str) -> None:
        """Let pass what a regular expression finds in a line; `because` says why it is harmless."""
        assert because, f"say why {pattern!r} is harmless"
        self.allowed.append(re.compile(pattern))

    def remaining(self) -> list[str]:
        """List what no allowance covers."""
        return [line for line in self.found if not any(one.search(line) for one in self.allowed)]

    def watch(self, page: Page) -> None:
        """Write down from now on what goes wrong in a page, its frames included."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)
        page.on("websocket", self._socket)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.found.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        if not is_local(request.url):
            self.found.append(f"away: {request.method} {request.url}")

    def _failed(self, request: Request) -> None:
        # a page that is left gives up what it was still loading: no fault of anybody
        if request.failure != "net::ERR_ABORTED" and is_local(request.url):
            self.found.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.found.append(
                f"refused: {response.status} {response.request.method} {response.url}"
            )

    def _socket(self, socket: WebSocket) -> None:
        if not is_local(socket.url):
            self.found.append(f"away: {socket.url}")


def is_local(url: str) -> bool:
    """Whether an address is on this machine."""
    parts = urlsplit(url)
    return parts.scheme in LOCAL_SCHEMES or parts.hostname in LOCAL_HOSTS


@pytest.fixture(scope="session")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser among {', '.join(BROWSERS)}; on Debian: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def chromium(browser: str) -> Iterator[Browser]:
    """Drive the system's browser, started once; it resolves no name but this machine's."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        driven = playwright.chromium.launch(
            executable_path=browser,
            headless=True,
            args=[
                "--no-sandbox",  # as root there is none
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
            ],
        )
        yield driven
        driven.close()


@pytest.fixture
def complaints() -> Complaints:
    """What goes wrong in `page`; `complaints.allow(pattern, because)` names what is expected."""
    return Complaints()


@pytest.fixture
def page(chromium: Browser, complaints: Complaints) -> Iterator[Page]:
    """Open an empty page of its own; the test fails at its end if anything went wrong in it."""
    context = chromium.new_context(viewport=VIEWPORT, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    context.on("page", complaints.watch)  # also what a click opens in another tab
    opened = context.new_page()
    yield opened
    context.close()
    remaining = complaints.remaining()
    assert not remaining, "the page complained:\n" + "\n".join(remaining)


@pytest.fixture
def shoot(tmp_path: Path) -> Callable[..., Path]:
    """Keep a picture of a page: ``shoot(page, "name")`` returns the PNG.

    It goes to the folder in ISTHMUS_SCREENSHOTS, which is made, or else beside the test's files.
    For documents (`make screenshots`) it is of one screen, however long the page.
    """
    one_screen = os.environ.get("ISTHMUS_SCREENSHOTS_OF") == "one screen"
    folder = Path(os.environ.get("ISTHMUS_SCREENSHOTS") or tmp_path).resolve()
    folder.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str, whole: bool = False) -> Path:
        file = folder / f"{name}.png"
        page.screenshot(path=file, full_page=whole and not one_screen, animations="disabled")
        return file

    return take


@pytest.fixture
def shown(browser: str, tmp_path: Path):
    """Open a page; give its document once it is drawn, and what the console said."""

    def show(page: str) -> tuple[str, str]:
        file = tmp_path / "page.html"
        file.write_text(page, encoding="utf-8")
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr",
            "--virtual-time-budget=20000",
            "--dump-dom",
            file.as_uri(),
        ]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        said = [line for line in ran.stderr.splitlines() if ":CONSOLE" in line]
        return ran.stdout, "\n".join(said)

    return show


@pytest.fixture
def ui(page: Page, complaints) -> Page:
    """A page that knows what MLflow's own pages always say."""
    for pattern, reason in MLFLOW_SAYS.items():
        complaints.allow(pattern, reason)
    page.add_init_script(CLOSED)
    return page
