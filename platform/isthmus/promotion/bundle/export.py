"""A bundle's network as a program of PyTorch alone, for where isthmus is not installed.

Legend: B subjects, M modality, D H W the grid, E value of the embedding.
"""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_atomically
from isthmus.model.families import FusionModel, build_model
from isthmus.promotion.bundle.load import load_bundle

_SAME = 1e-5


class EmbedAndReconstruct(nn.Module):
    """A network reduced to what a program returns.

    Parameters
    ----------
    model : FusionModel
        In evaluation mode.
    """

    def __init__(self, model: FusionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x_BMDHW: Tensor) -> tuple[Tensor, Tensor]:
        """Give embedding (B, E) and reconstruction (B, M, D, H, W) of normalised images."""
        output = self.model(x_BMDHW)
        return output.z_BE, output.y_BMDHW


def export_program(bundle_folder: Path, destination: Path) -> Path:
    """Export a bundle's network with `torch.export`.

    Parameters
    ----------
    bundle_folder : Path
        As `write_bundle` made it.
    destination : Path
        A ``.pt2`` file to make or replace.

    Returns
    -------
    Path
        The file. Its program takes one subject with every image, float32 of shape
        (1, M, D, H, W), *normalised*, and returns embedding (1, E) and reconstruction
        (1, M, D, H, W) on the normalised scale. Normalisation, strata and errors seen are not in
        it; an extra file ``isthmus.json`` says which bundle it is of.

    Raises
    ------
    ConfigError
        If the bundle cannot be used, the file has another ending, or the program does not
        compute what the network does.

    Notes
    -----
    The network is exported with PyTorch's own convolutions, so that the graph is made of ATen's
    operators and needs no operator of isthmus. It is compared with the network of the bundle, by
    whatever kernels that computes, on one drawn subject.

    The file that is written holds no pickle: weights are raw bytes, the graph is JSON, and the
    example inputs, which `torch.export.save` would pickle, are left out. That does not make
    `torch.export.load` safe on files from elsewhere: what it does is decided by the file, and one
    that asks for it has its weights, constants or inputs unpickled with ``weights_only=False``,
    which executes whatever is in them. So load only programs that you exported, or whose digest
    you can trust; isthmus itself never loads one.
    """
    if destination.suffix != ".pt2":
        raise ConfigError(f"{destination}: a program must be written as .pt2.")
    served = load_bundle(bundle_folder, "cpu")
    card, eager = served.encoder.card, served.encoder.model
    settings = card.model.model_copy(update={"kernels": "torch"})
    plain = build_model(settings, card.modalities, card.grid)
    plain.load_state_dict(eager.state_dict())
    stream = torch.Generator().manual_seed(0)
    x_BMDHW = torch.rand(1, len(card.modalities), *card.grid, generator=stream)
    with torch.no_grad():
        program = torch.export.export(EmbedAndReconstruct(plain.eval()), (x_BMDHW,))
        _require_same(program.module()(x_BMDHW), EmbedAndReconstruct(eager)(x_BMDHW))
    program.example_inputs = None  # they alone would be pickled
    about = {
        "encoder_id": card.encoder_id,
        "bundle_digest": served.record.digest,
        "modalities": card.modalities,
        "grid": card.grid,
        "input": "normalised images, float32, shape (1, M, D, H, W)",
        "output": ["embedding (1, E)", "normalised reconstruction (1, M, D, H, W)"],
    }
    extra = {"isthmus.json": json.dumps(about, indent=2)}
    write_atomically(destination, lambda file: torch.export.save(program, file, extra_files=extra))
    return destination


def _require_same(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> None:
    """Refuse a program that computes something else than its network."""
    for what, one, other in zip(("embedding", "reconstruction"), found, wanted, strict=True):
        apart = float((one - other).abs().max() / other.abs().max().clamp_min(1e-30))
        if not apart <= _SAME:
            raise ConfigError(
                f"The exported program must compute the network's {what}, but differs by "
                f"{apart:.3g} of its largest value ({_SAME:g} at most). The bundle is as it was; "
                "serve it instead."
            )
