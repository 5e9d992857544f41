"""Keeping every path that a cohort's tables name within the cohort's folder."""

from pathlib import Path, PurePosixPath

from isthmus.core.errors import CohortError


def confine(root: Path, relative: str) -> Path:
    """Resolve a path that must stay within a folder.

    Parameters
    ----------
    root : Path
        The cohort's folder.
    relative : str
        Path from that folder, as a setting, a manifest or a participant's label gives it. It need
        not exist.

    Returns
    -------
    Path
        Absolute, with symbolic links followed: what was checked is what will be opened.

    Raises
    ------
    CohortError
        If the path is empty, absolute, climbs (``..``), or follows a symbolic link out of the
        folder.

    Examples
    --------
    >>> confine(Path("/data"), "sub-01/sub-01_T1w.nii.gz").as_posix()
    '/data/sub-01/sub-01_T1w.nii.gz'
    """
    rule = f"A path must stay within the cohort's folder {root}, but {relative!r}"
    todo = "Copy the file into the folder, or set cohort.root to a folder that holds it."
    path = PurePosixPath(relative)
    if not relative.strip():
        raise CohortError(f"{rule} is empty. Give a path from that folder.")
    if path.is_absolute():
        raise CohortError(f"{rule} is absolute. {todo}")
    if ".." in path.parts:
        raise CohortError(f"{rule} climbs out by '..'. {todo}")
    try:
        inside = root.resolve()
        resolved = (inside / path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise CohortError(f"{rule} cannot be resolved: {error}.") from None
    if not resolved.is_relative_to(inside):
        raise CohortError(f"{rule} is a link to {resolved}. {todo}")
    return resolved
