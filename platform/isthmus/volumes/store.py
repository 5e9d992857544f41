"""The volume store: each subject's volumes once, on one grid, chunked by subject and modality."""

from isthmus.volumes.partition import VolumeStore, open_partition

__all__ = ["VolumeStore", "open_store"]


def open_store(url: str) -> VolumeStore:
    """Open the development partition of a finished store for reading.

    Parameters
    ----------
    url : str
        Folder or fsspec URL.

    Returns
    -------
    VolumeStore
        Without those in the lockbox. Picklable only by its URL: open it anew in each process.

    Raises
    ------
    ConfigError
        If there is no store, or its ingest has not finished.
    """
    return open_partition(url, "development")
