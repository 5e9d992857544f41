"""Participants tables, read for their phenotypes, confounds and families."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from fuzz.table_edits import CELLS, OPERATIONS, edit_table
from fuzz.target import Target

from isthmus.cohort.participants import load_people
from isthmus.config.people import PeopleConfig

_SEEDS = (
    b"participant_id\tage\tsex\tiq\tgroup\tfamily\tsite\n"
    b"sub-01\t34\tF\t101.5\tA\tf1\tX\nsub-02\t28.5\tM\tn/a\tB\tf1\tX\n"
    b"sub-03\t41\tF\t-3e1\tA\tf2\tY\nsub-04\tn/a\tM\t99\tB\tn/a\tZ\n",
    b"\xef\xbb\xbfsite\tparticipant_id\tage\tsex\tiq\tgroup\tfamily\r\n"
    b"1\tZo\xc3\xab\t30\t1\t5\tlow\t007\r\n2\tb\t31\t2\t6\thigh\t7\r\n",
)
_PEOPLE = PeopleConfig(
    phenotypes=("iq",),
    categorical_phenotypes=("group",),
    confounds=("age", "sex"),
    group_by="family",
)


def _prepare(folder: Path) -> Callable[[bytes], bool]:
    """Load a table and take from it what a trial takes."""
    path = folder / "participants.tsv"

    def load(data: bytes) -> bool:
        path.write_bytes(data)
        people = load_people(path, _PEOPLE, {"controls.probe_targets": ("sex",)}, site="site")
        n_people = len(people.ids)
        assert len(set(people.ids)) == n_people
        values = people.numeric(["iq"])
        assert values.shape == (n_people, 1)
        assert not np.isinf(values).any()
        design, names = people.design(["age", "sex"])
        assert design.shape == (n_people, len(names))
        assert len(people.families) == n_people
        assert people.select(people.ids[::-1]).digest == people.digest
        people.digest.encode()
        return True

    return load


TARGET = Target(
    "participants",
    _SEEDS,
    OPERATIONS,
    CELLS,
    edit_table,
    _prepare,
)
