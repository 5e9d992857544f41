"""Draw what the simulations found: `python tests/statistical/calibration_figures.py FOLDER OUTPUT`.

FOLDER is what ``ISTHMUS_CALIBRATION=FOLDER pytest tests/statistical`` wrote; `make calibration`
does both. A figure whose simulations have not run is an error, and the others are drawn.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import beta, binom

Records = Mapping[str, Mapping[str, Any]]

# Okabe & Ito's colours, told apart by most readers; lines differ in dash and markers too.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
GREY = "#777777"
FALSE_ALARM = 1e-4
BAND = 0.99
# Records of p-values under a null: of the test as it should be used, and of it used wrongly.
PANELS = (
    (
        "Families",
        ("null_families_as_blocks", "blocks: families"),
        ("null_blocks_none", "blocks: none"),
    ),
    (
        "A confound (age)",
        ("null_confound_declared", "declared"),
        ("null_confound_undeclared", "not declared"),
    ),
    (
        "Trios: twins and a sibling",
        ("null_kinship_known_trios", "kinship known"),
        ("null_kinship_unknown_trios", "kinship not known"),
    ),
)

# Records of matched-null p-values of clouds without strata.
CLOUDS = (
    ("null_stability_6_columns_twins_0.0", "6 columns", BLUE, "-"),
    ("null_stability_120_columns_twins_0.0", "120 columns", GREEN, "--"),
    ("null_stability_6_columns_twins_0.8", "6 columns, twins r = 0.8", ORANGE, ":"),
    ("null_stability_phantom", "phantom images", PURPLE, "-."),
)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Read every record of a folder, by name."""
    paths = sorted(folder.glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def levels(n_values: int) -> np.ndarray:
    """Give the levels at which a share of `n_values` says anything."""
    return np.unique(np.round(np.geomspace(max(5.0 / n_values, 0.005), 1.0, 120), 3))


def null_p_values(records: Records) -> Figure:
    """Draw the share of null cohorts rejected at each level, right and wrong use side by side."""
    figure = Figure(figsize=(10, 3.7), layout="constrained")
    for axis, (title, right, wrong) in zip(
        figure.subplots(1, len(PANELS), sharey=True), PANELS, strict=True
    ):
        n = len(records[right[0]]["p_values"])
        level = levels(n)
        _band(axis, level, n)
        for (name, label), colour, dash in ((right, BLUE, "-"), (wrong, ORANGE, "--")):
            p = np.array(records[name]["p_values"])
            share = np.array([(p <= value + 1e-12).mean() for value in level])
            at = (p <= 0.05 + 1e-12).mean()
            axis.plot(level, share, dash, color=colour, label=f"{label}: {at:.1%} at 0.05")
        axis.set(xscale="log", yscale="log", title=title, xlabel="level", ylim=(1e-3, 1.2))
        axis.legend(fontsize=8, loc="lower right")
        axis.text(0.03, 0.95, f"n = {n}", transform=axis.transAxes, fontsize=8, va="top")
        if axis.get_subplotspec().is_first_col():
            axis.set_ylabel("share of null cohorts with p at or below it")
    return figure


def _band(axis: Axes, level: np.ndarray, n: int) -> None:
    """Shade where the share of n uniform p-values lies at each level, exactly."""
    low, high = binom.interval(BAND, n, level)
    axis.fill_between(
        level,
        np.maximum(low / n, 1e-4),
        high / n,
        color=GREY,
        alpha=0.3,
        linewidth=0,
        label=f"{BAND:.0%} of honest tests, each level",
    )
    axis.plot(level, level, color=GREY, linewidth=0.8)


def rejection_rates(records: Records) -> Figure:
    """Draw every count that a simulation showed, beside the region of an honest test."""
    counts = [r for name, r in records.items() if name.startswith("count_")]
    if not counts:
        raise KeyError("count_*")
    counts.sort(key=lambda r: (r["module"], r["title"]), reverse=True)
    figure = Figure(figsize=(10, 1.4 + 0.3 * len(counts)), layout="constrained")
    axis = figure.subplots()
    for row, found in enumerate(counts):
        n, alpha, count = found["n"], found["alpha"], found["count"]
        low, high = binom.interval(1 - FALSE_ALARM, n, alpha)
        axis.plot(
            [low / n, high / n], [row, row], color="#c8c8c8", linewidth=7, solid_capstyle="butt"
        )
        axis.plot(alpha, row, "|", color="black", markersize=9)
        inside = low <= count <= high
        share = count / n
        left, right = _clopper_pearson(count, n)
        axis.plot([left, right], [row, row], color=BLUE if inside else ORANGE, linewidth=1.2)
        axis.plot(
            share, row, "o" if inside else "D", color=BLUE if inside else ORANGE, markersize=5
        )
        axis.text(
            1.01,
            row,
            f"{share:.1%} of {n}",
            fontsize=8,
            va="center",
            transform=axis.get_yaxis_transform(),
        )
    axis.set_yticks(range(len(counts)), [_sentence(r["title"]) for r in counts], fontsize=8)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.7, len(counts) - 0.3))
    axis.set_xlabel(
        "share rejected, 95 % interval; grey: where a test of this level lies but for 1 in 10,000"
    )
    axis.grid(axis="x", alpha=0.3)
    _legend(axis)
    return figure


def _legend(axis: Axes) -> None:
    """Say what the two markers mean."""
    axis.plot([], [], "o", color=BLUE, label="inside")
    axis.plot([], [], "D", color=ORANGE, label="outside: a test misused, or a planted effect")
    axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)


def _sentence(title: str) -> str:
    """Turn a test's name into words."""
    return title.removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")


def _clopper_pearson(count: int, n: int) -> tuple[float, float]:
    """Compute the exact 95 % interval of a share."""
    low = beta.ppf(0.025, count, n - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return float(low), float(high)


def power(records: Records) -> Figure:
    """Draw the share of cohorts in which what was planted was found, by its size."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for name, label, colour, mark in (
        ("power_factor", "numeric, Kruskal-Wallis", BLUE, "o-"),
        ("power_factor_given_age", "numeric, given age (Freedman-Lane)", GREEN, "s--"),
        ("power_category", "categories, chi-squared", ORANGE, "D:"),
    ):
        _curve(left, records[name], label, colour, mark)
    planted = _planted(records)
    curve = {
        "effects": [found["distance"] for found in planted],
        "counts": [found["count"] for found in planted],
        "n": planted[0]["n"],
        "alpha": planted[0]["alpha"],
    }
    _curve(right, curve, "60 subjects, 30 pairs of twins", BLUE, "o-")
    left.set(title="Association, 24 pairs of twins and 16 others", ylabel="share found at 0.05")
    left.set_xlabel("distance of neighbouring strata (score: SD; category: half the log odds)")
    right.set(title="Strata more stable than a cloud without", xlim=(0, None))
    right.set_xlabel("distance of strata, in standard deviations within them")
    return figure


def _planted(records: Records) -> list[Mapping[str, Any]]:
    """List what was recorded of planted strata, by their distance."""
    found = [record for name, record in records.items() if name.startswith("planted_")]
    if not found:
        raise KeyError("planted_*")
    return sorted(found, key=lambda record: float(record["distance"]))


def _curve(axis: Axes, record: Mapping[str, Any], label: str, colour: str, mark: str) -> None:
    """Draw one power curve with exact intervals."""
    n, counts = record["n"], record["counts"]
    shares = np.array(counts) / n
    ends = np.array([_clopper_pearson(count, n) for count in counts]).T
    axis.errorbar(
        record["effects"],
        shares,
        yerr=np.abs(ends - shares),
        fmt=mark,
        color=colour,
        capsize=2,
        markersize=5,
        label=f"{label} (n = {n} each)",
    )
    axis.axhline(record["alpha"], color=GREY, linewidth=0.8)
    axis.set_ylim(-0.03, 1.05)
    axis.legend(fontsize=8, loc="upper left")


def stability(records: Records) -> Figure:
    """Draw the matched-null p-values of clouds without strata, and the excess of those with."""
    figure = Figure(figsize=(10, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, label, colour, dash in CLOUDS:
        p = np.array(records[name]["p_values"])
        level = np.linspace(0.0, 1.0, 201)[1:]
        if (name, label, colour, dash) == CLOUDS[0]:
            _band(left, level, len(p))
        share = [(p <= value + 1e-12).mean() for value in level]
        left.plot(level, share, dash, color=colour, label=f"{label} (n = {len(p)})")
        right.plot(
            records[name]["null_mean"], records[name]["observed"], "x", color=GREY, markersize=4
        )
    left.set(xlabel="level", ylabel="share of clouds with p at or below it", title="No strata")
    left.legend(fontsize=8, loc="upper left")
    right.plot([], [], "x", color=GREY, label="no strata")
    for found, colour, mark in zip(_planted(records), (GREEN, ORANGE, BLUE), "sDo", strict=True):
        right.plot(
            found["null_mean"],
            found["observed"],
            mark,
            color=colour,
            markersize=4,
            label=f"strata {found['distance']:g} SD apart",
        )
    right.plot([0.0, 1.0], [0.0, 1.0], color="black", linewidth=0.8)
    right.set(xlabel="mean ARI of clouds of the same spectrum", ylabel="ARI over draws")
    right.set_title("Stability beside its matched null")
    right.legend(fontsize=8, loc="lower right")
    return figure


def replication(records: Records) -> Figure:
    """Draw the replication rate beside the rate under permuted phenotypes, a point a cohort."""
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axis = figure.subplots()
    planted = _planted(records)
    shown = [(records["replication_null"], "strata, no association", GREY, "x")]
    shown += [
        (found, f"association, strata {found['distance']:g} SD apart", colour, mark)
        for found, colour, mark in zip(planted, (GREEN, ORANGE, BLUE), "sDo", strict=True)
    ]
    for found, label, colour, mark in shown:
        axis.plot(
            found["null_rate_high"],
            found["rate"],
            mark,
            color=colour,
            markersize=5,
            alpha=0.8,
            label=f"{label} ({len(found['rate'])} cohorts)",
        )
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    axis.axhline(planted[0]["floor"], color=GREY, linestyle="--", linewidth=0.8)
    axis.set(
        xlim=(0.0, 0.6),
        ylim=(-0.03, 1.03),
        xlabel="95th percentile of the rate under permuted phenotypes",
        ylabel="replication rate over draws",
    )
    axis.legend(fontsize=8, loc="upper right")
    return figure


FIGURES: Mapping[str, Callable[[Records], Figure]] = {
    "null-p-values": null_p_values,
    "rejection-rates": rejection_rates,
    "power": power,
    "stability": stability,
    "replication": replication,
}


def main(arguments: Sequence[str]) -> int:
    """Draw all figures; 1 where one lacks its simulations."""
    folder, output = Path(arguments[0]), Path(arguments[1])
    records = read(folder)
    output.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9})
    missing = 0
    for name, draw in FIGURES.items():
        path = output / f"calibration-{name}.png"
        try:
            draw(records).savefig(path, dpi=150, metadata={"Software": None})
        except KeyError as error:
            print(f"{path}: not drawn; no simulation recorded {error}.", file=sys.stderr)
            missing += 1
        else:
            print(path)
    return int(missing > 0)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: calibration_figures.py FOLDER_OF_RECORDS FOLDER_OF_FIGURES")
    sys.exit(main(sys.argv[1:]))
