"""Which columns of the participants table are related to the strata, and which are removed."""

from dataclasses import dataclass
from typing import Protocol


class DeclaresVariables(Protocol):
    """Settings that declare columns, such as `isthmus.config.experiment.CohortConfig`."""

    @property
    def phenotypes(self) -> tuple[str, ...]:
        """Numeric columns."""
        ...

    @property
    def categorical_phenotypes(self) -> tuple[str, ...]:
        """Columns of categories."""
        ...

    @property
    def confounds(self) -> tuple[str, ...]:
        """Columns to be regressed out."""
        ...


@dataclass(frozen=True)
class Variables:
    """Columns as declared.

    Attributes
    ----------
    phenotypes : tuple of str
        Numeric columns: the factors are made of them, and each is tested.
    categorical_phenotypes : tuple of str
        Columns of categories, each tested.
    confounds : tuple of str
        Columns regressed out of all of them; text columns are categories.
    """

    phenotypes: tuple[str, ...] = ()
    categorical_phenotypes: tuple[str, ...] = ()
    confounds: tuple[str, ...] = ()

    @classmethod
    def of(cls, declared: DeclaresVariables) -> "Variables":
        """Read the columns off settings.

        Parameters
        ----------
        declared : DeclaresVariables
            Such as an experiment's `cohort`.

        Returns
        -------
        Variables
            The same columns.
        """
        return cls(declared.phenotypes, declared.categorical_phenotypes, declared.confounds)
