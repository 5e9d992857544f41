"""What is to be trained: one encoder, on one fold, into one folder."""

from dataclasses import dataclass
from pathlib import Path

from isthmus.cohort.splits import Fold
from isthmus.config.experiment import ExperimentConfig
from isthmus.core.digest import digest_of
from isthmus.core.errors import CohortError
from isthmus.training.presence import require_some_image
from isthmus.volumes.store import VolumeStore


@dataclass(frozen=True)
class TrainTask:
    """The training of one fold.

    Attributes
    ----------
    config : ExperimentConfig
        All settings of the experiment.
    store_url : str
        Folder or URL of the volume store; every worker must reach it.
    fold : Fold
        Training, monitor and held-out subjects.
    directory : Path
        Where checkpoints and the fitted encoder go; every worker must reach it.
    encoder_id : str
        Identifier of the encoder, and so of the space of its embeddings.
    seed : int
        Root of this fold's random streams: initial weights, order of subjects, dropout.
    workers : int
        Training processes asked for. It changes who computes what, not what is computed.
    """

    config: ExperimentConfig
    store_url: str
    fold: Fold
    directory: Path
    encoder_id: str
    seed: int
    workers: int = 1

    def digest(self, store: VolumeStore) -> str:
        """Digest all that decides the weights: settings, seed, subjects and their images.

        Parameters
        ----------
        store : VolumeStore
            The opened store of this task.

        Returns
        -------
        str
            64 hexadecimal digits; the same for any number of workers, any folder and any order of
            subjects within a part.
        """
        return digest_of(
            {
                "experiment": self.config.digest,
                "seed": self.seed,
                **{part: sorted(ids) for part, ids in self.fold.parts.items()},
                "images": store.digest,
            }
        )

    def normaliser_ids(self) -> tuple[str, ...]:
        """Subjects the intensity normalisation is fitted on.

        Returns
        -------
        tuple of str
            Sorted; the training subjects alone. With ``volumes.normalisation.leaky`` all of the
            fold, as the published code does, and every number is then labelled so.
        """
        fold = self.fold
        leaky = self.config.volumes.normalisation.leaky
        return tuple(
            sorted((*fold.train, *fold.monitor, *fold.validation) if leaky else fold.train)
        )

    def check_subjects(self, store: VolumeStore) -> None:
        """Refuse subjects and modalities that the store does not hold.

        Parameters
        ----------
        store : VolumeStore
            The opened store of this task.

        Raises
        ------
        CohortError
            If a subject of the fold, or a modality of the model, is not in the store, or a
            subject has none of the model's modalities.
        """
        fold = self.fold
        known = set(store.participant_ids)
        missing = [
            name for name in (*fold.train, *fold.monitor, *fold.validation) if name not in known
        ]
        if missing:
            raise CohortError(
                f"Every subject of fold {fold.number} must be in the volume store "
                f"{self.store_url}, but {len(missing)} are not ({', '.join(missing[:5])}"
                f"{', ...' if len(missing) > 5 else ''}). Ingest them, or draw the split again."
            )
        absent = sorted(set(self.config.fused_modalities) - set(store.modalities))
        if absent:
            raise CohortError(
                f"model.modalities must be in the volume store {self.store_url}, which holds "
                f"{list(store.modalities)}, but {absent} are not. Ingest the cohort again."
            )
        ids = [name for part in fold.parts.values() for name in part]
        require_some_image(store, ids, self.config.fused_modalities)
