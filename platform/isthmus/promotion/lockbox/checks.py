"""What is refused, and what is settled, before a look into the lockbox is written down."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isthmus.cohort.excerpt import a_few
from isthmus.cohort.participants import Participants, load_participants
from isthmus.cohort.seal import SEAL_NAME, read_seal
from isthmus.config.load import Experiment
from isthmus.core.errors import CohortError, ConfigError, LeakageError, StratificationError
from isthmus.promotion.bundle.strata_rule import StrataRule
from isthmus.promotion.developed import Developed
from isthmus.promotion.lockbox.replication import Questions, questions_of
from isthmus.stratification.partition import Partition
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.targets import indicators
from isthmus.training.ranks import choose_device
from isthmus.volumes.location import StoreLocation
from isthmus.volumes.membership import require_fits
from isthmus.volumes.store import VolumeStore, open_store


@dataclass(frozen=True, eq=False)
class BeforeLook:
    """All that is settled before the look. Made by `before_look`.

    Attributes
    ----------
    experiment : Experiment
        Settings and folders.
    developed : Developed
        The encoder.
    everybody : Participants
        All who are listed, the lockbox among them.
    store : VolumeStore
        Development subjects.
    folder : Path
        Of the store.
    questions : Questions
        What will be asked.
    rule : StrataRule or None
        How subjects are put into development's strata; None where there are none.
    """

    experiment: Experiment
    developed: Developed
    everybody: Participants
    store: VolumeStore
    folder: Path
    questions: Questions
    rule: StrataRule | None


def before_look(experiment: Experiment, developed: Developed, reason: str) -> BeforeLook:
    """Refuse whatever can be refused without a look, and settle what will be asked.

    Parameters
    ----------
    experiment, developed, reason
        As for `isthmus.promotion.lockbox.look.evaluate_lockbox`.

    Returns
    -------
    BeforeLook
        Nothing of it depends on an image in the lockbox.

    Raises
    ------
    IsthmusError
        As `isthmus.promotion.lockbox.look.evaluate_lockbox`.
    """
    if not reason.strip():
        raise CohortError("Opening the lockbox must have a reason, got none. Say what it is for.")
    url = experiment.store_url
    folder = StoreLocation(url).path
    if folder is None:
        raise ConfigError(
            f"{url}: a store whose lockbox is opened must be a folder, for looks are written down "
            "in it, but this is none. Set execution.store to a folder that this machine sees."
        )
    everybody = load_participants(experiment)
    _require_members(folder, everybody)
    require_fits(url, experiment, everybody)
    _require_unseen(folder, developed, everybody)
    store = open_store(url)
    fold, strata = developed.fold, developed.strata
    absent = sorted(
        {name for ids in fold.parts.values() for name in ids} - {*store.participant_ids}
    )
    if absent:
        raise CohortError(
            f"{url}: must hold everybody whom encoder {developed.fitted.encoder_id} was developed "
            f"with, but lacks {a_few(absent)}. Is it another experiment's?"
        )
    _require_readable(strata, everybody)
    choose_device(experiment.config.execution.device)  # refuses a GPU that is not there
    rule = None
    if isinstance(strata.strata, Partition):
        rule = StrataRule.of(developed.table, strata.strata, strata.config)
    questions = questions_of(strata, everybody)
    return BeforeLook(experiment, developed, everybody, store, folder, questions, rule)


def _require_members(folder: Path, everybody: Participants) -> None:
    """Refuse a lockbox that was never drawn, or holds nobody."""
    seal = read_seal(folder)
    if seal is None or not seal.participant_ids:
        what = "there is no lockbox" if seal is None else "nobody is in the lockbox"
        raise CohortError(
            f"{folder / SEAL_NAME}: {what}. Set cohort.lockbox_share above 0 and "
            "execution.store to a new folder, run isthmus ingest, and develop the model again: "
            "whoever it was developed with cannot be set aside any more."
        )
    if not set(seal.participant_ids) & set(everybody.ids):
        raise CohortError(
            f"{folder / SEAL_NAME}: somebody in the lockbox must be in the participants table, but "
            f"none of {a_few(seal.participant_ids)} is. Restore the table."
        )


def _require_unseen(folder: Path, developed: Developed, everybody: Participants) -> None:
    """Refuse a lockbox with a family that the encoder, or the choice of it, has seen."""
    seal = read_seal(folder)
    sealed = set(seal.participant_ids) if seal is not None else set()
    families = everybody.families
    closed = set(families[families.index.isin(sealed)])
    relatives = {str(name) for name in families.index[families.isin(closed)]}
    used = {name for ids in developed.fold.parts.values() for name in ids}
    shared = sorted(used & (sealed | relatives))
    if shared:
        raise LeakageError(
            f"A lockbox must hold nobody whom a model was developed with, nor a relative, but "
            f"encoder {developed.fitted.encoder_id} was developed with {a_few(shared)}. Its "
            "lockbox is that of the store which it was trained from."
        )


def _require_readable(strata: RobustnessReport, everybody: Participants) -> None:
    """Refuse columns that could not be tested, whoever's they are."""
    values_NP = everybody.numeric(strata.phenotypes)
    infinite = np.isinf(values_NP).any(axis=0)
    if infinite.any():
        raise StratificationError(
            "Phenotypes must be finite or missing, got infinity in "
            f"{a_few([str(name) for name in np.array(strata.phenotypes)[infinite]])}. Write n/a in "
            "participants.tsv where a value is not known."
        )
    everybody.design(strata.confounds)
    for name in strata.categorical_phenotypes:
        indicators(everybody, name, everybody.ids)
