"""What stands beside each figure: how to read it, and what it does not show."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """Words for one figure.

    Attributes
    ----------
    title : str
        What it is.
    reads : str
        How to read it.
    not_shown : str
        What it does not show.
    """

    title: str
    reads: str
    not_shown: str


CAPTIONS = {
    "stability": Caption(
        "Stability against its null",
        "Above: how well the strata of each resample of the families agree with those of everybody "
        "(adjusted Rand index: 1 the same, 0 chance). Below: the mean of that index, observed "
        "(line) and in clouds without strata but with the same covariance spectrum (bars). Only "
        "the distance between line and bars speaks for strata: cutting any cloud is repeatable "
        "to a degree.",
        "Whether the strata relate to anything; and the upper spread is no interval for a new "
        "sample, since draws share subjects.",
    ),
    "p_values": Caption(
        "P-values over the draws, and replication",
        "A row a target, a point a draw: what the test would have said of another sample like "
        "this. The short line is the median, the long one holds 95 % of the draws. Right: the "
        "share of the draws with q below the level, over the same share under permuted "
        "phenotypes (grey, to its 95th percentile). A rate inside the grey is no replication. "
        "Dotted: the level, and the rate that robust asks for.",
        "A test: the points are no p-values of independent samples, and half of them below the "
        "level is no proof. Significance stands in the tables.",
    ),
    "plane": Caption(
        "Strata in the plane",
        "Each subject where the two leading principal components put it; colour and shape by "
        "stratum, a framed number at each exemplar. Equal distances along both axes.",
        "The other components, in which strata may be apart or not: see the share of the "
        "variance on each axis. Groups that the eye sees here are no evidence.",
    ),
    "jaccard": Caption(
        "How well each stratum is found again",
        "A row a stratum: overlap with its best match in each resample (Jaccard index), mean and "
        "95 % of the draws. Below 0.6 a stratum is not to be trusted, above 0.75 it is stable "
        "(Hennig 2007).",
        "A null: large or few strata reach high values by themselves, so read it with the figure "
        "of stability.",
    ),
    "profiles": Caption(
        "What each stratum looks like",
        "Mean z-score of each factor and numeric phenotype over the subjects clustered, or share "
        "of each category, with one standard error.",
        "A test: standard errors take relatives to be independent, and confounds are not "
        "regressed out here.",
    ),
    "loadings": Caption(
        "Factor loadings",
        "Correlation of each phenotype (row) with each rotated factor (column), and the share of "
        "the phenotypes' variance that the factor explains.",
        "How certain the loadings are; signs follow a convention.",
    ),
    "sweep": Caption(
        "How the number of strata was chosen",
        "Each candidate's mean silhouette against its number of strata; the ring is the one taken. "
        "The dotted line is the largest number allowed. No phenotype was looked at.",
        "That strata exist: a cloud without any has a best silhouette too.",
    ),
    "curves": Caption(
        "Specification curve",
        "Effect sizes of one target over all encoders, clusterers and numbers of components, "
        "sorted; filled where q is below the level. The ticks below say which choices are behind "
        "each. Choose a target above the figure. The joint p compares the whole curve with curves "
        "under permuted phenotypes.",
        "Independent replications: all points share subjects, most share images.",
    ),
    "agreement": Caption(
        "Agreement between encoders",
        "Adjusted Rand index of each two encoders' partitions on the subjects that both have: 1 "
        "the same, 0 chance. Grey: an encoder without a partition.",
        "Why they disagree; and encoders trained on overlapping subjects are not independent.",
    ),
    "selection": Caption(
        "The best of many trials",
        "Each trial's smallest p-value as if it were the only trial (ring), and adjusted for all "
        "trials, partitions and factors that it was picked from (diamond).",
        "Effects in new subjects: the lockbox is for that.",
    ),
}
