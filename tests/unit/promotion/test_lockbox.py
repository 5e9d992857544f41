"""Looks into the lockbox of a small real cohort, whose fold was trained for real."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lockbox_cohort import DevelopedCohort, develop

from isthmus.cohort.lockbox import LOOKS_NAME, lockbox_looks
from isthmus.cohort.participants import load_participants
from isthmus.cohort.seal import SEAL_NAME, read_seal
from isthmus.core.errors import CohortError, ConfigError, IsthmusError, LeakageError
from isthmus.promotion.bundle.strata_rule import StrataRule
from isthmus.promotion.developed import load_developed
from isthmus.promotion.lockbox.look import evaluate_lockbox
from isthmus.promotion.lockbox.record import LockboxReport, finished_look
from isthmus.promotion.lockbox.words import look_in_words, tables
from isthmus.stratification.partition import Partition
from isthmus.training.controls import CONTROLS
from isthmus.training.encoder import load_encoder
from isthmus.volumes.lockbox_store import open_lockbox_store


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> DevelopedCohort:
    """Never looked into: copied by whoever does."""
    return develop(tmp_path_factory.mktemp("untouched"))


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> DevelopedCohort:
    """A study of the same people, of whom nobody was set aside."""
    return develop(tmp_path_factory.mktemp("without"), {"cohort.lockbox_share": 0.0})


@pytest.fixture
def cohort(untouched: DevelopedCohort, tmp_path: Path) -> DevelopedCohort:
    return untouched.copied(tmp_path / "copy")


Looked = tuple[DevelopedCohort, LockboxReport, Path]


@pytest.fixture(scope="module")
def looked(untouched: DevelopedCohort, tmp_path_factory: pytest.TempPathFactory) -> Looked:
    """Looked into once."""
    folder = tmp_path_factory.mktemp("looked")
    cohort = untouched.copied(folder / "copy")
    report = evaluate_lockbox(cohort.experiment, cohort.developed, "a trial of it", folder / "look")
    return cohort, report, folder / "look"


def test_record_tells_who_and_how_often(looked: Looked) -> None:
    cohort, report, output = looked
    sealed = json.loads((cohort.store / SEAL_NAME).read_text())["participant_ids"]
    assert report.n_sealed == report.n_subjects == len(sealed) >= 10
    assert [subject.participant_id for subject in report.subjects] == sorted(sealed)
    families = load_participants(cohort.experiment).families
    assert report.n_families == families.loc[sealed].nunique() < report.n_subjects
    assert report.looks == lockbox_looks(cohort.store)
    assert (report.number, report.reason, report.label) == (1, "a trial of it", "fold 0")
    assert not report.leaky
    written = (output / "lockbox-look-1.json").read_text()
    assert LockboxReport.from_json(written) == report
    assert written == report.to_json()
    assert finished_look(output, report.encoder_id, report.table_digest) == report
    assert finished_look(output, "another", report.table_digest) is None


def test_model_and_controls_are_scored_on_the_lockbox_alone(looked: Looked) -> None:
    cohort, report, output = looked
    table = pd.read_csv(output / "lockbox-look-1-fidelity.tsv", sep="\t", na_values="n/a")
    assert set(table.control) == {"model", *CONTROLS} == {f.control for f in report.fidelity}
    assert set(table.participant_id) == {subject.participant_id for subject in report.subjects}
    developed = cohort.developed
    sealed = tuple(subject.participant_id for subject in report.subjects)
    store = open_lockbox_store(cohort.experiment.store_url, sealed)
    encoder = load_encoder(developed.directory, "cpu")
    name, x_MDHW, y_MDHW = next(encoder.reconstruct(store, sealed))
    mask = encoder.normaliser.mask_DHW
    expected = ((x_MDHW - y_MDHW)[:, mask].astype(float) ** 2).mean(axis=1).mean()
    assert report.subjects[0].participant_id == name
    assert report.subjects[0].mse["model"] == pytest.approx(expected, rel=1e-5)
    mean = np.mean([s.mse["model"] for s in report.subjects])  # type: ignore[misc]
    assert report.mean("model", "mse") == pytest.approx(mean)
    assert developed.fidelity is not None
    rows = developed.fidelity.query("control == 'model' and metric == 'mse'")
    (ratio,) = [found for found in report.ratios if found.modality == "all"]
    assert ratio.validation_mse == pytest.approx(rows["value"].mean())
    assert ratio.ratio == pytest.approx(mean / rows["value"].mean())
    assert report.metrics()["lockbox_error_ratio"] == ratio.ratio
    assert report.metrics()["lockbox_pca_mse/FA"] == report.mean("pca", "mse", "FA")


def test_strata_are_those_of_the_rule(looked: Looked) -> None:
    cohort, report, _ = looked
    developed = cohort.developed
    strata = developed.strata.strata
    assert isinstance(strata, Partition)
    ids = tuple(subject.participant_id for subject in report.subjects)
    store = open_lockbox_store(cohort.experiment.store_url, ids)
    values = load_encoder(developed.directory, "cpu").embed(store, ids)
    rule = StrataRule.of(developed.table, strata, developed.strata.config)
    labels, membership = rule.assign(values)
    assert [subject.stratum for subject in report.subjects] == labels.tolist()
    np.testing.assert_allclose([s.membership for s in report.subjects], membership)  # type: ignore[arg-type]
    assert [s.n_lockbox for s in report.strata] == np.bincount(labels, minlength=2).tolist()
    assert [s.n_development for s in report.strata] == list(strata.sizes)
    assert report.rule_agreement == rule.agreement


def test_findings_are_developments(looked: Looked) -> None:
    cohort, report, _ = looked
    wanted = [a.target for a in cohort.developed.strata.associations if a.significant]
    assert wanted
    assert [found.target for found in report.replications] == wanted
    shown = tables(report)
    titles = [table.title for table in shown]
    assert titles[0] == "Looks into the lockbox"
    (asked,) = [table for table in shown if table.title.startswith("Development's findings")]
    assert [row[0] for row in asked.rows] == wanted
    assert all(len(row) == len(table.columns) for table in shown for row in table.rows)
    assert look_in_words(report).startswith(f"Look 1 of this lockbox: {report.n_subjects} subjects")
    assert "opened" not in look_in_words(report)


def test_a_second_look_is_counted_and_gives_the_same_numbers(
    looked: Looked, tmp_path: Path
) -> None:
    cohort, first, output = looked
    again = cohort.copied(tmp_path / "copy")
    second = evaluate_lockbox(again.experiment, again.developed, "curiosity", tmp_path / "look")
    assert second.number == 2
    assert [look.reason for look in second.looks] == ["a trial of it", "curiosity"]
    assert replace(second, looks=first.looks) == first
    said = look_in_words(second)
    assert said.startswith("Look 2 of this lockbox: ")
    assert "opened once before" in said
    assert "a trial of it" in said
    assert (tmp_path / "look" / "lockbox-look-2.json").exists()
    assert not (output / "lockbox-look-2.json").exists()


def test_without_findings_fidelity_is_still_reported(
    cohort: DevelopedCohort, tmp_path: Path
) -> None:
    developed = cohort.developed
    nothing = replace(developed, strata=replace(developed.strata, tests=()))
    report = evaluate_lockbox(cohort.experiment, nothing, "fidelity", tmp_path / "look")
    assert report.replications == ()
    assert report.mean("model", "mse") is not None
    assert "nothing was asked again" in look_in_words(report)
    assert "nothing was asked again" in next(
        table.note for table in tables(report) if table.title.startswith("Development's findings")
    )


def refused(
    cohort: DevelopedCohort, kind: type[IsthmusError], match: str, reason: str = "a test"
) -> None:
    """Refused, and no look spent on it."""
    before = (cohort.store / LOOKS_NAME).exists()
    assert not before
    output = cohort.file.parent / "look"
    with pytest.raises(kind, match=match):
        evaluate_lockbox(cohort.experiment, cohort.developed, reason, output)
    assert not (cohort.store / LOOKS_NAME).exists()
    assert not output.exists()


def test_a_broken_seal_is_refused(cohort: DevelopedCohort) -> None:
    seal = cohort.store / SEAL_NAME
    content = json.loads(seal.read_text())
    content["participant_ids"] = content["participant_ids"][1:]
    seal.write_text(json.dumps(content))
    refused(cohort, CohortError, "lockbox.json")


def test_no_lockbox_is_refused(cohort: DevelopedCohort) -> None:
    (cohort.store / SEAL_NAME).unlink()
    refused(cohort, CohortError, "there is no lockbox. Set cohort.lockbox_share above 0")


def test_no_reason_is_refused(cohort: DevelopedCohort) -> None:
    refused(cohort, CohortError, "must have a reason", reason="  ")


def test_an_empty_lockbox_is_refused(without: DevelopedCohort) -> None:
    refused(without, CohortError, "nobody is in the lockbox")


def spoil_families(cohort: DevelopedCohort) -> None:
    """Give somebody in the lockbox a relative in development."""
    file = cohort.experiment.cohort_root / "participants.tsv"
    table = pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False)
    seal = read_seal(cohort.store)
    assert seal is not None
    own = table.participant_id.isin([seal.participant_ids[0]])
    other = table.participant_id.isin([cohort.developed.fold.train[0]])
    table.loc[own, "family_id"] = table.loc[other, "family_id"].iloc[0]
    table.to_csv(file, sep="\t", index=False)


def test_families_on_both_sides_are_refused(cohort: DevelopedCohort) -> None:
    spoil_families(cohort)
    refused(cohort, LeakageError, "must keep families whole")


def test_an_encoder_that_has_seen_the_lockbox_is_refused(
    cohort: DevelopedCohort, without: DevelopedCohort, tmp_path: Path
) -> None:
    with pytest.raises(LeakageError, match="was developed with"):
        evaluate_lockbox(cohort.experiment, without.developed, "a test", tmp_path / "look")
    assert not (cohort.store / LOOKS_NAME).exists()


@pytest.fixture
def spoilt(cohort: DevelopedCohort) -> DevelopedCohort:
    """The fold's weights, tampered with."""
    file = cohort.fold / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    return cohort


def test_an_encoder_or_strata_that_were_changed_are_not_loaded(
    spoilt: DevelopedCohort, untouched: DevelopedCohort, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="whose files are as they were written"):
        load_developed(spoilt.fold)
    other = untouched.copied(tmp_path / "other")
    file = other.fold / "strata.json"
    file.write_text(file.read_text().replace('"table_digest": "', '"table_digest": "0', 1))
    with pytest.raises(ConfigError, match="must be of each other"):
        load_developed(other.fold)
    file.unlink()
    with pytest.raises(ConfigError, match=r"strata\.json: must be the report"):
        load_developed(other.fold)


def test_a_record_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be what `to_json` wrote"):
        LockboxReport.from_json("{}")
    (tmp_path / "lockbox-look-1.json").write_text("{")
    with pytest.raises(ConfigError, match=r"lockbox-look-1\.json"):
        finished_look(tmp_path, "e", "d")
