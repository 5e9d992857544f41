"""What every family of models offers to training, trials and reports.

Legend: B subjects; M modalities; D, H, W voxels; E values of the embedding.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from isthmus.config.training import LossConfig


class Output(NamedTuple):
    """What a forward pass gives.

    Attributes
    ----------
    z_BE : Tensor, float32
        The embedding that was decoded.
    logits_BMDHW : Tensor, float32
        Reconstructions before the sigmoid; losses start from these.
    y_BMDHW : Tensor, float32, in [0, 1]
        Reconstructions.
    """

    z_BE: Tensor
    logits_BMDHW: Tensor
    y_BMDHW: Tensor


class FusionModel(nn.Module, ABC):
    """A model that turns several images of a subject into one embedding and back.

    Attributes
    ----------
    modalities : tuple of str
        Labels, in the order of axis M.
    grid : tuple of int
        (D, H, W) of the images in voxels.
    embedding_size : int
        Values of the embedding.
    embedding_shape : tuple of int
        How these values lie: (C, D, H, W) of the bottleneck map, or (E,).
    accepts_missing : bool
        Whether some of a subject's images need not be given.
    """

    modalities: tuple[str, ...]
    grid: tuple[int, int, int]
    embedding_size: int
    embedding_shape: tuple[int, ...]

    @property
    @abstractmethod
    def accepts_missing(self) -> bool:
        """Whether some of a subject's images need not be given."""

    @abstractmethod
    def forward(
        self,
        x_BMDHW: Tensor,
        embedding: Tensor | None = None,
        zero_skips: bool = False,
        given_BM: Tensor | None = None,
    ) -> Output:
        """Embed and reconstruct.

        Parameters
        ----------
        x_BMDHW : Tensor, float32, in [0, 1]
            Images on `grid`, modalities in the order of `modalities`.
        embedding : Tensor (B, E), optional
            Decoded in place of the images' own embedding (control `embedding_shuffle`); skip
            connections still carry the images themselves.
        zero_skips : bool
            Replace what skip connections carry by zeros (control `skip_ablation`).
        given_BM : Tensor of bool, optional
            Which images are given to the encoders, at least one a subject; none: all. Whatever
            ``x_BMDHW`` holds elsewhere is not looked at, be it NaN. Cheapest on the CPU.

        Returns
        -------
        Output
            Embedding, logits and reconstructions: of all modalities, also of those that were not
            given, which are synthesised from the embedding alone, their skips being zeros.

        Raises
        ------
        ConfigError
            If an image is missing and the model cannot do without.
        ValueError
            If a subject has no image at all, or a shape is not the model's.
        """

    @abstractmethod
    def embed(self, x_BMDHW: Tensor, given_BM: Tensor | None = None) -> Tensor:
        """Embed without decoding.

        Parameters
        ----------
        x_BMDHW : Tensor, float32, in [0, 1]
            Images on `grid`.
        given_BM : Tensor of bool, optional
            Which images are given, as in `forward`.

        Returns
        -------
        Tensor (B, E), float32
            One flat embedding a subject.

        Raises
        ------
        ConfigError
            If an image is missing and the model cannot do without.
        ValueError
            If a subject has no image at all, or a shape is not the model's.
        """

    @abstractmethod
    def loss(
        self, output: Output, x_BMDHW: Tensor, mask_DHW: Tensor | None, config: LossConfig
    ) -> Tensor:
        """Give what training minimises, before any sum over subjects.

        Parameters
        ----------
        output : Output
            Of a forward pass on ``x_BMDHW``.
        x_BMDHW : Tensor, float32, in [0, 1]
            The images.
        mask_DHW : Tensor of bool, optional
            The brain; needed when ``config.masked``.
        config : LossConfig
            Kind of loss.

        Returns
        -------
        Tensor (B, M), float32
            One loss for each subject and modality.
        """

    @abstractmethod
    def parts(self) -> Mapping[str, nn.Module]:
        """Name the parts that parameters are counted by; together they hold all of them.

        Returns
        -------
        Mapping of str to Module
            Such as ``encoder.T1w`` and ``fusion``.
        """
