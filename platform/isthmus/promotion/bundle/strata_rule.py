"""Which stratum a subject who was not clustered falls into.

Shape suffixes: N subjects, D columns of the embedding, K columns with variance, R coordinates of
the space that was clustered, S strata.
"""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from isthmus.config.stratification import Clusterer, StratificationConfig
from isthmus.core.digest import digest_array, digest_of
from isthmus.core.errors import ConfigError, StratificationError
from isthmus.core.files import write_atomically
from isthmus.stratification.cloud import (
    Scaling,
    fit_scaling,
    principal_axes,
    principal_components,
)
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.partition import Partition

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_ARRAYS = ("kept_D", "mean_K", "scale_K", "axes_KR", "centres_SR")
_NO_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, MemoryError)


@dataclass(frozen=True, eq=False)
class StrataRule:
    """The nearest centre, in the space that was clustered.

    Attributes
    ----------
    encoder_id : str
        The encoder whose embeddings it is for; of another's the axes differ.
    table_digest : str
        Digest of the embedding table whose subjects were clustered.
    clusterer : str
        How the strata were found.
    exemplar_ids : tuple of str, length s
        The subject that stands for each stratum, as `Partition` names it.
    sizes : tuple of int, length s
        Subjects clustered into each.
    agreement : float
        Share, in [0, 1], of the clustered subjects that the rule puts where the clusterer did.
    scaling : Scaling
        Columns kept, and what standardised them.
    axes_KR : ndarray of float64, shape (k, r), or None
        Principal axes that were kept; None where all were, for then distances are those of the
        standardised columns.
    centres_SR : ndarray of float64, shape (s, r)
        What each stratum is near: for affinity propagation its exemplar, else the mean of its
        members, for by these distances the clusterers decide.

    Notes
    -----
    Affinity propagation puts every subject to its nearest exemplar, and k-means to its nearest
    mean, so that the rule gives back their strata, but for exact ties and for a k-means that
    stopped short of its fixed point. Ward's method never moves a subject once merged; HDBSCAN's
    strata may be bent, and wind around each other; a Gaussian mixture gives each stratum a width
    along each axis. There the rule is a simplification, and `agreement` says how much of one. An
    agreement on those who were clustered is no promise of strata in those who were not.
    """

    encoder_id: str
    table_digest: str
    clusterer: Clusterer
    exemplar_ids: tuple[str, ...]
    sizes: tuple[int, ...]
    agreement: float
    scaling: Scaling
    axes_KR: FloatArray | None
    centres_SR: FloatArray

    @classmethod
    def of(
        cls, table: EmbeddingTable, partition: Partition, config: StratificationConfig
    ) -> "StrataRule":
        """Make the rule of a partition.

        Parameters
        ----------
        table : EmbeddingTable
            The embeddings; it may hold further subjects, which have no say.
        partition : Partition
            The strata that were found in them.
        config : StratificationConfig
            The settings that they were found with: `clusterer` and `pca_components` are read.

        Returns
        -------
        StrataRule
            A function of the arguments alone.

        Raises
        ------
        StratificationError
            If the table or the settings are not those of the partition.
        """
        values_ND = _clustered(table, partition, config)
        scaling = fit_scaling(values_ND)
        points_NR, axes_KR = scaling.apply(values_ND), None
        if config.pca_components is not None:
            scores_NR = principal_components(points_NR)[:, : config.pca_components]
            axes_KR = principal_axes(points_NR, scores_NR)
            points_NR = scores_NR
        labels_N = np.array(partition.labels, dtype=np.intp)
        row = {name: i for i, name in enumerate(partition.participant_ids)}
        if partition.clusterer == "affinity_propagation":
            centres_SR = points_NR[[row[name] for name in partition.exemplar_ids]]
        else:
            strata = range(len(partition.sizes))
            centres_SR = np.stack([points_NR[labels_N == s].mean(axis=0) for s in strata])
        return cls(
            encoder_id=table.encoder_id,
            table_digest=table.digest,
            clusterer=partition.clusterer,
            exemplar_ids=partition.exemplar_ids,
            sizes=partition.sizes,
            agreement=float(np.mean(_nearest(points_NR, centres_SR)[0] == labels_N)),
            scaling=scaling,
            axes_KR=axes_KR,
            centres_SR=centres_SR,
        )

    @property
    def n_strata(self) -> int:
        """Strata."""
        return len(self.centres_SR)

    @property
    def embedding_size(self) -> int:
        """Columns of the embedding."""
        return len(self.scaling.kept_D)

    @property
    def digest(self) -> str:
        """Digest of all of it."""
        arrays = {name: digest_array(array) for name, array in self._arrays().items()}
        return digest_of({**self._header(), **arrays})

    def assign(self, values_ND: npt.NDArray[np.floating[Any]]) -> tuple[IntArray, FloatArray]:
        """Put subjects to their strata.

        Parameters
        ----------
        values_ND : ndarray, shape (n, d)
            Embeddings by the same encoder, float32 or float64; no subjects are fine.

        Returns
        -------
        labels : ndarray of int, shape (n,)
            Stratum of each, from 0, in the partition's numbering; the first of equally near ones.
        membership : ndarray of float64, shape (n,)
            In [0, 1]: ``(d2 - d1) / d2``, for d1 and d2 the distances to the nearest centre and
            to the next. 0 is half-way between two strata, 1 at a centre. It is the silhouette of
            one subject with each stratum reduced to its centre, and no probability: it does not
            know how wide or how populous strata are, and in many dimensions, where all distances
            are alike, it is small even for subjects who could not be placed better. Nor does it
            tell who is far from every stratum.

        Raises
        ------
        StratificationError
            If the shape is another, or a value is not finite.
        """
        exact_ND: FloatArray = np.asarray(values_ND, dtype=np.float64)
        if exact_ND.ndim != 2 or exact_ND.shape[1] != self.embedding_size:
            raise StratificationError(
                f"Embeddings to be put into strata must have shape (subjects, "
                f"{self.embedding_size}), got {exact_ND.shape}. The strata are of encoder "
                f"{self.encoder_id}."
            )
        if not np.isfinite(exact_ND).all():
            raise StratificationError(
                "Embeddings to be put into strata must be finite, got NaN or infinity in "
                f"{int((~np.isfinite(exact_ND).all(axis=1)).sum())} of {len(exact_ND)} rows."
            )
        points_NR = self.scaling.apply(exact_ND)
        if self.axes_KR is not None:
            points_NR = points_NR @ self.axes_KR
        return _nearest(points_NR, self.centres_SR)

    def save(self, path: Path) -> None:
        """Write to a file, atomically, without pickle.

        Parameters
        ----------
        path : Path
            An ``.npz`` file to make or replace.
        """
        header = np.array(json.dumps(self._header()))
        arrays: dict[str, Any] = {**self._arrays()}
        write_atomically(path, lambda file: np.savez(file, header=header, **arrays))

    def _header(self) -> dict[str, Any]:
        """All but the arrays."""
        return {
            "schema_version": 1,
            "encoder_id": self.encoder_id,
            "table_digest": self.table_digest,
            "clusterer": self.clusterer,
            "exemplar_ids": list(self.exemplar_ids),
            "sizes": list(self.sizes),
            "agreement": self.agreement,
        }

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays that there are."""
        scaling = self.scaling
        found = (scaling.kept_D, scaling.mean_K, scaling.scale_K, self.axes_KR, self.centres_SR)
        pairs = zip(_ARRAYS, found, strict=True)
        return {name: array for name, array in pairs if array is not None}


def load_strata_rule(path: Path) -> StrataRule:
    """Read a rule that `StrataRule.save` wrote.

    Parameters
    ----------
    path : Path
        The ``.npz`` file; nothing in it is unpickled.

    Returns
    -------
    StrataRule
        With the digest it was saved with.

    Raises
    ------
    ConfigError
        If the file is missing, something else, or at odds with itself.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            header = json.loads(str(content["header"]))
            arrays = {name: content[name] for name in _ARRAYS if name in content}
        return _rule(header, arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, *_NO_ARCHIVE) as error:
        raise ConfigError(
            f"{path}: must be a saved rule of strata, got: {error}. Write the bundle again."
        ) from None


def _rule(header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> StrataRule:
    """Put a rule together from a file's content."""
    if header.pop("schema_version") != 1 or header["clusterer"] not in get_args(Clusterer):
        raise ValueError("another version of isthmus wrote it")
    scaling = Scaling(arrays["kept_D"], arrays["mean_K"], arrays["scale_K"])
    axes_KR, centres_SR = arrays.get("axes_KR"), arrays["centres_SR"]
    n_kept = int(scaling.kept_D.sum())
    shapes = (
        scaling.kept_D.dtype == np.bool_ and scaling.kept_D.ndim == 1,
        scaling.mean_K.shape == scaling.scale_K.shape == (n_kept,),
        axes_KR is None or axes_KR.shape == (n_kept, centres_SR.shape[1]),
        centres_SR.shape[1:] == ((n_kept,) if axes_KR is None else (axes_KR.shape[1],)),
        len(centres_SR) == len(header["exemplar_ids"]) == len(header["sizes"]) >= 2,
    )
    if not all(shapes):
        raise ValueError("its arrays do not fit together")
    header["exemplar_ids"] = tuple(header["exemplar_ids"])
    header["sizes"] = tuple(header["sizes"])
    return StrataRule(**header, scaling=scaling, axes_KR=axes_KR, centres_SR=centres_SR)


def _clustered(
    table: EmbeddingTable, partition: Partition, config: StratificationConfig
) -> FloatArray:
    """Take the clustered subjects' embeddings, which must be what the partition is of."""
    if partition.clusterer != config.clusterer:
        raise StratificationError(
            f"A rule must be made with the settings of its partition, which is by "
            f"{partition.clusterer}, got stratification.clusterer: {config.clusterer}."
        )
    values_ND = table.select(partition.participant_ids).values
    n_dropped = int((~fit_scaling(values_ND).kept_D).sum())
    if (values_ND.shape[1], n_dropped) != (partition.n_columns, partition.n_dropped_columns):
        raise StratificationError(
            f"A rule must be made of the embeddings that were clustered, of "
            f"{partition.n_columns} columns, {partition.n_dropped_columns} without variance; got "
            f"{values_ND.shape[1]} and {n_dropped} by encoder {table.encoder_id!r}."
        )
    return values_ND


def _nearest(points_NR: FloatArray, centres_SR: FloatArray) -> tuple[IntArray, FloatArray]:
    """Find the nearest centre of each point, and how much nearer it is than the next."""
    distances_NS = cdist(points_NR, centres_SR)
    labels_N = distances_NS.argmin(axis=1).astype(np.intp)
    ranked_NS = np.partition(distances_NS, 1, axis=1)
    nearest_N, next_N = ranked_NS[:, 0], ranked_NS[:, 1]
    apart_N = next_N - nearest_N
    return labels_N, np.divide(apart_N, next_N, out=np.zeros_like(next_N), where=next_N > 0)
