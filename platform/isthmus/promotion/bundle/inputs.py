"""What a bundle is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.config.load import Experiment
from isthmus.core.errors import ConfigError
from isthmus.promotion.bundle.errors_seen import PARTS, Part
from isthmus.stratification.embedding_table import EmbeddingTable, load_parquet
from isthmus.stratification.record import RobustnessReport
from isthmus.trial.embedded import EMBEDDINGS_FILE
from isthmus.trial.run import PreparedTrial
from isthmus.trial.strata import STRATA_FILE, read_report
from isthmus.volumes.store import VolumeStore


@dataclass(frozen=True, eq=False)
class BundleInputs:
    """What a bundle is made from.

    Attributes
    ----------
    encoder_directory : Path
        Folder of the finished training.
    experiment : Experiment
        Its settings.
    store : VolumeStore
        Holds the subjects of `ids`.
    ids : Mapping of str to sequence of str
        Participants by what they were to the encoder: ``train``, ``monitor``, ``validation``.
    table : EmbeddingTable
        What the encoder made of them.
    report : RobustnessReport or None
        The robustness job on that table; None: the bundle has no strata.
    trial_digest : str
        Identity of the trial, or of the one that a refit follows.
    identity : Mapping of str to str
        The digests that it is made of.
    fold : int or None
        Which fold; None: a refit.
    """

    encoder_directory: Path
    experiment: Experiment
    store: VolumeStore
    ids: Mapping[Part, Sequence[str]]
    table: EmbeddingTable
    report: RobustnessReport | None
    trial_digest: str
    identity: Mapping[str, str]
    fold: int | None

    @classmethod
    def of_fold(cls, trial: PreparedTrial, number: int) -> "BundleInputs":
        """Collect what one fold of a finished trial left.

        Parameters
        ----------
        trial : PreparedTrial
            The trial, by `isthmus.trial.run.prepare_trial`.
        number : int
            Which fold.

        Returns
        -------
        BundleInputs
            Of that fold's encoder.

        Raises
        ------
        IsthmusError
            If there is no such fold, or it left no table of embeddings.
        """
        folds = {fold.number: fold for fold in trial.split.folds}
        if number not in folds:
            raise ConfigError(f"A fold must be one of {sorted(folds)} of its trial, got {number}.")
        directory = trial.directory / f"fold-{number}"
        return cls(
            encoder_directory=directory,
            experiment=trial.experiment,
            store=trial.store,
            ids={part: folds[number].parts[part] for part in PARTS},
            table=load_parquet(directory / EMBEDDINGS_FILE),
            report=read_report(directory / STRATA_FILE),
            trial_digest=trial.digest,
            identity=trial.identity,
            fold=number,
        )
