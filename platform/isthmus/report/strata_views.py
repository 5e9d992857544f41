"""What the figures of one report show, computed once for both kinds of drawing.

A view that has nothing to show is `Absent`, with the reason in words.
Shape suffixes: N subjects, D draws, F targets, K strata.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.config.stratification import TargetKind
from isthmus.report.strata_words import no_partition_because
from isthmus.stratification.factors import NoFactors
from isthmus.stratification.partition import NonConvergence, SweepPoint
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.robustness import MatchedNull, Replication, Stability
from isthmus.stratification.tested import Profile, Verdict

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Absent:
    """Nothing to draw.

    Attributes
    ----------
    reason : str
        Why, in a sentence.
    """

    reason: str


@dataclass(frozen=True)
class Cloud:
    """One target's row in the figure of p-values.

    Attributes
    ----------
    target : str
        Its name.
    kind : {"factor", "phenotype", "category"}
        What it is.
    verdict : str
        As in `Association`.
    replication : Replication
        What the draws said.
    draws : tuple of int
        Draws that gave a p-value.
    p_values : tuple of float
        Of those draws.
    """

    target: str
    kind: TargetKind
    verdict: Verdict
    replication: Replication
    draws: tuple[int, ...]
    p_values: tuple[float, ...]


@dataclass(frozen=True)
class ProfilePanel:
    """One target over the strata.

    Attributes
    ----------
    target : str
        Factor, phenotype, or ``column=value``.
    kind : {"factor", "phenotype", "category"}
        What it is.
    profiles : tuple of Profile
        Of those strata in which it is known of somebody.
    """

    target: str
    kind: TargetKind
    profiles: tuple[Profile, ...]


@dataclass(frozen=True)
class Candidate:
    """One candidate of the sweep that has a place in the figure.

    Attributes
    ----------
    n_strata : int
        Strata it gave.
    silhouette : float
        Their mean silhouette.
    point : SweepPoint
        All that is known of it.
    """

    n_strata: int
    silhouette: float
    point: SweepPoint


@dataclass(frozen=True)
class PlaneGroup:
    """Points drawn alike.

    Attributes
    ----------
    stratum : int or None
        None for subjects that have no stratum.
    participant_ids : tuple of str
        Who they are.
    points : ndarray, shape (n, 2)
        Where they lie.
    exemplar : int or None
        Position of the exemplar among them.
    """

    stratum: int | None
    participant_ids: tuple[str, ...]
    points: FloatArray
    exemplar: int | None


def stability_view(report: RobustnessReport) -> tuple[Stability, MatchedNull] | Absent:
    """Look up the stability and its null.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    tuple of (Stability, MatchedNull) or Absent
        Absent where nothing was resampled.
    """
    if report.robustness is None:
        return Absent(no_partition_because(report) or "Nothing was resampled.")
    return report.robustness.stability, report.robustness.matched_null


def cloud_view(report: RobustnessReport) -> tuple[Cloud, ...] | Absent:
    """Put each resampled target's p-values into a row.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    tuple of Cloud or Absent
        In the order of the tests; targets that were not resampled are left out.
    """
    if report.robustness is None:
        return Absent(no_partition_because(report) or "Nothing was resampled.")
    rows = []
    for association in report.associations:
        found = report.replication(association.kind, association.target)
        if found is None:
            continue
        known = [(i, p) for i, p in enumerate(found.p_values) if p is not None]
        draws, p_values = zip(*known, strict=True) if known else ((), ())
        rows.append(
            Cloud(association.target, association.kind, association.verdict, found, draws, p_values)
        )
    return tuple(rows) or Absent("No target could be tested, so none was resampled.")


def loadings_view(report: RobustnessReport) -> FloatArray | Absent:
    """Take the loadings as a table.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    ndarray, shape (phenotypes, factors), or Absent
        Correlations in [-1, 1].
    """
    if isinstance(report.factors, NoFactors):
        return Absent(f"There are no phenotype factors: {report.factors.reason}")
    return np.array(report.factors.loadings, dtype=np.float64)


def plane_view(report: RobustnessReport) -> tuple[PlaneGroup, ...] | Absent:
    """Group the points of the plane by stratum.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    tuple of PlaneGroup or Absent
        One group without a stratum where the clusterer gave up.
    """
    if report.plane is None:
        return Absent("The embedding has no variance: there is nothing to lay out.")
    points_N2 = np.array(report.plane.coordinates, dtype=np.float64).reshape(-1, 2)
    strata = report.strata
    if isinstance(strata, NonConvergence):
        return (PlaneGroup(None, report.participant_ids, points_N2, None),)
    at = {name: i for i, name in enumerate(report.participant_ids)}
    groups = []
    for stratum, exemplar in enumerate(strata.exemplar_ids):
        members = tuple(
            name
            for name, label in zip(strata.participant_ids, strata.labels, strict=True)
            if label == stratum
        )
        rows = [at[name] for name in members]
        where = members.index(exemplar) if exemplar in members else None
        groups.append(PlaneGroup(stratum, members, points_N2[rows], where))
    return tuple(groups)


def profile_view(report: RobustnessReport) -> tuple[ProfilePanel, ...] | Absent:
    """Group the profiles by target.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    tuple of ProfilePanel or Absent
        In the order of the report.
    """
    panels: dict[tuple[TargetKind, str], list[Profile]] = {}
    for profile in report.profiles:
        panel = panels.setdefault((profile.kind, profile.target), [])
        if profile.mean is not None:
            panel.append(profile)
    if not panels:
        nothing = "No target is declared that could be profiled."
        return Absent(no_partition_because(report) or nothing)
    return tuple(ProfilePanel(name, kind, tuple(of)) for (kind, name), of in panels.items())


def profile_limits(view: tuple[ProfilePanel, ...], category: bool) -> tuple[float, float]:
    """Find an axis that holds all panels of one unit.

    Parameters
    ----------
    view : tuple of ProfilePanel
        All panels.
    category : bool
        Whether those of shares are meant, or those of z-scores.

    Returns
    -------
    tuple of float
        Its ends; 0 is between them.
    """
    ends = [
        profile.mean + sign * (profile.standard_error or 0.0)
        for panel in view
        if (panel.kind == "category") == category
        for profile in panel.profiles
        if profile.mean is not None
        for sign in (-1, 1)
    ]
    if category:
        return min([-0.02, *ends]), max([1.02, *ends])
    low, high = min([0.0, *ends]), max([0.0, *ends])
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def sweep_view(report: RobustnessReport) -> tuple[Candidate, ...] | Absent:
    """Take the candidates of the sweep that can be placed.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    tuple of Candidate or Absent
        Those that have both a number of strata and a silhouette, by number of strata.
    """
    sweep = report.strata.sweep
    if not sweep:
        return Absent("The number of strata, or the preference, was given: nothing was swept.")
    placed = [
        Candidate(point.n_strata, point.silhouette, point)
        for point in sweep
        if point.n_strata is not None and point.silhouette is not None
    ]
    if not placed:
        return Absent(f"None of the {len(sweep)} candidates of the sweep gave two strata or more.")
    return tuple(sorted(placed, key=lambda candidate: candidate.n_strata))


def not_placed(report: RobustnessReport) -> str:
    """Say how many candidates of the sweep could not be drawn.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    str
        Empty where all could.
    """
    missing = [p for p in report.strata.sweep if p.n_strata is None or p.silhouette is None]
    if not missing:
        return ""
    n_failed = sum(point.outcome == "non_convergence" for point in missing)
    return (
        f"{len(missing)} of {len(report.strata.sweep)} candidates not drawn: {n_failed} without "
        f"convergence, {len(missing) - n_failed} without a silhouette"
    )


def spread(count: int) -> FloatArray:
    """Spread points of one row sideways so that they cover each other less; no randomness.

    Parameters
    ----------
    count : int
        Number of points.

    Returns
    -------
    ndarray, shape (count,)
        Offsets in [-0.5, 0.5), the multiples of the golden ratio modulo 1.
    """
    offsets = (np.arange(count) * 0.6180339887498949) % 1.0 - 0.5
    return offsets.astype(np.float64)
