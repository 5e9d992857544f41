"""One partition of the volume store, for the two modules that open one: `store`, `lockbox_store`.

Shapes: M modalities, grid D, H, W. How it is laid out stands in `layout`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError, ImageError
from isthmus.volumes.layout import (
    COMPLETE_FILE,
    Partition,
    open_volumes,
    read_rules,
    require_fit,
    require_settings,
)
from isthmus.volumes.location import StoreLocation, readable
from isthmus.volumes.records import (
    is_accepted,
    is_record,
    read_records,
    record_name,
    recorded_modalities,
)
from isthmus.volumes.stored_chunks import is_damage
from isthmus.volumes.stored_settings import StoreSettings


class VolumeStore:
    """One partition of a finished store, open for reading.

    Opened by `open_store`, or by `open_lockbox_store`.

    Attributes
    ----------
    url : str
        Its folder or URL.
    partition : {"development", "lockbox"}
        Which subjects.
    participant_ids : tuple of str
        Sorted; those whose images were all accepted, or, where the cohort keeps subjects without
        every modality, all that there are.
    modalities : tuple of str
        What each has; `known` says where subjects may lack some.
    grid : tuple of int
        D, H, W in voxels.
    affine : ndarray, float64, shape (4, 4)
        From voxel indices to mm.
    mask_DHW : ndarray of bool or None
        The cohort's mask, where one was declared.
    digest : str
        Digest of ids, stored values and settings.
    """

    def __init__(
        self,
        location: StoreLocation,
        partition: Partition,
        settings: StoreSettings,
        records: Mapping[int, Mapping[str, Any]],
        mask_DHW: npt.NDArray[np.bool_] | None,
    ) -> None:
        self.url = location.url
        self.partition = partition
        self._stored = {
            str(record["participant_id"]): recorded_modalities(record)
            for record in records.values()
        }
        self._rows = {str(records[row]["participant_id"]): row for row in sorted(records)}
        self.participant_ids = tuple(sorted(self._rows))
        self.modalities = settings.modalities
        self.grid = settings.grid
        self.affine = settings.space.affine
        self.mask_DHW = mask_DHW
        self.digest = store_digest(settings, partition, records)
        self._array = open_volumes(location, partition) if records else None
        if self._array is not None:
            require_fit(self._array, settings, location.url, partition)
            if max(records) >= self._array.shape[0]:
                raise ConfigError(
                    f"{location.url}: each record must be of a row of the {partition} partition, "
                    f"of which there are {self._array.shape[0]}, but there is "
                    f"{record_name(partition, max(records))}. Run isthmus ingest again."
                )

    def known(self, participant_id: str, modalities: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Tell which of a subject's volumes there are.

        Parameters
        ----------
        participant_id : str
            One of `participant_ids`.
        modalities : sequence of str, length M
            Among `modalities`, in the order wanted.

        Returns
        -------
        ndarray of bool, shape (M,)
            False where the subject has no such image.

        Raises
        ------
        ImageError
            If the store has no such subject or modality.
        """
        self._row(participant_id)
        self._require_modalities(modalities)
        stored = self._stored[participant_id]
        return np.array([name in stored for name in modalities], dtype=np.bool_)

    @readable
    def read(self, participant_id: str, modalities: Sequence[str]) -> npt.NDArray[np.float32]:
        """Read a subject's volumes.

        Parameters
        ----------
        participant_id : str
            One of `participant_ids`.
        modalities : sequence of str, length M
            Among `modalities`, in the order wanted.

        Returns
        -------
        ndarray, float32, shape (M, D, H, W)
            Image units, finite; NaN throughout where `known` is False, so that nothing can take
            for an image what is none.

        Raises
        ------
        ImageError
            If the store has no such subject or modality, or a chunk of it is lost.
        """
        row, known_M = self._row(participant_id), self.known(participant_id, modalities)
        assert self._array is not None  # there is one where there are rows
        x_MDHW = np.full((len(modalities), *self.grid), np.nan, dtype=np.float32)
        for position, name in enumerate(modalities):
            if not known_M[position]:
                continue
            try:
                x_MDHW[position] = self._array[row, self.modalities.index(name)]
            except (ImageError, RuntimeError, ValueError) as error:
                if not is_damage(error):
                    raise
                x_MDHW[position] = np.nan
            # Stored volumes are finite and a chunk that is not there reads as NaN.
            if not np.isfinite(x_MDHW[position]).all():
                raise ImageError(
                    f"{self.url}: volumes of {participant_id} are lost or damaged; remove "
                    f"{record_name(self.partition, row)} there and run isthmus ingest again."
                )
        return x_MDHW

    def _row(self, participant_id: str) -> int:
        """Find a subject's row."""
        row = self._rows.get(participant_id)
        if row is None:
            raise ImageError(
                f"{self.url}: the {self.partition} partition has no subject {participant_id!r}; "
                "it was refused (see verdicts.tsv), is in the other partition, or must be ingested."
            )
        return row

    def _require_modalities(self, modalities: Sequence[str]) -> None:
        """Refuse modalities that the store does not have of anybody."""
        unknown = [name for name in modalities if name not in self.modalities]
        if unknown:
            raise ImageError(
                f"{self.url}: modalities must be among {list(self.modalities)}, got {unknown}."
            )


def open_partition(url: str, partition: Partition) -> VolumeStore:
    """Open one partition of a finished store for reading.

    Parameters
    ----------
    url : str
        Folder or fsspec URL.
    partition : {"development", "lockbox"}
        Which subjects.

    Returns
    -------
    VolumeStore
        Picklable only by its URL: open it anew in each process.

    Raises
    ------
    ConfigError
        If there is no store, its ingest has not finished, or what it holds is not as isthmus wrote
        it.
    """
    location = StoreLocation(url)
    settings = require_settings(location)
    if location.read_json(COMPLETE_FILE) is None:
        raise ConfigError(
            f"The ingest into {url} has not finished. Run isthmus ingest again: it goes on where "
            "it stopped."
        )
    rules = read_rules(location, settings)
    found = read_records(location, partition)
    records = {row: record for row, record in found.items() if is_accepted(record)}
    for row, record in records.items():
        if not is_record(record, settings):
            raise ConfigError(
                f"{location.url}/{record_name(partition, row)}: must be the record of a subject as "
                "isthmus ingest wrote it, but is not. Remove it and run isthmus ingest again."
            )
    return VolumeStore(location, partition, settings, records, rules.mask_DHW)


def store_digest(
    settings: StoreSettings, partition: Partition, records: Mapping[int, Mapping[str, Any]]
) -> str:
    """Digest what a partition holds: whose values, under which settings; the order is no matter.

    Of a subject that is kept without every modality it covers which ones are not there.

    Parameters
    ----------
    settings : StoreSettings
        The store's.
    partition : {"development", "lockbox"}
        Which subjects.
    records : Mapping of int to Mapping
        Of accepted subjects, by row.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    subjects = {
        record["participant_id"]: {
            name: image["stored_digest"] for name, image in record["images"].items()
        }
        for record in records.values()
    }
    return digest_of({"settings": settings.digest, "partition": partition, "subjects": subjects})
