"""Fidelity tables, and the controls an encoder is compared with."""

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_cohort import FAMILIES

from isthmus.core.errors import ImageError
from isthmus.training import evaluate as evaluate_module
from isthmus.training.controls import CONTROLS, ControlResults, choose_donors, run_controls
from isthmus.training.encoder import LoadedEncoder, load_encoder
from isthmus.training.evaluate import METRICS, evaluate, summarise
from isthmus.training.fit import fit
from isthmus.training.task import TrainTask
from isthmus.volumes.store import VolumeStore, open_store

Results = tuple[TrainTask, LoadedEncoder, VolumeStore, ControlResults]


@pytest.fixture(scope="module")
def results(make_module_task: Callable[..., TrainTask]) -> Results:
    task = make_module_task("training.epochs=2", "training.learning_rate=0.01")
    fit(task)
    store = open_store(task.store_url)
    controls = run_controls(task.directory, store, task.fold, FAMILIES, "kmeans", 0, "cpu")
    return task, load_encoder(task.directory, "cpu"), store, controls


def value(table: pd.DataFrame, control: str, subject: str, modality: str, metric: str) -> float:
    at = (table.control == control) & (table.participant_id == subject)
    at &= (table.modality == modality) & (table.metric == metric)
    (found,) = table[at]["value"]
    return float(found)


def masked_mse(encoder: LoadedEncoder, x_DHW: np.ndarray, y_DHW: np.ndarray) -> float:
    difference = (x_DHW.astype(float) - y_DHW.astype(float))[encoder.normaliser.mask_DHW]
    return float(np.mean(difference**2))


def test_table_is_tidy_and_complete(results: Results) -> None:
    task, _, _, controls = results
    expected = {*METRICS, "delta_mse"} - {"ssim"}  # the model's alone
    for name, part in controls.table.groupby("control"):
        assert set(part.metric) == (set(METRICS) if name == "model" else expected)
        assert set(part.participant_id) == set(task.fold.validation)
    assert set(controls.table.control) == {"model", *CONTROLS}
    assert not controls.table.duplicated(["control", "participant_id", "modality", "metric"]).any()
    # the five controls have delta_mse where the model has ssim
    assert len(controls.table) == 4 * 2 * 6 * len(METRICS)
    assert not controls.leaky


def test_model_rows_are_those_of_evaluate(results: Results) -> None:
    task, encoder, store, controls = results
    alone = evaluate(encoder, store, task.fold.validation)
    assert list(alone.columns) == ["participant_id", "modality", "metric", "value"]
    own = controls.table[controls.table.control == "model"].drop(columns="control")
    pd.testing.assert_frame_equal(own.reset_index(drop=True), alone)
    for name, x_MDHW, y_MDHW in encoder.reconstruct(store, task.fold.validation):
        found = value(controls.table, "model", name, "FA", "mse")
        assert found == pytest.approx(masked_mse(encoder, x_MDHW[1], y_MDHW[1]))
        root = value(controls.table, "model", name, "FA", "rmse")
        assert root == pytest.approx(math.sqrt(found))


def test_mean_image_answers_the_training_mean(results: Results) -> None:
    task, encoder, store, controls = results
    mean = np.mean([encoder.read(store, name) for name in task.fold.train], axis=0)
    for name in task.fold.validation:
        expected = masked_mse(encoder, encoder.read(store, name)[0], mean[0])
        found = value(controls.table, "mean_image", name, "T1w", "mse")
        assert found == pytest.approx(expected, rel=1e-5)


def test_pca_is_fitted_on_training_subjects_alone(results: Results) -> None:
    task, encoder, store, controls = results
    mask = encoder.normaliser.mask_DHW
    train, held_out = (
        np.array([encoder.read(store, name)[:, mask].ravel() for name in ids], dtype=float)
        for ids in (task.fold.train, task.fold.validation)
    )
    assert controls.n_pca_components == 5  # six training subjects, fewer than 54 values
    centred = train - train.mean(axis=0)
    basis = np.linalg.svd(centred, full_matrices=False)[2][:5]
    scores = (held_out - train.mean(axis=0)) @ basis.T
    np.testing.assert_allclose(np.abs(controls.pca_validation), np.abs(scores), atol=1e-3)
    assert controls.pca_train.shape == (6, 5)
    assert controls.pca_monitor.shape == (2, 5)
    answers = np.clip(train.mean(axis=0) + scores @ basis, 0, 1)
    expected = np.mean((answers[0] - held_out[0])[: mask.sum()] ** 2)
    name = task.fold.validation[0]
    found = value(controls.table, "pca", name, "T1w", "mse")
    assert found == pytest.approx(expected, rel=1e-4)


def test_shuffle_decodes_the_donors_embedding(results: Results) -> None:
    task, encoder, store, controls = results
    table = controls.table
    for name, donor in controls.donors.items():
        assert FAMILIES[name] != FAMILIES[donor]
        x_MDHW = encoder.read(store, name)
        y_MDHW = encoder.reconstruct_volume(
            x_MDHW, encoder.embed_volume(encoder.read(store, donor))
        )
        expected = masked_mse(encoder, x_MDHW[0], y_MDHW[0])
        found = value(table, "embedding_shuffle", name, "T1w", "mse")
        assert found == pytest.approx(expected)
        delta = value(table, "embedding_shuffle", name, "T1w", "delta_mse")
        assert delta == pytest.approx(found - value(table, "model", name, "T1w", "mse"))
        zeroed = encoder.reconstruct_volume(x_MDHW, zero_skips=True)
        ablated = value(table, "skip_ablation", name, "T1w", "mse")
        assert ablated == pytest.approx(masked_mse(encoder, x_MDHW[0], zeroed[0]))
    assert set(controls.donors) == set(task.fold.validation)


def test_random_embeddings_are_those_of_the_untrained_network(results: Results) -> None:
    task, encoder, store, controls = results
    shapes = (controls.random_train, controls.random_monitor, controls.random_validation)
    assert [part.shape for part in shapes] == [(6, 54), (2, 54), (4, 54)]
    trained = encoder.embed(store, task.fold.validation)
    assert not np.allclose(trained, controls.random_validation)


def test_nothing_is_left_in_the_folder(results: Results) -> None:
    assert [path.name for path in results[0].directory.glob(".*")] == [".lock"]
    assert not list(results[0].directory.glob("tmp*"))


def test_without_tissue_there_is_no_contrast(results: Results) -> None:
    task, encoder, store, _ = results
    table = evaluate(encoder, store, task.fold.validation, tissue="none")
    assert set(table.metric) == set(METRICS) - {"cnr_ratio"}


def test_a_subject_that_cannot_be_split_is_counted(
    results: Results, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    task, encoder, store, _ = results
    split, calls = evaluate_module.split_tissue, []

    def failing_once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise ImageError("no three tissues")
        return split(*arguments)

    monkeypatch.setattr(evaluate_module, "split_tissue", failing_once)
    with caplog.at_level(logging.WARNING, "isthmus.training"):
        table = summarise(evaluate(encoder, store, task.fold.validation))
    row = table[(table.modality == "T1w") & (table.metric == "cnr_ratio")].iloc[0]
    assert (row.n, row.n_undefined) == (3, 1)
    assert math.isfinite(row["mean"])
    assert task.fold.validation[0] in caplog.text


def test_summary_leaves_out_what_is_undefined_and_says_so() -> None:
    table = pd.DataFrame(
        {
            "control": "model",
            "participant_id": ["a", "b", "a", "b"],
            "modality": ["T1w", "T1w", "FA", "FA"],
            "metric": "psnr",
            "value": [10.0, math.inf, math.nan, math.nan],
        }
    )
    rows = summarise(table).set_index("modality")
    assert rows.loc["T1w", ["mean", "n", "n_undefined"]].tolist() == [10.0, 1, 1]
    assert math.isnan(rows.loc["FA", "mean"])
    assert rows.loc["all", ["mean", "n", "n_undefined"]].tolist() == [10.0, 1, 3]


def test_of_one_modality_all_is_that_one() -> None:
    table = pd.DataFrame(
        {
            "control": ["model", "model", "pca", "pca"],
            "participant_id": ["a", "b", "a", "b"],
            "modality": "T1w",
            "metric": "psnr",
            "value": [10.0, math.inf, 2.0, 4.0],
        }
    )
    rows = summarise(table).set_index(["control", "modality"])
    for control, expected in (("model", [10.0, 1, 1]), ("pca", [3.0, 2, 0])):
        for modality in ("T1w", "all"):
            found = rows.loc[(control, modality), ["mean", "n", "n_undefined"]]
            assert found.tolist() == expected
    assert len(rows) == 4
    assert summarise(table[:0]).empty


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [(1, 1), (1, 1, 1), (2, 2), (3, 2, 1, 1), (2, 2, 2, 1, 1, 1)])
def test_donors_are_a_derangement_over_other_families(sizes: tuple[int, ...], seed: int) -> None:
    families = {f"s{f}{i}": f"f{f}" for f, size in enumerate(sizes) for i in range(size)}
    donors = choose_donors(list(families), families, seed)
    assert sorted(donors.values()) == sorted(families)
    if max(sizes) * 2 <= sum(sizes):
        assert all(families[name] != families[donor] for name, donor in donors.items())
    assert all(name != donor for name, donor in donors.items())


def test_donors_of_one_family_are_at_least_others() -> None:
    families = dict.fromkeys("abc", "f")
    donors = choose_donors("abc", families, seed=0)
    assert all(name != donor for name, donor in donors.items())
    assert choose_donors(["a"], families, seed=0) == {}


def test_a_lone_subject_has_an_undefined_shuffle(results: Results, tmp_path: Path) -> None:
    from dataclasses import replace

    task, _, store, _ = results
    alone = replace(task.fold, validation=task.fold.validation[:1], monitor=())
    controls = run_controls(task.directory, store, alone, FAMILIES, "none", 0, "cpu")
    rows = controls.table[controls.table.control == "embedding_shuffle"]
    assert rows["value"].isna().all()
    assert controls.pca_monitor.shape == (0, 5)
    assert controls.random_monitor.shape == (0, 54)
