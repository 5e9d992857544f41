"""Settings of the stratification job: `stratification.*`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from isthmus.config.settings import Settings

Clusterer = Literal["affinity_propagation", "kmeans", "gaussian_mixture", "ward", "hdbscan"]
TargetKind = Literal["factor", "phenotype", "category"]
# Those that are told a number of strata.
_COUNTED = {"kmeans", "gaussian_mixture", "ward"}


class AffinityPropagationConfig(Settings):
    """Affinity propagation (Frey & Dueck 2007) on negative squared Euclidean similarity."""

    damping: float = Field(0.9, ge=0.5, lt=1.0, description="Share of a message that is kept.")
    preference: Literal["sweep", "median", "minimum"] | float = Field(
        "sweep",
        description="Self-similarity: the median or minimum of the similarities, or a number "
        "(lower: fewer strata). `sweep` walks from the median down to the minimum and below, and "
        "takes the one with the best silhouette; no phenotype is looked at.",
    )
    max_iterations: int = Field(1000, ge=1, description="Message rounds before giving up.")
    convergence_iterations: int = Field(
        30, ge=1, description="Rounds without a change of exemplars that count as converged."
    )
    landmarks: int | None = Field(
        None,
        ge=50,
        description="For cohorts whose similarities do not fit in memory: cluster this many "
        "subjects, drawn at random, and give each of the others the stratum of its nearest "
        "exemplar; none given: cluster everybody.",
    )


class FactorsConfig(Settings):
    """Phenotype factors: PCA, then Varimax with Kaiser normalisation."""

    n_factors: int | None = Field(
        None, ge=1, description="Number of factors; none given: by parallel analysis."
    )
    max_missing_share: float = Field(
        0.1, ge=0.0, le=1.0, description="A phenotype with a larger missing share is dropped."
    )


class RobustnessConfig(Settings):
    """How much would come back: resampled families, permuted phenotypes, matched nulls."""

    scheme: Literal["bootstrap", "subsample"] = Field(
        "bootstrap",
        description="Draw families with replacement, each subject clustered once, or a share of "
        "the families without.",
    )
    subsample_share: float = Field(
        0.8, gt=0.0, lt=1.0, description="Share of the families that `subsample` draws."
    )
    n_draws: int = Field(200, ge=2, description="Draws that are clustered anew.")
    n_null_phenotypes: int = Field(
        499,
        ge=19,
        description="Permutations of the phenotypes that every draw's p-values and the null rate "
        "of replication come from.",
    )
    n_matched_nulls: int = Field(
        99,
        ge=19,
        description="Clouds without strata, of the same covariance spectrum, that the stability "
        "is compared with. Those without a partition are left out, and 19 must be left for a "
        "p-value: ask for twice that at least.",
    )
    n_null_draws: int = Field(
        20, ge=2, description="Draws for each matched null, and for the comparison with them."
    )
    min_replication_rate: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="Share of the draws in which a finding must come back to be called robust.",
    )

    @model_validator(mode="after")
    def _enough_draws(self) -> "RobustnessConfig":
        """Refuse a comparison over more draws than are made."""
        if self.n_null_draws > self.n_draws:
            raise ValueError(
                "stratification.robustness.n_null_draws must be at most n_draws, for the first of "
                f"these are what is compared with the nulls; got {self.n_null_draws} and "
                f"{self.n_draws}"
            )
        return self

    @model_validator(mode="after")
    def _used(self) -> "RobustnessConfig":
        """Refuse a share that the bootstrap would silently ignore."""
        default = type(self).model_fields["subsample_share"].default
        if self.scheme != "subsample" and self.subsample_share != default:
            raise ValueError(
                "stratification.robustness.subsample_share is for subsample and "
                f"{self.scheme} would ignore it; set stratification.robustness.scheme: subsample "
                "or leave it out"
            )
        return self


class SpecificationsConfig(Settings):
    """Other reasonable ways to cluster, each tried on every encoder of a trial."""

    clusterers: tuple[Clusterer, ...] = Field(
        ("affinity_propagation", "kmeans", "ward"),
        description="Clusterers of the specification curve.",
    )
    pca_components: tuple[int | None, ...] = Field(
        (None, 10),
        description="Principal components kept before clustering, null for all; more than a "
        "table has are left out.",
    )
    n_null_phenotypes: int = Field(
        999, ge=19, description="Permutations of the phenotypes behind the curve's p-values."
    )

    @field_validator("clusterers", "pca_components")
    @classmethod
    def _each_once(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        """Refuse an empty list and repetitions."""
        if not value or len(set(value)) < len(value):
            raise ValueError(f"must name at least one, and each once, got {list(value)}")
        return value


class StratificationConfig(Settings):
    """Strata of the embedding and their association with phenotypes."""

    subjects: Literal["all", "held_out"] = Field(
        "all",
        description="Whom to cluster: all development subjects seen through one fold's encoder, "
        "or that fold's held-out subjects.",
    )
    pca_components: int | None = Field(
        None, ge=1, description="Reduce the standardised embedding first; none given: no."
    )
    clusterer: Clusterer = Field("affinity_propagation", description="How strata are found.")
    affinity_propagation: AffinityPropagationConfig = Field(
        AffinityPropagationConfig(), description="Settings of affinity propagation."
    )
    n_strata: Literal["sweep"] | Annotated[int, Field(ge=2)] = Field(
        "sweep",
        description="Strata of kmeans, gaussian_mixture and ward; `sweep` takes the number with "
        "the best silhouette.",
    )
    min_cluster_size: int = Field(10, ge=2, description="Smallest stratum that hdbscan calls one.")
    max_strata: int = Field(
        20, ge=2, description="A sweep passes over partitions into more strata than this."
    )
    targets: tuple[TargetKind, ...] = Field(
        ("factor", "phenotype", "category"),
        description="What is related to the strata, each kind a family of tests of its own: the "
        "phenotype factors, each numeric phenotype, each categorical phenotype.",
    )
    factors: FactorsConfig = Field(FactorsConfig(), description="Phenotype factors.")
    n_permutations: int = Field(
        9999, ge=1, description="Permutations behind each p-value; (1 + b) / (1 + B)."
    )
    blocks: Literal["families", "none"] = Field(
        "families",
        description="Exchangeability blocks, and what is resampled. `none` ignores families and "
        "inflates false positives; it is there to show that.",
    )
    correction: Literal["fdr_bh", "fdr_by"] = Field(
        "fdr_bh", description="False discovery rate over each family of tests."
    )
    alpha: float = Field(0.05, gt=0.0, lt=1.0, description="Level of the verdicts.")
    robustness: RobustnessConfig = Field(
        RobustnessConfig(), description="How much of it would come back."
    )
    specifications: SpecificationsConfig = Field(
        SpecificationsConfig(), description="Other ways to cluster, tried on every encoder."
    )

    @model_validator(mode="after")
    def _used(self) -> "StratificationConfig":
        """Refuse settings of clusterers that are not asked for."""
        asked = {self.clusterer, *self.specifications.clusterers}
        fields = type(self).model_fields
        owners: dict[str, tuple[bool, set[str]]] = {
            "affinity_propagation.landmarks": (
                self.affinity_propagation.landmarks is not None,
                {"affinity_propagation"},
            ),
            "n_strata": (self.n_strata != fields["n_strata"].default, _COUNTED),
            "min_cluster_size": (
                self.min_cluster_size != fields["min_cluster_size"].default,
                {"hdbscan"},
            ),
        }
        for name, (given, clusterers) in owners.items():
            if given and not asked & clusterers:
                raise ValueError(
                    f"stratification.{name} is for {', '.join(sorted(clusterers))}, which neither "
                    "stratification.clusterer nor stratification.specifications.clusterers asks "
                    "for; name one there or leave it out"
                )
        return self

    @field_validator("targets")
    @classmethod
    def _some_target(cls, value: tuple[TargetKind, ...]) -> tuple[TargetKind, ...]:
        """Refuse an empty list and repetitions."""
        if not value or len(set(value)) < len(value):
            raise ValueError(f"must name at least one, and each once, got {list(value)}")
        return value
