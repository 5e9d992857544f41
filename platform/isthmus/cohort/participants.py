"""Who is studied: the participants table of BIDS, its families and its numeric columns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from isthmus.cohort.column_doubts import require_unambiguous
from isthmus.cohort.confinement import confine
from isthmus.cohort.people_digest import digest_people, text_levels
from isthmus.cohort.tables import as_frame, read_table
from isthmus.config.load import Experiment
from isthmus.config.paths import did_you_mean
from isthmus.config.people import PeopleConfig
from isthmus.core.errors import CohortError


@dataclass(frozen=True, eq=False)
class Participants:
    """The participants of a cohort and what is known of each.

    Attributes
    ----------
    table : pandas.DataFrame, n rows
        Indexed by participant_id (text); numeric columns are float64 with NaN where missing.
    group_by : str or None
        Column of the family.
    site : str or None
        Column of the acquisition site.
    digest : str
        Identifies the participants and what of their columns can change a result (`declared`),
        whatever the order of rows and columns; computed when not given.
    levels : Mapping of str to tuple of str
        Sorted values of each text column over the whole cohort, so that a selection is coded as
        the cohort is; computed when not given.
    declared : tuple of str or None
        Columns that the experiment names, which alone enter the digest: another column added to
        the table, or changed in it, leaves a trial what it is. None: every column enters.
    kinship_column : str or None
        Column of what a participant is to its family.
    """

    table: pd.DataFrame
    group_by: str | None = None
    site: str | None = None
    digest: str = ""
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    declared: tuple[str, ...] | None = None
    kinship_column: str | None = None

    def __post_init__(self) -> None:
        """Fill in what follows from the table."""
        if not self.levels:
            object.__setattr__(self, "levels", text_levels(self.table))
        if not self.digest:
            counted = self.table if self.declared is None else self.table[list(self.declared)]
            labels = {
                "group_by": self.group_by,
                "site": self.site,
                "kinship": self.kinship_column,
            }
            object.__setattr__(self, "digest", digest_people(counted, labels))

    @property
    def ids(self) -> tuple[str, ...]:
        """Labels in the order of the table."""
        return tuple(str(label) for label in self.table.index)

    @property
    def families(self) -> "pd.Series[Any]":
        """Family of each participant; whoever has none declared is a family alone."""
        alone = [f"alone:{label}" for label in self.ids]
        index = pd.Index(self.ids, name="participant_id")
        if self.group_by is None:
            return pd.Series(alone, index=index, dtype=object, name="family")
        labels = [
            own if pd.isna(family) else str(family)
            for family, own in zip(self.table[self.group_by], alone, strict=True)
        ]
        return pd.Series(labels, index=index, dtype=object, name="family")

    @property
    def kinship(self) -> "pd.Series[Any] | None":
        """What each participant is to its family, ``n/a`` where missing; None if not declared."""
        if self.kinship_column is None:
            return None
        labels = [
            "n/a" if pd.isna(label) else str(label) for label in self.table[self.kinship_column]
        ]
        index = pd.Index(self.ids, name="participant_id")
        return pd.Series(labels, index=index, dtype=object, name="kinship")

    def select(self, ids: Sequence[str]) -> "Participants":
        """Keep some participants.

        Parameters
        ----------
        ids : sequence of str
            Whom to keep, in the order wanted, each once.

        Returns
        -------
        Participants
            With a digest of their own.

        Raises
        ------
        CohortError
            If a label is unknown or repeated.
        """
        self._require(ids)
        repeated = sorted(label for label, times in Counter(ids).items() if times > 1)
        if repeated:
            raise CohortError(f"A selection must name a participant once, but repeats {repeated}.")
        return Participants(
            self.table.loc[list(ids)],
            self.group_by,
            self.site,
            levels=self.levels,
            declared=self.declared,
            kinship_column=self.kinship_column,
        )

    def numeric(
        self, columns: Sequence[str], ids: Sequence[str] | None = None
    ) -> npt.NDArray[np.float64]:
        """Read columns as numbers.

        Parameters
        ----------
        columns : sequence of str, length k
            Numeric columns, or text columns of two values (``sex``), coded 0 and 1 in the sorted
            order of the values that the whole cohort has.
        ids : sequence of str, length n, or None
            Participants, in the order wanted; none given: all.

        Returns
        -------
        ndarray, shape (n, k)
            NaN where a value is missing.

        Raises
        ------
        CohortError
            If a column or participant is unknown, or a text column has other than two values.
        """
        wanted = self.ids if ids is None else tuple(ids)
        self._require(wanted)
        values = np.empty((len(wanted), len(columns)), dtype=np.float64)
        for position, name in enumerate(columns):
            values[:, position] = self._coded(name).loc[list(wanted)].to_numpy()
        return values

    def design(
        self, columns: Sequence[str], ids: Sequence[str] | None = None
    ) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
        """Read columns as regressors; a text column of k values becomes k - 1 indicators.

        Parameters
        ----------
        columns : sequence of str
            Numeric or text columns.
        ids : sequence of str, length n, or None
            Participants, in the order wanted; none given: all.

        Returns
        -------
        values : ndarray, shape (n, d)
            NaN where a value is missing; no intercept.
        names : tuple of str, length d
            Such as ``age`` and ``site[B]``; the first value of a text column is the reference.

        Raises
        ------
        CohortError
            If a column or participant is unknown, or a text column tells almost every participant
            from every other.
        """
        wanted = self.ids if ids is None else tuple(ids)
        self._require(wanted)
        parts, names = [np.empty((len(wanted), 0))], []
        for name in columns:
            levels = self.levels.get(name, ()) if self._is_text(name) else ()
            if not self._is_text(name) or len(levels) == 2:
                parts.append(self.numeric([name], wanted))
                names.append(name)
                continue
            if len(levels) > len(self.table) / 2:
                raise CohortError(
                    f"Column '{name}' must be numeric or have few values to be a regressor, but "
                    f"its text has {len(levels)} values over {len(self.table)} participants."
                )
            text = self.table[name].loc[list(wanted)]
            for level in levels[1:]:
                indicator = np.where(text.isna(), np.nan, (text == level).astype(np.float64))
                parts.append(indicator[:, None])
                names.append(f"{name}[{level}]")
        return np.hstack(parts), tuple(names)

    def column(self, name: str) -> "pd.Series[Any]":
        """Give one column as it is in the table.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        pandas.Series, length n
            Numbers or text.

        Raises
        ------
        CohortError
            If there is no such column.
        """
        if name not in self.table.columns:
            hint = did_you_mean(name, dict.fromkeys(map(str, self.table.columns)))
            raise CohortError(f"The participants have no column '{name}'.{hint}")
        return self.table[name]

    def _is_text(self, name: str) -> bool:
        """Tell text from numbers."""
        return not pd.api.types.is_numeric_dtype(self.column(name))

    def _coded(self, name: str) -> "pd.Series[Any]":
        """One column as float64."""
        if not self._is_text(name):
            return self.table[name].astype(np.float64)
        levels = self.levels.get(name, ())
        if len(levels) != 2:
            shown = ", ".join(map(repr, levels[:5])) + (", ..." if len(levels) > 5 else "")
            raise CohortError(
                f"Column '{name}' must be numeric, or text of exactly two values, but it has "
                f"{len(levels)} text values ({shown}). Recode it, or leave it out."
            )
        code = {levels[0]: 0.0, levels[1]: 1.0}
        return self.table[name].map(lambda value: code.get(value, np.nan)).astype(np.float64)

    def _require(self, ids: Sequence[str]) -> None:
        """Refuse unknown participants."""
        unknown = sorted(set(ids) - set(self.ids))
        if unknown:
            hint = did_you_mean(unknown[0], dict.fromkeys(self.ids))
            raise CohortError(f"These are no participants of the cohort: {unknown[:5]}.{hint}")


def load_participants(experiment: Experiment) -> Participants:
    """Read the participants table of an experiment.

    Parameters
    ----------
    experiment : Experiment
        Names the table and the columns that are used.

    Returns
    -------
    Participants
        In the order of the table, with all its columns; those that a setting names enter the
        digest.

    Raises
    ------
    CohortError
        If the table cannot be read, lists a participant twice, or lacks a declared column; if a
        value in one can be read in two ways (`require_unambiguous`); or if a phenotype is not
        numeric.
    """
    cohort = experiment.config.cohort
    if not experiment.cohort_root.is_dir():
        raise CohortError(
            f"cohort.root: must be the cohort's folder, but there is no {experiment.cohort_root}."
        )
    more = {
        "cohort.site": (cohort.site,) if cohort.site else (),
        "cohort.stratify_by": cohort.stratify_by,
        "controls.probe_targets": experiment.config.controls.probe_targets,
    }
    path = confine(experiment.cohort_root, cohort.participants)
    return load_people(path, cohort, more, cohort.site)


def load_people(
    path: Path,
    people: PeopleConfig,
    more: Mapping[str, Sequence[str]] | None = None,
    site: str | None = None,
) -> Participants:
    """Read a participants table, with or without a cohort of images around it.

    Parameters
    ----------
    path : Path
        A tab-separated table with a column ``participant_id``.
    people : PeopleConfig
        Names the columns that are used.
    more : Mapping of str to sequence of str, optional
        Further columns that must be there, by the setting that names them.
    site : str, optional
        Column of the acquisition site.

    Returns
    -------
    Participants
        As `load_participants` gives them.

    Raises
    ------
    CohortError
        As `load_participants`.
    """
    declared = {
        "cohort.phenotypes": people.phenotypes,
        "cohort.categorical_phenotypes": people.categorical_phenotypes,
        "cohort.confounds": people.confounds,
        "cohort.group_by": (people.group_by,) if people.group_by else (),
        "cohort.kinship": (people.kinship,) if people.kinship else (),
        **(more or {}),
    }
    table = read_table(path)
    table.require(["participant_id"])
    for setting, columns in declared.items():
        table.require(columns, asked_by=setting)
    labels = [name for name in (people.group_by, people.kinship, site) if name is not None]
    frame = as_frame(table, keep_text=labels)
    require_unambiguous(table, declared)
    participants = Participants(
        frame,
        people.group_by,
        site,
        declared=tuple(sorted({name for columns in declared.values() for name in columns})),
        kinship_column=people.kinship,
    )
    # A column that is no number must be found now, not after the training.
    try:
        participants.numeric(people.phenotypes)
    except CohortError as error:
        raise CohortError(f"cohort.phenotypes: {error}") from None
    participants.design(people.confounds)
    return participants
