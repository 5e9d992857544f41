"""The whole job on phantoms: what was planted comes out robust, and what was not does not.

Each seed is a cohort of its own: 80 people, their images at 12 x 12 x 12 voxels, read back from
disk, coded by principal components and given to the job, whose resampling is set small so that a
seed takes about a second and a half. The families' own test needs hundreds of cohorts and no
images: there the anatomical latents, with noise, are the embedding.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from phantom_cohort import coded_phantom

from isthmus.cohort.participants import Participants
from isthmus.cohort.phantom import PhantomConfig
from isthmus.cohort.phantom_people import draw_people, draw_phenotypes
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.cloud import make_cloud
from isthmus.stratification.factors import Factors, NoFactors
from isthmus.stratification.families_of_tests import test_targets as relate
from isthmus.stratification.job import RobustnessReport, Variables, stratify
from isthmus.stratification.partition import Partition
from isthmus.stratification.strata import find_strata
from isthmus.stratification.targets import make_groups

ALPHA = 0.05
MEMORY = ("memory_recall", "memory_recognition", "picture_vocabulary")
SPEED = ("reaction_time_ms", "trail_making_s", "processing_speed")
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
            "n_matched_nulls": 39,
            "n_null_draws": 4,
        },
    }
)


def phantom(seed: int, **recipe: object) -> PhantomConfig:
    """80 subjects; where strata are planted, three of them, in which memory differs."""
    planted = {"stratum_effect": 8.0, "phenotype_effect": 1.5, "n_strata": 3}
    settings = {"n_subjects": 80, "grid": (12, 12, 12), "seed": seed, **planted, **recipe}
    return PhantomConfig(**settings)  # type: ignore[arg-type]


def report(config: PhantomConfig, *confounds: str) -> RobustnessReport:
    """Run the job on the images of a phantom."""
    table, participants = coded_phantom(config)
    variables = Variables((*MEMORY, *SPEED), (), confounds)
    return stratify(table, participants, SETTINGS, variables, seed=config.seed)


def about_memory(found: RobustnessReport) -> str:
    """Give the verdict on the factor that the memory phenotypes load on."""
    assert isinstance(found.factors, Factors)
    loadings = np.array(found.factors.loadings)
    factor = int((loadings[: len(MEMORY)] ** 2).sum(axis=0).argmax())
    family = found.family("factor")
    assert family is not None
    return family.associations[factor].verdict


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_planted_strata_and_effects_come_out_robust(simulations: Number) -> None:
    n = min(simulations(20), 100)
    verdicts = [about_memory(report(phantom(seed), "age", "sex")) for seed in range(n)]
    print(f"\nplanted: {verdicts.count('robust')} of {n} robust")
    assert verdicts.count("robust") >= 0.9 * n


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_phantom_without_strata_is_no_finding(
    acceptance: Region, show: Show, record: Callable[..., None]
) -> None:
    robust, nulls = 0, []
    for seed in range(100):
        found = report(phantom(seed, planted=False), "age", "sex")
        robust += any(association.verdict == "robust" for association in found.associations)
        if found.robustness is not None:
            nulls.append(found.robustness.matched_null)
    tested = [null for null in nulls if null.p_value is not None]
    p_values = np.array([null.p_value for null in tested])
    record(
        "null_stability_phantom",
        p_values=p_values,
        observed=[null.observed for null in tested],
        null_mean=[null.null_mean for null in tested],
    )
    n_stable = show(int((p_values <= ALPHA).sum()), len(p_values), ALPHA, "called stable")
    assert show(robust, 100, ALPHA, "with a robust factor") <= 5
    # Not by the phenotypes' tests alone: the strata of one cloud are no more stable than its like.
    assert len(p_values) > 50
    assert n_stable <= acceptance(len(p_values), ALPHA)[1]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_effect_that_is_only_age_disappears_when_age_is_declared(acceptance: Region) -> None:
    n, undeclared, declared = 12, [], []
    for seed in range(n):
        config = phantom(seed, confound_only=True)
        undeclared.append(about_memory(report(config, "sex")))
        declared.append(about_memory(report(config, "age", "sex")))
    print(f"\nonly age: robust {undeclared.count('robust')} undeclared, of {n}")
    print(f"not significant {declared.count('not_significant')} declared, of {n}")
    assert undeclared.count("robust") >= 0.75 * n
    assert n - declared.count("not_significant") <= acceptance(n, ALPHA)[1]


def p_of_recall(config: PhantomConfig, blocks: str) -> float | None:
    """Test one phenotype against the strata of a cohort of twins; None without a partition."""
    people = draw_people(config)
    columns = draw_phenotypes(config, people)
    families = tuple(f"fam-{number:03d}" for number in people.family)
    frame = pd.DataFrame(
        {"memory_recall": np.array(columns["memory_recall"], dtype=float), "family_id": families},
        index=pd.Index(people.participant_ids, name="participant_id"),
    )
    settings = StratificationConfig.model_validate(
        {
            "blocks": blocks,
            "n_permutations": 199,
            "affinity_propagation": {"preference": "median"},
        }
    )
    noise = np.random.default_rng([61, config.seed]).standard_normal(people.latents.shape)
    cloud = make_cloud(people.latents + 0.3 * noise, settings, config.seed)
    strata = find_strata(cloud, people.participant_ids, families, settings, config.seed)
    if not isinstance(strata, Partition):
        return None
    groups = make_groups(
        NoFactors((), "none asked for"),
        Participants(frame, "family_id"),
        people.participant_ids,
        settings,
        Variables(("memory_recall",)),
    )
    (family,) = relate(groups, strata, settings, config.seed)
    return family.associations[0].p_permutation


def test_families_ignored_inflate_false_positives(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    n = simulations(300)
    counts = {}
    for blocks in ("families", "none"):
        found = [
            p_of_recall(
                phantom(
                    seed, planted=False, twin_share=1.0, sibling_share=0.0, missing_value_share=0.0
                ),
                blocks,
            )
            for seed in range(n)
        ]
        p_values = np.array([p for p in found if p is not None])
        assert len(p_values) > 0.9 * n
        count = show(int((p_values <= ALPHA).sum()), len(p_values), ALPHA, f"blocks {blocks}")
        counts[blocks] = (count, acceptance(len(p_values), ALPHA))
    within, (low, high) = counts["families"]
    assert low <= within <= high
    beyond, (_, high) = counts["none"]
    assert beyond > max(high, 2 * ALPHA * n)
