"""Scores of ablations that were never run: drawn so that folds are as dependent as real ones are.

Two sources. `equicorrelated` draws blocks with just the correlation that the corrected t-test takes
for granted, so that its level and power are exact and can be held against a binomial region from
both sides. `ridge_errors` trains a real learner on each training fold of drawn subjects: which
subjects are in which fold then makes the dependence, and nothing about it is assumed.

Legend: S studies, N subjects, P inputs, J blocks (seeds x folds), A arms.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import ttest_1samp

from isthmus.study.inference.resampled_t import resampled_t
from isthmus.study.inference.verdict import Judgement, Rule, judge

FloatArray = npt.NDArray[np.float64]
N_SUBJECTS, N_FOLDS = 60, 5
RATIO = 1 / (N_FOLDS - 1)


def equicorrelated(rng: np.random.Generator, n_studies: int, n_arms: int, n: int) -> FloatArray:
    """Scores (S, A, J) of variance 1 that correlate n_test / (n_test + n_train) between blocks.

    Arms are independent, so that a difference of two of them has variance 2.
    """
    correlation = RATIO / (1 + RATIO)
    common = rng.standard_normal((n_studies, n_arms, 1))
    own = rng.standard_normal((n_studies, n_arms, n))
    return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own


def expected_error(n_blocks: int) -> float:
    """Standard error of the mean difference of two arms of `equicorrelated`."""
    correlation = RATIO / (1 + RATIO)
    return float(np.sqrt(2 * (1 - correlation) * (1 / n_blocks + RATIO)))


def draw_folds(
    rng: np.random.Generator, n_studies: int, n_seeds: int, n_subjects: int = N_SUBJECTS
) -> FloatArray:
    """Who is held out, (S, J, N): at each seed everybody once, all arms alike."""
    order = rng.random((n_studies, n_seeds, n_subjects)).argsort(axis=-1).argsort(axis=-1)
    held_out = order[:, :, None, :] % N_FOLDS == np.arange(N_FOLDS)[:, None]
    return held_out.reshape(n_studies, n_seeds * N_FOLDS, n_subjects).astype(np.float64)


def ridge_errors(
    x_SNP: FloatArray, y_SN: FloatArray, held_out_SJN: FloatArray, penalty: float = 1.0
) -> FloatArray:
    """Mean squared errors (S, J) of held-out subjects, by ridge regression on the others."""
    errors = []
    for j in range(held_out_SJN.shape[1]):
        out_SN = held_out_SJN[:, j]
        weighted = x_SNP * (1 - out_SN)[:, :, None]
        gram = np.swapaxes(weighted, 1, 2) @ x_SNP + penalty * np.eye(x_SNP.shape[2])
        slopes = np.linalg.solve(gram, np.swapaxes(weighted, 1, 2) @ y_SN[..., None])
        residual_SN = y_SN - (x_SNP @ slopes)[..., 0]
        errors.append((residual_SN**2 * out_SN).sum(axis=1) / out_SN.sum(axis=1))
    return np.stack(errors, axis=1)


def null_factor(
    rng: np.random.Generator,
    n_studies: int,
    n_seeds: int,
    n_inputs: int = 8,
    strength: float = 0.3,
    n_arms: int = 2,
) -> FloatArray:
    """Errors (S, A, J) of arms that read inputs of their own, all alike in distribution.

    Each arm's inputs carry the same share of the target. In the population no arm is better; in
    60 subjects one looks it.
    """
    held_out = draw_folds(rng, n_studies, n_seeds)
    x = rng.standard_normal((n_arms, n_studies, N_SUBJECTS, n_inputs))
    y = strength * x.sum(axis=(0, 3)) + rng.standard_normal((n_studies, N_SUBJECTS))
    return np.stack([ridge_errors(of_arm, y, held_out) for of_arm in x], axis=1)


def component_scores(
    x_ASNP: FloatArray, y_SN: FloatArray, trained_SJN: FloatArray, scored_SJN: FloatArray
) -> FloatArray:
    """Relation (S, A, J) of the first component, learnt on some subjects, to a target in others.

    The size of the correlation, as the strength of strata's association with a phenotype is one:
    nothing of the target is learnt.
    """
    found = []
    for j in range(trained_SJN.shape[1]):
        weighted = x_ASNP * trained_SJN[:, j, :, None]
        axes = np.linalg.eigh(np.swapaxes(weighted, -1, -2) @ x_ASNP)[1][..., -1]
        code = np.einsum("asnp,asp->asn", x_ASNP, axes)
        who = scored_SJN[:, j]
        n = who.sum(axis=-1, keepdims=True)
        code = (code - (code * who).sum(axis=-1, keepdims=True) / n) * who
        target = (y_SN - (y_SN * who).sum(axis=-1, keepdims=True) / n) * who
        size = np.sqrt((code**2).sum(axis=-1) * (target**2).sum(axis=-1))
        found.append(np.abs((code * target).sum(axis=-1)) / size)
    return np.stack(found, axis=-1).swapaxes(0, 1)


def decide(
    scores_SAJ: FloatArray, rule: Rule, margin: float | None = None
) -> list[tuple[Judgement, ...]]:
    """Judge, for each study, all arms against the first: one family a study."""
    found = []
    for of_study in scores_SAJ:
        outcomes = [resampled_t(arm - of_study[0], RATIO) for arm in of_study[1:]]
        found.append(judge(outcomes, [margin] * len(outcomes), rule))
    return found


def naive_rejections(scores_SAJ: FloatArray, alpha: float) -> int:
    """Count the studies in which a paired t-test of folds calls the second arm another one."""
    p = ttest_1samp(scores_SAJ[:, 1] - scores_SAJ[:, 0], 0.0, axis=1).pvalue
    return int((p < alpha).sum())


def n_families_with(found: Sequence[tuple[Judgement, ...]], *decisions: str) -> int:
    """Count the studies in which any comparison came out as one of some verdicts."""
    return sum(any(one.decision in decisions for one in family) for family in found)
