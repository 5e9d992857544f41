"""That a drawing is made once of the same, and again of anything else."""

import pytest

import isthmus
from isthmus.report.drawn import DRAWN_FILE, drawn_once


class Draughtsman:
    """Draws two files, and counts."""

    def __init__(self, folder):
        self.folder, self.times = folder, 0

    def __call__(self):
        self.times += 1
        files = (self.folder / "page.html", self.folder / "below" / "a picture.png")
        files[1].parent.mkdir(exist_ok=True)
        for file in files:
            file.write_text(str(self.times))
        return {"": files[:1], "pictures/of": files[1:]}


@pytest.fixture
def draw(tmp_path):
    return Draughtsman(tmp_path)


def test_the_same_is_drawn_once_and_its_files_are_listed(draw, tmp_path):
    first = drawn_once(tmp_path, "this", draw)
    assert drawn_once(tmp_path, "this", draw) == first
    assert draw.times == 1
    assert first["pictures/of"] == (tmp_path / "below" / "a picture.png",)


def test_a_folder_may_move(draw, tmp_path):
    drawn_once(tmp_path, "this", draw)
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name} moved"))
    assert drawn_once(moved, "this", draw)[""] == (moved / "page.html",)
    assert draw.times == 1


def test_of_other_results_it_is_drawn_again(draw, tmp_path):
    drawn_once(tmp_path, "this", draw)
    drawn_once(tmp_path, "that", draw)
    assert draw.times == 2


def test_by_another_version_it_is_drawn_again(draw, tmp_path, monkeypatch):
    drawn_once(tmp_path, "this", draw)
    monkeypatch.setattr(isthmus, "__version__", "0.0.0.other")
    drawn_once(tmp_path, "this", draw)
    assert draw.times == 2


def test_what_lacks_a_file_is_drawn_again(draw, tmp_path):
    for file in drawn_once(tmp_path, "this", draw)["pictures/of"]:
        file.unlink()
    drawn_once(tmp_path, "this", draw)
    assert draw.times == 2


def test_a_list_that_cannot_be_read_is_made_anew(draw, tmp_path):
    drawn_once(tmp_path, "this", draw)
    (tmp_path / DRAWN_FILE).write_text("{")
    drawn_once(tmp_path, "this", draw)
    assert draw.times == 2
    # as is one of the form that an earlier version left
    (tmp_path / DRAWN_FILE).write_text(f'{{"version": "{isthmus.__version__}", "across": []}}')
    drawn_once(tmp_path, "this", draw)
    assert draw.times == 3
