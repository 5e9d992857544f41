"""What training minimises: reconstruction losses by subject and modality, and the kernel penalty.

Legend: B subjects; M modalities; D, H, W voxels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.config.training import LossConfig
from isthmus.model.interface import Output

SSIM_EDGE = 7
"""Edge of the SSIM window in voxels."""

SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
"""Wang et al.'s constants for values in [0, 1]."""


def reconstruction_loss(
    output: Output, x_BMDHW: Tensor, mask_DHW: Tensor | None, config: LossConfig
) -> Tensor:
    """Compare reconstructions with images, for each subject and modality.

    Parameters
    ----------
    output : Output
        Of the model's forward pass.
    x_BMDHW : Tensor, in [0, 1]
        The images.
    mask_DHW : Tensor of bool, optional
        The brain; read only when ``config.masked``.
    config : LossConfig
        Kind of loss, and whether voxels outside the mask count.

    Returns
    -------
    Tensor (B, M), float32
        The mean over counted voxels. The caller sums over modalities and averages over the global
        batch, so that slices and workers add up to the same loss.

    Raises
    ------
    ValueError
        If a mask is needed and there is none, it is empty, or it is on another grid.

    Notes
    -----
    For a voxel with image x, logit a and reconstruction y = sigmoid(a): `bce` is
    -x log y - (1 - x) log(1 - y), computed from the logit; `mse` (y - x)^2; `l1` |y - x|;
    `huber` (y - x)^2 / 2 where |y - x| <= delta, else delta (|y - x| - delta / 2); `ssim_mix`
    share (1 - SSIM) + (1 - share) |y - x|, with the map of `structural_similarity`. Always
    computed in float32, also under autocast. `bce` of values strictly between 0 and 1 does not
    fall to 0 for a perfect reconstruction: it falls to the entropy of x.
    """
    with torch.autocast(x_BMDHW.device.type, enabled=False):
        x_BMDHW = x_BMDHW.float()
        errors_BMDHW = _voxel_errors(output.logits_BMDHW.float(), x_BMDHW, config)
        if not config.masked:
            return errors_BMDHW.mean(dim=(2, 3, 4))
        mask_DHW = _checked(mask_DHW, x_BMDHW)
        # Selecting, not multiplying by zero, keeps a non-finite voxel outside from counting.
        inside_BMDHW = torch.where(mask_DHW, errors_BMDHW, 0.0)
        return inside_BMDHW.sum(dim=(2, 3, 4)) / mask_DHW.sum()


def structural_similarity(y_BMDHW: Tensor, x_BMDHW: Tensor) -> Tensor:
    """Map the structural similarity of two images in 3D windows.

    Parameters
    ----------
    y_BMDHW, x_BMDHW : Tensor, in [0, 1]
        Images to compare.

    Returns
    -------
    Tensor (B, M, D, H, W), in [-1, 1]
        SSIM of the window around each voxel.

    Notes
    -----
    SSIM = (2 mu_x mu_y + C1)(2 s_xy + C2) / ((mu_x^2 + mu_y^2 + C1)(s_x^2 + s_y^2 + C2)), with
    C1 = 0.01^2, C2 = 0.03^2 and biased moments over a uniform 7x7x7 window that is cut off at the
    grid's edge, so every voxel has one and any grid will do. Moments are taken of values less
    0.5, which loses fewer digits in float32. The metric that reports show is in
    `volumes/fidelity.py`.

    References
    ----------
    Wang, Bovik, Sheikh & Simoncelli 2004, IEEE Transactions on Image Processing 13(4).
    """
    y, x = y_BMDHW - 0.5, x_BMDHW - 0.5
    mean_y, mean_x = _window_mean(y), _window_mean(x)
    variance_y = (_window_mean(y * y) - mean_y.square()).clamp_min(0.0)
    variance_x = (_window_mean(x * x) - mean_x.square()).clamp_min(0.0)
    covariance = _window_mean(x * y) - mean_x * mean_y
    level_y, level_x = mean_y + 0.5, mean_x + 0.5
    luminance = (2.0 * level_x * level_y + SSIM_C1) / (level_x**2 + level_y**2 + SSIM_C1)
    return luminance * (2.0 * covariance + SSIM_C2) / (variance_x + variance_y + SSIM_C2)


@torch.no_grad()
def add_kernel_penalty(model: nn.Module, weight: float) -> None:
    """Add the gradient of the penalty on convolution kernels to the gradients there are, in place.

    Parameters
    ----------
    model : Module
        The model, or what wraps it, after the backward pass. Biases, normalisation and the fully
        connected layers of a dense bottleneck are not kernels.
    weight : float
        `training.kernel_l2`.

    Notes
    -----
    The penalty is ``weight * sum of squared kernels``, Keras' L2 without a half, and its gradient
    ``2 weight kernel``: written down, it takes a third of the time that autograd takes to find it
    kernel by kernel.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            kernel = module.weight
            if kernel.grad is None:
                kernel.grad = torch.zeros_like(kernel)
            kernel.grad.add_(kernel, alpha=2.0 * weight)


def _voxel_errors(logits_BMDHW: Tensor, x_BMDHW: Tensor, config: LossConfig) -> Tensor:
    """Compute the loss of each voxel."""
    if config.kind == "bce":
        return F.binary_cross_entropy_with_logits(logits_BMDHW, x_BMDHW, reduction="none")
    y_BMDHW = torch.sigmoid(logits_BMDHW)
    if config.kind == "mse":
        return (y_BMDHW - x_BMDHW).square()
    if config.kind == "huber":
        return F.huber_loss(y_BMDHW, x_BMDHW, reduction="none", delta=config.huber_delta)
    absolute_BMDHW = (y_BMDHW - x_BMDHW).abs()
    if config.kind == "l1":
        return absolute_BMDHW
    unlike_BMDHW = 1.0 - structural_similarity(y_BMDHW, x_BMDHW)
    return torch.lerp(absolute_BMDHW, unlike_BMDHW, config.ssim_share)


def _checked(mask_DHW: Tensor | None, x_BMDHW: Tensor) -> Tensor:
    """Refuse a masked loss without a usable mask."""
    given = "none" if mask_DHW is None else f"{tuple(mask_DHW.shape)}"
    if mask_DHW is None or mask_DHW.shape != x_BMDHW.shape[2:]:
        raise ValueError(
            f"training.loss.masked needs a mask on the images' grid {tuple(x_BMDHW.shape[2:])}, "
            f"got {given}."
        )
    mask_DHW = mask_DHW.to(device=x_BMDHW.device, dtype=torch.bool)
    if not bool(mask_DHW.any()):
        raise ValueError("training.loss.masked needs a mask with at least one voxel, got 0.")
    return mask_DHW


def _window_mean(values_BMDHW: Tensor) -> Tensor:
    """Average over the SSIM window around each voxel, over the part of it within the grid."""
    radius = SSIM_EDGE // 2
    for axis, n in enumerate(values_BMDHW.shape[2:]):
        edges = [1, 1, 1]
        edges[axis] = SSIM_EDGE
        around = [radius if axis == 2 - place // 2 else 0 for place in range(6)]
        # A box is averaged axis by axis, 3 x 7 instead of 7^3 additions a voxel.
        values_BMDHW = F.avg_pool3d(
            F.pad(values_BMDHW, around), edges, stride=1, divisor_override=1
        )
        places = torch.arange(n, device=values_BMDHW.device)
        inside = (places + radius).clamp_max(n - 1) - (places - radius).clamp_min(0) + 1
        values_BMDHW = values_BMDHW / inside.view([n if a == axis else 1 for a in range(3)])
    return values_BMDHW
