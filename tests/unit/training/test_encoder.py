"""A fitted encoder on disk, loaded to embed and to reconstruct."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus.core.errors import ConfigError
from isthmus.training.encoder import load_encoder, untrained
from isthmus.training.fit import fit
from isthmus.training.fitted import read_fitted
from isthmus.training.task import TrainTask
from isthmus.volumes.store import VolumeStore, open_store

MakeTask = Callable[..., TrainTask]


@pytest.fixture
def fitted(make_task: MakeTask) -> tuple[TrainTask, Path, VolumeStore]:
    task = make_task("training.epochs=1")
    fit(task)
    return task, task.directory, open_store(task.store_url)


def test_embeddings_and_reconstructions(fitted: tuple[TrainTask, Path, VolumeStore]) -> None:
    task, directory, store = fitted
    encoder = load_encoder(directory, "cpu")
    ids = task.fold.validation
    z_NE = encoder.embed(store, ids)
    assert (z_NE.shape, z_NE.dtype) == ((4, 54), np.float32)
    assert np.abs(z_NE[0] - z_NE[1]).max() > 0
    np.testing.assert_array_equal(z_NE[[2]], encoder.embed(store, ids[2:3]))
    assert encoder.embed(store, ()).shape == (0, 54)
    triples = list(encoder.reconstruct(store, ids))
    assert [name for name, _, _ in triples] == list(ids)
    for name, x_MDHW, y_MDHW in triples:
        assert x_MDHW.shape == y_MDHW.shape == (2, 12, 12, 12)
        assert y_MDHW.dtype == np.float32
        assert 0 <= y_MDHW.min() <= y_MDHW.max() <= 1
        original = store.read(name, ("T1w", "FA"))
        np.testing.assert_array_equal(x_MDHW, encoder.normaliser.apply(original))


def test_own_embedding_decodes_to_own_reconstruction(
    fitted: tuple[TrainTask, Path, VolumeStore],
) -> None:
    task, directory, store = fitted
    encoder = load_encoder(directory, "cpu")
    first, second = (encoder.read(store, name) for name in task.fold.validation[:2])
    own = encoder.reconstruct_volume(first, encoder.embed_volume(first))
    np.testing.assert_array_equal(own, encoder.reconstruct_volume(first))
    other = encoder.reconstruct_volume(first, encoder.embed_volume(second))
    assert np.abs(own - other).max() > 0
    assert np.abs(own - encoder.reconstruct_volume(first, zero_skips=True)).max() > 0


def test_untrained_is_the_network_before_the_first_step(
    fitted: tuple[TrainTask, Path, VolumeStore],
) -> None:
    _, directory, _ = fitted
    fresh, again, trained = (
        loaded.model.state_dict()
        for loaded in (untrained(directory, "cpu"), untrained(directory, "cpu"),
                       load_encoder(directory, "cpu"))
    )  # fmt: skip
    assert all(torch.equal(fresh[name], again[name]) for name in fresh)
    assert any(not torch.equal(fresh[name], trained[name]) for name in fresh)
    assert not untrained(directory, "cpu").model.training


def test_no_global_random_state_is_used(fitted: tuple[TrainTask, Path, VolumeStore]) -> None:
    before = torch.get_rng_state()
    untrained(fitted[1], "cpu")
    assert torch.equal(before, torch.get_rng_state())


def test_an_unfinished_folder_is_no_encoder(tmp_path: Path) -> None:
    assert read_fitted(tmp_path) is None
    with pytest.raises(ConfigError, match=r"encoder\.json: must describe a fitted encoder"):
        load_encoder(tmp_path)


def test_weights_of_another_network_are_refused(
    fitted: tuple[TrainTask, Path, VolumeStore],
) -> None:
    _, directory, _ = fitted
    card = json.loads((directory / "encoder.json").read_text())
    card["model"]["base_channels"] = 4
    (directory / "encoder.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match=r"model\.safetensors: must hold the weights"):
        load_encoder(directory)
