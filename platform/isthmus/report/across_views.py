"""What the figures across encoders show, computed once for both kinds of drawing.

Shape suffixes: E encoders, S specifications in the order drawn.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.report.across_summary import encoder_names
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import short_names
from isthmus.stratification.across import (
    AcrossEncoders,
    SelectionReport,
    Specification,
    Survival,
)

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """One row of the panel below a curve: who made this choice.

    Attributes
    ----------
    group : {"clusterer", "components", "encoder"}
        What is chosen.
    label : str
        The choice.
    at : tuple of int
        Positions along the curve that made it.
    """

    group: str
    label: str
    at: tuple[int, ...]


@dataclass(frozen=True)
class Curve:
    """One target's effect sizes over specifications, sorted.

    Attributes
    ----------
    target : str
        Its name.
    survival : Survival or None
        How it fares over all of them.
    specifications : tuple of Specification
        Those that it was tested on, by rising effect size.
    effect_sizes, q_values : tuple of float
        Of those.
    significant : tuple of bool
        Whether q <= alpha.
    n_unusable : int
        Specifications without a partition that it could be tested on: not drawn.
    choices : tuple of Choice
        Rows of the panel.
    """

    target: str
    survival: Survival | None
    specifications: tuple[Specification, ...]
    effect_sizes: tuple[float, ...]
    q_values: tuple[float, ...]
    significant: tuple[bool, ...]
    n_unusable: int
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Picked:
    """One trial's best finding.

    Attributes
    ----------
    label : str
        The trial, and the target.
    p_naive, p_adjusted : float
        As in `TrialSignificance`.
    """

    label: str
    p_naive: float
    p_adjusted: float


def curve_view(across: AcrossEncoders, target: int) -> Curve | Absent:
    """Sort one target's specifications by effect size.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.
    target : int
        Position of the target.

    Returns
    -------
    Curve or Absent
        Absent where no specification gave a partition that it could be tested on.
    """
    name = across.targets[target]
    tested = [
        (effect, 1.0 if q is None else q, i)
        for i, one in enumerate(across.specifications)
        if (effect := one.effect_sizes[target]) is not None
        for q in (one.q_values[target],)
    ]
    if not tested:
        return Absent(f"No specification gave a partition that {name} could be tested on.")
    effects, q_values, positions = zip(*sorted(tested), strict=True)
    chosen = tuple(across.specifications[i] for i in positions)
    return Curve(
        target=name,
        survival=next((one for one in across.survivals if one.target == name), None),
        specifications=chosen,
        effect_sizes=effects,
        q_values=q_values,
        significant=tuple(q <= across.alpha for q in q_values),
        n_unusable=len(across.specifications) - len(tested),
        choices=_choices(across, chosen),
    )


def agreement_view(across: AcrossEncoders) -> tuple[tuple[str, ...], FloatArray] | Absent:
    """Put the pairs of encoders into a square.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.

    Returns
    -------
    tuple of (names, ndarray of shape (E, E)) or Absent
        Short names and ARI; NaN on the diagonal and where an encoder has no partition.
    """
    if not across.agreements:
        return Absent("Fewer than two encoders have a partition: there is no pair to compare.")
    names = encoder_names(across)
    at = {name: i for i, name in enumerate(names)}
    ari_EE = np.full((len(names), len(names)), np.nan)
    for one in across.agreements:
        a, b = at[one.encoder_a], at[one.encoder_b]
        ari_EE[a, b] = ari_EE[b, a] = one.ari
    short = short_names(names)
    return tuple(short[name] for name in names), ari_EE


def selection_view(selection: SelectionReport) -> tuple[Picked, ...] | Absent:
    """Take the trials that have a p-value.

    Parameters
    ----------
    selection : SelectionReport
        What is left of the best of many trials.

    Returns
    -------
    tuple of Picked or Absent
        In the order of the report.
    """
    picked = tuple(
        Picked(f"{one.trial}: {one.target}", one.p_naive, one.p_adjusted)
        for one in selection.trials
        if one.p_naive is not None and one.p_adjusted is not None
    )
    return picked or Absent("No trial has a partition that could be tested.")


def components_label(components: int | None) -> str:
    """Name a number of principal components.

    Parameters
    ----------
    components : int or None
        None for all columns.

    Returns
    -------
    str
        Such as ``"10 components"``.
    """
    return "all columns" if components is None else f"{components} components"


def _choices(across: AcrossEncoders, chosen: tuple[Specification, ...]) -> tuple[Choice, ...]:
    """List the rows of the panel, each choice that any specification made."""
    short = short_names(encoder_names(across))
    rows: dict[tuple[str, str], list[int]] = {}
    for group in ("clusterer", "components", "encoder"):
        for one in across.specifications:
            rows.setdefault(_choice(group, one, short), [])
    for position, one in enumerate(chosen):
        for group in ("clusterer", "components", "encoder"):
            rows[_choice(group, one, short)].append(position)
    return tuple(Choice(group, label, tuple(at)) for (group, label), at in rows.items())


def _choice(group: str, one: Specification, short: dict[str, str]) -> tuple[str, str]:
    """Name what one specification chose."""
    labels = {
        "clusterer": one.clusterer.replace("_", " "),
        "components": components_label(one.pca_components),
        "encoder": short[one.encoder_id],
    }
    return group, labels[group]
