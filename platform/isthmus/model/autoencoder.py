"""The fusion autoencoder: an encoder and a decoder for each modality, one embedding between.

Legend: B subjects; M modalities; C channels; D, H, W voxels; E values of the embedding.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.config.architecture import ModelConfig
from isthmus.config.training import LossConfig
from isthmus.model.decoder import Decoder
from isthmus.model.dropout import number_dropout_layers
from isthmus.model.encoder import Encoder
from isthmus.model.fusion import DenseBottleneck, Fusion, SpatialBottleneck
from isthmus.model.geometry import Geometry, plan_geometry
from isthmus.model.given import Rows, checked_given
from isthmus.model.interface import FusionModel, Output
from isthmus.model.objective import reconstruction_loss

Skips = Sequence[Sequence[Tensor]]


class FusionAutoencoder(FusionModel):
    """Encode each modality, fuse, and decode each modality with skips from its own encoder.

    Parameters
    ----------
    config : ModelConfig
        The model's settings.
    modalities : tuple of str
        Labels, in the order of axis M; any number from one.
    grid : tuple of int
        (D, H, W) of the images in voxels. Where 2^depth does not divide an edge, images are
        padded with zeros on both sides and reconstructions cropped back.

    Raises
    ------
    ConfigError
        If the settings do not fit the grid.

    References
    ----------
    Dimitri et al. 2022, Information Fusion; arXiv 2303.15963.
    """

    def __init__(
        self, config: ModelConfig, modalities: tuple[str, ...], grid: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.geometry: Geometry = plan_geometry(config, grid)
        self.modalities = modalities
        self.grid = grid
        self.encoders = nn.ModuleList(Encoder(config, self.geometry, name) for name in modalities)
        self.fusion = Fusion(config, self.geometry, modalities)
        self.bottleneck: SpatialBottleneck | DenseBottleneck
        if config.bottleneck == "spatial":
            self.bottleneck = SpatialBottleneck(self.geometry)
        else:
            self.bottleneck = DenseBottleneck(self.geometry, config.embedding_size)
        self.decoders = nn.ModuleList(Decoder(config, self.geometry, name) for name in modalities)
        self.embedding_size = config.embedding_size
        self.embedding_shape = self.bottleneck.embedding_shape
        number_dropout_layers(self)

    @property
    def accepts_missing(self) -> bool:
        """Whether some of a subject's images need not be given: all operations but `concat`."""
        return self.fusion.config.accepts_missing

    def encode(self, x_BMDHW: Tensor, given_BM: Tensor | None = None) -> tuple[Tensor, Skips]:
        """Embed images, and keep what the skip connections carry.

        Parameters
        ----------
        x_BMDHW : Tensor, in [0, 1]
            Images on `grid`.
        given_BM : Tensor of bool, optional
            Which images are given; none: all.

        Returns
        -------
        z_BE : Tensor, float32
            Flat embeddings.
        skips : sequence over modalities of sequences of Tensor
            The encoders' maps, deepest first; zeros for an image that is not given.

        Raises
        ------
        ConfigError
            If an image is missing and the fusion needs all.
        ValueError
            If the images' modalities or grid are not the model's, or a subject has none.

        Notes
        -----
        An encoder is run over the subjects alone that have its image, so that the others enter
        neither its work nor the statistics of its batch normalisation.
        """
        expected = (len(self.modalities), *self.grid)
        if x_BMDHW.dim() != 5 or tuple(x_BMDHW.shape[1:]) != expected:
            raise ValueError(
                f"The model's input must have shape (subjects, {', '.join(map(str, expected))}) "
                f"for modalities {list(self.modalities)}, got {tuple(x_BMDHW.shape)}."
            )
        x_BMDHW = F.pad(x_BMDHW, self.geometry.padding) if any(self.geometry.padding) else x_BMDHW
        given_BM = checked_given(given_BM, len(x_BMDHW), self.modalities, self.fusion.config)
        maps, skips = [], []
        for m, encoder in enumerate(self.encoders):
            rows = Rows.where(given_BM[:, m])
            found = rows.run(encoder, lambda x, net=encoder: _joined(net(x)), x_BMDHW[:, m : m + 1])
            spread = [rows.put(x) for x in found]
            maps.append(spread[: self.fusion.n_positions])
            skips.append(spread[self.fusion.n_positions :])
        z_BE = self.bottleneck.flatten(self.fusion(maps, given_BM))
        return z_BE.float(), skips

    def decode(self, z_BE: Tensor, skips: Skips) -> Tensor:
        """Reconstruct images from embeddings and skips.

        Parameters
        ----------
        z_BE : Tensor
            Flat embeddings.
        skips : sequence over modalities of sequences of Tensor
            As `encode` gives them.

        Returns
        -------
        Tensor (B, M, D, H, W), float32
            Logits on `grid`.
        """
        x_BCDHW = self.bottleneck.unflatten(z_BE)
        pairs = zip(self.decoders, skips, strict=True)
        logits_BMDHW = torch.cat([decoder(x_BCDHW, maps) for decoder, maps in pairs], dim=1)
        before_W, _, before_H, _, before_D, _ = self.geometry.padding
        D, H, W = self.grid
        return logits_BMDHW[
            ..., before_D : before_D + D, before_H : before_H + H, before_W : before_W + W
        ].float()

    def forward(
        self,
        x_BMDHW: Tensor,
        embedding: Tensor | None = None,
        zero_skips: bool = False,
        given_BM: Tensor | None = None,
    ) -> Output:
        """Embed and reconstruct; see `FusionModel.forward`."""
        z_BE, skips = self.encode(x_BMDHW, given_BM)
        if embedding is not None:
            if embedding.shape != z_BE.shape:
                raise ValueError(
                    f"The embedding to decode must have shape {tuple(z_BE.shape)}, got "
                    f"{tuple(embedding.shape)}."
                )
            z_BE = embedding
        if zero_skips:
            skips = [[torch.zeros_like(skip) for skip in maps] for maps in skips]
        logits_BMDHW = self.decode(z_BE, skips)
        return Output(z_BE, logits_BMDHW, torch.sigmoid(logits_BMDHW))

    def embed(self, x_BMDHW: Tensor, given_BM: Tensor | None = None) -> Tensor:
        """Embed without decoding; see `FusionModel.embed`."""
        return self.encode(x_BMDHW, given_BM)[0]

    def loss(
        self, output: Output, x_BMDHW: Tensor, mask_DHW: Tensor | None, config: LossConfig
    ) -> Tensor:
        """Give the reconstruction loss (B, M); see `reconstruction_loss`."""
        return reconstruction_loss(output, x_BMDHW, mask_DHW, config)

    def parts(self) -> Mapping[str, nn.Module]:
        """Name encoders, fusion, bottleneck and decoders."""
        encoders = zip(self.modalities, self.encoders, strict=True)
        decoders = zip(self.modalities, self.decoders, strict=True)
        return {
            **{f"encoder.{name}": module for name, module in encoders},
            "fusion": self.fusion,
            "bottleneck": self.bottleneck,
            **{f"decoder.{name}": module for name, module in decoders},
        }


def _joined(encoded: tuple[list[Tensor], list[Tensor]]) -> list[Tensor]:
    """Put what an encoder returns into one list: maps to be fused, then skips."""
    maps, skips = encoded
    return [*maps, *skips]
