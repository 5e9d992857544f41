"""The token that a local Ray asks for, and who may read it.

Ray makes `~/.ray/auth_token` on first use, readable as the umask has it: by everybody on most
machines. Whoever has the token runs programs as the user, so here it is made first, for its owner.
"""

import logging
import os
import secrets
import stat
import tempfile
from pathlib import Path

_LOG = logging.getLogger(__name__)


def keep_token_private() -> Path | None:
    """Have a token that only its owner reads, before Ray makes one.

    Returns
    -------
    Path or None
        The token's file; None where the user gave the token otherwise (``RAY_AUTH_TOKEN``,
        ``RAY_AUTH_TOKEN_PATH``) or switched authentication off (``RAY_AUTH_MODE``).

    Raises
    ------
    OSError
        If the file cannot be made, or its permissions cannot be set.

    Notes
    -----
    A file that is there keeps its content, which other sessions use, and loses the permissions of
    group and others; so does one that two commands make at once, of whom one is first.
    """
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if given or os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return None
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        _LOG.info("%s was readable by others than its owner, and is no longer", path)
    return path


def _make(path: Path) -> None:
    """Write a token beside its place, readable by its owner alone, and link it there if free."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".auth_token-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(handle)
        try:
            os.link(beside, path)
        except FileExistsError:
            pass  # another command was first
        except OSError:  # a file system without links
            Path(beside).replace(path)
    finally:
        Path(beside).unlink(missing_ok=True)
