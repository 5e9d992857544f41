"""fANOVA's main effects from a forest's leaves: as Optuna's, in time that grows with the leaves.

Optuna walks every tree anew for each of a dimension's cut points, which takes minutes from some
hundred trials on. Here the leaves' boxes are found once, and a dimension's marginal is a running
sum over them.

Legend: T trials, F encoded features, L leaves, G features of one dimension, K cells between cuts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

FloatArray = npt.NDArray[np.float64]

N_TREES, MOST_DEPTH = 64, 64


@dataclass(frozen=True, eq=False)
class _Encoded:
    """A space in numbers: which features stand for each dimension, and between which bounds."""

    values_TF: FloatArray
    bounds_F2: FloatArray
    features: Mapping[str, slice]


@dataclass(frozen=True, eq=False)
class _Leaves:
    """The boxes that a tree cuts a space into, and what it says of each."""

    low_LF: FloatArray
    high_LF: FloatArray
    value_L: FloatArray


def main_effects(
    points: Sequence[Mapping[str, Any]],
    distributions: Mapping[str, Any],
    values: Sequence[float],
    seed: int,
) -> dict[str, float]:
    """Share of a forest's variance that each dimension explains alone [1]_.

    Parameters
    ----------
    points : sequence of Mapping of str to Any
        A value of each dimension, as Optuna holds it, for every trial.
    distributions : Mapping of str to optuna.distributions.BaseDistribution
        The dimensions; none of a single value.
    values : sequence of float
        What is explained, finite, of each trial.
    seed : int
        Of the forest.

    Returns
    -------
    dict of str to float
        By dimension, in the order given, each the mean over the trees; empty where no tree splits
        anywhere.

    Notes
    -----
    Forest, encoding and measure are those of Optuna's `FanovaImportanceEvaluator`: 64 trees, a
    feature a choice, a uniform measure on the ranges as they are written, whether they are
    searched on a logarithmic scale or not. So are the numbers, up to rounding.

    Time and memory are O(L F) a tree and, for a dimension with choices, O(P^2 G), where P are the
    different ways in which leaves are cut by the choices, at most L.

    References
    ----------
    .. [1] Hutter F, Hoos H, Leyton-Brown K (2014). An efficient approach for assessing
       hyperparameter importance. ICML.
    """
    encoded = _encode(points, distributions)
    forest = RandomForestRegressor(N_TREES, max_depth=MOST_DEPTH, random_state=seed)
    forest.fit(encoded.values_TF, np.asarray(values, dtype=np.float64))
    shares: dict[str, list[float]] = {name: [] for name in distributions}
    for one in forest.estimators_:
        leaves = _leaves(one.tree_, encoded.bounds_F2)
        sizes_LF = leaves.high_LF - leaves.low_LF
        whole = _variance(leaves.value_L, sizes_LF.prod(axis=1))
        if not whole > 0.0:
            continue
        for name, features in encoded.features.items():
            shares[name].append(_explained(leaves, sizes_LF, features, encoded) / whole)
    return {name: float(np.mean(found)) for name, found in shares.items() if found}


def _encode(points: Sequence[Mapping[str, Any]], distributions: Mapping[str, Any]) -> _Encoded:
    """Write points as numbers: a feature a choice, and a number as it is."""
    columns: list[FloatArray] = []
    bounds: list[tuple[float, float]] = []
    features: dict[str, slice] = {}
    for name, one in distributions.items():
        inner = np.array([one.to_internal_repr(point[name]) for point in points], dtype=np.float64)
        first = len(columns)
        choices = getattr(one, "choices", ())
        if choices:
            columns += [(inner == choice).astype(np.float64) for choice in range(len(choices))]
            bounds += [(0.0, 1.0)] * len(choices)
        else:
            columns.append(inner)
            bounds.append((float(one.low), float(one.high)))
        features[name] = slice(first, len(columns))
    return _Encoded(np.stack(columns, axis=1), np.array(bounds), features)


def _leaves(tree: Any, bounds_F2: FloatArray) -> _Leaves:
    """Follow all branches of a tree at once, a level at a time."""
    feature, threshold = tree.feature, tree.threshold
    low = np.tile(bounds_F2[:, 0], (tree.node_count, 1))
    high = np.tile(bounds_F2[:, 1], (tree.node_count, 1))
    nodes = np.zeros(1, dtype=np.intp)
    while (nodes := nodes[feature[nodes] >= 0]).size:
        left, right = tree.children_left[nodes], tree.children_right[nodes]
        for child in (left, right):
            low[child], high[child] = low[nodes], high[nodes]
        high[left, feature[nodes]] = threshold[nodes]
        low[right, feature[nodes]] = threshold[nodes]
        nodes = np.concatenate((left, right))
    is_leaf = feature < 0
    return _Leaves(
        low[is_leaf], high[is_leaf], tree.value[is_leaf].reshape(is_leaf.sum(), -1)[:, 0]
    )


def _explained(leaves: _Leaves, sizes_LF: FloatArray, features: slice, encoded: _Encoded) -> float:
    """Variance of what a tree says on average over all other dimensions."""
    ranges_F = encoded.bounds_F2[:, 1] - encoded.bounds_F2[:, 0]
    others_LF = sizes_LF / ranges_F
    others_LF[:, features] = 1.0
    weight_L = others_LF.prod(axis=1)
    if features.stop - features.start == 1:
        return _of_number(leaves, weight_L, features.start)
    return _of_choices(leaves, weight_L, features)


def _of_number(leaves: _Leaves, weight_L: FloatArray, feature: int) -> float:
    """Of one number: each leaf adds to the cells between its bounds."""
    low_L, high_L = leaves.low_LF[:, feature], leaves.high_LF[:, feature]
    cuts = np.unique(np.concatenate((low_L, high_L)))
    first_L, behind_L = np.searchsorted(cuts, low_L), np.searchsorted(cuts, high_L)
    steps = np.zeros(len(cuts))
    np.add.at(steps, first_L, weight_L * leaves.value_L)
    np.add.at(steps, behind_L, -weight_L * leaves.value_L)
    return _variance(steps.cumsum()[:-1], np.diff(cuts))


def _of_choices(leaves: _Leaves, weight_L: FloatArray, features: slice) -> float:
    """Of choices: by pairs of the different boxes, for their corners are 2 to the power of G."""
    boxes_L2G = np.concatenate((leaves.low_LF[:, features], leaves.high_LF[:, features]), axis=1)
    boxes_P2G, kind_L = np.unique(boxes_L2G, axis=0, return_inverse=True)
    n_features = features.stop - features.start
    low_PG, high_PG = boxes_P2G[:, :n_features], boxes_P2G[:, n_features:]
    mean = np.dot(weight_L * (high_PG - low_PG).prod(axis=1)[kind_L.ravel()], leaves.value_L)
    # Centred first: the squares of values far from 0 would cancel.
    said_P = np.bincount(kind_L.ravel(), weight_L * (leaves.value_L - mean), len(boxes_P2G))
    together = 0.0
    for low_G, high_G, said in zip(low_PG, high_PG, said_P, strict=True):
        overlap_PG = np.minimum(high_PG, high_G) - np.maximum(low_PG, low_G)
        together += said * float(said_P @ np.maximum(overlap_PG, 0.0).prod(axis=1))
    return max(0.0, together)


def _variance(values: FloatArray, weights: FloatArray) -> float:
    """Variance of values under weights."""
    mean = np.average(values, weights=weights)
    return float(np.average((values - mean) ** 2, weights=weights))
