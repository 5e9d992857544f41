"""A bundle in use: images in; embedding, stratum, reconstruction and what is strange of them out.

Legend: M modality, D H W the grid, E value of the embedding.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from isthmus.core.errors import ImageError
from isthmus.core.files import write_bytes
from isthmus.promotion.bundle.errors_seen import Judgement
from isthmus.promotion.bundle.images import checked_volumes, read_volumes
from isthmus.promotion.bundle.record import BundleRecord
from isthmus.promotion.bundle.strata_rule import StrataRule
from isthmus.training.encoder import LoadedEncoder
from isthmus.volumes.examine import Rules
from isthmus.volumes.fidelity import mse

FloatArray = npt.NDArray[np.float32]
Given = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a served model says of one subject.

    Attributes
    ----------
    embedding_E : ndarray of float32, shape (E,)
        The embedding.
    given : tuple of str
        Modalities that it was made from.
    stratum : int or None
        The nearest stratum, from 0; None where the bundle has no strata.
    membership : float or None
        How much nearer than the next one, in [0, 1]; no probability, see `StrataRule.assign`.
    error : float
        Mean squared reconstruction error in the mask on the normalised scale, the mean over the
        given images.
    errors : Mapping of str to float
        That of each given image.
    error_percentile : float
        In [0, 100]: the share of known subjects with a smaller error; see `ErrorsSeen`.
    out_of_distribution : bool
        Whether the error is beyond the threshold.
    reconstruction_MDHW : ndarray of float32, shape (M, D, H, W), or None
        In image units, of every modality, given or not, if it was asked for. With
        ``normalisation.method: subject_zscore`` an image that was not given has no mean and no
        standard deviation to come back to, and is NaN.
    """

    embedding_E: FloatArray
    given: tuple[str, ...]
    stratum: int | None
    membership: float | None
    error: float
    errors: Mapping[str, float]
    error_percentile: float
    out_of_distribution: bool
    reconstruction_MDHW: FloatArray | None


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A verified bundle, loaded; `load_bundle` makes it.

    Attributes
    ----------
    record : BundleRecord
        What the bundle says of itself.
    encoder : LoadedEncoder
        Network, normalisation and device.
    image_rules : Rules
        What an image must be.
    strata_rule : StrataRule or None
        None where the bundle has no strata.

    Notes
    -----
    Subjects are computed one at a time, as the trial computed them: what else is in a batch has
    no influence on a subject. It may be used from several threads.
    """

    record: BundleRecord
    encoder: LoadedEncoder
    image_rules: Rules
    strata_rule: StrataRule | None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Inputs, in order."""
        return self.record.modalities

    def read_images(self, paths: Mapping[str, str | Path]) -> FloatArray:
        """Read a subject's NIfTI files as the store that trained the model would have.

        Parameters
        ----------
        paths : Mapping of str to path
            A ``.nii`` or ``.nii.gz`` file by modality.

        Returns
        -------
        ndarray of float32, shape (M, D, H, W)
            Image units on the model's grid, in the order of `modalities`; NaN throughout where no
            file is named. For an image of the cohort, bit for bit what `isthmus ingest` stored.

        Raises
        ------
        ImageError
            If a file cannot be used, with the store's reason; a modality is not the model's; or
            one is lacking that the model needs.
        ResourceError
            If reading a file would take more memory than is free.
        """
        return read_volumes(paths, self.modalities, self.image_rules)

    def embed(self, x_MDHW: npt.ArrayLike, given_M: npt.ArrayLike | None = None) -> FloatArray:
        """Embed one subject.

        Parameters
        ----------
        x_MDHW, given_M
            As for `predict`.

        Returns
        -------
        ndarray of float32, shape (E,)
            The embedding, as `predict` has it; decoding is saved.

        Raises
        ------
        ImageError
            As `predict`.
        """
        x_MDHW, given_M = checked_volumes(x_MDHW, given_M, self.record)
        return self.encoder.embed_volume(self.encoder.normaliser.apply(x_MDHW), _mask(given_M))

    def predict(
        self,
        x_MDHW: npt.ArrayLike,
        given_M: npt.ArrayLike | None = None,
        reconstruct: bool = False,
    ) -> Prediction:
        """Embed one subject, put it into a stratum, and compare its reconstruction with others'.

        Parameters
        ----------
        x_MDHW : array of numbers, shape (M, D, H, W)
            Image units, in the order of `modalities`, on the model's grid, as `read_images`
            returns them.
        given_M : array of bool, shape (M,), optional
            Which images are given; what the others hold is not looked at. None given: all that
            are not NaN throughout.
        reconstruct : bool, default False
            Return the reconstruction too.

        Returns
        -------
        Prediction
            A function of images, mask and bundle.

        Raises
        ------
        ImageError
            If the shape is another, a given image has values that are not finite, none is given,
            or one is lacking that the model needs.
        """
        volumes_MDHW, mask_M = checked_volumes(x_MDHW, given_M, self.record)
        normaliser = self.encoder.normaliser
        normal_MDHW = normaliser.apply(volumes_MDHW)
        z_E, y_MDHW = self.encoder.embed_and_reconstruct(normal_MDHW, _mask(mask_M))
        judged = self._judge(normal_MDHW, y_MDHW, mask_M)
        stratum = membership = None
        if self.strata_rule is not None:
            labels_N, membership_N = self.strata_rule.assign(z_E[None])
            stratum, membership = int(labels_N[0]), float(membership_N[0])
        return Prediction(
            embedding_E=z_E,
            given=tuple(judged.errors),
            stratum=stratum,
            membership=membership,
            error=judged.error,
            errors=judged.errors,
            error_percentile=judged.percentile,
            out_of_distribution=judged.out_of_distribution,
            reconstruction_MDHW=normaliser.invert(y_MDHW, volumes_MDHW) if reconstruct else None,
        )

    def save_reconstruction(self, prediction: Prediction, modality: str, path: Path) -> None:
        """Write one modality's reconstruction as NIfTI, atomically.

        Parameters
        ----------
        prediction : Prediction
            Made with ``reconstruct=True``.
        modality : str
            Which of `modalities`.
        path : Path
            A ``.nii`` or ``.nii.gz`` file to make or replace: float32 in image units, on the
            model's grid and with its affine, which are those of the image where it was on them,
            and of what it was resampled to otherwise.

        Raises
        ------
        ImageError
            If the model has no such modality, the prediction no (finite) reconstruction of it, or
            the file another ending.
        """
        if modality not in self.modalities:
            raise ImageError(
                f"A reconstruction must be of {', '.join(self.modalities)}, got {modality!r}."
            )
        if not path.name.endswith((".nii", ".nii.gz")):
            raise ImageError(f"{path}: a reconstruction is written as .nii or .nii.gz.")
        if prediction.reconstruction_MDHW is None:
            raise ImageError(
                "The prediction must hold the reconstruction that is to be written; make it with "
                "reconstruct=True."
            )
        y_DHW = prediction.reconstruction_MDHW[self.modalities.index(modality)]
        if not np.isfinite(y_DHW).all():
            raise ImageError(
                f"The reconstruction of {modality} must be finite to be written, but it is not: "
                f"no {modality} was given, and by the model's normalisation ("
                f"{self.encoder.normaliser.method}) image units are those of the subject's own."
            )
        image: Any = nib.Nifti1Image(y_DHW, self.record.space.affine)
        image.header.set_xyzt_units("mm")
        content: bytes = image.to_bytes()
        write_bytes(path, gzip.compress(content, mtime=0) if path.name.endswith("gz") else content)

    def _judge(self, x_MDHW: FloatArray, y_MDHW: FloatArray, given_M: Given) -> Judgement:
        """Measure the errors of the given images as `training.evaluate` does, and compare them."""
        mask_DHW = self.encoder.normaliser.mask_DHW
        errors = {
            name: mse(x_MDHW[m], y_MDHW[m], mask_DHW)
            for m, name in enumerate(self.modalities)
            if given_M[m]
        }
        return self.record.errors.judge(errors, complete=bool(given_M.all()))


def _mask(given_M: Given) -> Given | None:
    """Say nothing to the network where everything is given."""
    return None if given_M.all() else given_M
