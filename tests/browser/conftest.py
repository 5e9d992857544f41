"""A page in a real browser."""

import shutil
import subprocess
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser among {', '.join(BROWSERS)}; on Debian: apt-get install chromium")
    return found


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
