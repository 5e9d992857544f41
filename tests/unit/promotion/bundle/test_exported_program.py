"""The exported program: it computes what the network does, of PyTorch's operators alone."""

import json
import zipfile

import numpy as np
import pytest
import torch

from isthmus.core.errors import ConfigError
from isthmus.promotion.bundle import export
from isthmus.promotion.bundle.export import export_program


@pytest.fixture(scope="module", params=["of_fold", "of_refit"])
def exported(request, tmp_path_factory):
    bundled = request.getfixturevalue(request.param)
    destination = tmp_path_factory.mktemp("program") / "model.pt2"
    assert export_program(bundled.folder, destination) == destination
    return bundled, destination


def test_the_program_computes_what_the_served_model_does(exported):
    bundled, file = exported
    extra = {"isthmus.json": ""}
    program = torch.export.load(file, extra_files=extra).module()
    for name in bundled.inputs.ids["train"][:3]:
        x_MDHW = bundled.inputs.store.read(name, bundled.served.modalities)
        normal = bundled.served.encoder.normaliser.apply(x_MDHW)
        z_BE, y_BMDHW = program(torch.from_numpy(normal)[None])
        known_E, known_MDHW = bundled.served.encoder.embed_and_reconstruct(normal)
        for found, known in ((z_BE, known_E), (y_BMDHW, known_MDHW)):
            apart = np.abs(found.detach().numpy()[0] - known).max()
            assert apart <= 1e-5 * np.abs(known).max()
    about = json.loads(extra["isthmus.json"])
    assert about["bundle_digest"] == bundled.record.digest


def test_the_graph_is_of_aten_and_the_archive_without_pickle(exported):
    _, file = exported
    with zipfile.ZipFile(file) as archive:
        content = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    nodes = json.loads(content["models/model.json"])["graph_module"]["graph"]["nodes"]
    operators = {node["target"] for node in nodes}
    assert any("conv3d" in name for name in operators)
    assert not any("isthmus" in name for name in operators)
    for name in ("weights/model_weights_config.json", "constants/model_constants_config.json"):
        parts = json.loads(content[f"data/{name}"])["config"].values()
        assert not any(part["use_pickle"] for part in parts)
    for name, part in content.items():
        assert not (name.endswith(".pt") and part)
        assert not part.startswith(b"PK")


def test_a_program_of_another_ending_is_refused(of_fold, tmp_path):
    with pytest.raises(ConfigError, match=r"as .pt2"):
        export_program(of_fold.folder, tmp_path / "model.onnx")


def test_a_program_that_computes_something_else_is_refused(of_fold, tmp_path, monkeypatch):
    class Shifted(export.EmbedAndReconstruct):
        def forward(self, x_BMDHW):
            z_BE, y_BMDHW = super().forward(x_BMDHW)
            return z_BE + (0.001 if torch.compiler.is_exporting() else 0.0), y_BMDHW

    monkeypatch.setattr(export, "EmbedAndReconstruct", Shifted)
    with pytest.raises(ConfigError, match="must compute the network's embedding"):
        export_program(of_fold.folder, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())
