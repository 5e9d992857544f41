"""The page on paper: a PDF, by the browser that is there."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_bytes

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PDF_FILE = "report.pdf"
_SECONDS = 300


def find_browser() -> str:
    """Find a browser that prints.

    Returns
    -------
    str
        Its path.

    Raises
    ------
    ConfigError
        If there is none.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise ConfigError(
            f"--pdf must have a browser to print with, but there is none of {', '.join(BROWSERS)}. "
            "On Debian: apt-get install chromium. Or open index.html and print it from there: the "
            "page is laid out for A4."
        )
    return found


def write_pdf(page: Path) -> Path:
    """Print a page.

    Parameters
    ----------
    page : Path
        Such as ``index.html``.

    Returns
    -------
    Path
        ``report.pdf`` beside it, whole, with an outline of its headings.

    Raises
    ------
    ConfigError
        If there is no browser, or it could not print.
    """
    browser = find_browser()
    with tempfile.TemporaryDirectory() as scratch:
        printed = Path(scratch) / PDF_FILE
        command = [
            browser,
            "--headless",
            "--no-sandbox",  # the page is ours and may fetch nothing; a container has no sandbox
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={Path(scratch) / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=60000",  # until all figures are drawn
            "--no-pdf-header-footer",
            "--generate-pdf-document-outline",
            f"--print-to-pdf={printed}",
            page.resolve().as_uri(),
        ]
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
            said = ran.stderr.strip().splitlines()[-1:]
        except subprocess.TimeoutExpired:
            said = [f"it took longer than {_SECONDS} s"]
        if not printed.exists():
            raise ConfigError(
                f"{page}: must be printed by {browser}, but that failed: {' '.join(said)}. The "
                "report itself is there; open it and print it from there."
            )
        write_bytes(page.with_name(PDF_FILE), printed.read_bytes())
    return page.with_name(PDF_FILE)
