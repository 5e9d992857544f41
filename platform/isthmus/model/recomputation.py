"""Levels whose maps are computed again in the backward pass instead of kept from the forward one.

What is saved is memory, what it costs is a second forward pass of each level. Nothing else differs:
the second pass draws the same dropout, and leaves the running statistics alone.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from isthmus.model.dropout import SubjectKeyedDropout
from isthmus.model.norm import WorkerBatchNorm

Contexts = tuple[AbstractContextManager[None], AbstractContextManager[None]]


class Level(nn.Module):
    """A level of an encoder or a decoder.

    Attributes
    ----------
    recomputed : bool
        Whether a training pass keeps the level's inputs alone; `recompute_levels` sets it.
    """

    recomputed = False


def recompute_levels(model: nn.Module, on: bool) -> None:
    """Choose whether training keeps what a model's levels compute, or computes it again.

    Parameters
    ----------
    model : Module
        Changed in place; its weights, names and results are not.
    on : bool
        Compute again: less memory, more time.
    """
    for module in model.modules():
        if isinstance(module, Level):
            module.recomputed = on


def run_level(level: nn.Module, *inputs: Any) -> Any:
    """Call a level, and keep of it what `recompute_levels` chose.

    Parameters
    ----------
    level : Level
        To be called.
    *inputs : Tensor or None
        Of the level. They must not be changed in place before the backward pass.

    Returns
    -------
    Any
        What the level returns.

    Notes
    -----
    Where several workers share their statistics, the second pass exchanges them again: on every
    worker as often, since each reaches the same levels in the same order.
    """
    if not (level.training and isinstance(level, Level) and level.recomputed):
        return level(*inputs)
    # No global generator is drawn from, so none has to be put back.
    return checkpoint(
        level,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=partial(_passes, level),
    )


def _passes(level: Level) -> Contexts:
    """Make the contexts of the first pass and of the second, at the first one's time."""
    dropouts = [module for module in level.modules() if isinstance(module, SubjectKeyedDropout)]
    norms = [module for module in level.modules() if isinstance(module, WorkerBatchNorm)]
    return nullcontext(), _as_before(dropouts, [layer.keys for layer in dropouts], norms)


@contextmanager
def _as_before(
    dropouts: list[SubjectKeyedDropout],
    keys: list[Tensor | None],
    norms: list[WorkerBatchNorm],
) -> Iterator[None]:
    """Give dropout the keys of the first pass, and count no batch twice."""
    others = [layer.keys for layer in dropouts]
    try:
        for layer, own in zip(dropouts, keys, strict=True):
            layer.keys = own
        for norm in norms:
            norm.follows_batches = False
        yield
    finally:
        for layer, other in zip(dropouts, others, strict=True):
            layer.keys = other
        for norm in norms:
            norm.follows_batches = True
