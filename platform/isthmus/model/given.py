"""Which images are given, and computing over those subjects alone that have one.

Legend: B subjects; M modalities; R subjects of a part of the batch; C channels; D, H, W voxels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isthmus.config.architecture import MASKED_OPERATIONS, FusionConfig
from isthmus.core.errors import ConfigError
from isthmus.model.dropout import dropout_of_rows


@dataclass(frozen=True)
class Rows:
    """Some subjects of a batch.

    Attributes
    ----------
    n_subjects : int
        Subjects of the batch.
    chosen : tuple of int
        Those meant, in ascending order; perhaps none.
    """

    n_subjects: int
    chosen: tuple[int, ...]

    @classmethod
    def where(cls, chosen_B: Tensor) -> "Rows":
        """Choose by a mask on the CPU; a program is exported for all, see `checked_given`."""
        if torch.compiler.is_exporting():  # there, no mask has values to look at
            return cls(len(chosen_B), tuple(range(len(chosen_B))))
        return cls(len(chosen_B), tuple(chosen_B.nonzero()[:, 0].tolist()))

    @property
    def everybody(self) -> bool:
        """Whether the whole batch is meant."""
        return len(self.chosen) == self.n_subjects

    def take(self, x: Tensor) -> Tensor:
        """Take the subjects' rows (R, ...) of a batch (B, ...)."""
        return x if self.everybody else x.index_select(0, self._index(x))

    def put(self, x: Tensor, into: Tensor | None = None) -> Tensor:
        """Put rows (R, ...) back into a batch, of zeros where none is given (B, ...)."""
        if self.everybody:
            return x
        into = x.new_zeros(self.n_subjects, *x.shape[1:]) if into is None else into.to(x.dtype)
        return into.index_copy(0, self._index(x), x)

    def run(
        self, module: nn.Module, call: Callable[..., Sequence[Tensor]], *inputs: Tensor
    ) -> list[Tensor]:
        """Compute over these subjects alone; returns their rows.

        Parameters
        ----------
        module : Module
            Whose dropout layers the call passes through.
        call : callable
            Of the inputs' rows.
        inputs : Tensor (B, ...)
            Of the whole batch.

        Returns
        -------
        list of Tensor (R, ...)
            What the call returned. Also with no subject at all the call is made: every worker
            must reach every layer, and every parameter have a gradient.
        """
        if self.everybody:
            return list(call(*inputs))
        with dropout_of_rows(module, self.n_subjects, self.chosen):
            return list(call(*(self.take(x) for x in inputs)))

    def _index(self, like: Tensor) -> Tensor:
        """Make an index on a tensor's device."""
        return torch.tensor(self.chosen, dtype=torch.int64, device=like.device)


def checked_given(
    given_BM: Tensor | None, n_subjects: int, modalities: tuple[str, ...], config: FusionConfig
) -> Tensor:
    """Check which images are given; none said: all are.

    Parameters
    ----------
    given_BM : Tensor of bool, optional
        As `FusionModel.forward` takes it.
    n_subjects : int
        Subjects of the batch.
    modalities : tuple of str
        Labels.
    config : FusionConfig
        Whether some can be missing.

    Returns
    -------
    Tensor of bool (B, M)
        On the CPU, where it decides what is computed.

    Raises
    ------
    ConfigError
        If an image is missing and the operation needs all, or a mask is given to a program that
        is being exported: it has one course, that of complete subjects.
    ValueError
        If the mask has another shape or type, or a subject has no image.
    """
    if given_BM is None:
        return torch.ones(n_subjects, len(modalities), dtype=torch.bool, device="cpu")
    if torch.compiler.is_exporting():
        raise ConfigError(
            "A program must be exported without a mask of given images, for subjects who have "
            f"them all ({', '.join(modalities)}), but got one."
        )
    expected = (n_subjects, len(modalities))
    if tuple(given_BM.shape) != expected or given_BM.dtype != torch.bool:
        raise ValueError(
            f"The mask of given images must be of bool and have shape {expected}, for modalities "
            f"{list(modalities)}, got {given_BM.dtype} of shape {tuple(given_BM.shape)}."
        )
    given_BM = given_BM.cpu()
    none = (~given_BM.any(dim=1)).nonzero()[:, 0].tolist()
    if none:
        raise ValueError(
            f"Each subject must have at least one image given, but of {n_subjects} those in rows "
            f"{none[:6]} have none. Leave them out of the batch."
        )
    if not config.accepts_missing and not bool(given_BM.all()):
        lacking = [
            f"{name} of {int((~given_M).sum())}"
            for name, given_M in zip(modalities, given_BM.T, strict=True)
            if not bool(given_M.all())
        ]
        raise ConfigError(
            f"model.fusion.operation: {config.operation} must have every modality of each subject, "
            f"but not given are {', '.join(lacking)} of {n_subjects} subjects. Use one of "
            f"{', '.join(MASKED_OPERATIONS)}, or complete subjects alone."
        )
    return given_BM
