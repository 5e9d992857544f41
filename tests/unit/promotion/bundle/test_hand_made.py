"""Bundles that somebody made by hand, with digests that fit: refused in words, at no great cost."""

import io
import json
import zipfile

import numpy as np
import pytest

from isthmus.core.errors import ConfigError
from isthmus.promotion.bundle.load import load_bundle


def declaring_terabytes(content: bytes) -> bytes:
    """An archive whose arrays keep their names and claim to be far larger than any machine."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(file, "w") as made:
        for name in given.namelist():
            header = io.BytesIO()
            shape = {"descr": "<f8", "fortran_order": False, "shape": (2**20, 2**20, 2**10)}
            np.lib.format.write_array_header_1_0(header, shape)
            made.writestr(name, given.read(name) if name == "header.npy" else header.getvalue())
    return file.getvalue()


@pytest.mark.parametrize("name", ["normaliser.npz", "strata.npz", "mask.npz"])
def test_an_array_that_claims_to_be_huge_is_refused(of_fold, changed, name):
    content = declaring_terabytes((of_fold.folder / name).read_bytes())
    folder = changed(name, content, fitting=True)
    with pytest.raises(ConfigError, match=f"changed.*{name}"):
        load_bundle(folder, "cpu")


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["model"].update(embedding_size=10**12),
        lambda card: card["model"].update(base_channels=10**9),
        lambda card: card.update(grid=[2**40] * 3),
        lambda card: card.update(grid=[16, 16]),
        lambda card: card.update(grid=["16", "16", "16"]),
        lambda card: card.update(modalities="T1w"),
        lambda card: card.update(modalities=[]),
        lambda card: card.update(modalities=[["T1w"], ["FA"]]),
        lambda card: card.update(init_seed="one"),
        lambda card: card.update(init_seed=2**70),
        lambda card: card.update(model=None),
    ],
)
def test_a_network_that_cannot_be_is_refused(of_fold, changed, change):
    card = json.loads((of_fold.folder / "encoder.json").read_text())
    change(card)
    folder = changed("encoder.json", json.dumps(card).encode(), fitting=True)
    with pytest.raises(ConfigError, match=r"changed/encoder\.json"):
        load_bundle(folder, "cpu")
