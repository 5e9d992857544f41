"""A study as JSON: written and read back equal, and nothing else is taken for one."""

import json
from dataclasses import replace

import pytest
from example_study import MSE, make_study

from isthmus.core.errors import ConfigError
from isthmus.study.record_json import (
    STUDY_FILE,
    read_study,
    study_from_json,
    study_to_json,
    write_study,
)


@pytest.mark.parametrize(
    "study", [make_study(), make_study(0), make_study(4, (MSE,), only="failed")]
)
def test_a_study_is_read_as_it_was_written(study, tmp_path):
    assert read_study(write_study(study, tmp_path / "new").parent) == study


def test_values_of_any_kind_come_back_as_they_were():
    study = make_study(1, (MSE,))
    point = {"a": None, "b": True, "c": 1, "d": 1.0, "e": [1, "x"], "f": "batch"}
    facts = {"embedding_size": 64, "separable_saving_unit": 1.0, "grid": "8x8x8"}
    record = replace(study.trials[0], point=point, facts=facts, same_as=0)
    text = json.dumps(study_to_json(replace(study, trials=(record,))))
    (found,) = study_from_json(json.loads(text)).trials
    assert found == record
    for kept, given in ((found.point, point), (found.facts, facts)):
        assert [type(v) for v in kept.values()] == [type(v) for v in given.values()]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "schema_version 1, got None"),
        ({"schema_version": 2}, "schema_version 1, got 2"),
        ({"schema_version": 1, "name": "x"}, "must be the record of a study"),
    ],
)
def test_what_is_no_record_is_refused_with_its_place(content, said, tmp_path):
    (tmp_path / STUDY_FILE).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=said) as refused:
        read_study(tmp_path)
    assert str(tmp_path) in str(refused.value)


def test_a_folder_without_a_record_and_a_broken_one_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="must be the folder of a search"):
        read_study(tmp_path)
    (tmp_path / STUDY_FILE).write_text("{")
    with pytest.raises(ConfigError, match="must be JSON"):
        read_study(tmp_path)
