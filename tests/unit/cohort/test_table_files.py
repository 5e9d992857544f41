"""Files of participants as programs leave them: read right, or refused with the place."""

from pathlib import Path

import numpy as np
import pytest

from isthmus.cohort.participants import Participants, load_people
from isthmus.cohort.tables import read_table
from isthmus.config.people import PeopleConfig
from isthmus.core.errors import CohortError

PLAIN = "participant_id\tx\nsub-01\t34\nsub-02\t30\n"


def loaded(folder: Path, table: str | bytes) -> Participants:
    path = folder / "participants.tsv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    return load_people(path, PeopleConfig(confounds=("x",)))


@pytest.mark.parametrize(
    "table",
    [
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("\n", "\t\t\n").encode(),
        PLAIN.replace("34\n", "34\t\n\n").encode(),
        PLAIN.replace("sub-01\t", "sub-01 \t").encode(),
    ],
    ids=["BOM", "CRLF", "CR", "tabs at the end", "a tab and a blank line", "blank after a label"],
)
def test_what_programs_add_is_passed_over(tmp_path, table):
    people = loaded(tmp_path, table)
    assert people.ids == ("sub-01", "sub-02")
    assert list(people.table.columns) == ["x"]
    np.testing.assert_array_equal(people.numeric(["x"])[:, 0], [34, 30])


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (PLAIN.replace("\t", ";").replace("34", "34,5"), "the header has semicolons only"),
        (PLAIN.replace("\t", ","), "the header has commas only"),
        (PLAIN.replace("\t", "   "), "the header has blanks only"),
        (PLAIN.encode("utf-16"), "looks like UTF-16.*iconv -f UTF-16 -t UTF-8"),
        (PLAIN.encode("utf-16-le"), "looks like UTF-16"),
        (PLAIN.replace("02", "Zoë").encode("latin-1"), "line 3 has a byte 0xeb .*sub-Zoë.*1252"),
        (PLAIN.replace("02", "Zoë").replace("\n", "\r").encode("latin-1"), "line 3 has a byte"),
        (PLAIN.replace("\n", "\tx\n"), r"line 2 must|each column must be named once.*\['x'\]"),
        (PLAIN.replace("34\n", "34\tlost\n").replace("x\n", "x\t\n"), "column 3 is empty. Name"),
        (PLAIN.replace("34", '"a\nb"'), "line 3 must have 2 cells.*Quotes do not keep"),
        (PLAIN.replace("02", "01 "), "each participant must be listed once"),
        (PLAIN.replace("sub-02", "1E+05"), "line 3, column 'participant_id': '1E.05' looks like"),
        (PLAIN.replace("sub-02", "2.0"), "line 3, column 'participant_id': '2.0' looks like a lab"),
        (PLAIN.replace("sub-02", '"sub-02"'), "line 3, column 'participant_id':.*in quotes"),
        (
            PLAIN.replace("01", "Zoë").replace("02", "Zoe\u0308"),
            r"line 3, column 'participant_id': 'sub-Zoe\\u0308' looks like 'sub-Zo\\xeb' of line 2",
        ),
    ],
)
def test_tables_that_are_no_tables_are_refused_with_the_place(tmp_path, table, says):
    with pytest.raises(CohortError, match=f"(?s){tmp_path}/participants.tsv: .*{says}"):
        loaded(tmp_path, table)


def test_labels_keep_their_zeros(tmp_path):
    assert loaded(tmp_path, PLAIN.replace("sub-", "0")).ids == ("001", "002")


def test_large_tables_are_read_whole(tmp_path):
    columns = ["participant_id", "x", *(f"c{i}" for i in range(60))]
    row = "\t".join(["{:05d}", "{}", *("1.5",) * 60])
    lines = ["\t".join(columns), *(row.format(i, i / 10) for i in range(10_000))]
    people = loaded(tmp_path, "\n".join(lines))
    assert people.table.shape == (10_000, 61)
    assert people.numeric(["x"])[-1, 0] == 999.9


def test_a_header_of_very_many_columns_is_answered_at_once(tmp_path):
    names = "\t".join(f"c{i}" for i in range(100_000))
    with pytest.raises(CohortError, match="column 'participant_id'") as caught:
        loaded(tmp_path, f"{names}\n{names}\n")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("header", ["participant_id x", "participant_id x y", "participant_id  x"])
def test_blanks_between_columns_are_told_of(tmp_path, header):
    path = tmp_path / "participants.tsv"
    path.write_text(f"{header}\nsub-01 34 2\n")
    with pytest.raises(CohortError, match=r"the header has blanks only.*tab-separated"):
        read_table(path)


@pytest.mark.timeout(20)
def test_many_tabs_at_the_end_of_a_header_take_no_time(tmp_path):
    rows = "".join(f"sub-{i}\t{i}\n" for i in range(10_000))
    people = loaded(tmp_path, "participant_id\tx" + "\t" * 100_000 + "\n" + rows)
    assert people.table.shape == (10_000, 1)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("participant_id\tx\t\t\nsub-01\t34\t\tlost\n", "column 3 is empty"),
        ("participant_id\tx\t\nsub-01\t34\t\tlost\n", "line 2 must have 2 cells.*got 4"),
    ],
)
def test_a_value_without_a_columns_name_is_refused(tmp_path, table, says):
    with pytest.raises(CohortError, match=says):
        loaded(tmp_path, table)
