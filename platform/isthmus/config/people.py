"""What is known of the participants: `cohort.*`, as far as no image is needed."""

from pydantic import Field, field_validator, model_validator

from isthmus.config.settings import Settings


def each_once(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that names a column twice.

    Parameters
    ----------
    columns : tuple of str
        As a setting gives them.

    Returns
    -------
    tuple of str
        The same.

    Raises
    ------
    ValueError
        If one is repeated; pydantic makes it an error of the setting.

    Examples
    --------
    >>> each_once(("age", "sex"))
    ('age', 'sex')
    """
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise ValueError(f"each column must be named once, got {repeated} more than once")
    return columns


class PeopleConfig(Settings):
    """What is known of the participants, and who belongs to whom."""

    phenotypes: tuple[str, ...] = Field(
        (), description="Numeric columns that the phenotype factors are made of."
    )
    categorical_phenotypes: tuple[str, ...] = Field(
        (),
        description="Columns of categories (diagnosis, handedness ...) related to the strata one "
        "by one.",
    )
    confounds: tuple[str, ...] = Field(
        (), description="Columns regressed out of phenotypes and factor scores (age, sex ...)."
    )
    group_by: str | None = Field(
        None, description="Column of the family; its members are never separated."
    )
    kinship: str | None = Field(
        None,
        description="Column that says what a participant is to its family (MZ, DZ, sibling ...): "
        "permutations exchange families only with families of the same make-up, and members only "
        "with members of the same kind; none given: all members of a family are taken to be alike.",
    )

    @field_validator("phenotypes", "categorical_phenotypes", "confounds")
    @classmethod
    def _columns_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse repeated columns."""
        return each_once(value)

    @model_validator(mode="after")
    def _numbers_or_categories(self) -> "PeopleConfig":
        """Refuse a column that is to be both."""
        both = sorted({*self.phenotypes} & {*self.categorical_phenotypes})
        if both:
            raise ValueError(
                "a column is numeric or of categories, but cohort.phenotypes and "
                f"cohort.categorical_phenotypes both name {both}; leave each out of one of them"
            )
        return self

    @model_validator(mode="after")
    def _within_families(self) -> "PeopleConfig":
        """Refuse a kinship to families that are not named."""
        if self.kinship is not None and self.group_by is None:
            raise ValueError(
                "cohort.kinship says what a participant is to its family and needs "
                f"cohort.group_by; set it or leave it out, got {self.kinship!r}"
            )
        return self
