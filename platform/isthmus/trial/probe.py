"""How much of the subject a representation holds: linear prediction of declared targets.

The probe is fitted on the training fold's subjects and scored on the held-out fold's, in the space
of one encoder. The same is done for PCA scores and for an untrained encoder.
"""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import pearsonr
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus.core.errors import CohortError

FloatArray = npt.NDArray[np.floating]
PENALTIES = tuple(float(value) for value in np.logspace(-2, 5, 8))
N_INNER_FOLDS = 5
MAX_CLASSES = 10
LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class ProbeScore:
    """How well one representation predicts one target on held-out subjects.

    Attributes
    ----------
    target : str
        Column that is predicted.
    representation : str
        ``embedding``, ``pca`` or ``random_encoder``.
    kind : str
        ``ridge`` or ``logistic``; ``untestable`` where no probe could be fitted.
    n_train, n_validation : int
        Subjects with a known target.
    scores : dict of str to float
        Ridge: ``r`` (Pearson), ``mae`` (target's unit), ``mae_of_mean`` (answering the training
        mean). Logistic: ``balanced_accuracy``, and ``auc`` for two classes. What is undefined is
        left out.
    note : str
        Why it was untestable, or empty.
    """

    target: str
    representation: str
    kind: str
    n_train: int
    n_validation: int
    scores: dict[str, float]
    note: str = ""


def probe(
    target: pd.Series,
    families: pd.Series,
    representation: str,
    train: tuple[tuple[str, ...], FloatArray],
    validation: tuple[tuple[str, ...], FloatArray],
) -> ProbeScore:
    """Predict a target from a representation, linearly.

    The penalty is chosen by cross-validation over the families of the training fold. A good score
    does not show that the representation caused anything, or that it holds more than a simpler
    one: compare it with the scores of ``pca`` and ``random_encoder``.

    Parameters
    ----------
    target : Series
        Values by participant_id; numbers, or labels. Missing values are left out.
    families : Series
        Family label by participant_id.
    representation : str
        Its name, for the record.
    train, validation : tuple of (ids, array (n, d))
        Participants and their values.

    Returns
    -------
    ProbeScore
        Scores on the validation subjects.

    Raises
    ------
    CohortError
        If the target has more than 10 classes that are no numbers.

    Notes
    -----
    Columns are centred, and all divided by one number, the root mean square of the training values.
    Were each column divided by its own deviation, as many principal components as there are
    subjects would lie equally far apart, and a cross-validated penalty could not but forbid
    everything; columns that hold nothing would weigh as much as those that hold all.
    """
    categorical = is_categorical(target)
    ids_train, x_train = _known(target, *train)
    ids_validation, x_validation = _known(target, *validation)
    y_train, y_validation = target.loc[ids_train], target.loc[ids_validation]
    groups = families.loc[ids_train].to_numpy()
    kind = "logistic" if categorical else "ridge"
    record = ProbeScore(
        str(target.name), representation, kind, len(ids_train), len(ids_validation), {}
    )
    why = _untestable(y_train, y_validation, groups, categorical)
    if why:
        return replace(record, kind="untestable", note=why)
    scale = _overall_scale(x_train)
    x_train, x_validation = x_train / scale, x_validation / scale
    search = _search(categorical, y_train, groups)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the penalty path's weak end only
        warnings.simplefilter("ignore", FitFailedWarning)
        search.fit(x_train, _values(y_train, categorical), groups=groups)
    score = _score_classes if categorical else _score_numbers
    return replace(record, scores=score(search, x_validation, y_train, y_validation))


def is_categorical(target: pd.Series) -> bool:
    """Tell whether a target is a class label rather than a quantity.

    Parameters
    ----------
    target : Series
        Values of a column.

    Returns
    -------
    bool
        True for text and for numbers with only two values.

    Raises
    ------
    CohortError
        If a text column has more than 10 classes.
    """
    known = target.dropna()
    if pd.api.types.is_numeric_dtype(known):
        return bool(known.nunique() <= 2)
    if known.nunique() > MAX_CLASSES:
        raise CohortError(
            f"controls.probe_targets: a column of labels must have at most {MAX_CLASSES} classes, "
            f"but '{target.name}' has {known.nunique()}. Leave it out or group its labels."
        )
    return True


def _known(
    target: pd.Series, ids: tuple[str, ...], values: FloatArray
) -> tuple[list[str], FloatArray]:
    """Keep participants whose target is known."""
    present = target.reindex(list(ids)).notna().to_numpy()
    return [name for name, keep in zip(ids, present, strict=True) if keep], values[present]


def _values(y: pd.Series, categorical: bool) -> npt.NDArray[np.generic]:
    """Return labels as text, numbers as float64."""
    return np.asarray(y.astype(str) if categorical else y.astype(float))


def _untestable(
    y_train: pd.Series, y_validation: pd.Series, groups: npt.NDArray[np.generic], categorical: bool
) -> str:
    """Say why no probe can be fitted, or nothing."""
    if len(set(groups)) < 2 or len(y_validation) < 2:
        return "needs two families to fit and two subjects to score"
    if y_train.nunique() < 2:
        return "the target is constant in the training fold"
    if y_validation.nunique() < 2:
        return "the target is constant in the held-out fold"
    if categorical and _families_of_rarest_class(y_train, groups) < 2:
        return "a class has training subjects of one family alone"
    return ""


def _families_of_rarest_class(y: pd.Series, groups: npt.NDArray[np.generic]) -> int:
    """Count the families that have a member in the class that fewest have."""
    return int(pd.Series(groups, index=y.index).groupby(y.astype(str)).nunique().min())


def _overall_scale(x_train: FloatArray) -> float:
    """Root mean square of the centred training values; 1 where they are constant."""
    return float(np.sqrt(x_train.var(axis=0).mean())) or 1.0


def _search(categorical: bool, y_train: pd.Series, groups: npt.NDArray[np.generic]) -> GridSearchCV:
    """Set up the choice of the penalty over families."""
    if categorical:
        model = make_pipeline(StandardScaler(with_std=False), LogisticRegression(max_iter=500))
        grid = {"logisticregression__C": [1 / value for value in PENALTIES]}
        balanced = StratifiedGroupKFold(
            min(N_INNER_FOLDS, _families_of_rarest_class(y_train, groups))
        )
        # a part left without one of two classes cannot be fitted: it scores as ignorance
        return GridSearchCV(
            model, grid, cv=balanced, scoring=_log_likelihood, error_score=math.log(0.5)
        )
    folds = GroupKFold(min(N_INNER_FOLDS, len(set(groups))))
    model = make_pipeline(StandardScaler(with_std=False), Ridge())
    return GridSearchCV(
        model, {"ridge__alpha": list(PENALTIES)}, cv=folds, scoring="neg_mean_squared_error"
    )


def _log_likelihood(model: Pipeline, x: FloatArray, y: npt.NDArray[np.generic]) -> float:
    """Mean log probability of the true labels; defined also where a part lacks a class."""
    probability = model.predict_proba(x)
    column = {label: i for i, label in enumerate(model.classes_)}
    true = [
        row[column[label]] if label in column else 0.0
        for row, label in zip(probability, y, strict=True)
    ]
    return float(np.log(np.maximum(true, LEAST_PROBABILITY)).mean())


def _score_numbers(
    search: GridSearchCV, x: FloatArray, y_train: pd.Series, y: pd.Series
) -> dict[str, float]:
    """Score predicted quantities."""
    truth, predicted = y.to_numpy(float), search.predict(x)
    scores = {
        "mae": float(np.abs(truth - predicted).mean()),
        "mae_of_mean": float(np.abs(truth - float(y_train.mean())).mean()),
    }
    if np.ptp(predicted) > 0 and len(truth) > 2:
        scores["r"] = float(pearsonr(truth, predicted).statistic)
    return scores


def _score_classes(
    search: GridSearchCV, x: FloatArray, y_train: pd.Series, y: pd.Series
) -> dict[str, float]:
    """Score predicted labels."""
    truth = _values(y, categorical=True)
    recognised = np.isin(truth, search.classes_)
    truth, x = truth[recognised], x[recognised]
    scores = {"balanced_accuracy": float(balanced_accuracy_score(truth, search.predict(x)))}
    if len(search.classes_) == 2 and len(set(truth)) == 2:
        scores["auc"] = float(
            roc_auc_score(truth == search.classes_[1], search.predict_proba(x)[:, 1])
        )
    return scores
