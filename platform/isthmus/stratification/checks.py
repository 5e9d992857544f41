"""Settings of the stratification that the data cannot meet, found before anything is trained."""

from collections import Counter
from collections.abc import Hashable, Sequence

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.stratification.factors import check_factors
from isthmus.stratification.variables import DeclaresVariables

MIN_SUBJECTS = 10


def check_stratification(
    config: StratificationConfig,
    participants: Participants,
    variables: DeclaresVariables,
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
    variables : DeclaresVariables
        The columns declared as phenotypes, categorical phenotypes and confounds.
    embedding_size : int
        Columns that the embedding will have.
    n_subjects_each_fold : sequence of int
        Subjects that will be clustered in each fold: its held-out ones where
        `config.subjects` is ``held_out``, else all.

    Raises
    ------
    StratificationError
        With fewer than 10 subjects in a fold, more principal components than subjects or columns,
        as many landmarks or strata as subjects, a family that would be more than half of any fold,
        more factors than usable phenotypes, an infinite phenotype or one named twice.
    CohortError
        If a column is unknown or cannot be read as numbers.

    Notes
    -----
    What depends on the embedding or on who is in a fold is not known yet: columns that turn out
    to have no variance, phenotypes that are constant or too often missing in one fold alone, and
    families that are more than half of one fold alone.
    """
    fewest, most = min(n_subjects_each_fold), max(n_subjects_each_fold)
    require_subjects(fewest, config)
    require_components(config, fewest, embedding_size)
    require_landmarks(config, fewest)
    require_strata(config, fewest)
    require_families(participants.families.tolist(), config, most)
    phenotypes = variables.phenotypes
    check_factors(participants.numeric(list(phenotypes)), phenotypes, config.factors, fewest)
    for name in variables.categorical_phenotypes:
        participants.column(name)
    participants.design(list(variables.confounds))


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


def require_landmarks(config: StratificationConfig, n_subjects: int) -> None:
    """Refuse to draw as many landmarks as there are subjects.

    Parameters
    ----------
    config : StratificationConfig
        `affinity_propagation.landmarks` is read where that is the clusterer.
    n_subjects : int
        Subjects to be clustered.

    Raises
    ------
    StratificationError
        Unless there are fewer landmarks than subjects.
    """
    landmarks = config.affinity_propagation.landmarks
    if config.clusterer != "affinity_propagation" or landmarks is None or landmarks < n_subjects:
        return
    raise StratificationError(
        "stratification.affinity_propagation.landmarks must be fewer than the subjects that are "
        f"clustered ({n_subjects}), got {landmarks}. Leave it out to cluster everybody."
    )


def require_strata(config: StratificationConfig, n_subjects: int) -> None:
    """Refuse as many strata as subjects, or a stratum larger than the cohort.

    Parameters
    ----------
    config : StratificationConfig
        `n_strata` and `min_cluster_size` are read where the clusterer uses them.
    n_subjects : int
        Subjects to be clustered.

    Raises
    ------
    StratificationError
        Unless `n_strata` is smaller than the number of subjects, and `min_cluster_size` not
        larger.
    """
    if config.clusterer == "hdbscan":
        name, most, asked = "min_cluster_size", n_subjects, config.min_cluster_size
    elif config.clusterer != "affinity_propagation" and config.n_strata != "sweep":
        name, most, asked = "n_strata", n_subjects - 1, config.n_strata
    else:
        return
    if asked > most:
        raise StratificationError(
            f"stratification.{name} must be at most {most} for the {n_subjects} subjects that are "
            f"clustered, got {asked}."
        )


def require_families(
    families: Sequence[Hashable], config: StratificationConfig, n_subjects: int
) -> None:
    """Refuse a family that holds more than half of the subjects.

    Such a family has next to nobody to be exchanged with, and a draw of families either holds it
    and little else, or misses most of the cohort.

    Parameters
    ----------
    families : sequence of hashable
        Family of each subject.
    config : StratificationConfig
        `blocks` is read: with ``none``, families are ignored.
    n_subjects : int
        Subjects to be clustered together.

    Raises
    ------
    StratificationError
        If there is one.
    """
    if config.blocks == "none" or not families:
        return
    family, size = Counter(families).most_common(1)[0]
    if 2 * size > n_subjects:
        raise StratificationError(
            "A family must not hold more than half of the subjects that are clustered together, "
            f"but family {family} holds {size} of {n_subjects}: it can be neither permuted nor "
            "resampled sensibly. Check the column that cohort.group_by names."
        )
