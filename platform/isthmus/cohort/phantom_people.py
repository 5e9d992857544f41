"""The people of a phantom cohort: families, strata, what shapes their brains, phenotypes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.core.seeds import generator

Vector = npt.NDArray[np.float64]

LATENTS = (
    "ventricle_size",
    "cortical_thickness",
    "white_matter_integrity",
    "lesion_load",
    "deep_grey_size",
    "sulcal_width",
    "brain_width",
    "cortical_contrast",
)
FACTORS = ("memory", "speed", "vascular")
TWIN_LIKENESS, SIBLING_LIKENESS = 0.8, 0.4
_LOADING = 0.8
# How each anatomical latent follows age, in standard deviations of the latent per one of age.
_AGE_SLOPES = np.array([0.5, -0.4, -0.2, 0.3, -0.1, 0.4, 0.0, 0.0])
# Column, factor, sign of the loading, mean, standard deviation, decimals.
_PHENOTYPES = (
    ("memory_recall", 0, 1, 50.0, 10.0, 1),
    ("memory_recognition", 0, 1, 24.0, 4.0, 1),
    ("picture_vocabulary", 0, 1, 100.0, 15.0, 1),
    ("reaction_time_ms", 1, -1, 480.0, 70.0, 0),
    ("trail_making_s", 1, -1, 62.0, 14.0, 1),
    ("processing_speed", 1, 1, 100.0, 15.0, 1),
    ("systolic_bp_mmhg", 2, 1, 128.0, 14.0, 0),
    ("cholesterol_mmol_l", 2, 1, 5.1, 0.9, 2),
)


@dataclass(frozen=True)
class People:
    """Everybody of a phantom cohort, in the order of the table.

    Attributes
    ----------
    participant_ids : tuple of str, length n
        ``sub-001`` and on.
    family : ndarray of int, shape (n,)
        Number of the family.
    kinship : tuple of str, length n
        ``twin``, ``sibling`` or ``single``.
    likeness : ndarray, shape (n,)
        Share in [0, 1] of a trait's variance that the family has in common.
    stratum : ndarray of int, shape (n,)
        The planted stratum, from 0.
    site : ndarray of int, shape (n,)
        Number of the site.
    age : ndarray, shape (n,)
        Years.
    sex : tuple of str, length n
        ``F`` or ``M``.
    latents : ndarray, shape (n, 8)
        What shapes the anatomy, in standard deviations, in the order of `LATENTS`.
    shifts : ndarray, shape (n, 8)
        How much of `latents` is the stratum's doing.
    factors : ndarray, shape (n, 3)
        What the phenotypes are made of, in the order of `FACTORS`.
    """

    participant_ids: tuple[str, ...]
    family: npt.NDArray[np.int64]
    kinship: tuple[str, ...]
    likeness: Vector
    stratum: npt.NDArray[np.int64]
    site: npt.NDArray[np.int64]
    age: Vector
    sex: tuple[str, ...]
    latents: Vector
    shifts: Vector
    factors: Vector


def draw_people(config: PhantomConfig) -> People:
    """Draw families, strata, ages, anatomy and phenotype factors.

    Parameters
    ----------
    config : PhantomConfig
        What is planted.

    Returns
    -------
    People
        A function of the configuration alone.

    Notes
    -----
    A trait of a participant is ``sqrt(h) * family + sqrt(1 - h) * own``, so that relatives
    correlate by h: 0.8 within twin pairs, 0.4 within siblings. Twins share sex, age, site and
    stratum; a sibling's stratum is its family's every second time. What a stratum shifts is added
    to that.
    """
    rng = generator(config.seed, "phantom", "people")
    n = config.n_subjects
    family, kinship = _families(config, rng)
    likeness = np.array(
        [{"twin": TWIN_LIKENESS, "sibling": SIBLING_LIKENESS, "single": 0.0}[k] for k in kinship]
    )
    n_families = int(family.max()) + 1
    twin = np.array(kinship) == "twin"
    stratum = _strata(config, family, twin, rng)
    age = _ages(config, family, twin, stratum, rng)
    family_sex, own_sex = rng.integers(0, 2, n_families), rng.integers(0, 2, n)
    sex = tuple("FM"[code] for code in np.where(twin, family_sex[family], own_sex))
    age_scaled = (age - 50.0) / 14.0
    latents = _alike(len(LATENTS), family, likeness, rng) + age_scaled[:, None] * _AGE_SLOPES
    factors = _alike(len(FACTORS), family, likeness, rng)
    shifts = np.zeros_like(latents)
    if config.shifts_anatomy:
        shifts = config.stratum_effect * _stratum_directions(config.n_strata)[stratum]
        latents += shifts
    if config.confound_only:
        factors[:, 0] -= config.phenotype_effect * age_scaled
    elif config.shifts_anatomy:
        offset = stratum - (config.n_strata - 1) / 2
        factors[:, : config.n_shifted_factors] += (config.phenotype_effect * offset)[:, None]
    digits = max(3, len(str(n)))
    return People(
        tuple(f"sub-{number:0{digits}d}" for number in range(1, n + 1)),
        family,
        kinship,
        likeness,
        stratum,
        rng.integers(0, config.n_sites, n_families)[family],
        age,
        sex,
        latents,
        shifts,
        factors,
    )


def draw_phenotypes(config: PhantomConfig, people: People) -> dict[str, list[str]]:
    """Make the phenotype columns out of the factors.

    Parameters
    ----------
    config : PhantomConfig
        Gives the share of values that are missing.
    people : People
        With their factors.

    Returns
    -------
    dict of str to list of str
        Eight columns of text, ``n/a`` where missing.

    Notes
    -----
    A column is ``mean + sd * (0.8 * factor + 0.6 * noise)``, so that columns of one factor
    correlate by 0.64 where no stratum shifts it.
    """
    rng = generator(config.seed, "phantom", "phenotypes")
    n = len(people.participant_ids)
    columns = {}
    for name, factor, sign, mean, deviation, decimals in _PHENOTYPES:
        noise = np.sqrt(1 - _LOADING**2) * rng.standard_normal(n)
        values = mean + deviation * (sign * _LOADING * people.factors[:, factor] + noise)
        missing = rng.uniform(size=n) < config.missing_value_share
        columns[name] = [
            "n/a" if absent else f"{value:.{decimals}f}"
            for value, absent in zip(values, missing, strict=True)
        ]
    return columns


def _families(
    config: PhantomConfig, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Deal twin pairs, sibships of two or three, and single people, in mixed order."""
    n = config.n_subjects
    sizes = [("twin", 2)] * int(config.twin_share * n / 2)
    left = int(config.sibling_share * n)
    while left >= 2:
        size = {2: 2, 3: 3, 4: 2}.get(left) or int(rng.integers(2, 4))
        sizes.append(("sibling", size))
        left -= size
    taken = sum(size for _, size in sizes)
    sizes += [("single", 1)] * (n - taken)
    sizes = [sizes[i] for i in rng.permutation(len(sizes))]
    family = np.repeat(np.arange(len(sizes)), [size for _, size in sizes])
    kinship = [kind for kind, size in sizes for _ in range(size)]
    order = rng.permutation(n)
    return family[order], tuple(kinship[i] for i in order)


def _strata(
    config: PhantomConfig,
    family: npt.NDArray[np.int64],
    twin: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Deal strata to families like cards, then let every second sibling draw anew."""
    n, n_strata = len(family), max(1, config.n_strata)
    if not config.planted or n_strata == 1:
        return np.zeros(n, dtype=np.int64)
    n_families = int(family.max()) + 1
    dealt = rng.permutation(np.arange(n_families) % n_strata)[family]
    alone = np.bincount(family)[family] == 1
    anew = (rng.uniform(size=n) < 0.5) & ~twin & ~alone
    return np.where(anew, rng.integers(0, n_strata, n), dealt)


def _ages(
    config: PhantomConfig,
    family: npt.NDArray[np.int64],
    twin: npt.NDArray[np.bool_],
    stratum: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Vector:
    """Draw years from 20 to 85; relatives are near in age, and confounded strata differ by it."""
    n_families = int(family.max()) + 1
    apart = np.where(twin, 0.0, rng.normal(0.0, 2.5, len(family)))
    if config.confound_only and config.shifts_anatomy:
        centre = 30.0 + 40.0 * stratum / max(1, config.n_strata - 1)
        years = centre + rng.normal(0.0, 5.0, n_families)[family]
    else:
        years = rng.uniform(22.0, 78.0, n_families)[family]
    years_rounded: Vector = np.clip(years + apart, 20.0, 85.0).round(1)
    return years_rounded


def _alike(
    n_traits: int, family: npt.NDArray[np.int64], likeness: Vector, rng: np.random.Generator
) -> Vector:
    """Draw standard normal traits that relatives share in part."""
    shared = rng.standard_normal((int(family.max()) + 1, n_traits))[family]
    own = rng.standard_normal((len(family), n_traits))
    traits: Vector = np.sqrt(likeness)[:, None] * shared + np.sqrt(1 - likeness)[:, None] * own
    return traits


def _stratum_directions(n_strata: int) -> Vector:
    """Give each stratum two anatomical latents of its own, up or down, in centred rows."""
    directions = np.zeros((n_strata, len(LATENTS)))
    for stratum in range(n_strata):
        first = 2 * stratum % len(LATENTS)
        sign = -1.0 if stratum // (len(LATENTS) // 2) % 2 else 1.0
        directions[stratum, first] = sign
        directions[stratum, first + 1] = -sign
    centred: Vector = directions - directions.mean(axis=0)
    return centred
