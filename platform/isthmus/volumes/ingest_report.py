"""What an ingest did, and whether that is good enough."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isthmus.core.errors import ImageError
from isthmus.volumes.layout import VERDICTS_FILE
from isthmus.volumes.location import StoreLocation
from isthmus.volumes.subject import SubjectOutcome
from isthmus.volumes.verdict import ImageVerdict

_SHOWN_REFUSALS = 20


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did.

    Attributes
    ----------
    store_url : str
        The store.
    digest : str
        Digest of its development partition.
    grid : tuple of int
        D, H, W in voxels.
    reference : str
        Where grid and affine came from.
    n_participants, n_accepted, n_refused : int
        Subjects listed, and of those in the store or not.
    n_lockbox : int
        Accepted subjects that are set aside.
    n_read, n_reused : int
        Images read whole this time, and images whose stored volumes were still good.
    n_withdrawn : int
        Subjects whose volumes were removed, being listed no longer.
    n_incomplete : int
        Accepted subjects without an image of every modality; none unless
        ``cohort.missing_modalities`` keeps them.
    lacking : tuple of (str, int)
        For each modality how many of these lack it.
    refused : tuple of (str, str)
        participant_id and reasons, in the order of the table.
    verdicts : tuple of ImageVerdict
        One for each participant and modality, as in ``verdicts.tsv``.
    """

    store_url: str
    digest: str
    grid: tuple[int, int, int]
    reference: str
    n_participants: int
    n_accepted: int
    n_refused: int
    n_lockbox: int
    n_read: int
    n_reused: int
    n_withdrawn: int
    n_incomplete: int
    lacking: tuple[tuple[str, int], ...]
    refused: tuple[tuple[str, str], ...]
    verdicts: tuple[ImageVerdict, ...]


def refused_subjects(outcomes: Iterable[SubjectOutcome]) -> tuple[tuple[str, str], ...]:
    """List who is refused, and why.

    Parameters
    ----------
    outcomes : iterable of SubjectOutcome
        One for each participant, in the order wanted.

    Returns
    -------
    tuple of (str, str)
        participant_id, and the reasons of all images that cannot be used, joined by spaces; in the
        order of `outcomes`, without those who are accepted.
    """
    return tuple(
        (outcome.participant_id, " ".join(v.reason for v in outcome.verdicts if v.reason))
        for outcome in outcomes
        if not outcome.accepted
    )


def lacking_images(
    outcomes: Sequence[SubjectOutcome], modalities: Iterable[str]
) -> tuple[tuple[str, int], ...]:
    """Count the accepted subjects that lack an image, by modality.

    Parameters
    ----------
    outcomes : sequence of SubjectOutcome
        One for each participant.
    modalities : iterable of str
        In the order wanted.

    Returns
    -------
    tuple of (str, int)
        Each modality, with how many lack it.
    """
    accepted = [outcome for outcome in outcomes if outcome.accepted]
    return tuple((name, sum(name in item.lacking for item in accepted)) for name in modalities)


def require_good(
    location: StoreLocation, refused: Sequence[tuple[str, str]], n_participants: int, strict: bool
) -> None:
    """Fail when nobody is left, or anybody is lost in a strict run.

    Parameters
    ----------
    location : StoreLocation
        The store, whose table of verdicts the message points at.
    refused : sequence of (str, str)
        participant_id and reasons, as from `refused_subjects`.
    n_participants : int
        Subjects listed, refused ones among them.
    strict : bool
        Let one refused subject fail the run.

    Raises
    ------
    ImageError
        If every subject is refused, or any is and `strict` is set; the message names up to 20.
    """
    if not refused or (len(refused) < n_participants and not strict):
        return
    lines = [f"  {participant_id}: {reasons}" for participant_id, reasons in refused]
    if len(lines) > _SHOWN_REFUSALS:
        lines[_SHOWN_REFUSALS:] = [f"  ... and {len(lines) - _SHOWN_REFUSALS} more"]
    rule = "In a strict ingest every image must be good" if strict else "One subject must be good"
    raise ImageError(
        f"{rule}, but {len(refused)} of {n_participants} subjects are refused "
        f"({location.url}/{VERDICTS_FILE}):\n" + "\n".join(lines)
    )
