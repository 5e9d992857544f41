"""Settings of the stratification that the data cannot meet, found before anything is trained."""

from collections.abc import Sequence

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.stratification.factors import check_factors

MIN_SUBJECTS = 10


def check_stratification(
    config: StratificationConfig,
    participants: Participants,
    phenotypes: Sequence[str],
    confounds: Sequence[str],
    embedding_size: int,
    n_subjects_each_fold: Sequence[int],
) -> None:
    """Refuse what `stratify` would refuse, before there is an embedding.

    Parameters
    ----------
    config : StratificationConfig
        Settings.
    participants : Participants
        Those who may be clustered: the development subjects.
    phenotypes : sequence of str
        Columns that the factors are made of.
    confounds : sequence of str
        Columns regressed out of the factor scores.
    embedding_size : int
        Columns that the embedding will have.
    n_subjects_each_fold : sequence of int
        Subjects that will be clustered in each fold: its held-out ones where
        `config.subjects` is ``held_out``, else all.

    Raises
    ------
    StratificationError
        With fewer than 10 subjects in a fold, more principal components than subjects or columns,
        more factors than usable phenotypes, an infinite phenotype or one named twice.
    CohortError
        If a column is unknown or cannot be read as numbers.

    Notes
    -----
    What depends on the embedding or on who is in a fold is not known yet: columns that turn out
    to have no variance, and phenotypes that are constant or too often missing in one fold alone.
    """
    fewest = min(n_subjects_each_fold)
    require_subjects(fewest, config)
    require_components(config, fewest, embedding_size)
    check_factors(participants.numeric(list(phenotypes)), phenotypes, config.factors, fewest)
    participants.design(list(confounds))


def require_subjects(n_subjects: int, config: StratificationConfig) -> None:
    """Refuse to look for strata among too few.

    Parameters
    ----------
    n_subjects : int
        Subjects to be clustered.
    config : StratificationConfig
        `subjects` is named in the message.

    Raises
    ------
    StratificationError
        With fewer than 10.
    """
    if n_subjects >= MIN_SUBJECTS:
        return
    hint = (
        "Set stratification.subjects: all, or use fewer folds."
        if config.subjects == "held_out"
        else "Check how many subjects were ingested."
    )
    raise StratificationError(
        f"Strata need at least {MIN_SUBJECTS} subjects, got {n_subjects} "
        f"(stratification.subjects: {config.subjects}). {hint}"
    )


def require_components(config: StratificationConfig, n_subjects: int, n_columns: int) -> None:
    """Refuse more principal components than an embedding can have.

    Parameters
    ----------
    config : StratificationConfig
        `pca_components` is read; None is always met.
    n_subjects, n_columns : int
        Shape of the embedding, columns without variance left out.

    Raises
    ------
    StratificationError
        If there are fewer subjects or columns.
    """
    asked, most = config.pca_components, min(n_subjects, n_columns)
    if asked is not None and asked > most:
        raise StratificationError(
            f"stratification.pca_components must be at most {most} (subjects, and columns with "
            f"variance: {(n_subjects, n_columns)}), got {asked}."
        )
