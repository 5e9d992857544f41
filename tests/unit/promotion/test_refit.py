"""One training on everybody: whom it is of, that it resumes, and what is found in its space."""

from pathlib import Path

import numpy as np
import pytest
from lockbox_cohort import DevelopedCohort, develop

from isthmus.core.errors import ConfigError
from isthmus.core.ports import EpochEvent
from isthmus.promotion.developed import load_developed
from isthmus.promotion.lockbox.look import evaluate_lockbox
from isthmus.promotion.lockbox.words import look_in_words
from isthmus.promotion.refit import refit, refit_fold, refit_strata
from isthmus.stratification.partition import Partition
from isthmus.training.encoder import load_encoder
from isthmus.training.fitted import FittedEncoder
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.run import prepare_trial
from isthmus.volumes.intensity import fit_normaliser

MONITORED = {"training.early_stopping": {"monitor_share": 0.3}, "training.epochs": 2}
Refitted = tuple[DevelopedCohort, FittedEncoder, list[EpochEvent]]


@pytest.fixture(scope="module")
def refitted(tmp_path_factory: pytest.TempPathFactory) -> Refitted:
    folder = tmp_path_factory.mktemp("refit")
    cohort = develop(folder, {**MONITORED, "stratification.subjects": "all"})
    events: list[EpochEvent] = []
    fitted = refit(cohort.experiment, folder / "refit", InProcessLauncher(), events.append)
    return cohort, fitted, events


def test_everybody_in_development_is_trained_on_or_monitored(refitted: Refitted) -> None:
    cohort, fitted, events = refitted
    trial = prepare_trial(cohort.experiment)
    fold = refit_fold(trial)
    assert fold.validation == ()
    assert fold.monitor
    assert sorted((*fold.train, *fold.monitor)) == sorted(trial.participants.ids)
    families = trial.participants.families
    assert not set(families.loc[list(fold.train)]) & set(families.loc[list(fold.monitor)])
    assert fitted.encoder_id == f"{trial.digest[:12]}-refit"
    assert [event.epoch for event in events] == [1, 2]
    assert {event.fold for event in events} == {len(trial.split.folds)}
    assert all("monitor_loss" in record for record in fitted.history)
    expected = fit_normaliser(
        trial.store,
        sorted(fold.train),
        cohort.experiment.config.fused_modalities,
        cohort.experiment.config.volumes.normalisation,
    )
    read = load_encoder(fitted.directory, "cpu").normaliser
    image = trial.store.read(fold.train[0], cohort.experiment.config.fused_modalities)
    np.testing.assert_array_equal(read.apply(image), expected.apply(image))


def test_a_finished_refit_is_not_repeated(refitted: Refitted) -> None:
    cohort, fitted, _ = refitted
    heard: list[EpochEvent] = []
    again = refit(cohort.experiment, fitted.directory, InProcessLauncher(), heard.append)
    assert again == fitted
    assert heard == []


class Stopped(Exception):
    """What a test interrupts a training by."""


def test_an_interrupted_refit_goes_on_to_the_same_bits(refitted: Refitted, tmp_path: Path) -> None:
    cohort, fitted, _ = refitted
    directory = tmp_path / "refit"

    def stop(event: EpochEvent) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        refit(cohort.experiment, directory, InProcessLauncher(), stop)
    heard: list[EpochEvent] = []
    again = refit(cohort.experiment, directory, InProcessLauncher(), heard.append)
    assert [event.epoch for event in heard] == [2]
    assert again.digests == fitted.digests


def test_a_folder_of_something_else_is_refused(refitted: Refitted, tmp_path: Path) -> None:
    cohort, _, _ = refitted
    with pytest.raises(ConfigError, match="a folder of its own"):
        refit(cohort.experiment, cohort.fold, InProcessLauncher(), lambda event: None)
    (tmp_path / "refit.json").write_text('{"kind": "refit", "trial": "another"}')
    with pytest.raises(ConfigError, match="is of another one"):
        refit(cohort.experiment, tmp_path, InProcessLauncher(), lambda event: None)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["refit.json"]


def test_strata_are_sought_in_its_own_space_and_the_lockbox_is_its_only_number(
    refitted: Refitted, tmp_path: Path
) -> None:
    cohort, fitted, _ = refitted
    report = refit_strata(cohort.experiment, fitted.directory, fitted)
    assert isinstance(report.strata, Partition)
    assert report.n_held_out == 0
    developed = load_developed(fitted.directory)
    assert developed.is_refit
    assert developed.strata == report
    trial = prepare_trial(cohort.experiment)
    assert sorted(developed.table.participant_ids) == sorted(trial.participants.ids)
    assert developed.fold.train == refit_fold(trial).train
    look = evaluate_lockbox(cohort.experiment, developed, "the refit", tmp_path)
    assert (look.label, look.ratios) == ("refit", ())
    assert "a refit has no validation error" in look_in_words(look)
