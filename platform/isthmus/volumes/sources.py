"""Where the images of a cohort are: every participant's, by modality."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.cohort.images import fill_pattern, image_paths
from isthmus.cohort.participants import Participants
from isthmus.config.load import Experiment
from isthmus.core.errors import CohortError


@dataclass(frozen=True)
class ImageSource:
    """Where one image is.

    Attributes
    ----------
    participant_id, modality : str
        Whose image of what.
    path : Path or None
        The file; None when the manifest names none.
    shown : str
        The path as people are told it, from the cohort's folder.
    promised : bool
        Something says that there is an image, whether it can be read or not: a manifest names it,
        or a link stands for it.
    """

    participant_id: str
    modality: str
    path: Path | None
    shown: str
    promised: bool = False

    @property
    def is_missing(self) -> bool:
        """Whether there is no image, as opposed to one that cannot be read.

        An image that was not fetched, lies in a folder that may not be looked into, or is named
        by a manifest and not there, is none of which anybody can say that it is missing.
        """
        if self.path is None:
            return True
        try:
            self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return not self.promised
        except (OSError, ValueError):
            return False
        return False


Sources = Mapping[str, tuple[ImageSource, ...]]


def image_sources(experiment: Experiment, participants: Participants) -> Sources:
    """List all images by participant, of which at least one must be there.

    Parameters
    ----------
    experiment : Experiment
        With ``cohort.images`` or ``cohort.manifest``, and ``cohort.modalities``.
    participants : Participants
        Who is listed.

    Returns
    -------
    Mapping of str to tuple of ImageSource
        For each participant one source for each modality; files need not exist.

    Raises
    ------
    CohortError
        If not one of the files is there.
    """
    root, cohort = experiment.cohort_root, experiment.config.cohort
    paths = image_paths(experiment, participants)
    sources = {
        participant_id: tuple(
            _source(
                root, cohort.images, participant_id, modality, paths[participant_id].get(modality)
            )
            for modality in cohort.modalities
        )
        for participant_id in participants.ids
    }
    found = (item.path for items in sources.values() for item in items if item.path is not None)
    if not any(is_there(path) for path in found):
        raise CohortError(
            f"{root}: there must be image files, but none of those that cohort.images or "
            "cohort.manifest names is there. Check these and cohort.root."
        )
    return sources


def is_there(path: Path) -> bool:
    """Tell whether a path is of a file that can be looked at.

    Parameters
    ----------
    path : Path
        The path; links are followed.

    Returns
    -------
    bool
        False also where `Path.is_file` raises: for a name that is too long, or in a folder that
        may not be read.
    """
    return os.path.isfile(path)  # noqa: PTH113


def _source(
    root: Path, pattern: str | None, participant_id: str, modality: str, path: Path | None
) -> ImageSource:
    """One image, with its path as people are told it."""
    shown = "" if path is None else os.path.relpath(path, root)
    # Paths are resolved: a link without a target shows where it stands, not where it leads.
    # os.path.islink is False of a name that is too long, where Path.is_symlink raises.
    promised = path is not None and (
        pattern is None or os.path.islink(root / fill_pattern(pattern, participant_id, modality))  # noqa: PTH114
    )
    return ImageSource(participant_id, modality, path, shown, promised)
