"""All that a report shows as one record: written, read back, gathered from folders."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from example_bundle import ablation_bundle, make_trial, search_bundle, write_trial_folder
from example_study import make_study

from isthmus.cohort.seal import Seal, write_seal
from isthmus.core.errors import ConfigError
from isthmus.report.page import Passage
from isthmus.report.story.bundle import PeopleColumns, ReadyPart
from isthmus.report.story.bundle_json import (
    BUNDLE_FILE,
    bundle_from_json,
    bundle_to_json,
    read_bundle,
    write_bundle,
)
from isthmus.report.story.gather import gather_bundle, leading_numbers
from isthmus.report.story.gather_cohort import count_lockbox
from isthmus.report.table import Table
from isthmus.study.ranking import ranked
from isthmus.study.record_json import write_study


def test_a_bundle_comes_back_as_it_was(tmp_path):
    part = ReadyPart("gates", "Gates", passages=(Passage("Size", ("small",)),))
    part = replace(part, tables=(Table("Verdicts", ("gate",), (("size",),)),))
    people = PeopleColumns(("sub-1", "sub-2"), {"sex": ("F", None), "age": (30.0, 41.5)})
    search = replace(search_bundle(), promotion=(part,), people=people)
    for bundle in (search, search_bundle(0), ablation_bundle(tmp_path / "runs")):
        write_bundle(bundle, tmp_path)
        assert read_bundle(tmp_path) == bundle
    assert "\n" not in (tmp_path / BUNDLE_FILE).read_text().strip()


def test_a_bundle_of_another_version_is_refused():
    content = bundle_to_json(search_bundle(0))
    with pytest.raises(ConfigError, match="schema_version 1, got 2"):
        bundle_from_json({**content, "schema_version": 2})
    with pytest.raises(ConfigError, match="must be all that a report shows"):
        bundle_from_json({**content, "kind": "wish"})


@pytest.fixture
def search(tmp_path: Path) -> Path:
    """A search's folder beside the folder of its best trial alone."""
    study = make_study(24)
    result = make_trial()
    write_trial_folder(tmp_path, result)
    trials = tuple(
        replace(one, folder=f"small-{result.digest[:12]}") if one.number == study.best else one
        for one in study.trials
    )
    folder = tmp_path / "small-search-architecture"
    write_study(replace(study, trials=trials), folder)
    return folder


def test_a_search_is_gathered_with_its_best_trial_in_full(search):
    bundle = gather_bundle(search)
    study = bundle.study
    assert bundle.kind == "search"
    assert study is not None
    assert [one.number for one in bundle.trials] == [one.number for one in study.trials]
    (lead,) = bundle.details
    assert (lead.number, lead.is_whole) == (study.best, True)
    assert lead.result == make_trial()
    assert [history.fold for history in lead.histories] == [0, 1]
    assert [one.participant_id for one in lead.panels] == ["sub-0001"] * 2
    assert lead.panels[0].png.startswith(b"\x89PNG")
    brief = next(one for one in bundle.trials if one.number == study.best)
    assert brief.run_ids == ("run-of-trial",)
    assert brief.fold_run_ids == {0: "run-of-fold-0", 1: "run-of-fold-1"}
    assert brief.summary == lead.result.summary
    assert len(brief.strata) == 2
    # there is no experiment.yaml: that is said, not hidden
    assert any("experiment.yaml" in said for said in bundle.missing)
    assert bundle_from_json(json.loads(json.dumps(bundle_to_json(bundle)))) == bundle


def test_a_trial_that_runs_is_told_of_by_its_finished_folds(tmp_path):
    folder = write_trial_folder(tmp_path, make_trial(n_folds=1), whole=False)
    (folder / "fold-1").mkdir()
    (folder / "fold-1" / "history.jsonl").write_text('{"epoch": 1, "train_loss": 0.7}\n')
    bundle = gather_bundle(folder)
    (lead,) = bundle.details
    assert bundle.kind == "trial"
    assert (lead.is_whole, len(lead.result.folds), lead.result.across) == (False, 1, None)
    assert [history.fold for history in lead.histories] == [0, 1]
    assert (bundle.trials[0].state, bundle.trials[0].summary) == ("running", {})


def test_files_that_are_half_there_cost_a_trial_and_no_report(search, caplog):
    (trial,) = search.parent.glob("small-abab*")
    (trial / "trial.json").write_text('{"digest": ')
    assert gather_bundle(search).details == ()
    assert "cannot be read" in caplog.text


def test_what_leads_can_be_chosen_and_must_be_there(search, tmp_path):
    study = make_study(24)
    last = ranked(study.trials, study.objectives[0])[-1].number
    assert leading_numbers(replace(study, smallest=last))[:2] == (study.best, last)
    assert len(set(leading_numbers(study))) == len(leading_numbers(study))
    assert leading_numbers(study, 2)[0] == 2
    with pytest.raises(ConfigError, match="one of the search's, 0 to 23, got 99"):
        gather_bundle(search, chosen=99)
    trial = write_trial_folder(tmp_path / "alone", make_trial())
    with pytest.raises(ConfigError, match="is one trial"):
        gather_bundle(trial, chosen=0)
    with pytest.raises(ConfigError, match="must be the folder of a search, an ablation or a trial"):
        gather_bundle(tmp_path / "alone")


def test_a_lockbox_is_counted_and_nobody_in_it_named(tmp_path):
    assert count_lockbox(str(tmp_path)) == 0
    write_seal(tmp_path, Seal(("sub-8", "sub-9"), 0.1, 0))
    assert count_lockbox(str(tmp_path)) == 2
    seal = tmp_path / "lockbox.json"
    seal.write_text(seal.read_text().replace("sub-9", "sub-7"))
    assert count_lockbox(str(tmp_path)) is None
    assert count_lockbox("s3://bucket/store") is None
