"""The page that tests click through reports what goes wrong in it, and nothing else."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

GOOD = "<!doctype html><link rel=icon href=data:,><title>Good</title><h1>Good</h1>"


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each on standard error."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_good_page_is_left_in_peace(page, shoot, complaints, site):
    folder, address = site
    (folder / "index.html").write_text(GOOD)
    page.goto(address)
    assert page.inner_text("h1") == "Good"
    assert shoot(page, "good").read_bytes().startswith(b"\x89PNG")
    assert complaints.found == []


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ("<script>console.error('broken chart')</script>", "console: broken chart"),
        ("<script>throw new Error('not caught')</script>", "error: not caught"),
        ("<img src=missing.png>", "refused: 404 GET"),
        ("<img src=https://example.org/logo.png>", "away: GET https://example.org/logo.png"),
        ("<iframe src=inner.html></iframe>", "console: inside a frame"),
    ],
)
def test_what_goes_wrong_is_written_down(page, complaints, site, inner, said):
    folder, address = site
    (folder / "index.html").write_text(GOOD + inner)
    (folder / "inner.html").write_text("<script>console.error('inside a frame')</script>")
    page.goto(address)
    page.wait_for_load_state("networkidle")
    assert any(line.startswith(said) for line in complaints.remaining()), complaints.found
    complaints.allow(".", because="it is what this test made")
    assert complaints.remaining() == []


def test_only_what_is_named_is_allowed(page, complaints, site):
    folder, address = site
    (folder / "index.html").write_text(
        GOOD + "<script>console.error('a');console.error('b')</script>"
    )
    complaints.allow(r"^console: a ", because="it is known")
    page.goto(address)
    page.wait_for_load_state("networkidle")
    assert [line.split(" (")[0] for line in complaints.remaining()] == ["console: b"]
    complaints.allow(r"^console: b ", because="the test is over")
