"""The folder of a volume store: small files and zarr arrays, local or behind an fsspec URL."""

import contextlib
import functools
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

import fsspec
from zarr.storage import FsspecStore, LocalStore

from isthmus.core.errors import ConfigError, ResourceError
from isthmus.core.files import write_text

P = ParamSpec("P")
R = TypeVar("R")

# A store that takes requests and answers none is given up after minutes: s3fs asks five times.
_S3 = ("s3", "s3a")
_S3_PATIENCE = {"connect_timeout": 10, "read_timeout": 15, "retries": {"total_max_attempts": 4}}
# A record has some kB, and an index of a million participants some 30 MB.
_MOST_BYTES = 2**28
# Who is to install what, by the protocol of the URL.
_EXTRAS = dict.fromkeys(_S3, " For S3-style stores: pip install 'isthmus[s3]'.")


def readable(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function end in `ResourceError` where an object store refuses or is away.

    Parameters
    ----------
    function : callable
        Its first argument has a ``url``, or a ``store_url``.

    Returns
    -------
    callable
        Same signature. Errors of a local disk, and files that are not there, are raised as ever.
    """

    @functools.wraps(function)
    def told(*args: P.args, **named: P.kwargs) -> R:
        try:
            return function(*args, **named)
        except Exception as error:
            place: Any = args[0]
            url = str(getattr(place, "url", None) or getattr(place, "store_url", ""))
            if _local_path(url) is not None or not _is_of_client(error):
                raise
            words = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise ResourceError(
                f"The store {url} must answer and let this user read and write, but: {words}. "
                "Check execution.store, that its bucket exists, the credentials (as AWS_ACCESS_KEY"
                "_ID, AWS_SECRET_ACCESS_KEY) and the address (AWS_ENDPOINT_URL); what is stored "
                "stays, and the same command continues."
            ) from error

    return told


def _is_of_client(error: BaseException) -> bool:
    """Tell what a client of an object store raises from a bug, and from what callers expect."""
    source = type(error).__module__.partition(".")[0]
    # zarr's are of arrays that are not there, which some callers make then.
    return source in ("botocore", "aiohttp") or (isinstance(error, OSError) and source != "zarr")


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
        return FsspecStore.from_url(self.url, self._options, read_only=read_only)

    @readable
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

    @readable
    def read_bytes(self, name: str, most: int = _MOST_BYTES) -> bytes | None:
        """Read a small file; None where there is none.

        Raises
        ------
        ConfigError
            If a local file is longer than `most`: one with a hole in it can be of any length.
        """
        try:
            if self.path is not None:
                length = (self.path / name).stat().st_size
                if length > most:
                    raise ConfigError(
                        f"{self.url}/{name}: must have at most {most:,} bytes, got {length:,}. "
                        "Remove the store and ingest again."
                    )
                return (self.path / name).read_bytes()
            filesystem, root = self._remote
            return bytes(filesystem.cat_file(f"{root}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_text(self, name: str) -> str | None:
        """Read a small file of text; None where there is none.

        Raises
        ------
        ConfigError
            If the file is no text: somebody else wrote it, or a disk failed.
        """
        content = self.read_bytes(name)
        try:
            return None if content is None else content.decode()
        except UnicodeDecodeError as error:
            raise self._damaged(name, error) from None

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
        except (ValueError, RecursionError) as error:  # too long a number, too deep a list
            raise self._damaged(name, error) from None

    def _damaged(self, name: str, error: Exception) -> ConfigError:
        """Say that a file is not what isthmus wrote."""
        return ConfigError(
            f"{self.url}/{name}: must be JSON as isthmus ingest wrote it, got: {error}. Remove "
            "the store and ingest again."
        )

    @readable
    def remove(self, name: str) -> None:
        """Remove a small file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            if self.path is not None:
                (self.path / name).unlink()
            else:
                filesystem, root = self._remote
                filesystem.rm_file(f"{root}/{name}")

    @readable
    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.path is not None:
            return (self.path / name).is_file()
        filesystem, root = self._remote
        return bool(filesystem.exists(f"{root}/{name}"))

    @readable
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
            filesystem, root = fsspec.core.url_to_fs(self.url, **self._options)
        except (ValueError, ImportError) as error:
            words = str(error).rstrip(".")
            raise ConfigError(
                f"execution.store must be a folder or an fsspec URL, got {self.url!r}: {words}."
                f"{_EXTRAS.get(self.url.partition(':')[0], '')}"
            ) from None
        return filesystem, str(root).rstrip("/")

    @property
    def _options(self) -> dict[str, Any]:
        """How long to wait, where fsspec's own configuration does not say it."""
        protocol = self.url.partition(":")[0]
        if protocol not in _S3 or "config_kwargs" in fsspec.config.conf.get(protocol, {}):
            return {}
        return {"config_kwargs": _S3_PATIENCE}


def _local_path(url: str) -> Path | None:
    """Find the folder that a URL means, if it means one."""
    if "://" not in url:
        return Path(url).resolve()
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path)).resolve()
    return None
