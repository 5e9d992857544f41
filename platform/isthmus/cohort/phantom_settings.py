"""What is planted in a phantom cohort."""

import re
from dataclasses import dataclass

from isthmus.core.errors import ConfigError

_LABEL = re.compile(r"[A-Za-z0-9]+")
_SHARES = ("twin_share", "sibling_share", "missing_share", "missing_value_share")


@dataclass(frozen=True)
class PhantomConfig:
    """The recipe of a phantom cohort; equal recipes give equal bytes.

    Parameters
    ----------
    n_subjects : int
        Participants, at least 1.
    grid : tuple of int
        Voxels along each axis, at least 8; the brain fills the grid whatever its size.
    voxel_size_mm : tuple of float
        Voxel edges, for the header alone.
    modalities : tuple of str
        Contrasts. T1w, T2w, FLAIR, FA, NDI, JAC, GM and WM follow recipes of their own; any other
        label gets tissue weights that are a function of the label.
    signal_modalities : tuple of str or None
        Contrasts that show what strata do to the anatomy; the others show the same people as they
        would be without. None: all of them.
    noise_modalities : tuple of str
        Contrasts that show nothing of anybody: noise within the brain.
    n_strata : int
        Planted strata; 0 or 1 plants none.
    planted : bool
        False: one stratum, and phenotypes that are independent of the images.
    stratum_effect : float
        Shift of the anatomical latents of a stratum, in their standard deviations.
    phenotype_effect : float
        Shift of the phenotype factor between neighbouring strata, in its standard deviations;
        with `confound_only`, its slope per standard deviation of age.
    n_shifted_factors : int
        Phenotype factors that strata shift, of the three there are: memory, speed, vascular.
    confound_only : bool
        Strata differ in age and the memory factor depends on age, and on nothing else: what is
        found must vanish once age is regressed out.
    twin_share, sibling_share : float
        Shares of participants in twin pairs and in sibships of two or three; at most 1 together.
    n_sites : int
        Sites, which differ in intensity scale and noise.
    missing_share : float
        Share of the participants that lack one modality's file.
    missing_value_share : float
        Share of the phenotype values that are ``n/a``.
    noise : float
        Standard deviation of the image noise; white matter of T1w is 1.
    seed : int
        Root of every random stream.

    Raises
    ------
    ConfigError
        If a value is impossible.
    """

    n_subjects: int = 24
    grid: tuple[int, int, int] = (32, 40, 32)
    voxel_size_mm: tuple[float, float, float] = (5.0, 5.0, 5.0)
    modalities: tuple[str, ...] = ("T1w", "FA")
    signal_modalities: tuple[str, ...] | None = None
    noise_modalities: tuple[str, ...] = ()
    n_strata: int = 3
    planted: bool = True
    stratum_effect: float = 4.0
    phenotype_effect: float = 1.0
    n_shifted_factors: int = 1
    confound_only: bool = False
    twin_share: float = 0.25
    sibling_share: float = 0.25
    n_sites: int = 2
    missing_share: float = 0.0
    missing_value_share: float = 0.02
    noise: float = 0.03
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible recipes."""
        at_least = {"n_subjects": 1, "n_strata": 0, "n_sites": 1, "noise": 0, "seed": 0}
        for name, least in at_least.items():
            if not getattr(self, name) >= least:
                raise _impossible(name, f"at least {least}", getattr(self, name))
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise _impossible(name, "within 0 and 1", getattr(self, name))
        if self.twin_share + self.sibling_share > 1.0:
            together = self.twin_share + self.sibling_share
            raise _impossible("twin_share + sibling_share", "at most 1", together)
        if not 0 <= self.n_shifted_factors <= 3:
            raise _impossible("n_shifted_factors", "from 0 to 3", self.n_shifted_factors)
        if len(self.grid) != 3 or min(self.grid) < 8:
            raise _impossible("grid", "three edges of at least 8 voxels", self.grid)
        if len(self.voxel_size_mm) != 3 or not min(self.voxel_size_mm) > 0:
            raise _impossible("voxel_size_mm", "three lengths above 0", self.voxel_size_mm)
        distinct = len(set(self.modalities)) == len(self.modalities) > 0
        if not distinct or not all(map(_LABEL.fullmatch, self.modalities)):
            raise _impossible(
                "modalities", "distinct labels of letters and digits", self.modalities
            )
        for name in ("signal_modalities", "noise_modalities"):
            unknown = set(getattr(self, name) or ()) - set(self.modalities)
            if unknown:
                raise _impossible(name, f"among its modalities {self.modalities}", sorted(unknown))
        both = set(self.signal_modalities or ()) & set(self.noise_modalities)
        if both:
            raise _impossible("noise_modalities", "none of its signal_modalities", sorted(both))

    def shows_strata(self, modality: str) -> bool:
        """Tell whether a contrast shows what strata do to the anatomy.

        Parameters
        ----------
        modality : str
            One of `modalities`.

        Returns
        -------
        bool
            As the recipe says; false of noise.
        """
        shown = self.modalities if self.signal_modalities is None else self.signal_modalities
        return modality in shown and modality not in self.noise_modalities

    @property
    def shifts_anatomy(self) -> bool:
        """Whether strata differ at all."""
        return self.planted and self.n_strata >= 2


def _impossible(name: str, rule: str, value: object) -> ConfigError:
    """Say what a recipe's value must be."""
    return ConfigError(f"A phantom's {name} must be {rule}, got {value!r}.")
