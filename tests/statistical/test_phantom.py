"""The whole job on phantom images: what was planted comes out robust, what was not does not.

Each seed is a cohort of its own: people, images, read back from disk, coded by principal components
and given to the job. Settings of the resampling are small, so that a seed takes about a second.
"""

from collections.abc import Callable

import numpy as np
from phantom_cohort import coded_phantom

from isthmus.cohort.phantom import PhantomConfig
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.job import RobustnessReport, Variables, stratify

ALPHA = 0.05
MEMORY = ("memory_recall", "memory_recognition", "picture_vocabulary")
PHENOTYPES = (*MEMORY, "reaction_time_ms", "trail_making_s", "processing_speed")
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Show = Callable[..., int]
SETTINGS = StratificationConfig.model_validate(
    {
        "targets": ["factor"],
        "factors": {"n_factors": 2},
        "n_permutations": 399,
        "robustness": {
            "n_draws": 20,
            "n_null_phenotypes": 99,
            "n_matched_nulls": 19,
            "n_null_draws": 4,
        },
    }
)


def phantom(seed: int, **recipe: object) -> PhantomConfig:
    """80 subjects in 3 strata that lie 6 latent deviations apart; memory differs between them."""
    planted = {"stratum_effect": 6.0, "phenotype_effect": 1.0, "n_strata": 3}
    settings = {"n_subjects": 80, "grid": (12, 12, 12), "seed": seed, **planted, **recipe}
    return PhantomConfig(**settings)  # type: ignore[arg-type]


def report(config: PhantomConfig, confounds: tuple[str, ...] = ("age", "sex")) -> RobustnessReport:
    """Run the job on a phantom."""
    table, participants = coded_phantom(config)
    return stratify(
        table, participants, SETTINGS, Variables(PHENOTYPES, (), confounds), seed=config.seed
    )


def about_memory(found: RobustnessReport) -> str:
    """Give the verdict on the factor that the memory phenotypes load on."""
    loadings = np.array(found.factors.loadings)  # type: ignore[union-attr]
    factor = int((loadings[: len(MEMORY)] ** 2).sum(axis=0).argmax())
    family = found.family("factor")
    assert family is not None
    return family.associations[factor].verdict


def any_robust(found: RobustnessReport) -> bool:
    return any(association.verdict == "robust" for association in found.associations)
