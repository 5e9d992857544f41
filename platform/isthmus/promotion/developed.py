"""What development made: an encoder, whom it was trained on, and the strata of its embeddings."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from isthmus.cohort.splits import Fold
from isthmus.core.errors import ConfigError
from isthmus.promotion.evidence.groups import read_fidelity
from isthmus.stratification.embedding_table import EmbeddingTable, load_parquet
from isthmus.stratification.record import RobustnessReport
from isthmus.training.fitted import FittedEncoder, read_fitted
from isthmus.trial.embedded import EMBEDDINGS_FILE
from isthmus.trial.fold import FIDELITY_FILE
from isthmus.trial.strata import STRATA_FILE, read_report

LABEL_FILE = "refit.json"
REFIT = "refit"
_FOLD_FOLDER = re.compile(r"fold-(\d+)")


@dataclass(frozen=True, eq=False)
class Developed:
    """An encoder as development left it.

    Attributes
    ----------
    directory : Path
        Its folder.
    label : str
        ``fold 0`` and so on, or ``refit``.
    fitted : FittedEncoder
        The record of its training.
    fold : Fold
        Who was trained on, monitored and held out; of a refit nobody was held out.
    table : EmbeddingTable
        Embeddings of all of them.
    strata : RobustnessReport
        What the robustness job found in these.
    fidelity : DataFrame or None
        Scores of held-out development subjects, as `isthmus.training.controls` gives them; of a
        refit those by the folds' encoders of its trial, where they are given. None where there are
        none.
    """

    directory: Path
    label: str
    fitted: FittedEncoder
    fold: Fold
    table: EmbeddingTable
    strata: RobustnessReport
    fidelity: pd.DataFrame | None

    @property
    def is_refit(self) -> bool:
        """Whether it was trained on all development subjects."""
        return self.label == REFIT


def load_developed(directory: Path) -> Developed:
    """Read what development left in a fold's folder, or in a refit's.

    Parameters
    ----------
    directory : Path
        As `isthmus.trial.run.run_trial` leaves ``fold-<i>``, or `isthmus.promotion.refit` its own.

    Returns
    -------
    Developed
        Its files agree with each other: weights with their digests, strata with the embeddings.

    Raises
    ------
    ConfigError
        If the training is not finished, or a file is missing, damaged or of another encoder.
    StratificationError
        If there are no embeddings, or they cannot be used.
    """
    fitted = read_fitted(directory)
    if fitted is None:
        raise ConfigError(
            f"{directory}: must hold a finished encoder whose files are as they were written, but "
            "does not. Run the training again: it goes on where it stopped."
        )
    table = load_parquet(directory / EMBEDDINGS_FILE)
    strata = read_report(directory / STRATA_FILE)
    if strata is None:
        raise ConfigError(
            f"{directory / STRATA_FILE}: must be the report on the encoder's strata, but there is "
            "none that this version wrote. Run the training again: it computes what is missing."
        )
    of_table = (table.encoder_id, table.digest)
    if (fitted.encoder_id, of_table) != (
        table.encoder_id,
        (strata.encoder_id, strata.table_digest),
    ):
        raise ConfigError(
            f"{directory}: encoder, {EMBEDDINGS_FILE} and {STRATA_FILE} must be of each other, but "
            f"are of {fitted.encoder_id}, {table.encoder_id} and {strata.encoder_id}, or of other "
            "embeddings. Run the training again: it computes what does not fit."
        )
    label = _label(directory)
    return Developed(
        directory, label, fitted, _fold(table, label), table, strata, _fidelity(directory)
    )


def _label(directory: Path) -> str:
    """Tell a fold's folder from a refit's."""
    file = directory / LABEL_FILE
    if file.exists():
        try:
            if json.loads(file.read_text("utf-8"))["kind"] == REFIT:
                return REFIT
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise ConfigError(f"{file}: must label a refit, but cannot be read. Refit again.")
    found = _FOLD_FOLDER.fullmatch(directory.resolve().name)
    return f"fold {found[1]}" if found else directory.name


def _fold(table: EmbeddingTable, label: str) -> Fold:
    """Read who was what off the embeddings' roles."""
    if "unknown" in table.roles:
        raise ConfigError(
            f"Embeddings of encoder {table.encoder_id!r} must tell whom it was trained on, but "
            "another tool made them. Only what isthmus trained is promoted."
        )
    pairs = list(zip(table.participant_ids, table.roles, strict=True))

    def part(role: str) -> tuple[str, ...]:
        return tuple(name for name, its_role in pairs if its_role == role)

    number = int(label.split()[1]) if label.startswith("fold ") else 0
    return Fold(number, part("train"), part("monitor"), part("validation"))


def _fidelity(directory: Path) -> pd.DataFrame | None:
    """Read the scores of held-out development subjects, where there are any."""
    return read_fidelity(directory) if (directory / FIDELITY_FILE).exists() else None
