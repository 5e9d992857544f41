"""The loss on the monitor part: families that give no gradient and are not held out.

Legend: N subject of the monitor part, B = 1, M modality, D H W the grid, V voxel of
the mask.
"""

from collections.abc import Callable, Sequence
from contextlib import closing

import torch

from isthmus.core.errors import TrainingDiverged
from isthmus.training.prefetch import Reading, prefetch
from isthmus.training.presence import known_losses
from isthmus.training.step import Learner, autocast

Read = Callable[[Sequence[str]], torch.Tensor]


def watch(
    learner: Learner, read: Read, ids: Sequence[str], reading: Reading | None = None
) -> dict[str, float]:
    """Compute the monitored loss and error; all workers must call this.

    One subject at a time, so that the numbers do not depend on the number of workers.

    Parameters
    ----------
    learner : Learner
        Put into evaluation mode, and left in it.
    read : callable
        From participant ids to a tensor (B, M, D, H, W), normalised.
    ids : sequence of str
        The monitor part of the fold.
    reading : Reading, optional
        How reading keeps ahead, as for `prefetch`.

    Returns
    -------
    dict of str to float
        ``monitor_loss``, the training's loss (without kernel penalty) averaged over the subjects
        that have an image of the modality, then summed over modalities;
        ``monitor_mse``, mean squared error within the mask on the normalised scale, averaged over
        modalities; and ``monitor_mse_<modality>``. Every subject is given all its images. A
        modality that none of them has is left out. Empty without subjects.

    Raises
    ------
    TrainingDiverged
        If the loss of a subject is not finite.
    """
    if not ids:
        return {}
    model, ranks = learner.model, learner.ranks
    model.eval()
    mine = range(ranks.rank, len(ids), ranks.world_size)
    values_N2M = torch.zeros(len(ids), 2, len(model.modalities)).double()
    volumes = prefetch(read, [(ids[i],) for i in mine], reading)
    with torch.no_grad(), closing(volumes):
        for i, x_BMDHW in zip(mine, volumes, strict=True):
            x_BMDHW = x_BMDHW.to(ranks.device, non_blocking=True)
            known_BM = learner.presence.known([ids[i]])
            masks = {} if known_BM is None else {"given_BM": known_BM}
            with autocast(learner.config, ranks.device):
                output = model(x_BMDHW, **masks)
            losses_BM = known_losses(
                model, output, x_BMDHW, known_BM, learner.mask, learner.config.loss
            )
            values_N2M[i, 0] = losses_BM[0].double().cpu()
            error_MV = (output.y_BMDHW[0].float() - x_BMDHW[0])[:, learner.mask]
            errors_M = error_MV.double().square().mean(dim=1).cpu()
            if known_BM is not None:
                errors_M = torch.where(known_BM[0], errors_M, 0.0)
            values_N2M[i, 1] = errors_M
    values_N2M = ranks.sum(values_N2M)
    _require_finite(values_N2M, ids)
    n_M = learner.presence.n_known([ids])
    there = [m for m, n in enumerate(n_M) if n]
    losses_M, errors_M = values_N2M[..., there].sum(dim=0) / torch.tensor(n_M)[there]
    named = zip([model.modalities[m] for m in there], errors_M.tolist(), strict=True)
    return {
        "monitor_loss": float(losses_M.sum()),
        "monitor_mse": float(errors_M.mean()),
        **{f"monitor_mse_{modality}": error for modality, error in named},
    }


def _require_finite(values_N2M: torch.Tensor, ids: Sequence[str]) -> None:
    """Stop where the model answers a subject of the monitor part with no number."""
    broken = (~torch.isfinite(values_N2M)).any(dim=(1, 2)).nonzero().flatten().tolist()
    if broken:
        raise TrainingDiverged(
            f"The monitored loss must be finite, but is not for "
            f"{', '.join(ids[i] for i in broken[:6])}{', ...' if len(broken) > 6 else ''}. "
            f"Lower training.learning_rate, or look at these subjects' images."
        )
