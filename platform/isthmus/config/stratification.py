"""Settings of the stratification job: `stratification.*`."""

from typing import Literal

from pydantic import Field

from isthmus.config.settings import Settings


class AffinityPropagationConfig(Settings):
    """Affinity propagation (Frey & Dueck 2007) on negative squared Euclidean similarity."""

    damping: float = Field(0.9, ge=0.5, lt=1.0, description="Share of a message that is kept.")
    preference: Literal["median", "minimum"] | float = Field(
        "minimum",
        description="Self-similarity: the median or minimum of the similarities, or a number "
        "(lower: fewer strata).",
    )
    max_iterations: int = Field(1000, ge=1, description="Message rounds before giving up.")
    convergence_iterations: int = Field(
        30, ge=1, description="Rounds without a change of exemplars that count as converged."
    )


class FactorsConfig(Settings):
    """Phenotype factors: PCA, then Varimax with Kaiser normalisation."""

    n_factors: int | None = Field(
        None, ge=1, description="Number of factors; none given: by parallel analysis."
    )
    max_missing_share: float = Field(
        0.1, ge=0.0, le=1.0, description="A phenotype with a larger missing share is dropped."
    )


class StratificationConfig(Settings):
    """Strata of the embedding and their association with phenotype factors."""

    subjects: Literal["all", "held_out"] = Field(
        "all",
        description="Whom to cluster: all development subjects seen through one fold's encoder, "
        "or that fold's held-out subjects.",
    )
    pca_components: int | None = Field(
        None, ge=1, description="Reduce the standardised embedding first; none given: no."
    )
    affinity_propagation: AffinityPropagationConfig = Field(
        AffinityPropagationConfig(), description="The clusterer's settings."
    )
    factors: FactorsConfig = Field(FactorsConfig(), description="Phenotype factors.")
    n_permutations: int = Field(
        9999, ge=1, description="Permutations behind each p-value; (1 + b) / (1 + B)."
    )
    blocks: Literal["families", "none"] = Field(
        "families",
        description="Exchangeability blocks. `none` ignores families and inflates false "
        "positives; it is there to show that.",
    )
    correction: Literal["fdr_bh", "fdr_by"] = Field(
        "fdr_bh", description="False discovery rate over factors."
    )
    alpha: float = Field(0.05, gt=0.0, lt=1.0, description="Level of the verdicts.")
