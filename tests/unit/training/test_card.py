"""What is kept beside the weights."""

from pathlib import Path

from isthmus.config.architecture import ModelConfig
from isthmus.model.convolution import SameConv3d
from isthmus.training.card import EncoderCard, initial_model, read_card, write_encoder


def test_who_computes_convolutions_is_kept(tmp_path: Path) -> None:
    # It identifies no experiment, and yet an encoder must be computed as it was told to be.
    for kernels in ("auto", "torch"):
        config = ModelConfig(
            embedding_size=32, depth=2, kernel_size=3, mid_flow_blocks=1, kernels=kernels
        )
        card = EncoderCard("an-encoder", ("T1w", "FA"), (8, 8, 8), config, 1, leaky=False)
        folder = tmp_path / kernels
        folder.mkdir()
        write_encoder(card, initial_model(card).state_dict(), folder)
        assert read_card(folder) == card
        layers = [
            m for m in initial_model(read_card(folder)).modules() if isinstance(m, SameConv3d)
        ]
        assert {layer.kernels for layer in layers} == {kernels}
