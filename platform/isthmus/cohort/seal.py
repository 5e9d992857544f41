"""The seal on the lockbox: who was set aside, written once the lockbox is drawn."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.digest import digest_of
from isthmus.core.errors import CohortError
from isthmus.core.files import write_json

SEAL_NAME = "lockbox.json"


@dataclass(frozen=True)
class Seal:
    """Who is set aside. It says nothing of their images or phenotypes.

    Attributes
    ----------
    participant_ids : tuple of str
        Sorted labels; may be empty.
    share : float
        Share of the families that was asked for.
    seed : int
        Seed of the draw.
    """

    participant_ids: tuple[str, ...]
    share: float
    seed: int

    @property
    def digest(self) -> str:
        """Digest of the members."""
        return digest_of(list(self.participant_ids))


def write_seal(store_folder: Path, seal: Seal) -> None:
    """Seal a lockbox beside the store; members never leave it.

    Parameters
    ----------
    store_folder : Path
        Folder of the volume store.
    seal : Seal
        The members, those sealed earlier included.

    Raises
    ------
    CohortError
        If somebody sealed earlier is missing from the new seal.
    """
    earlier = read_seal(store_folder)
    freed = sorted(set(earlier.participant_ids if earlier else ()) - set(seal.participant_ids))
    if freed:
        raise CohortError(
            f"{store_folder / SEAL_NAME}: who is in the lockbox must stay there, but the new seal "
            f"frees {freed[:5]}. Ingest into a new store to start over."
        )
    write_json(
        store_folder / SEAL_NAME,
        {
            "participant_ids": list(seal.participant_ids),
            "share": seal.share,
            "seed": seal.seed,
            "digest": seal.digest,
        },
    )


def read_seal(store_folder: Path) -> Seal | None:
    """Read who is set aside.

    Parameters
    ----------
    store_folder : Path
        Folder of the volume store.

    Returns
    -------
    Seal or None
        None when no lockbox was ever sealed there.

    Raises
    ------
    CohortError
        If the seal is damaged or was edited.
    """
    path = store_folder / SEAL_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ids: Sequence[str] = content["participant_ids"]
        seal = Seal(tuple(map(str, ids)), float(content["share"]), int(content["seed"]))
        intact = content["digest"] == seal.digest
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CohortError(
            f"{path}: must be a lockbox's seal, but cannot be read: {error}."
        ) from None
    if not intact:
        raise CohortError(
            f"{path}: a seal must match its digest, but this one was edited. Restore the file, or "
            "ingest into a new store."
        )
    return seal
