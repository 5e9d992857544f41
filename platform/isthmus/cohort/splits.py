"""Drawing folds and hold-outs over families; the one place to import splits from."""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from isthmus.cohort.family_draws import draw_families, draw_lockbox, strata_of, stratifiers
from isthmus.cohort.folds import Fold, Split, check_split
from isthmus.cohort.participants import Participants
from isthmus.cohort.split_files import load_split, save_split
from isthmus.config.experiment import CrossValidationConfig
from isthmus.core.errors import CohortError
from isthmus.core.seeds import derive_seed, generator

__all__ = [
    "Fold",
    "Split",
    "check_split",
    "draw_hold_out",
    "draw_lockbox",
    "draw_split",
    "draw_undivided",
    "load_split",
    "save_split",
]

# The splitter weighs the balance of values alone; of a few draws, the most even sizes are taken.
_ATTEMPTS, _EVEN_SHARE = 8, 0.1


def draw_split(
    participants: Participants,
    config: CrossValidationConfig,
    monitor_share: float,
    stratify_by: Sequence[str],
    seed: int,
) -> Split:
    """Draw the folds of a cross-validation over families.

    Parameters
    ----------
    participants : Participants
        Development participants.
    config : CrossValidationConfig
        The number of folds.
    monitor_share : float
        Share in [0, 0.5] of each training fold's families to set aside for early stopping.
    stratify_by : sequence of str
        Columns whose joint distribution the folds should share, and after them the site's column;
        numbers of many values are cut at terciles. From the last on, columns are given up while
        no combination of values has a participant for each fold; `Split.method` names those kept.
    seed : int
        The same seed and participants give the same folds, whatever the order of the table.

    Returns
    -------
    Split
        Every participant is in the validation part of one fold.

    Raises
    ------
    CohortError
        If there are fewer families than folds, or a training fold would be empty.
    """
    people = participants.select(sorted(participants.ids))
    families = people.families
    n_families = families.nunique()
    if n_families < config.n_folds:
        raise CohortError(
            f"Folds keep families whole, so cross_validation.n_folds ({config.n_folds}) must be at "
            f"most the number of families, but {len(people.ids)} participants are {n_families} "
            "families. Set fewer folds."
        )
    kept = stratifiers(people, stratify_by)
    while (held_out := _held_out_by(people, kept, config.n_folds, seed)) is None:
        kept.pop()
    ids = np.array(people.ids, dtype=object)
    folds = tuple(
        _fold(number, people, set(ids[held_out == number]), monitor_share, kept, seed)
        for number in range(config.n_folds)
    )
    split = Split(folds, seed, f"stratified_group_kfold({', '.join(kept)})")
    check_split(split, participants)
    return split


def draw_hold_out(
    participants: Participants,
    share: float,
    monitor_share: float,
    stratify_by: Sequence[str],
    seed: int,
) -> Split:
    """Draw one hold-out of whole families.

    Parameters
    ----------
    participants : Participants
        Development participants.
    share : float
        Share in (0, 1) of the families to hold out; at least one is.
    monitor_share : float
        Share in [0, 0.5] of the other families to set aside for early stopping.
    stratify_by : sequence of str
        Columns over whose values the draw is spread, beside that of the site.
    seed : int
        The same seed and participants give the same hold-out.

    Returns
    -------
    Split
        One fold.

    Raises
    ------
    CohortError
        If nobody would be left to train on.
    """
    people = participants.select(sorted(participants.ids))
    columns = stratifiers(people, stratify_by)
    drawn = draw_families(people, share, columns, generator(seed, "hold_out"))
    fold = _fold(0, people, set(drawn), monitor_share, columns, seed)
    split = Split((fold,), seed, f"hold_out({', '.join(columns)})")
    check_split(split, participants)
    return split


def draw_undivided(
    participants: Participants,
    monitor_share: float,
    stratify_by: Sequence[str],
    seed: int,
    number: int = 0,
) -> Fold:
    """Take all participants for training, but for the families that choose the epoch.

    It is no part of a `Split`: nobody is held out, so no number of it is one of unseen subjects.

    Parameters
    ----------
    participants : Participants
        Development participants.
    monitor_share : float
        Share in [0, 0.5] of the families to set aside for early stopping.
    stratify_by : sequence of str
        Columns over whose values that draw is spread, beside that of the site.
    seed : int
        The same seed and participants give the same fold, whatever the order of the table.
    number : int
        What it is called.

    Returns
    -------
    Fold
        Without a validation part.

    Raises
    ------
    CohortError
        If nobody would be left to train on.
    """
    people = participants.select(sorted(participants.ids))
    return _fold(number, people, set(), monitor_share, stratifiers(people, stratify_by), seed)


def _fold(
    number: int,
    people: Participants,
    validation: set[str],
    monitor_share: float,
    stratify_by: Sequence[str],
    seed: int,
) -> Fold:
    """Carve the monitor families out of what is not held out."""
    rest = [label for label in people.ids if label not in validation]
    monitor: tuple[str, ...] = ()
    if monitor_share > 0 and rest:
        stream = generator(seed, "monitor", number)
        monitor = draw_families(people.select(rest), monitor_share, stratify_by, stream)
    train = tuple(label for label in rest if label not in set(monitor))
    if not train:
        raise CohortError(
            f"Fold {number} must leave a family to train on, but {len(people.ids)} participants "
            f"are {people.families.nunique()} families. Set fewer folds, or a smaller "
            "cross_validation.hold_out_share or training.early_stopping.monitor_share."
        )
    return Fold(number, train, monitor, tuple(sorted(validation)))


def _held_out_by(
    people: Participants, columns: Sequence[str], n_folds: int, seed: int
) -> npt.NDArray[np.int64] | None:
    """Fold that holds each participant out; None where these columns are too fine to balance."""
    labels = np.array(strata_of(people, columns))
    if columns and np.unique(labels, return_counts=True)[1].max() < n_folds:
        return None
    families = people.families.to_numpy()
    largest_family = np.unique(families, return_counts=True)[1].max()
    even_enough = max(largest_family, _EVEN_SHARE * len(labels) / n_folds)
    best, best_spread = np.zeros(0, dtype=np.int64), len(labels) + 1
    for attempt in range(_ATTEMPTS):
        fold_of = _deal(labels, families, n_folds, derive_seed(seed, "split", attempt) % 2**32)
        spread = int(np.ptp(np.bincount(fold_of, minlength=n_folds)))
        if spread < best_spread:
            best, best_spread = fold_of, spread
        if spread <= even_enough:
            break
    if columns and len(np.unique(best)) < n_folds:
        return None
    return best


def _deal(
    labels: npt.NDArray[np.str_], families: npt.NDArray[np.object_], n_folds: int, seed: int
) -> npt.NDArray[np.int64]:
    """Deal families to folds once."""
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    fold_of = np.full(len(labels), -1, dtype=np.int64)
    with warnings.catch_warnings():
        # Rare values cannot be in every fold; that the others are balanced is all we ask.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for number, (_, rows) in enumerate(splitter.split(labels, labels, families)):
            fold_of[rows] = number
    return fold_of
