"""A subject's images in three linked planes: input, reconstruction and difference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from dash import html

from isthmus.core.errors import IsthmusError
from isthmus.training.card import ENCODER_FILE, NORMALISER_FILE, WEIGHTS_FILE
from isthmus.trial.panels import PLANES, Panel, load_panels
from isthmus_dashboard.addresses import Address
from isthmus_dashboard.context import Chosen, Context, choose_trial, fold_choice, trial_choice
from isthmus_dashboard.people import experiment_of
from isthmus_dashboard.pieces import Piece, choice, choices, graph, notice, position, position_words
from isthmus_dashboard.plane_charts import AXES, plane_chart_of
from isthmus_dashboard.scans import Cut, Scan, cuts_kept, cuts_of
from isthmus_dashboard.source import Missing, Standing

GRAPH, WHERE = "plane", "where"
STEPS = ("i", "j", "k")
PANELS_FILE = "panels.npz"
_AXIS_WORDS = ("Sagittal slice", "Coronal slice", "Axial slice")
_SCALE = (
    "Normalised intensity from 0 (black) to 1 (white), as the network is given it; difference is "
    "reconstruction - input, red above and blue below, to +-0.25. The subject's left is on the "
    "left."
)


def images_page(context: Context, standing: Standing, address: Address) -> list[Piece]:
    """Show one subject's images and what one fold's network makes of them.

    Parameters
    ----------
    context : Context
        What may be looked at.
    standing : Standing
        The study.
    address : Address
        Its choices ``trial``, ``fold``, ``subject``, ``modality`` and the voxel ``i``, ``j``,
        ``k``.

    Returns
    -------
    list of dash component
        Volumes with a crosshair that moves, or, where they cannot be had, the slices that the
        trial kept, and why.
    """
    chosen = choose_trial(context, standing, address)
    ids = chosen.fold.strata.participant_ids
    subject = address.get("subject") or ids[0]
    first = (trial_choice(standing, chosen.entry.key), fold_choice(chosen))
    if subject not in ids:
        people = choice("subject", "Subject", [("", "choose"), *((n, n) for n in ids)], "")
        said = (
            f"{subject} is not among this fold's subjects; whoever is in the lockbox is not shown. "
            "Choose one from the list."
        )
        return [choices(*first, people), notice("Not among these subjects", said)]
    try:
        scan = scan_of(context, standing, chosen, subject)
    except (IsthmusError, OSError) as error:
        return _kept(context, standing, chosen, address, first, str(error))
    modality = _modality(address, scan.modalities)
    at = voxel_of(address, scan)
    people = choice("subject", "Subject", [(name, name) for name in ids], subject)
    sliders = [
        position(STEPS[axis], _AXIS_WORDS[axis], at[axis], scan.x_MDHW.shape[axis + 1] - 1)
        for axis in range(3)
    ]
    return [
        choices(*first, people, _modality_choice(scan.modalities, modality)),
        choices(*sliders),
        html.P(_where(scan, at), id=WHERE, role="status"),
        _planes(cuts_of(scan, modality, at), at),
        html.P(_SCALE, className="note"),
    ]


def scan_of(context: Context, standing: Standing, chosen: Chosen, subject: str) -> Scan:
    """Read a subject and have it reconstructed by a fold's network.

    Parameters
    ----------
    context : Context
        What may be looked at.
    standing : Standing
        The study.
    chosen : Chosen
        Trial and fold.
    subject : str
        Whom.

    Returns
    -------
    Scan
        Volumes.

    Raises
    ------
    IsthmusError
        If weights, settings or store are not to be had.
    """
    source, study, trial = context.seen.source, standing.entry.key, chosen.entry.key
    experiment = experiment_of(source, study, trial)
    names = (WEIGHTS_FILE, ENCODER_FILE, NORMALISER_FILE)
    folder = source.files(study, trial, chosen.fold.number, names)
    return context.scans.of(folder, experiment.store_url, subject)


def voxel_of(address: Address, scan: Scan) -> tuple[int, int, int]:
    """Find the voxel that the planes go through.

    Parameters
    ----------
    address : Address
        Its choices ``i``, ``j``, ``k``.
    scan : Scan
        Whose grid bounds them.

    Returns
    -------
    tuple of int
        By default the middle of the mask.
    """
    shape = scan.x_MDHW.shape[1:]
    i, j, k = (
        address.number(STEPS[axis], scan.centre[axis], 0, shape[axis] - 1) for axis in range(3)
    )
    return i, j, k


def moved_to(plane: int, across: float, upwards: float) -> dict[str, int]:
    """Tell where a click into a plane moves the crosshair.

    Parameters
    ----------
    plane : int
        0 sagittal, 1 coronal, 2 axial.
    across, upwards : float
        Where in the plane.

    Returns
    -------
    dict of str to int
        The two positions that change.

    Examples
    --------
    >>> moved_to(1, 4.0, 7.2)
    {'i': 4, 'k': 7}
    """
    right, up = AXES[plane]
    return {STEPS[right]: round(across), STEPS[up]: round(upwards)}


def only_moved(was: Address | None, now: Address | None) -> bool:
    """Tell whether nothing but the crosshair of the same images moved.

    Parameters
    ----------
    was, now : Address or None
        Where one was and is.

    Returns
    -------
    bool
        Then figures can be replaced where they stand.
    """
    if was is None or now is None or (was.study, was.page) != (now.study, now.page):
        return False
    if now.page != "images" or was == now:
        return False
    fixed = [
        {name: value for name, value in one.choices.items() if name not in STEPS}
        for one in (was, now)
    ]
    return fixed[0] == fixed[1]


def moved_props(
    context: Context, standing: Standing, address: Address
) -> list[tuple[Any, dict[str, Any]]]:
    """List what changes on the page where the crosshair moved.

    Parameters
    ----------
    context : Context
        What may be looked at.
    standing : Standing
        The study.
    address : Address
        With the new voxel.

    Returns
    -------
    list of (object, dict)
        Name and properties of each component; empty where there are no volumes.
    """
    try:
        chosen = choose_trial(context, standing, address)
        subject = address.get("subject") or chosen.fold.strata.participant_ids[0]
        scan = scan_of(context, standing, chosen, subject)
    except (IsthmusError, OSError):
        return []
    at = voxel_of(address, scan)
    cuts = cuts_of(scan, _modality(address, scan.modalities), at)
    props: list[tuple[Any, dict[str, Any]]] = [(WHERE, {"children": _where(scan, at)})]
    for axis, cut in enumerate(cuts):
        right, up = AXES[axis]
        chart = plane_chart_of(cut, (at[right], at[up]))
        last = scan.x_MDHW.shape[axis + 1] - 1
        words = position_words(_AXIS_WORDS[axis], at[axis], last)
        props += [
            ({"type": GRAPH, "plane": axis}, {"figure": chart}),
            (f"choice-{STEPS[axis]}", {"value": at[axis]}),
            (f"label-{STEPS[axis]}", {"children": words}),
        ]
    return props


def _where(scan: Scan, at: tuple[int, int, int]) -> str:
    """Say where the planes cross."""
    x, y, z = (scan.affine @ np.array([*at, 1.0]))[:3]
    where = f"Voxel {at[0]}, {at[1]}, {at[2]}: {x:.1f}, {y:.1f}, {z:.1f} mm."
    return f"{where} Move the sliders, or choose a voxel in a plane."


def _planes(cuts: Sequence[Cut], at: tuple[int, int, int] | None) -> Piece:
    """Show the three planes."""
    shown = []
    for plane, cut in enumerate(cuts):
        right, up = AXES[plane]
        cross = None if at is None else (at[right], at[up])
        key = {"type": GRAPH, "plane": plane}
        title = f"{PLANES[plane]}: input, reconstruction and difference"
        chart = graph(plane_chart_of(cut, cross), key, title)
        shown.append(html.Div([html.H2(PLANES[plane].capitalize()), chart]))
    return html.Div(shown, className="planes")


def _kept(
    context: Context,
    standing: Standing,
    chosen: Chosen,
    address: Address,
    first: tuple[Piece, ...],
    why: str,
) -> list[Piece]:
    """Show the slices that the trial kept."""
    said = f"Volumes cannot be shown here. {why}"
    try:
        folder = context.seen.source.files(
            standing.entry.key, chosen.entry.key, chosen.fold.number, (PANELS_FILE,)
        )
        panels = load_panels(folder / PANELS_FILE)
        if not panels:
            raise Missing(f"{folder / PANELS_FILE} holds no slices.")
    except (IsthmusError, OSError, ValueError) as error:
        advice = (
            f"Nor are there slices that the trial kept. {error} Start the dashboard where the "
            "cohort's store is, or name the folder of the trials with --output."
        )
        return [choices(*first), notice("No images", said, advice)]
    panel = _panel(panels, address.get("subject"))
    modality = _modality(address, panel.modalities)
    options = [(one.participant_id, f"{one.participant_id} ({one.why})") for one in panels]
    return [
        choices(
            *first,
            choice("subject", "Subject", options, panel.participant_id),
            _modality_choice(panel.modalities, modality),
        ),
        notice("Kept slices only", said, "These are the slices that the trial kept of a few."),
        _planes(cuts_kept(panel, modality), None),
        html.P(_SCALE, className="note"),
    ]


def _panel(panels: Sequence[Panel], subject: str) -> Panel:
    """Find the kept slices of a subject; of another where it has none."""
    return next((one for one in panels if one.participant_id == subject), panels[0])


def _modality(address: Address, modalities: Sequence[str]) -> int:
    """Find the chosen modality."""
    wanted = address.get("modality")
    return modalities.index(wanted) if wanted in modalities else 0


def _modality_choice(modalities: Sequence[str], chosen: int) -> Piece:
    """Offer the modalities."""
    options = [(name, name) for name in modalities]
    return choice("modality", "Modality", options, modalities[chosen])
