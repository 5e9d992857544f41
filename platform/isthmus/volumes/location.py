"""The folder of a volume store: small files and zarr arrays, local or behind an fsspec URL."""

import contextlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
from zarr.storage import FsspecStore, LocalStore

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_text


class StoreLocation:
    """A place for a volume store.

    Parameters
    ----------
    url : str
        Absolute folder, or an fsspec URL such as ``memory://store`` or ``s3://bucket/store``.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") or url
        self.path = _local_path(self.url)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder that other processes of this machine see."""
        return self.path is not None

    def zarr(self, read_only: bool = False) -> LocalStore | FsspecStore:
        """Open the place for zarr."""
        if self.path is not None:
            return LocalStore(self.path, read_only=read_only)
        return FsspecStore.from_url(self.url, read_only=read_only)

    def write_text(self, name: str, text: str) -> None:
        """Write a small file; whole or not at all where local."""
        if self.path is not None:
            write_text(self.path / name, text)
            return
        filesystem, root = self._remote
        filesystem.pipe_file(f"{root}/{name}", text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON."""
        self.write_text(name, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")

    def read_text(self, name: str) -> str | None:
        """Read a small file; None where there is none."""
        try:
            if self.path is not None:
                return (self.path / name).read_text("utf-8")
            filesystem, root = self._remote
            return bytes(filesystem.cat_file(f"{root}/{name}")).decode()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_json(self, name: str) -> Any:
        """Read JSON; None where there is no such file.

        Raises
        ------
        ConfigError
            If the file is no JSON: somebody else wrote or cut it.
        """
        text = self.read_text(name)
        try:
            return None if text is None else json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"{self.url}/{name}: must be JSON as isthmus ingest wrote it, got: {error}. Remove "
                "the store and ingest again."
            ) from None

    def remove(self, name: str) -> None:
        """Remove a small file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            if self.path is not None:
                (self.path / name).unlink()
            else:
                filesystem, root = self._remote
                filesystem.rm_file(f"{root}/{name}")

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.path is not None:
            return (self.path / name).is_file()
        filesystem, root = self._remote
        return bool(filesystem.exists(f"{root}/{name}"))

    def names(self, folder: str = "") -> tuple[str, ...]:
        """List the names in a folder, sorted; none where there is no such folder."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if self.path is not None:
                return tuple(sorted(entry.name for entry in (self.path / folder).iterdir()))
            filesystem, root = self._remote
            filesystem.invalidate_cache()
            listed = filesystem.ls(f"{root}/{folder}".rstrip("/"), detail=False)
            return tuple(sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in listed))
        return ()

    @cached_property
    def _remote(self) -> tuple[Any, str]:
        """The file system behind the URL, and the path on it."""
        try:
            filesystem, root = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise ConfigError(
                f"execution.store must be a folder or an fsspec URL, got {self.url!r}: {error}."
            ) from None
        return filesystem, str(root).rstrip("/")


def _local_path(url: str) -> Path | None:
    """Find the folder that a URL means, if it means one."""
    if "://" not in url:
        return Path(url).resolve()
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path)).resolve()
    return None
