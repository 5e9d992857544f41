"""The lockbox's volumes, which promotion alone may read, once a look at them was written down."""

from collections.abc import Sequence

from isthmus.core.errors import LeakageError
from isthmus.volumes.partition import VolumeStore, open_partition


def open_lockbox_store(url: str, participant_ids: Sequence[str]) -> VolumeStore:
    """Open the lockbox partition of a finished store for reading.

    Parameters
    ----------
    url : str
        Folder or fsspec URL.
    participant_ids : sequence of str
        Who is in the lockbox, as `isthmus.cohort.lockbox.open_lockbox` returned it when it wrote
        down the look.

    Returns
    -------
    VolumeStore
        Of those among them whose images were accepted.

    Raises
    ------
    ConfigError
        If there is no store, or its ingest has not finished.
    LeakageError
        If the partition holds somebody else.
    """
    store = open_partition(url, "lockbox")
    others = sorted(set(store.participant_ids) - set(participant_ids))
    if others:
        raise LeakageError(
            f"{url}: the lockbox must be read by the ids that open_lockbox returned, but these "
            f"lack {others[:5]}. Open this very store's lockbox first, or ingest into a new store."
        )
    return store
