"""Missing and withheld images: what is drawn, what is compared, what has no influence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_cohort import FAMILIES, FOLD, make_task, write_cohort

from isthmus.cohort.participants import load_participants
from isthmus.config.architecture import ModelConfig
from isthmus.config.load import Experiment, load_experiment
from isthmus.config.training import LossConfig
from isthmus.core.errors import CohortError
from isthmus.model.families import build_model
from isthmus.model.interface import Output
from isthmus.training.controls import run_controls
from isthmus.training.encoder import load_encoder
from isthmus.training.evaluate import evaluate
from isthmus.training.fit import fit
from isthmus.training.presence import Presence, known_losses
from isthmus.training.task import TrainTask
from isthmus.volumes.ingest import ingest
from isthmus.volumes.store import open_store

THREE = ("T1w", "FA", "NDI")
# Of training and of held-out subjects; sub-10 has no T1w.
LACKING = {"sub-01": "FA", "sub-03": "T1w", "sub-07": "FA", "sub-09": "FA", "sub-10": "T1w"}
KEPT = (
    "cohort.missing_modalities=keep",
    "model.fusion.operation=mean",
    "execution.store=store-keep",
    "model.norm=group",
    "training.early_stopping.monitor_share=0.2",
)
Make = Callable[..., TrainTask]


# --- what is drawn -------------------------------------------------------------------------------


def test_each_image_is_withheld_as_often_as_is_said() -> None:
    p, k = 0.6, 3
    presence = Presence(THREE, {}, p, seed=1)
    given_BM = presence.given([f"sub-{i}" for i in range(4000)], epoch=1)
    assert given_BM is not None
    assert given_BM.dtype == torch.bool
    assert given_BM.any(dim=1).all()
    expected = 1 - (p - p**k / k)
    found_M = given_BM.double().mean(dim=0).numpy()
    error = np.sqrt(expected * (1 - expected) / 4000)
    np.testing.assert_allclose(found_M, expected, atol=4 * error)


def test_what_is_given_is_known_and_a_function_of_subject_and_epoch() -> None:
    lacking = {"a": (True, False, True), "b": (False, False, True)}
    presence = Presence(THREE, lacking, 0.7, seed=3)
    names = ["a", "b", "c", "d"]
    epochs = [presence.given(names, epoch) for epoch in range(1, 30)]
    known_BM = presence.known(names)
    for given_BM in epochs:
        assert not (given_BM & ~known_BM).any()
        assert given_BM[1].tolist() == [False, False, True]
    assert len({tuple(given_BM[2].tolist()) for given_BM in epochs}) > 3
    for order in ([3, 1], [2], [0, 1, 2, 3]):
        part = presence.given([names[i] for i in order], 5)
        assert torch.equal(part, epochs[4][order])
    assert Presence(THREE, lacking, 0.7, seed=4).given(names, 5).tolist() != epochs[4].tolist()


def test_nothing_is_masked_where_nothing_is_missing() -> None:
    presence = Presence(THREE, {}, 0.0, seed=0)
    assert presence.known(["a"]) is None
    assert presence.given(["a"], 1) is None
    assert presence.n_known([["a", "b"], ["a"]]) == (3, 3, 3)
    assert Presence(THREE, {"a": (True, False, True)}, 0.0, 0).n_known([["a", "b"]]) == (2, 1, 2)


@pytest.mark.parametrize("kind", ["bce", "mse", "l1", "huber", "ssim_mix"])
@pytest.mark.parametrize("held", [float("nan"), 7.0])
def test_what_stands_where_there_is_no_image_counts_for_nothing(kind: str, held: float) -> None:
    draw = torch.Generator().manual_seed(0)
    x_BMDHW = torch.rand(2, 2, 8, 8, 8, generator=draw)
    config = ModelConfig(depth=1, embedding_size=128, mid_flow_blocks=0, kernel_size=3)
    model = build_model(config, ("T1w", "FA"), (8, 8, 8), draw)
    mask_DHW = torch.ones(8, 8, 8, dtype=torch.bool)
    known_BM = torch.tensor([[True, False], [True, True]])
    settings = LossConfig(kind=kind)
    logits = torch.randn(2, 2, 8, 8, 8, generator=draw, requires_grad=True)
    output = Output(torch.zeros(2, 1), logits, torch.sigmoid(logits))
    other_BMDHW = x_BMDHW.clone()
    other_BMDHW[0, 1] = held
    found = known_losses(model, output, other_BMDHW, known_BM, mask_DHW, settings)
    whole = model.loss(output, x_BMDHW, mask_DHW, settings)
    assert found[0, 1] == 0.0
    assert torch.equal(found[known_BM], whole[known_BM])
    found.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[0, 1].any()
    assert logits.grad[0, 0].any()


# --- training ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The small cohort without some images, kept."""
    experiment = write_cohort(tmp_path_factory.mktemp("kept"))
    for name, modality in LACKING.items():
        (experiment.folder / f"{name}_{modality}.nii.gz").unlink()
    again = load_experiment(experiment.folder / "experiment.yaml", KEPT)
    report = ingest(again, load_participants(again))
    assert report.lacking == (("T1w", 2), ("FA", 3))
    return again


@pytest.fixture
def make(kept: Experiment, tmp_path: Path) -> Make:
    def task(name: str, *overrides: str) -> TrainTask:
        return make_task(kept.folder / "experiment.yaml", tmp_path / name, *KEPT, *overrides)

    return task


class Stopped(Exception):
    """Stands for whatever ends a run early."""


def weights(task: TrainTask) -> bytes:
    return (task.directory / "model.safetensors").read_bytes()


def test_a_resumed_training_withholds_what_one_left_alone_does(make: Make) -> None:
    dropout = "training.modality_dropout=0.5"
    whole, cut, without = make("whole", dropout), make("cut", dropout), make("without")
    fitted = fit(whole)

    def stop(step: int, _: float) -> None:
        if step == 5:
            raise Stopped

    with pytest.raises(Stopped):
        fit(cut, on_step=stop)
    fit(cut)
    fit(without)
    assert weights(cut) == weights(whole)
    assert weights(without) != weights(whole)
    assert set(fitted.history[0]) >= {"train_loss_FA", "monitor_mse_FA", "monitor_mse_T1w"}


def test_slices_of_a_batch_add_up(make: Make) -> None:
    settings = ("training.modality_dropout=0.4", "training.global_batch_size=6")
    losses: dict[int, list[float]] = {1: [], 3: []}
    for steps, seen in losses.items():
        task = make(f"sliced-{steps}", *settings, f"training.accumulation_steps={steps}")
        fit(task, on_step=lambda _, loss, seen=seen: seen.append(loss))
    assert losses[3] == pytest.approx(losses[1], rel=1e-5)


def test_losses_are_averaged_over_the_images_that_there_are(make: Make) -> None:
    task = make("one", "training.global_batch_size=6", "training.epochs=1")
    seen: list[float] = []
    fitted = fit(task, on_step=lambda _, loss: seen.append(loss))
    record = fitted.history[0]
    # Of six subjects each modality has five images; a step's loss is the sum over images / 6.
    assert seen[0] == pytest.approx((record["train_loss_T1w"] + record["train_loss_FA"]) * 5 / 6)
    assert record["train_loss"] == pytest.approx(record["train_loss_T1w"] + record["train_loss_FA"])
    encoder, store = load_encoder(task.directory, "cpu"), open_store(task.store_url)
    monitored = FOLD.monitor
    table = evaluate(encoder, store, monitored, "none")
    mse = table[table.metric == "mse"].groupby("modality")["value"].agg(["mean", "count"])
    assert mse["count"].to_dict() == {"FA": 1, "T1w": 2}
    for modality in ("T1w", "FA"):
        assert record[f"monitor_mse_{modality}"] == pytest.approx(mse["mean"][modality], rel=1e-4)


def test_a_modality_that_nobody_is_monitored_by_has_no_monitored_error(make: Make) -> None:
    task = make("no-monitor", "training.epochs=1")
    task = replace(task, fold=replace(FOLD, monitor=("sub-07",)))
    record = fit(task).history[0]
    assert "monitor_mse_FA" not in record
    assert record["monitor_mse"] == record["monitor_mse_T1w"]


def test_subjects_without_a_fused_image_are_named(make: Make) -> None:
    with pytest.raises(CohortError, match=r"\(FA\), but 3 of 12 have none: sub-01, sub-07, sub-09"):
        fit(make("alone", "model.modalities=[FA]"))


# --- evaluation ----------------------------------------------------------------------------------


def test_only_images_that_there_are_are_scored(make: Make) -> None:
    task = make("scored", "training.modality_dropout=0.3", "training.epochs=1")
    fit(task)
    store = open_store(task.store_url)
    found = run_controls(task.directory, store, task.fold, FAMILIES, "kmeans", 0, "cpu")
    table = found.table
    for control, part in table.groupby("control"):
        pairs = set(zip(part.participant_id, part.modality, strict=True))
        assert pairs == {
            (name, modality)
            for name in FOLD.validation
            for modality in ("T1w", "FA")
            if LACKING.get(name) != modality
        }, control
    contrast = table[(table.metric == "cnr_ratio") & (table.control == "model")]
    undefined = contrast[contrast.value.isna()]
    assert list(undefined.participant_id) == ["sub-10"]  # without a T1w nobody's tissue is known
    errors = table[table.metric == "mse"]
    assert np.isfinite(errors.value).all()
    assert np.isfinite(found.pca_train).all()
    assert np.isfinite(found.pca_validation).all()
    assert np.isfinite(found.random_validation).all()


def test_the_mean_image_is_of_those_who_have_one(make: Make) -> None:
    task = make("mean", "training.epochs=1")
    fit(task)
    store, encoder = open_store(task.store_url), load_encoder(task.directory, "cpu")
    table = run_controls(task.directory, store, task.fold, FAMILIES, "none", 0, "cpu").table
    having = [name for name in FOLD.train if LACKING.get(name) != "FA"]
    mean_DHW = np.mean([encoder.read(store, name)[1] for name in having], axis=0)
    x_DHW = encoder.read(store, "sub-08")[1]
    expected = np.mean(((x_DHW - mean_DHW)[encoder.normaliser.mask_DHW]).astype(float) ** 2)
    at = (table.control == "mean_image") & (table.participant_id == "sub-08")
    (value,) = table[at & (table.modality == "FA") & (table.metric == "mse")]["value"]
    assert value == pytest.approx(expected, rel=1e-5)


def test_an_embedding_is_of_the_images_given_alone(make: Make) -> None:
    task = make("embedded", "training.epochs=1")
    fit(task)
    store, encoder = open_store(task.store_url), load_encoder(task.directory, "cpu")
    (z_E,) = encoder.embed(store, ["sub-09"])
    x_MDHW = encoder.read(store, "sub-09")
    assert np.isnan(x_MDHW[1]).all()
    x_MDHW[1] = 0.5
    np.testing.assert_array_equal(encoder.embed_volume(x_MDHW, np.array([True, False])), z_E)
    assert not np.array_equal(encoder.embed_volume(x_MDHW), z_E)
    y_MDHW = encoder.reconstruct_volume(x_MDHW, given_M=np.array([True, False]))
    assert np.isfinite(y_MDHW).all()
