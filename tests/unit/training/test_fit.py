"""The loop: what it leaves, what it refuses, when it stops."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus.core.errors import CohortError, ConfigError, ResourceError, TrainingDiverged
from isthmus.core.ports import EpochEvent
from isthmus.training import fit as fit_module
from isthmus.training.encoder import load_encoder
from isthmus.training.fit import fit
from isthmus.training.fitted import read_fitted
from isthmus.training.launch import InProcessLauncher
from isthmus.training.order import epoch_batches
from isthmus.training.task import TrainTask
from isthmus.volumes.intensity import load_normaliser
from isthmus.volumes.store import open_store

MakeTask = Callable[..., TrainTask]
WATCH = "training.early_stopping.monitor_share=0.2"


def losses(task: TrainTask) -> list[float]:
    seen: list[float] = []
    fit(task, on_step=lambda _, loss: seen.append(loss))
    return seen


def test_leaves_what_it_promises(make_task: MakeTask) -> None:
    task = make_task()
    events: list[EpochEvent] = []
    threads = torch.get_num_threads()
    fitted = fit(task, events.append)
    names = {path.name for path in task.directory.iterdir()}
    assert names == {
        *(".lock", "normaliser.npz", "last.pt", "best.pt", "history.jsonl"),
        *("model.safetensors", "encoder.json", "fitted.json"),
    }
    text = (task.directory / "history.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    keys = {"train_loss", "train_loss_T1w", "train_loss_FA", "monitor_loss", "monitor_mse"}
    keys |= {"monitor_mse_T1w", "monitor_mse_FA", "learning_rate", "seconds"}
    assert set(lines[0]) == keys | {"epoch", "subjects_per_second"}
    both = lines[0]["train_loss_T1w"] + lines[0]["train_loss_FA"]
    assert lines[0]["train_loss"] == pytest.approx(both)
    assert [event.epoch for event in events] == [1, 2, 3]
    assert all(event.n_epochs == 3 and event.fold == 0 for event in events)
    assert set(events[0].metrics) == keys
    assert torch.get_num_threads() == threads
    assert fitted.n_epochs == 3
    assert fitted.history == tuple(lines)
    assert fitted.training_seconds == pytest.approx(sum(line["seconds"] for line in lines))
    model = load_encoder(task.directory, "cpu").model
    assert fitted.n_parameters == sum(p.numel() for p in model.parameters())


def test_learns(make_task: MakeTask) -> None:
    fitted = fit(make_task("training.epochs=8", "training.learning_rate=0.01"))
    assert fitted.history[-1]["train_loss"] < 0.5 * fitted.history[0]["train_loss"]


def test_a_second_call_trains_nothing(
    make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    first = fit(make_task())
    with caplog.at_level(logging.INFO, "isthmus.training"):
        second = fit(make_task(), on_step=lambda *_: pytest.fail("a step was taken"))
    assert second == first
    assert "already fitted" in caplog.text


def test_a_folder_of_another_configuration_is_refused(make_task: MakeTask) -> None:
    fit(make_task())
    with pytest.raises(ConfigError, match="Train into another folder"):
        fit(make_task("training.learning_rate=0.5"))
    (make_task().directory / "fitted.json").unlink()
    with pytest.raises(ConfigError, match=r"last\.pt: must be of the task"):
        fit(make_task("training.learning_rate=0.5"))


def test_how_it_is_run_does_not_make_another_task(make_task: MakeTask) -> None:
    store = open_store(make_task().store_url)
    same = make_task("execution.checkpoint_every_steps=7", directory="elsewhere")
    assert make_task().digest(store) == same.digest(store)
    for other in (
        make_task("training.epochs=4"),
        make_task(seed=6),
        replace(make_task(), fold=replace(make_task().fold, train=make_task().fold.train[1:])),
    ):
        assert make_task().digest(store) != other.digest(store)


@pytest.mark.parametrize("name", ["model.safetensors", "normaliser.npz", "encoder.json"])
def test_what_is_damaged_after_the_end_is_written_again(make_task: MakeTask, name: str) -> None:
    task = make_task()
    fitted = fit(task)
    file = task.directory / name
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert read_fitted(task.directory) is None
    again = fit(task, on_step=lambda *_: pytest.fail("a step was taken"))
    assert again == fitted
    assert file.read_bytes() == whole
    file.unlink()
    assert fit(task) == fitted
    assert file.read_bytes() == whole


def test_a_whole_normaliser_of_other_subjects_is_fitted_again(make_task: MakeTask) -> None:
    task = make_task()
    fitted = fit(task)
    file = task.directory / "normaliser.npz"
    whole = file.read_bytes()
    replace(load_normaliser(file), fitted_ids=("sub-99",)).save(file)
    assert fit(task) == fitted
    assert file.read_bytes() == whole


def test_a_damaged_normaliser_is_fitted_again(
    make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_task()
    fitted = fit(task)
    normaliser = task.directory / "normaliser.npz"
    whole = load_normaliser(normaliser).digest
    normaliser.write_bytes(b"damaged")
    (task.directory / "fitted.json").unlink()
    with caplog.at_level(logging.WARNING, "isthmus.training"):
        assert fit(task).digests == fitted.digests
    assert "It is fitted again" in caplog.text
    assert load_normaliser(normaliser).digest == whole


def test_best_epoch_is_that_of_the_lowest_monitored_loss(make_task: MakeTask) -> None:
    task = make_task("training.learning_rate=0.05", "training.epochs=8", WATCH)
    fitted = fit(task)
    watched = [record["monitor_loss"] for record in fitted.history]
    assert fitted.best_epoch == watched.index(min(watched)) + 1
    best = torch.load(task.directory / "best.pt", weights_only=True)
    assert best["epoch"] == fitted.best_epoch + 1
    kept = load_encoder(task.directory, "cpu").model.state_dict()
    assert all(torch.equal(kept[name], best["model"][name]) for name in kept)
    encoder = load_encoder(task.directory, "cpu")
    mask = encoder.normaliser.mask_DHW
    pairs = encoder.reconstruct(open_store(task.store_url), task.fold.monitor)
    errors = [np.square(y - x)[:, mask].mean() for _, x, y in pairs]
    record = fitted.history[fitted.best_epoch - 1]
    assert record["monitor_mse"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_without_a_monitor_the_last_epoch_is_kept(make_task: MakeTask) -> None:
    task = make_task()
    task = replace(task, fold=replace(task.fold, monitor=()))
    fitted = fit(task)
    assert fitted.best_epoch == fitted.n_epochs == 3
    assert "monitor_loss" not in fitted.history[0]


def test_patience_stops_early(make_task: MakeTask) -> None:
    stopping = "training.early_stopping"
    patience = (WATCH, f"{stopping}.patience=2", f"{stopping}.min_delta=10.0")
    fitted = fit(make_task(*patience, "training.epochs=20"))
    assert fitted.n_epochs == 3  # the first counts as improvement, two do not


def test_validation_subjects_are_never_read(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, seen = make_task(), set()
    read = type(open_store(task.store_url)).read

    def noted(store, participant_id, modalities):
        seen.add(participant_id)
        return read(store, participant_id, modalities)

    monkeypatch.setattr(type(open_store(task.store_url)), "read", noted)
    fit(task)
    assert seen == {*task.fold.train, *task.fold.monitor}


def test_normaliser_is_fitted_on_training_subjects_alone(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    real = fit_module.fit_normaliser

    def noted(store, ids, *rest):
        asked.append(tuple(ids))
        return real(store, ids, *rest)

    monkeypatch.setattr(fit_module, "fit_normaliser", noted)
    honest = make_task()
    assert not fit(honest).leaky
    leaky = make_task("volumes.normalisation.leaky=true", directory="leaky")
    assert fit(leaky).leaky
    everybody = {*honest.fold.train, *honest.fold.monitor, *honest.fold.validation}
    assert set(asked[0]) == set(honest.fold.train)
    assert set(asked[1]) == everybody
    assert load_encoder(leaky.directory, "cpu").card.leaky
    assert load_normaliser(leaky.directory / "normaliser.npz").leaky
    assert not load_encoder(honest.directory, "cpu").card.leaky


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_accumulation_does_not_change_the_losses(make_task: MakeTask, precision: str) -> None:
    group = ("model.norm=group", "training.global_batch_size=6", f"training.precision={precision}")
    group = (*group, "training.epochs=6")
    whole = losses(make_task(*group))
    sliced = losses(make_task(*group, "training.accumulation_steps=3", directory="sliced"))
    assert len(whole) == 6
    rel = 1e-6 if precision == "float32" else 1e-2
    assert sliced == pytest.approx(whole, rel=rel)


def test_levels_that_are_computed_again_change_no_bit(make_task: MakeTask) -> None:
    group = ("training.epochs=2", "training.global_batch_size=2", "training.accumulation_steps=2")
    kept = losses(make_task(*group))
    again = make_task(*group, "execution.activation_checkpointing=levels", directory="again")
    assert losses(again) == kept
    weights = [
        torch.load(again.directory.parent / name / "last.pt", weights_only=True)["model"]
        for name in ("fold-0", "again")
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_rate_that_explodes_stops_and_names_the_subjects(make_task: MakeTask) -> None:
    task = make_task("training.learning_rate=1e30", "model.norm=group")
    steps: list[int] = []
    with pytest.raises(TrainingDiverged) as caught:
        fit(task, on_step=lambda step, _: steps.append(step))
    message = str(caught.value)
    failed = len(steps) + 1
    batch = epoch_batches(task.fold.train, 2, task.seed, epoch=1)[failed - 1]
    assert f"fold 0, epoch 1, step {failed} " in message
    assert f"Subjects of the global batch: {', '.join(batch)}." in message
    assert "training.learning_rate (1e+30)" in message
    assert not (task.directory / "fitted.json").exists()


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_step_too_long_for_float32_is_a_divergence(make_task: MakeTask, optimizer: str) -> None:
    task = make_task("training.learning_rate=1e38", f"training.optimizer={optimizer}")
    with pytest.raises(TrainingDiverged, match=r"epoch 1, step 1 it overflows.*\(1e\+38\)"):
        fit(task)


def test_another_error_of_the_optimiser_is_no_divergence(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(torch.optim.Adam, "step", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        fit(make_task())


def test_a_monitored_loss_that_is_no_number_stops(make_task: MakeTask) -> None:
    one_step = ("training.global_batch_size=6", "model.norm=group", WATCH)
    task = make_task("training.learning_rate=1e30", *one_step)
    with pytest.raises(TrainingDiverged, match=r"monitored loss must be finite.*sub-06, sub-07"):
        fit(task)


def test_a_broken_gradient_stops_before_the_step(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isthmus.training import step as step_module

    penalty = step_module.add_kernel_penalty
    calls: list[torch.nn.Module] = []

    def breaking(model, weight):
        calls.append(model)
        penalty(model, math.inf if len(calls) == 2 else weight)

    monkeypatch.setattr(step_module, "add_kernel_penalty", breaking)
    task = make_task()
    with pytest.raises(TrainingDiverged, match=r"gradient must be finite.*epoch 1, step 2"):
        fit(task)
    state = torch.load(task.directory / "last.pt", weights_only=True)
    assert state["step"] == 1
    assert all(torch.isfinite(value).all() for value in calls[0].state_dict().values())


@pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason="needs a GPU: run on a machine with one, with a CUDA build of torch",
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_trains_on_a_gpu(make_task: MakeTask, precision: str) -> None:
    task = make_task("execution.device=cuda", f"training.precision={precision}", WATCH)
    fitted = fit(task)
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    alone = fit(make_task("execution.device=cpu", WATCH, directory="cpu"))
    rel = 1e-3 if precision == "float32" else 0.05
    assert fitted.history[0]["train_loss"] == pytest.approx(alone.history[0]["train_loss"], rel=rel)


def test_float16_on_the_cpu_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(ConfigError, match="float16 needs a GPU"):
        fit(make_task("training.precision=float16"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_said(make_task: MakeTask) -> None:
    with pytest.raises(ResourceError, match=r"execution\.device: cuda needs a GPU"):
        fit(make_task("execution.device=cuda"))


def test_unknown_subjects_are_refused(make_task: MakeTask) -> None:
    task = make_task()
    task = replace(task, fold=replace(task.fold, train=(*task.fold.train, "sub-99")))
    with pytest.raises(CohortError, match="sub-99"):
        fit(task)


def test_in_process_launcher_has_one_worker(make_task: MakeTask, tmp_path: Path) -> None:
    events: list[EpochEvent] = []
    fitted = InProcessLauncher().launch(make_task("training.epochs=1"), events.append)
    assert (fitted.n_epochs, len(events)) == (1, 1)
    with pytest.raises(ResourceError, match=r"execution\.workers is 2"):
        InProcessLauncher().launch(replace(make_task(), workers=2), events.append)


def test_global_random_state_is_left_alone(make_task: MakeTask) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fit(make_task("training.epochs=1"))
    assert torch.equal(before, torch.get_rng_state())
