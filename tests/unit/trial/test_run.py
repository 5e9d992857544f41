"""A whole trial in this process: what it reports, what it leaves, and how it goes on."""

import json

import numpy as np
import pandas as pd
import pytest

from isthmus.config.load import load_experiment
from isthmus.core.errors import (
    CohortError,
    ConfigError,
    ImageError,
    LeakageError,
    StratificationError,
    TrainingDiverged,
)
from isthmus.core.ports import EpochEvent
from isthmus.stratification.across import AcrossEncoders
from isthmus.stratification.embedding_table import load_parquet
from isthmus.stratification.record import RobustnessReport
from isthmus.training.controls import CONTROLS
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.events import (
    EncodersComparing,
    FoldFailed,
    FoldFinished,
    FoldStarted,
    StrataProgress,
    TrialFinished,
    TrialStarted,
)
from isthmus.trial.records import FoldResult, TrialResult
from isthmus.trial.run import load_trial, prepare_trial, run_trial


class Refusing:
    """A launcher that must not be asked."""

    def launch(self, task, on_epoch):
        raise AssertionError(f"fold {task.fold.number} was trained again")


class DivergingFirst(InProcessLauncher):
    """Trains for real, except that fold 0 diverges."""

    def launch(self, task, on_epoch):
        if task.fold.number == 0:
            raise TrainingDiverged("the loss is not finite at epoch 1, step 1: sub-1")
        return super().launch(task, on_epoch)


def test_every_control_stands_beside_the_model_for_each_modality(ran):
    metrics = ran.result.folds[0].metrics
    for modality in ("", "/T1w", "/FA"):
        assert 0 < metrics[f"validation_mse{modality}"] < 1
        for control in CONTROLS:
            own, other = metrics[f"validation_mse{modality}"], metrics[f"{control}_mse{modality}"]
            assert metrics[f"{control}_delta_mse{modality}"] == pytest.approx(other - own)


def test_probes_cover_targets_and_representations(ran):
    seen = {(score.target, score.representation) for score in ran.result.folds[1].probes}
    representations = ("embedding", "pca", "random_encoder")
    assert seen == {(t, r) for t in ("age", "sex") for r in representations}


def test_each_subject_is_held_out_once_and_the_lockbox_never_seen(ran):
    prepared = prepare_trial(ran.experiment)
    held_out = [name for fold in prepared.split.folds for name in fold.validation]
    assert sorted(held_out) == sorted(prepared.participants.ids)
    seal = json.loads((ran.experiment.folder / "store" / "lockbox.json").read_text())
    assert seal["participant_ids"]
    assert not set(seal["participant_ids"]) & set(held_out)
    table = load_parquet(ran.directory / "fold-0" / "embeddings.parquet")
    assert not set(seal["participant_ids"]) & set(table.participant_ids)


def test_the_embedding_table_is_one_encoders_and_names_roles(ran):
    table = load_parquet(ran.directory / "fold-1" / "embeddings.parquet")
    assert table.encoder_id == ran.result.folds[1].encoder_id
    assert table.values.shape == (len(table.participant_ids), 64)
    assert table.roles.count("validation") == ran.result.folds[1].n_validation


def test_events_tell_the_course_in_order(ran):
    kinds = [type(event) for event in ran.events]
    assert kinds[0] is TrialStarted
    assert kinds[-1] is TrialFinished
    assert kinds.count(FoldStarted) == kinds.count(FoldFinished) == 2
    epochs = [event.epoch for event in ran.events if isinstance(event, EpochEvent)]
    assert epochs == [1, 2, 1, 2]


def test_the_robustness_job_tells_how_far_it_is_with_each_encoder(ran):
    told = [event for event in ran.events if isinstance(event, StrataProgress)]
    for number in (0, 1):
        for encoder in ("trained", "untrained"):
            own = [e for e in told if (e.number, e.encoder) == (number, encoder)]
            # nothing is told of an encoder whose strata cannot be resampled
            assert [event.done for event in own] == list(range(len(own)))
            assert not own or own[-1].done == own[-1].total
    assert sum(isinstance(event, EncodersComparing) for event in ran.events) == 1


def test_strata_are_written_with_their_robustness_and_pieces_are_cleared_away(ran):
    for fold in ran.result.folds:
        folder = ran.directory / f"fold-{fold.number}"
        assert RobustnessReport.from_json((folder / "strata.json").read_text()) == fold.strata
        assert fold.strata.robustness is not None
        assert fold.metrics["strata_stability_ari"] == fold.strata.robustness.stability.ari_mean
        assert fold.strata.table_digest == load_parquet(folder / "embeddings.parquet").digest
        assert not (folder / "strata").exists()
        assert not (folder / "random_encoder_strata").exists()


def test_the_encoders_of_all_folds_are_compared(ran):
    across = ran.result.across
    encoders = {fold.encoder_id for fold in ran.result.folds}
    assert {found.encoder_id for found in across.specifications} == encoders
    (pair,) = across.agreements
    assert {pair.encoder_a, pair.encoder_b} == encoders
    assert pair.n_shared == ran.result.facts["n_subjects"]
    written = (ran.directory / "across_encoders.json").read_text()
    assert AcrossEncoders.from_json(written) == across


def test_the_result_comes_back_from_its_file(ran):
    assert load_trial(ran.directory) == ran.result
    fold = ran.result.folds[0]
    assert FoldResult.from_json(json.loads(json.dumps(fold.to_json()))) == fold


def test_the_summary_is_the_mean_over_folds(ran):
    values = [fold.metrics["validation_mse"] for fold in ran.result.folds]
    estimate = ran.result.summary["validation_mse"]
    assert estimate.mean == pytest.approx(np.mean(values))
    assert estimate.standard_error == pytest.approx(np.std(values, ddof=1) / np.sqrt(2))


class RefusingPieces:
    """A runner that must not be asked."""

    def run(self, function, shared, pieces, on_done):
        raise AssertionError(f"{len(pieces)} pieces were computed again")


def test_finished_folds_are_not_repeated(ran, caplog):
    caplog.set_level("INFO", logger="isthmus")
    events = []
    again = run_trial(ran.experiment, Refusing(), events.append, RefusingPieces())
    assert again == ran.result
    assert all(event.reused for event in events if isinstance(event, FoldFinished))
    assert "fold 0 is finished already" in caplog.text


def test_the_left_experiment_file_reruns_the_same_trial_from_anywhere(ran):
    moved = load_experiment(ran.directory / "experiment.yaml")
    assert moved.config.digest == ran.experiment.config.digest
    assert prepare_trial(moved).digest == ran.result.digest
    assert run_trial(moved, Refusing(), lambda event: None) == ran.result


def test_tables_name_strata_loadings_and_fidelity(ran):
    folder = ran.directory / "fold-0"
    fidelity = pd.read_csv(folder / "fidelity.tsv", sep="\t")
    assert set(fidelity["control"]) == {"model", *CONTROLS}
    strata = pd.read_csv(folder / "strata.tsv", sep="\t")
    assert len(strata) == ran.result.facts["n_subjects"]
    assert "phenotype" in pd.read_csv(folder / "factor_loadings.tsv", sep="\t").columns


def test_provenance_names_packages_and_machine_but_no_host(ran):
    text = (ran.directory / "provenance.json").read_text()
    content = json.loads(text)
    assert any(item.startswith("torch==") for item in content["packages"])
    assert "cores" in content["machine"]


def test_a_diverged_fold_fails_the_trial_by_type_and_is_not_averaged_away(ingested, tmp_path):
    experiment = load_experiment(
        ingested, ["seed=5", "training.epochs=1", f"execution.output={tmp_path}"]
    )
    events = []
    result = run_trial(experiment, DivergingFirst(), events.append)
    assert not result.succeeded
    assert result.summary == {}
    assert [failure.kind for failure in result.failures] == ["TrainingDiverged"]
    assert len(result.folds) == 1
    assert result.across is None
    assert any(isinstance(event, FoldFailed) for event in events)
    assert TrialResult.from_json(result.to_json()) == result


def test_a_leaky_trial_is_labelled_and_is_another_trial(ingested, ran):
    leaky = load_experiment(ingested, ["volumes.normalisation.leaky=true"])
    assert prepare_trial(leaky).digest != ran.result.digest


def test_execution_does_not_change_the_trial(ingested, ran):
    other = load_experiment(ingested, ["execution.workers=7", "name=other"])
    assert prepare_trial(other).digest == ran.result.digest


def test_a_hand_written_split_that_breaks_a_family_is_refused(ingested, ran, tmp_path):
    families = prepare_trial(ran.experiment).participants.families
    sizes = families.value_counts()
    family = sizes.index[sizes >= 2][0]
    torn = families.index[families == family][0]
    others = [name for name in families.index if name != torn]
    (tmp_path / "split.json").write_text(
        json.dumps({"folds": [{"validation": [torn]}, {"validation": others}]})
    )
    experiment = load_experiment(
        ingested, [f"cross_validation.split_file={tmp_path / 'split.json'}"]
    )
    with pytest.raises(LeakageError, match=rf"families whole.*{family}"):
        prepare_trial(experiment)


def test_without_an_ingest_the_next_command_is_named(ingested, tmp_path):
    experiment = load_experiment(ingested, [f"execution.store={tmp_path / 'nothing'}"])
    with pytest.raises(ConfigError, match="isthmus ingest"):
        prepare_trial(experiment)


def test_zero_phenotypes_are_an_outcome_not_an_error(ingested, tmp_path):
    experiment = load_experiment(
        ingested,
        ["cohort.phenotypes=[]", "training.epochs=1", f"execution.output={tmp_path}"],
    )
    result = run_trial(experiment, InProcessLauncher(), lambda event: None)
    assert result.succeeded
    report = result.folds[0].strata
    assert report.factors.kind == "no_factors"
    assert "phenotypes" in report.factors.reason
    assert report.robustness is not None
    assert report.robustness.replications == ()
    assert report.score is None


@pytest.mark.parametrize(
    ("override", "error", "named"),
    [
        ("volumes.storage_dtype=float16", ConfigError, "storage_dtype was 'float32'"),
        ("volumes.min_mask_coverage=0.1", ConfigError, "min_mask_coverage was 0.5"),
        ("cohort.mask=null", ConfigError, "cohort.mask was"),
        ("cohort.mask=gone.nii.gz", ImageError, "cohort.mask must be a file"),
        ("cohort.lockbox_share=0.3", ConfigError, "lockbox_share 0.1, got 0.3"),
    ],
)
def test_a_store_made_with_other_settings_is_not_trained_on(ingested, override, error, named):
    with pytest.raises(error, match=named):
        prepare_trial(load_experiment(ingested, [override]))


def test_relatives_of_the_lockbox_are_not_trained_on(ingested):
    # With this column for families, everybody in the lockbox has relatives in development.
    with pytest.raises(LeakageError, match="must keep families whole"):
        prepare_trial(load_experiment(ingested, ["cohort.group_by=sex"]))


def test_one_modality_is_a_trial_too(ingested, tmp_path):
    experiment = load_experiment(
        ingested, ["model.modalities=[T1w]", "training.epochs=1", f"execution.output={tmp_path}"]
    )
    result = run_trial(experiment, InProcessLauncher(), lambda event: None)
    metrics = result.folds[0].metrics
    assert metrics["validation_mse"] == metrics["validation_mse/T1w"]
    assert metrics["pca_mse"] == metrics["pca_mse/T1w"]
    assert not any(name.endswith("/FA") for name in metrics)


def test_categories_are_related_to_the_strata_too(ingested, tmp_path):
    settings = ["cohort.categorical_phenotypes=[sex]", "cohort.confounds=[age]"]
    experiment = load_experiment(
        ingested, [*settings, "training.epochs=1", f"execution.output={tmp_path}"]
    )
    result = run_trial(experiment, InProcessLauncher(), lambda event: None)
    for fold in result.folds:
        assert [found.target for found in fold.strata.family("category").associations] == ["sex"]


@pytest.mark.parametrize("column", ["family_id", "age"])
def test_a_category_with_a_value_for_everybody_is_refused_before_training(ingested, column):
    experiment = load_experiment(ingested, [f"cohort.categorical_phenotypes=[{column}]"])
    with pytest.raises(CohortError, match=f"column '{column}' must have few values"):
        prepare_trial(experiment)


def test_a_probe_of_names_is_refused_before_training(ingested):
    experiment = load_experiment(ingested, ["controls.probe_targets=[family_id]"])
    with pytest.raises(CohortError, match="at most 10 classes"):
        prepare_trial(experiment)


def test_a_probe_may_have_more_than_two_classes(ingested):
    experiment = load_experiment(ingested, ["controls.probe_targets=[kinship]"])
    assert prepare_trial(experiment).experiment.config.controls.probe_targets == ("kinship",)


def test_strata_that_cannot_be_are_refused_before_training(ingested):
    experiment = load_experiment(ingested, ["stratification.pca_components=1000"])
    with pytest.raises(StratificationError, match="pca_components"):
        run_trial(experiment, Refusing(), lambda event: None)
