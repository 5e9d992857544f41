"""Normalisation of a unit: over the batch of all workers, over groups, or over single channels.

Legend: B subjects; C channels; D, H, W voxels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from isthmus.config.architecture import ModelConfig
from isthmus.core.errors import ConfigError

EPSILON = 1e-3
"""Added to every variance, as Keras does (PyTorch's own default is 1e-5)."""

MOST_GROUPS = 8


def make_norm(config: ModelConfig, channels: int, n_voxels: int | None = None) -> nn.Module:
    """Make the normalisation that a model's settings ask for.

    Parameters
    ----------
    config : ModelConfig
        `norm` and `norm_momentum` are read.
    channels : int
        Channels of the map that is normalised.
    n_voxels : int, optional
        Voxels of that map, where they may be few enough to matter.

    Returns
    -------
    Module
        With a trainable scale and shift for each channel, whatever the kind.

    Raises
    ------
    ConfigError
        If group or instance normalisation would be left with one value to normalise, which is
        always its own mean: the map, and with it the embedding, would be constant.
    """
    if config.norm == "batch":
        return WorkerBatchNorm(channels, momentum=config.norm_momentum)
    groups = channels if config.norm == "instance" else group_count(channels)
    if n_voxels is not None and n_voxels * channels // groups == 1:
        raise ConfigError(
            f"model.norm: {config.norm} must have more than one value to normalise, but at "
            f"model.depth {config.depth} the bottleneck is a single voxel, with {channels} "
            f"channel(s) in {groups} group(s). Use a smaller model.depth or model.norm: batch."
        )
    return nn.GroupNorm(groups, channels, eps=EPSILON)


def group_count(channels: int) -> int:
    """Choose the number of groups: the largest divisor of the channels that is at most 8.

    Parameters
    ----------
    channels : int
        At least 1. With 8 channels or fewer each is a group, as in instance normalisation.

    Returns
    -------
    int
        In [1, 8].

    Examples
    --------
    >>> group_count(4), group_count(12), group_count(32), group_count(22)
    (4, 6, 8, 2)
    """
    return next(n for n in range(MOST_GROUPS, 0, -1) if channels % n == 0)


class WorkerBatchNorm(nn.Module):
    """Batch normalisation whose statistics are those of the micro-batch over all workers.

    Parameters
    ----------
    channels : int
        Channels of the maps.
    momentum : float
        Share of the running statistics that a training step keeps, Keras' convention (PyTorch's
        momentum is one minus this).
    epsilon : float
        Added to the variance.

    Raises
    ------
    ConfigError
        In training on one worker, if there is a single value a channel: its variance is zero.

    Notes
    -----
    In training y = (x - mu) / sqrt(s^2 + epsilon) * weight + bias with the mean mu and the biased
    variance s^2 over subjects and voxels. The running variance keeps the biased one too, as
    Keras does for volumes. Where `torch.distributed` has two workers or more, the sums are
    all-reduced in float64, forward and backward. A worker's gradient is then that of the *sum* of
    all workers' losses with respect to its own copy of the parameters, and the mean which
    DistributedDataParallel takes is the gradient of the mean of the workers' losses: what one
    process computes on the whole batch. `torch.nn.SyncBatchNorm` does this on GPUs only.
    Every worker must reach the layer equally often, be it with no subject at all; where no worker
    has one, the running statistics stay as they are. They also do while `follows_batches` is
    false: for a pass over a batch that was counted already.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.99, epsilon: float = EPSILON) -> None:
        super().__init__()
        self.momentum = momentum
        self.epsilon = epsilon
        self.follows_batches = True
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))

    def extra_repr(self) -> str:
        """Show the settings when printed."""
        return f"{len(self.weight)}, momentum={self.momentum}, epsilon={self.epsilon}"

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Normalise by the batch in training, by the running statistics in evaluation."""
        if not self.training:
            return F.batch_norm(
                x_BCDHW,
                self.running_mean,
                self.running_variance,
                self.weight,
                self.bias,
                eps=self.epsilon,
            )
        if n_workers() > 1:
            y_BCDHW, mean_C, variance_C, n = _AllWorkers.apply(  # type: ignore[no-untyped-call]
                x_BCDHW, self.weight, self.bias, self.epsilon
            )
            mean_C = torch.where(n > 0, mean_C, self.running_mean.to(mean_C))
            variance_C = torch.where(n > 0, variance_C, self.running_variance.to(variance_C))
        else:
            y_BCDHW, mean_C, variance_C = self._alone(x_BCDHW)
        self.follow(mean_C, variance_C)
        return y_BCDHW  # type: ignore[no-any-return]

    @torch.no_grad()
    def follow(self, mean_C: Tensor, variance_C: Tensor) -> None:
        """Move the running statistics towards a batch's, unless it was counted already.

        Parameters
        ----------
        mean_C, variance_C : Tensor
            Of the batch; the variance biased.
        """
        if not self.follows_batches:
            return
        self.running_mean.lerp_(mean_C.to(self.running_mean), 1.0 - self.momentum)
        self.running_variance.lerp_(variance_C.to(self.running_variance), 1.0 - self.momentum)

    def _alone(self, x_BCDHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalise by this process's batch with PyTorch's kernel, which saves the input alone."""
        n = x_BCDHW.numel() // x_BCDHW.shape[1]
        if n == 0:
            # Nobody to learn from; the parameters take part, with a gradient of zero.
            y_BCDHW = x_BCDHW * _spread(self.weight, x_BCDHW) + _spread(self.bias, x_BCDHW)
            return y_BCDHW, self.running_mean, self.running_variance
        if n < 2:
            raise ConfigError(
                "model.norm: batch must have more than one value a channel in training, but the "
                "batch is one subject and its map a single voxel. Use a larger "
                "training.global_batch_size or a smaller model.depth."
            )
        mean_C, variance_C = (torch.zeros_like(self.running_mean) for _ in range(2))
        y_BCDHW = F.batch_norm(
            x_BCDHW, mean_C, variance_C, self.weight, self.bias, True, 1.0, self.epsilon
        )
        return y_BCDHW, mean_C, variance_C * ((n - 1) / n)


class _AllWorkers(torch.autograd.Function):
    """Batch normalisation over all workers, with its gradient."""

    @staticmethod
    def forward(
        ctx: Any, x_BCDHW: Tensor, weight_C: Tensor, bias_C: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Normalise; also return mean, biased variance and their values, without a gradient."""
        dtype = torch.promote_types(x_BCDHW.dtype, torch.float32)
        x = x_BCDHW.to(dtype)
        n_here = torch.tensor([x.numel() // x.shape[1]], dtype=torch.float64, device=x.device)
        totals = _sum_over_workers(torch.cat([_channel_sums(x), n_here]))
        n = totals[-1].clamp_min(1.0)
        mean_C = totals[:-1] / n
        centred = x - _spread(mean_C, x)
        variance_C = _sum_over_workers(_channel_sums(centred.square())) / n
        scale_C = torch.rsqrt(variance_C + epsilon)
        y = centred * _spread(scale_C * weight_C, x) + _spread(bias_C, x)
        ctx.save_for_backward(x_BCDHW, weight_C, mean_C, scale_C, n)
        ctx.mark_non_differentiable(mean_C, variance_C, totals)
        return y.to(x_BCDHW.dtype), mean_C, variance_C, totals[-1]

    @staticmethod
    def backward(
        ctx: Any, dy_BCDHW: Tensor, *_unused: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return gradients: of the input over all workers, of the parameters from this one."""
        x_BCDHW, weight_C, mean_C, scale_C, n = ctx.saved_tensors
        dtype = torch.promote_types(x_BCDHW.dtype, torch.float32)
        x, dy = x_BCDHW.to(dtype), dy_BCDHW.to(dtype)
        standardised = (x - _spread(mean_C, x)) * _spread(scale_C, x)
        here = torch.cat([_channel_sums(dy), _channel_sums(dy * standardised)])
        d_bias_C, d_weight_C = here.to(weight_C.dtype).chunk(2)
        mean_dy_C, mean_dy_x_C = (_sum_over_workers(here.clone()) / n).chunk(2)
        dx = dy - _spread(mean_dy_C, x) - standardised * _spread(mean_dy_x_C, x)
        dx = dx * _spread(scale_C * weight_C, x)
        return dx.to(x_BCDHW.dtype), d_weight_C, d_bias_C, None


def n_workers() -> int:
    """Count the workers of this training.

    Returns
    -------
    int
        At least 1.
    """
    if not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size()


def _channel_sums(x: Tensor) -> Tensor:
    """Sum over all axes but the channels, in float64."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    return x.sum(dim=axes, dtype=torch.float64)


def _spread(values_C: Tensor, like: Tensor) -> Tensor:
    """Shape values of channels so that they broadcast over a map, in its precision."""
    return values_C.to(like.dtype).view(1, -1, *[1] * (like.dim() - 2))


def _sum_over_workers(values: Tensor) -> Tensor:
    """Add up over all workers, in place."""
    distributed.all_reduce(values)
    return values
