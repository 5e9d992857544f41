"""The whole experiment: what is studied, and apart from it how the running is organised."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from isthmus.config.architecture import MASKED_OPERATIONS, ModelConfig
from isthmus.config.execution import ExecutionConfig
from isthmus.config.people import PeopleConfig, each_once
from isthmus.config.settings import Settings
from isthmus.config.stratification import StratificationConfig
from isthmus.config.training import TrainingConfig
from isthmus.core.digest import digest_of

Edge = Annotated[int, Field(ge=4, le=1024)]
Millimetres = Annotated[float, Field(gt=0.0, le=100.0)]
MOST_IN_A_GRID = 6
_FOLDER_NAME = re.compile(r"[\w-][\w .-]*")


class CohortConfig(PeopleConfig):
    """Who is studied, where the images are, and what is known of the participants."""

    root: str = Field(
        ".",
        description="The cohort's folder, from the experiment file's folder. Where a cohort lies "
        "is not part of its identity, so this does not enter the digest.",
    )
    participants: str = Field(
        "participants.tsv", description="BIDS participants table, within the cohort's folder."
    )
    images: str | None = Field(
        None,
        description="Pattern of image paths with {participant_id} and {modality}; or `manifest`.",
    )
    manifest: str | None = Field(
        None, description="Table with columns participant_id, modality, path; or `images`."
    )
    mask: str | None = Field(
        None,
        description="Brain mask common to the cohort; none given: voxels that are non-zero in "
        "at least half of the training subjects.",
    )
    modalities: tuple[str, ...] = Field(min_length=1, description="Modality labels, as in BIDS.")
    missing_modalities: Literal["exclude", "keep"] = Field(
        "exclude",
        description="What becomes of participants without an image of every modality: left out, "
        "or kept with those that they have, which needs a fusion that accepts missing ones. An "
        "image that is there and refused leaves its participant out either way.",
    )
    site: str | None = Field(
        None,
        description="Column of the acquisition site; folds and lockbox are stratified by it too, "
        "after the columns of `cohort.stratify_by`.",
    )
    stratify_by: tuple[str, ...] = Field(
        (), description="Columns whose distribution folds and lockbox should share."
    )
    lockbox_share: float = Field(
        0.15,
        ge=0.0,
        le=0.5,
        description="Share of the families set aside at ingest; only promotion can read it.",
    )

    @field_validator("modalities")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse repeated labels."""
        if len(set(value)) != len(value):
            raise ValueError(f"each modality must be named once, got {list(value)}")
        return value

    @field_validator("stratify_by")
    @classmethod
    def _strata_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse repeated columns."""
        return each_once(value)

    @model_validator(mode="after")
    def _one_source(self) -> "CohortConfig":
        """Need a pattern or a manifest, and a pattern that tells images apart."""
        if (self.images is None) == (self.manifest is None):
            raise ValueError("give exactly one of cohort.images and cohort.manifest")
        if self.images is not None:
            for field in ("{participant_id}", "{modality}"):
                if field not in self.images:
                    raise ValueError(f"cohort.images must contain {field}, got {self.images!r}")
        return self


class NormalisationConfig(Settings):
    """Intensity normalisation, fitted on the training fold alone."""

    method: Literal["voxelwise_minmax", "subject_zscore", "robust_percentile", "global_minmax"] = (
        Field(
            "voxelwise_minmax",
            description="Voxelwise min-max across subjects (the paper); each subject's own "
            "z-score, mapped from [-5, 5] to [0, 1]; the training fold's 1st and 99th in-mask "
            "percentile; or its smallest and largest in-mask value.",
        )
    )
    clip: bool = Field(True, description="Clip what leaves [0, 1].")
    leaky: bool = Field(
        False,
        description="Fit on held-out subjects too, as the published code does. For comparison "
        "only: every number so made is labelled `leaky`.",
    )


class VolumesConfig(Settings):
    """What an image must be, and how it is kept."""

    grid: tuple[Edge, Edge, Edge] | None = Field(
        None,
        description="The cohort's grid in voxels; none given: that of the mask, or of most images.",
    )
    voxel_size_mm: tuple[Millimetres, Millimetres, Millimetres] | None = Field(
        None, description="Voxel edges of the grid to resample to; needs `resample`."
    )
    resample: bool = Field(
        False, description="Resample images that are not on the cohort's grid, else refuse them."
    )
    storage_dtype: Literal["float32", "float16"] = Field(
        "float32", description="Precision of the stored volumes."
    )
    min_finite_share: float = Field(
        1.0, ge=0.0, le=1.0, description="Least share of finite voxels; the others become 0."
    )
    min_mask_coverage: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="Least share of `cohort.mask` with non-zero values; without that mask it is "
        "not asked.",
    )
    normalisation: NormalisationConfig = Field(
        NormalisationConfig(), description="Intensity normalisation."
    )

    @model_validator(mode="after")
    def _resampling(self) -> "VolumesConfig":
        """Refuse a voxel size that nothing would be resampled to."""
        if self.voxel_size_mm is not None and not self.resample:
            raise ValueError("volumes.voxel_size_mm needs volumes.resample: true")
        return self


class CrossValidationConfig(Settings):
    """Folds over families, identified by the split that comes of them."""

    method: Literal["k_fold", "hold_out"] = Field(
        "k_fold", description="Hold out each part once, or one share of the families."
    )
    n_folds: int = Field(10, ge=2, le=50, description="Parts of `k_fold`; each is held out once.")
    hold_out_share: float = Field(
        0.2, gt=0.0, lt=1.0, description="Share of the families that `hold_out` holds out."
    )
    split_file: str | None = Field(
        None,
        description="A split written by hand or by an earlier run, used as it is: the file "
        "decides the folds, and the other settings of this group are not asked.",
    )

    @model_validator(mode="after")
    def _used(self) -> "CrossValidationConfig":
        """Refuse a share that folds would silently ignore."""
        default = type(self).model_fields["hold_out_share"].default
        if self.method != "hold_out" and self.hold_out_share != default:
            raise ValueError(
                f"cross_validation.hold_out_share is for hold_out and {self.method} would ignore "
                "it; set cross_validation.method: hold_out or leave it out"
            )
        return self


class ControlsConfig(Settings):
    """What each trial is compared with, on the same held-out subjects and mask."""

    probe_targets: tuple[str, ...] = Field(
        (), description="Columns to predict from the embedding (age, sex ...)."
    )
    tissue: Literal["kmeans", "none"] = Field(
        "kmeans",
        description="Where grey and white matter come from for the CNR: a k-means split of each "
        "subject's T1w, or no CNR.",
    )
    subset_grid: bool | None = Field(
        None,
        description="Reconstruct and stratify from each of the 2^m - 1 subsets of the m fused "
        "modalities (at most 6), which shows what is synthesised and how well; none given: where "
        "`training.modality_dropout` is above 0 and 2 to 4 modalities are fused.",
    )

    @field_validator("probe_targets")
    @classmethod
    def _columns_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse repeated columns."""
        return each_once(value)


class ExperimentConfig(Settings):
    """One experiment, resolved: the file alone reruns it."""

    schema_version: Literal[1] = Field(1, description="Version of this language.")
    preset: str | None = Field(
        None, description="Named settings to start from: paper, released or smoke."
    )
    name: str = Field(
        "isthmus",
        min_length=1,
        max_length=80,
        description="What people call the experiment; trials' folders begin with it, so it is of "
        "letters, digits, spaces and `._-`, and begins with no dot or space.",
    )
    seed: int = Field(0, ge=0, description="The root of every random stream.")
    cohort: CohortConfig = Field(description="Participants and images.")
    volumes: VolumesConfig = Field(VolumesConfig(), description="Images on one grid.")
    model: ModelConfig = Field(ModelConfig(), description="The model.")
    training: TrainingConfig = Field(TrainingConfig(), description="The fit.")
    cross_validation: CrossValidationConfig = Field(
        CrossValidationConfig(), description="Folds over families."
    )
    controls: ControlsConfig = Field(ControlsConfig(), description="What trials must beat.")
    stratification: StratificationConfig = Field(
        StratificationConfig(), description="Strata and phenotypes."
    )
    execution: ExecutionConfig = Field(ExecutionConfig(), description="How it is run.")

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        """Refuse what would make another folder, or a hidden one."""
        if value and not _FOLDER_NAME.fullmatch(value):
            raise ValueError(
                "must be of letters, digits, spaces and '._-' and begin with no dot or space, for "
                f"it names folders; got {value!r}"
            )
        return value

    @model_validator(mode="after")
    def _loss_bounded(self) -> "ExperimentConfig":
        """Refuse a cross-entropy against values outside [0, 1]: it has no lowest value."""
        clipped = self.volumes.normalisation.clip
        if self.training.loss.kind == "bce" and not clipped:
            raise ValueError(
                "training.loss.kind: bce needs images within [0, 1], so volumes.normalisation.clip "
                "must be true, got false; set it, or another loss"
            )
        return self

    @model_validator(mode="after")
    def _mask_covered(self) -> "ExperimentConfig":
        """Refuse a coverage of a mask that is not there."""
        coverage = self.volumes.min_mask_coverage
        default = type(self.volumes).model_fields["min_mask_coverage"].default
        if self.cohort.mask is None and coverage != default:
            raise ValueError(
                "volumes.min_mask_coverage is for cohort.mask and would be ignored without one; "
                f"set cohort.mask or leave it out, got {coverage}"
            )
        return self

    @model_validator(mode="after")
    def _modalities_known(self) -> "ExperimentConfig":
        """Refuse modalities that the cohort does not have."""
        unknown = set(self.model.modalities or ()) - set(self.cohort.modalities)
        if unknown:
            raise ValueError(
                f"model.modalities must be among cohort.modalities "
                f"{list(self.cohort.modalities)}, got {sorted(unknown)}"
            )
        return self

    @model_validator(mode="after")
    def _missing_accepted(self) -> "ExperimentConfig":
        """Refuse missing images where the fusion needs every one of them."""
        fusion, n_fused = self.model.fusion, len(self.fused_modalities)
        asking = {
            "cohort.missing_modalities": self.cohort.missing_modalities == "keep",
            "training.modality_dropout": self.training.modality_dropout > 0,
            "controls.subset_grid": self.controls.subset_grid is True,
        }
        named = [setting for setting, wanted in asking.items() if wanted]
        if named and n_fused > 1 and not fusion.accepts_missing:
            raise ValueError(
                f"{' and '.join(named)} need a fusion that accepts missing images, but "
                f"{fusion.operation} needs all {n_fused}; set model.fusion.operation to one of "
                f"{', '.join(MASKED_OPERATIONS)}, or leave them out"
            )
        if self.controls.subset_grid and n_fused > MOST_IN_A_GRID:
            raise ValueError(
                f"controls.subset_grid looks at 2^m - 1 subsets, so at most {MOST_IN_A_GRID} "
                f"modalities may be fused, got {n_fused}; leave it out, or set model.modalities"
            )
        return self

    @property
    def has_subset_grid(self) -> bool:
        """Whether trials look at every subset of the fused modalities."""
        asked = self.controls.subset_grid
        if asked is not None:
            return asked
        return self.training.modality_dropout > 0 and 2 <= len(self.fused_modalities) <= 4

    @property
    def fused_modalities(self) -> tuple[str, ...]:
        """Modalities the model is given, in the order of its inputs."""
        return self.model.modalities or self.cohort.modalities

    @property
    def digest(self) -> str:
        """Digest of all that can change a result.

        The preset's name, the experiment's name, `cohort.root`, `execution` and `model.kernels` are
        left out: they say where a setting came from, what people call it, where files lie, how it
        is run and by what means it is computed.
        `cross_validation` is left out because the folds that it leads to, drawn or from a file,
        have a digest of their own beside this one: a split file of the folds that were drawn is
        the same experiment, and a number of folds that a file overrides is no other one.
        """
        return digest_of(self.identifying_settings())

    def identifying_settings(self) -> dict[str, Any]:
        """List the settings that `digest` covers.

        Returns
        -------
        dict
            Nested, JSON-serialisable.
        """
        left_out = {"preset", "name", "execution", "cross_validation"}
        content = self.model_dump(mode="json", exclude=left_out)
        del content["cohort"]["root"], content["model"]["kernels"]
        content["model"]["modalities"] = list(self.fused_modalities)
        return content
