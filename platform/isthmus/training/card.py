"""What must lie beside an encoder's weights to build its network again, and how it is written."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors.torch import save as save_tensors

from isthmus.config.architecture import ModelConfig
from isthmus.config.experiment import ExperimentConfig
from isthmus.core.digest import digest_file
from isthmus.core.errors import ConfigError
from isthmus.core.files import write_atomically, write_json
from isthmus.core.seeds import derive_seed
from isthmus.model.families import FusionModel, build_model

WEIGHTS_FILE = "model.safetensors"
ENCODER_FILE = "encoder.json"
NORMALISER_FILE = "normaliser.npz"


@dataclass(frozen=True)
class EncoderCard:
    """What must be known beside the weights to build the network again.

    Attributes
    ----------
    encoder_id : str
        Identifier of the encoder, and so of the space of its embeddings.
    modalities : tuple of str
        Inputs, in order.
    grid : tuple of int
        Voxels along each axis.
    model : ModelConfig
        The network's settings.
    init_seed : int
        Seed of its initial weights.
    leaky : bool
        The normalisation saw the held-out subjects; every number is to be labelled so.
    """

    encoder_id: str
    modalities: tuple[str, ...]
    grid: tuple[int, int, int]
    model: ModelConfig
    init_seed: int
    leaky: bool


def make_card(
    encoder_id: str, config: ExperimentConfig, grid: tuple[int, int, int], seed: int
) -> EncoderCard:
    """Describe the network of an experiment's fold.

    Parameters
    ----------
    encoder_id : str
        Identifier of the encoder.
    config : ExperimentConfig
        All settings.
    grid : tuple of int
        Voxels along each axis.
    seed : int
        Root of the fold's random streams; that of the initial weights is derived from it.

    Returns
    -------
    EncoderCard
        Enough to build the network.
    """
    return EncoderCard(
        encoder_id=encoder_id,
        modalities=config.fused_modalities,
        grid=grid,
        model=config.model,
        init_seed=derive_seed(seed, "init"),
        leaky=config.volumes.normalisation.leaky,
    )


def initial_model(card: EncoderCard) -> FusionModel:
    """Build a network with its initial weights.

    Parameters
    ----------
    card : EncoderCard
        Network and seed.

    Returns
    -------
    FusionModel
        The same weights for the same card; torch's global generator is left as it was.
    """
    stream = torch.Generator().manual_seed(card.init_seed)
    return build_model(card.model, card.modalities, card.grid, stream)


def read_card(directory: Path) -> EncoderCard:
    """Read what network an encoder is.

    Parameters
    ----------
    directory : Path
        Folder of a training.

    Returns
    -------
    EncoderCard
        As `write_encoder` wrote it.

    Raises
    ------
    ConfigError
        If there is none, or it cannot be read.
    """
    path = directory / ENCODER_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return EncoderCard(
            encoder_id=content["encoder_id"],
            modalities=tuple(content["modalities"]),
            grid=tuple(content["grid"]),
            model=ModelConfig.model_validate(content["model"]),
            init_seed=content["init_seed"],
            leaky=content["leaky"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: must describe a fitted encoder, but cannot be read ({error!s:.120}). "
            f"Train the fold first."
        ) from None


def write_encoder(card: EncoderCard, weights: Mapping[str, torch.Tensor], directory: Path) -> None:
    """Write weights and card; the normaliser must be there already.

    Parameters
    ----------
    card : EncoderCard
        What network it is.
    weights : Mapping of str to Tensor
        Its ``state_dict``.
    directory : Path
        Where to.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    content = asdict(card) | {"model": card.model.model_dump(mode="json")}
    write_json(directory / ENCODER_FILE, content)
    write_atomically(directory / WEIGHTS_FILE, lambda file: _put(file, save_tensors(tensors)))


def digest_encoder(directory: Path) -> dict[str, str]:
    """Digest all that `encoder.load_encoder` reads.

    Parameters
    ----------
    directory : Path
        Folder of a training.

    Returns
    -------
    dict of str to str
        SHA-256 of weights, card and normaliser, by name of the file.

    Raises
    ------
    OSError
        If one is missing or cannot be read.
    """
    names = (WEIGHTS_FILE, ENCODER_FILE, NORMALISER_FILE)
    return {name: digest_file(directory / name) for name in names}


def _put(file: BinaryIO, content: bytes) -> None:
    """Write bytes."""
    file.write(content)
