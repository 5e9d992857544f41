from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.participants import Participants, load_participants, load_people
from isthmus.config.people import PeopleConfig
from isthmus.core.errors import CohortError, ConfigError


def write(folder: Path, text: str) -> None:
    (folder / "participants.tsv").write_text(text)


def test_reads_numbers_text_and_missing_values(experiment_of):
    participants = load_participants(experiment_of(phenotypes=["score"], group_by="family_id"))
    assert participants.ids == ("sub-01", "sub-02", "sub-03", "sub-04", "sub-05")
    assert participants.table["score"].dtype == np.float64
    np.testing.assert_array_equal(
        participants.numeric(["score", "age"], ["sub-04", "sub-02"]),
        [[-30.0, np.nan], [np.nan, 30.0]],
    )


def test_family_labels_stay_text_and_singles_are_families_alone(experiment_of):
    families = load_participants(experiment_of(group_by="family_id")).families
    assert families["sub-01"] == families["sub-02"] == "0417"
    assert len({families["sub-04"], families["sub-05"], "0417", "0500"}) == 4


def test_without_group_by_everybody_is_a_family(experiment_of):
    assert load_participants(experiment_of()).families.nunique() == 5


def test_kinship_is_text_and_missing_values_are_a_kind_of_their_own(experiment_of):
    of = {"group_by": "family_id"}
    assert load_participants(experiment_of(**of)).kinship is None
    sexes = load_participants(experiment_of(kinship="sex", **of)).select(["sub-05", "sub-01"])
    assert sexes.kinship.to_dict() == {"sub-05": "n/a", "sub-01": "F"}
    ages = load_participants(experiment_of(kinship="age", **of))
    assert ages.kinship["sub-01"] == ages.kinship["sub-02"] == "30"
    assert len({load_participants(experiment_of(**of)).digest, ages.digest}) == 2


def test_kinship_needs_families(experiment_of):
    with pytest.raises(ConfigError, match=r"needs cohort\.group_by.*got 'sex'"):
        experiment_of(kinship="sex")


def test_two_valued_text_is_coded_in_sorted_order(experiment_of):
    participants = load_participants(experiment_of())
    codes = participants.numeric(["sex"], participants.ids)[:, 0]
    np.testing.assert_array_equal(codes, [0, 0, 1, 1, np.nan])


def test_a_selection_is_coded_as_the_whole_cohort_is(experiment_of):
    men = load_participants(experiment_of()).select(["sub-04", "sub-03"])
    assert men.ids == ("sub-04", "sub-03")
    np.testing.assert_array_equal(men.numeric(["sex"], men.ids)[:, 0], [1, 1])


def test_text_of_three_values_is_no_number(experiment_of):
    participants = load_participants(experiment_of())
    with pytest.raises(CohortError, match=r"'site' must be numeric.*3 text values \('A', 'B', 'C'"):
        participants.numeric(["site"], participants.ids)


def test_design_makes_indicators_of_text():
    sites = ["A", "B", "C", np.nan, "A", "B", "C"]
    table = pd.DataFrame({"site": sites, "age": range(7)}, index=[f"s{i}" for i in range(7)])
    values, names = Participants(table).design(["age", "site"], ["s0", "s2", "s3"])
    assert names == ("age", "site[B]", "site[C]")
    np.testing.assert_array_equal(values, [[0, 0, 0], [2, 0, 1], [3, np.nan, np.nan]])


def test_design_leaves_out_constant_text_and_refuses_names():
    table = pd.DataFrame({"site": ["A"] * 3, "name": list("xyz")}, index=["s0", "s1", "s2"])
    participants = Participants(table)
    assert participants.design(["site"])[0].shape == (3, 0)
    with pytest.raises(CohortError, match="'name' must be numeric or have few values"):
        participants.design(["name"])


def test_digest_follows_the_content_alone(experiment_of, cohort_folder):
    experiment = experiment_of(confounds=["age"])
    first = load_participants(experiment).digest
    lines = (cohort_folder / "participants.tsv").read_text().splitlines()
    write(cohort_folder, "\n".join([lines[0], *reversed(lines[1:])]) + "\n\n")
    assert load_participants(experiment).digest == first
    write(cohort_folder, "\n".join(lines).replace("52", "53"))
    assert load_participants(experiment).digest != first


def test_columns_that_no_setting_names_leave_the_digest(experiment_of, cohort_folder):
    lines = (cohort_folder / "participants.tsv").read_text().splitlines()
    settings = {"confounds": ["age"], "controls": {"probe_targets": ["sex"]}, "site": "site"}
    first = load_participants(experiment_of(**settings))
    write(
        cohort_folder,
        "\n".join(f"{line}\t{'mood' if i == 0 else i}" for i, line in enumerate(lines)),
    )
    wider = load_participants(experiment_of(**settings))
    assert wider.digest == first.digest
    assert "mood" in wider.table.columns
    some = ["sub-01", "sub-03"]
    assert wider.select(some).digest == first.select(some).digest != first.digest
    named = load_participants(experiment_of(phenotypes=["mood"], **settings))
    assert named.digest != first.digest


@pytest.mark.parametrize(
    "settings",
    [
        {"phenotypes": ["age"]},
        {"confounds": ["age"]},
        {"group_by": "age"},
        {"group_by": "family_id", "kinship": "age"},
        {"site": "age"},
        {"stratify_by": ["age"]},
        {"controls": {"probe_targets": ["age"]}},
    ],
)
def test_a_change_of_a_column_that_a_setting_names_changes_the_digest(
    experiment_of, cohort_folder, settings
):
    first = load_participants(experiment_of(**settings)).digest
    write(cohort_folder, (cohort_folder / "participants.tsv").read_text().replace("52", "53"))
    assert load_participants(experiment_of(**settings)).digest != first


def test_digest_is_stable():
    table = pd.DataFrame({"age": [1.0, np.nan], "sex": ["F", "M"]}, index=["a", "b"])
    assert Participants(table).digest == (
        "8d20f316c0277dcb2be6d04f90e04c55d866c3ca71866bb725a2aefca95fcaf9"
    )


def test_a_byte_order_mark_and_windows_line_ends_are_read(experiment_of, cohort_folder):
    text = (cohort_folder / "participants.tsv").read_text()
    (cohort_folder / "participants.tsv").write_bytes(
        b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    )
    assert len(load_participants(experiment_of()).ids) == 5


def test_a_participant_listed_twice_names_the_lines(experiment_of, cohort_folder):
    write(cohort_folder, "participant_id\tage\nsub-01\t1\nsub-02\t2\n\nsub-01\t3\n")
    with pytest.raises(CohortError, match="listed once, but sub-01 is on lines 2 and 5"):
        load_participants(experiment_of())


def test_the_column_participant_id_must_be_there(experiment_of, cohort_folder):
    write(cohort_folder, "participants_id\tage\nsub-01\t1\n")
    with pytest.raises(
        CohortError, match=r"column 'participant_id'.*Did you mean 'participants_id'"
    ):
        load_participants(experiment_of())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("phenotypes", ["scoer"]),
        ("confounds", ["scoer"]),
        ("stratify_by", ["scoer"]),
        ("group_by", "scoer"),
        ("site", "scoer"),
    ],
)
def test_a_misspelt_column_names_its_setting(experiment_of, setting, value):
    with pytest.raises(CohortError, match=rf"'scoer', which cohort\.{setting} names.*mean 'score'"):
        load_participants(experiment_of(**{setting: value}))


def test_a_misspelt_probe_target_names_its_setting(experiment_of):
    with pytest.raises(CohortError, match=r"'agee', which controls\.probe_targets names"):
        load_participants(experiment_of(controls={"probe_targets": ["agee"]}))


def test_a_phenotype_of_text_is_found_before_training(experiment_of):
    with pytest.raises(CohortError, match=r"cohort\.phenotypes: Column 'site' must be numeric"):
        load_participants(experiment_of(phenotypes=["site"]))


def test_an_infinite_value_makes_no_number(experiment_of, cohort_folder):
    write(cohort_folder, "participant_id\tx\nsub-01\tinf\nsub-02\t2\nsub-03\t4\n")
    with pytest.raises(CohortError, match="line 2, column 'x': 'inf' is no finite"):
        load_participants(experiment_of(phenotypes=["x"]))


@pytest.mark.parametrize(
    "cell", ["1_0", "inf", "-Infinity", "NAN", "1e999", "0x10", "\u0661", "1e", ".", "1,5"]
)
def test_what_is_no_plain_number_makes_its_column_text(experiment_of, cohort_folder, cell):
    write(cohort_folder, f"participant_id\tx\nsub-01\t{cell}\nsub-02\t2\n")
    assert list(load_participants(experiment_of()).table["x"]) == [cell, "2"]


@pytest.mark.parametrize("cell", ["10", "+1e1", "10.", "1.0E+01", "0.1e2", "010"])
def test_plain_numbers_are_read(experiment_of, cohort_folder, cell):
    write(cohort_folder, f"participant_id\tx\nsub-01\t{cell}\nsub-02\tnan\n")
    np.testing.assert_array_equal(load_participants(experiment_of()).table["x"], [10.0, np.nan])


@pytest.mark.parametrize(
    "label",
    [
        *("x/../../../../escaped", "a\\b", ".hidden", "..", "a\x07b", "a\u2028b", "s" * 101),
        *("-1+cmd|' calc'!A0", "-A1", "-", "=1", "+1", "@x"),
    ],
)
def test_labels_that_are_no_file_names_are_refused_with_the_line(
    experiment_of, cohort_folder, label
):
    write(cohort_folder, f"participant_id\tage\nsub-01\t1\n{label}\t2\n")
    with pytest.raises(CohortError, match="line 3: a participant_id becomes part of file names"):
        load_participants(experiment_of())


@pytest.mark.parametrize("label", ["sub-01.b", "Zoë 2", "s" * 100, "-1", "1-A1"])
def test_labels_that_are_file_names_are_taken(experiment_of, cohort_folder, label):
    write(cohort_folder, f"participant_id\tage\n{label}\t1\n")
    assert load_participants(experiment_of()).ids == (label,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("participant_id\tage\n", "at least one row"),
        ("participant_id\tage\nsub-01\n", "line 2 must have 2 cells"),
        ("participant_id\tage\nn/a\t3\n", "line 2 must give a participant_id"),
        ("participant_id\tage\tage\nsub-01\t3\t3\n", r"\['age'\] are repeated"),
        ("participant_id,age\nsub-01,3\n", "separated by tabs"),
    ],
)
def test_broken_tables_are_refused(experiment_of, cohort_folder, text, message):
    write(cohort_folder, text)
    with pytest.raises(CohortError, match=message):
        load_participants(experiment_of())


def test_missing_table_and_folder(experiment_of, cohort_folder):
    with pytest.raises(CohortError, match=r"nobody\.tsv: there is no such file"):
        load_participants(experiment_of(participants="nobody.tsv"))
    with pytest.raises(CohortError, match=r"there is no .*elsewhere"):
        load_participants(experiment_of(root="elsewhere"))
    (cohort_folder / "participants.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CohortError, match="UTF-8"):
        load_participants(experiment_of())


def test_the_table_stays_within_the_cohort(experiment_of):
    with pytest.raises(CohortError, match="climbs out"):
        load_participants(experiment_of(participants="../participants.tsv"))


def test_unknown_and_repeated_participants_are_refused(experiment_of):
    participants = load_participants(experiment_of())
    with pytest.raises(CohortError, match=r"\['sub-6'\]"):
        participants.select(["sub-01", "sub-6"])
    with pytest.raises(CohortError, match=r"repeats \['sub-01'\]"):
        participants.select(["sub-01", "sub-01"])
    with pytest.raises(CohortError, match=r"no column 'agge'.*mean 'age'"):
        participants.numeric(["agge"], ["sub-01"])


def test_categorical_phenotypes_must_be_there_and_enter_the_digest(experiment_of):
    plain = load_participants(experiment_of())
    declared = load_participants(experiment_of(categorical_phenotypes=["sex"]))
    assert declared.declared == ("sex",)
    assert declared.digest != plain.digest
    with pytest.raises(CohortError, match=r"'sexx', which cohort\.categorical_phenotypes names"):
        load_participants(experiment_of(categorical_phenotypes=["sexx"]))


def test_a_table_without_a_cohort_around_it_is_read_alike(experiment_of, cohort_folder):
    of = {"phenotypes": ["score"], "confounds": ["sex"], "group_by": "family_id"}
    whole = load_participants(experiment_of(**of))
    alone = load_people(cohort_folder / "participants.tsv", PeopleConfig(**of))
    assert alone.digest == whole.digest
    assert alone.families.tolist() == whole.families.tolist()
