"""Dropout that belongs to the subject, not to the order in which subjects are computed.

Legend: B subjects; C channels; D, H, W voxels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from isthmus.core.seeds import generator

_LEVELS = 1 << 16
"""A value is dropped when its 16 random bits lie below share * _LEVELS."""


class SubjectKeyedDropout(nn.Module):
    """Zero a share of the values, chosen by the subject's key and the layer's number alone.

    One worker or eight, gradient accumulation or not, and a run resumed from a checkpoint then
    draw identical masks, on any device: they are drawn on the CPU and moved.

    Parameters
    ----------
    share : float
        Share of values dropped in training, in [0, 1), rounded to a multiple of 2^-16; those kept
        are scaled by 1 / (1 - share).

    Raises
    ------
    RuntimeError
        In training, if `set_dropout_keys` has not set one key for each subject of the batch.

    Notes
    -----
    The mask of sample b is a function of (key of b, layer number, shape). Drawing it takes about
    1.6 ns a value on one core; evaluation costs nothing.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.n_dropped_levels = min(round(share * _LEVELS), _LEVELS - 1)
        self.layer = 0
        self.keys: tuple[int, ...] | None = None

    def extra_repr(self) -> str:
        """Show the share and the layer's number when printed."""
        return f"share={self.share}, layer={self.layer}"

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Drop values in training; return the input itself in evaluation."""
        if not self.training or self.n_dropped_levels == 0:
            return x_BCDHW
        if self.keys is None or len(self.keys) != len(x_BCDHW):
            given = "none" if self.keys is None else str(len(self.keys))
            raise RuntimeError(
                f"Dropout in training needs one key for each of the batch's {len(x_BCDHW)} "
                f"subjects, got {given}: call set_dropout_keys(model, keys) before each forward."
            )
        scale = _LEVELS / (_LEVELS - self.n_dropped_levels)
        kept_BCDHW = torch.stack([self._kept(key, x_BCDHW.shape[1:]) for key in self.keys])
        return (x_BCDHW * kept_BCDHW.to(x_BCDHW.device)).mul_(scale)

    def _kept(self, key: int, shape: torch.Size) -> Tensor:
        """Draw one subject's mask of kept values."""
        draws = generator(key, "dropout", self.layer).bytes(2 * shape.numel())
        kept = np.frombuffer(draws, dtype="<u2") >= self.n_dropped_levels
        return torch.from_numpy(kept).view(shape)


def number_dropout_layers(model: nn.Module) -> None:
    """Give each dropout layer of a model its number, in the order of registration.

    Parameters
    ----------
    model : Module
        Changed in place.
    """
    layers = [module for module in model.modules() if isinstance(module, SubjectKeyedDropout)]
    for number, layer in enumerate(layers):
        layer.layer = number


def set_dropout_keys(model: nn.Module, keys: Sequence[int]) -> None:
    """Tell every dropout layer who is in the next batch; call before each training forward.

    Parameters
    ----------
    model : Module
        The model, or what wraps it.
    keys : sequence of int
        One for each subject of the batch, in its order. A key should name the subject *and* the
        pass, such as ``derive_seed(seed, participant_id, epoch)``: the same key draws the same
        mask.
    """
    for module in model.modules():
        if isinstance(module, SubjectKeyedDropout):
            module.keys = tuple(keys)
