"""A permit: what loses it ends at once, and nothing else does."""

import subprocess
import sys
import textwrap
from pathlib import Path

from isthmus.backends.permit import LOOK_SECONDS, grant, permitted, withdraw

SECONDS = 60.0
# Tells when it works; goes on for longer than looking takes, under its permit or after it.
WORKER = """
import sys, time
from pathlib import Path
from isthmus.backends.permit import LOOK_SECONDS, permitted

with permitted(Path(sys.argv[1])):
    if sys.argv[2] == "inside":
        print("works", flush=True)
        time.sleep(60 * LOOK_SECONDS)
print("works", flush=True)
time.sleep(4 * LOOK_SECONDS)
print("done", flush=True)
"""


def ended(permit: Path, where: str, is_withdrawn: bool) -> tuple[int, str, str]:
    """Run a worker, take its permit away or not, and see how it ends."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), permit, where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3] / "platform")},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "works\n"
            if is_withdrawn:
                withdraw(permit)
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        return process.returncode, out, err


def test_what_loses_its_permit_ends_in_the_middle(tmp_path):
    permit, other = grant(tmp_path / "permits"), grant(tmp_path / "permits")
    code, out, err = ended(permit, "inside", is_withdrawn=True)
    assert code == 75
    assert out == ""
    assert f"{permit} is withdrawn" in err
    assert other.exists()


def test_what_is_done_with_it_may_lose_it(tmp_path):
    permit = grant(tmp_path)
    code, out, err = ended(permit, "outside", is_withdrawn=True)
    assert (code, out, err) == (0, "done\n", "")


def test_a_permit_that_went_with_its_folder_is_withdrawn_too(tmp_path):
    permit = grant(tmp_path / "permits")
    withdraw(permit)
    (tmp_path / "permits").rmdir()
    withdraw(permit)
    code, _, _ = ended(permit, "inside", is_withdrawn=False)
    assert code == 75


def test_a_folder_that_cannot_be_looked_into_withdraws_nothing(tmp_path):
    """A file in the folder's place is an error of the storage, not a missing permit."""
    folder = tmp_path / "permits"
    folder.touch()
    with permitted(folder / "permit"):
        over = subprocess.run(
            [sys.executable, "-c", f"import time; time.sleep({3 * LOOK_SECONDS})"], timeout=SECONDS
        )
    assert over.returncode == 0
