"""Dropout that belongs to the subject, not to the order in which subjects are computed.

Legend: B subjects; C channels; D, H, W voxels.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.model.kernels.masks import draw_kept, scale_kept

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
    0.3 ns a value on one core; evaluation costs nothing.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.n_dropped_levels = min(round(share * _LEVELS), _LEVELS - 1)
        self.layer = 0
        self.keys: Tensor | None = None

    def extra_repr(self) -> str:
        """Show the share and the layer's number when printed."""
        return f"share={self.share}, layer={self.layer}"

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Drop values in training; return the input itself in evaluation."""
        kept_BCDHW, scale = self.draw(x_BCDHW)
        if kept_BCDHW is None:
            return x_BCDHW
        if torch.compiler.is_compiling():
            return x_BCDHW * kept_BCDHW * scale
        dropped_BCDHW: Tensor = _Dropped.apply(  # type: ignore[no-untyped-call]
            x_BCDHW, kept_BCDHW, scale
        )
        return dropped_BCDHW

    def draw(self, x_BCDHW: Tensor) -> tuple[Tensor | None, float]:
        """Draw which values of a map are kept.

        Parameters
        ----------
        x_BCDHW : Tensor
            The map; its shape and device are read.

        Returns
        -------
        kept_BCDHW : Tensor of bool or None
            None: all of them, as in evaluation.
        scale : float
            What kept values are multiplied by.
        """
        if not self.training or self.n_dropped_levels == 0:
            return None, 1.0
        keys_B = self._keys_of(len(x_BCDHW))
        if len(keys_B) == 0:
            return None, 1.0
        return self._kept(keys_B, x_BCDHW), _LEVELS / (_LEVELS - self.n_dropped_levels)

    def _keys_of(self, n_subjects: int) -> Tensor:
        """Return one key for each subject of the batch."""
        if self.keys is None or len(self.keys) != n_subjects:
            given = "none" if self.keys is None else str(len(self.keys))
            raise RuntimeError(
                f"Dropout in training needs one key for each of the batch's {n_subjects} "
                f"subjects, got {given}: call set_dropout_keys(model, keys) before each forward."
            )
        return self.keys

    def _kept(self, keys_B: Tensor, like: Tensor) -> Tensor:
        """Draw the subjects' masks of kept values, where a map is."""
        if like.is_meta:
            return torch.empty(like.shape, dtype=torch.bool, device="meta")
        # A compiled model calls the operator: its graph need not break, nor hold the keys.
        draw = _drawn if torch.compiler.is_compiling() else _draw
        return draw(keys_B, self.layer, self.n_dropped_levels, like.shape[1:]).to(like.device)


class _Dropped(torch.autograd.Function):
    """Values and gradients times what is kept, in one pass each."""

    @staticmethod
    def forward(ctx: Any, x_BCDHW: Tensor, kept_BCDHW: Tensor, scale: float) -> Tensor:
        """Scale what is kept."""
        ctx.save_for_backward(kept_BCDHW)
        ctx.scale = scale
        return scale_kept(x_BCDHW, kept_BCDHW, scale)

    @staticmethod
    def backward(ctx: Any, dy_BCDHW: Tensor) -> tuple[Tensor, None, None]:
        """Scale the gradient of what is kept."""
        return scale_kept(dy_BCDHW, ctx.saved_tensors[0], ctx.scale), None, None


def _draw(keys_B: Tensor, layer: int, n_dropped_levels: int, shape: Sequence[int]) -> Tensor:
    """Draw masks on the CPU."""
    return draw_kept(keys_B.tolist(), layer, n_dropped_levels, shape)


_drawn = torch.library.custom_op(
    "isthmus::dropout_mask",
    _draw,
    mutates_args=(),
    schema="(Tensor keys, int layer, int n_dropped_levels, SymInt[] shape) -> Tensor",
)


@_drawn.register_fake
def _(keys_B: Tensor, _layer: int, _n_dropped_levels: int, shape: Sequence[int]) -> Tensor:
    """Make a tensor like a mask."""
    return keys_B.new_empty((len(keys_B), *shape), dtype=torch.bool)


@contextmanager
def dropout_of_rows(model: nn.Module, n_subjects: int, rows: Sequence[int]) -> Iterator[None]:
    """Let dropout layers draw for some subjects of the batch: for a pass over these alone.

    Parameters
    ----------
    model : Module
        Its layers have a key for each subject of the batch, or are not in use.
    n_subjects : int
        Subjects of the batch.
    rows : sequence of int
        Which of them the pass is over, in its order.

    Yields
    ------
    None
        Afterwards each layer has the keys that it had.

    Raises
    ------
    RuntimeError
        In training, if there is not one key for each subject of the batch.
    """
    layers = [module for module in model.modules() if isinstance(module, SubjectKeyedDropout)]
    before = [layer.keys for layer in layers]
    try:
        for layer in layers:
            if layer.training and layer.n_dropped_levels:
                own = layer._keys_of(n_subjects)
                layer.keys = own[list(rows)]
        yield
    finally:
        for layer, keys in zip(layers, before, strict=True):
            layer.keys = keys


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
    keys_B = torch.tensor(list(keys), dtype=torch.int64, device="cpu")
    for module in model.modules():
        if isinstance(module, SubjectKeyedDropout):
            module.keys = keys_B
