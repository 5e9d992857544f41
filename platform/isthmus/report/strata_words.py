"""Short words and numbers of the robustness job, the same in tables, figures and pages."""

from collections import Counter
from collections.abc import Sequence

from isthmus.config.stratification import TargetKind
from isthmus.stratification.factors import NoFactors
from isthmus.stratification.partition import DegeneratePartition, NonConvergence, Partition
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.robustness import Trust
from isthmus.stratification.tested import Verdict

VERDICTS: dict[Verdict, str] = {
    "robust": "robust",
    "significant_but_unstable": "significant but unstable",
    "not_significant": "not significant",
    "untestable": "untestable",
}
TRUSTS: dict[Trust, str] = {
    "stable": "stable",
    "doubtful": "doubtful",
    "not_to_be_trusted": "not to be trusted",
}
KINDS: dict[TargetKind, str] = {
    "factor": "phenotype factors",
    "phenotype": "numeric phenotypes",
    "category": "categorical phenotypes",
}
STATISTICS: dict[TargetKind, str] = {"factor": "H", "phenotype": "H", "category": "chi^2"}
EFFECTS: dict[TargetKind, str] = {
    "factor": "epsilon^2",
    "phenotype": "epsilon^2",
    "category": "Cramer's V",
}
LEAKY = "LEAKY normalisation: it saw the held-out subjects"
_LONGEST_LABEL = 26


def number(value: float | None, digits: int = 3) -> str:
    """Write a number, or a dash where there is none.

    Parameters
    ----------
    value : float or None
        What to write.
    digits : int
        Significant digits.

    Returns
    -------
    str
        Such as ``"0.0312"``.

    Examples
    --------
    >>> number(0.03123), number(None), number(-0.0)
    ('0.0312', '-', '0')
    """
    return "-" if value is None else f"{value + 0.0:.{digits}g}"


def interval(middle: float | None, low: float | None, high: float | None) -> str:
    """Write a number with its interval.

    Parameters
    ----------
    middle, low, high : float or None
        The number and the ends of its interval.

    Returns
    -------
    str
        A dash where there is no number; the number alone where it has no interval.

    Examples
    --------
    >>> interval(0.5, 0.25, 0.75)
    '0.5 [0.25, 0.75]'
    """
    if middle is None or low is None or high is None:
        return number(middle)
    return f"{middle:.2g} [{low:.2g}, {high:.2g}]"


def report_in_words(report: RobustnessReport) -> tuple[str, str, str, str]:
    """Say in a line what the job found on one encoder.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    tuple of str
        Strata, stability, verdicts, robustness score.
    """
    score = number(report.score.value if report.score else None, digits=2)
    return strata_in_words(report), stability_in_words(report), verdicts_in_words(report), score


def strata_in_words(report: RobustnessReport) -> str:
    """Say how many strata there are, or why there are none.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    str
        Such as ``"5 strata of 12 to 40"``.
    """
    strata = report.strata
    if isinstance(strata, NonConvergence):
        return "did not converge"
    strata_word = "stratum" if len(strata.sizes) == 1 else "strata"
    sizes = f"{len(strata.sizes)} {strata_word} of {min(strata.sizes)} to {max(strata.sizes)}"
    return f"{sizes} (degenerate)" if isinstance(strata, DegeneratePartition) else sizes


def stability_in_words(report: RobustnessReport) -> str:
    """Say how stable the strata are beside those of clouds that have none.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    str
        Such as ``"0.69, excess +0.14 (p 0.025)"``; a dash without a partition.
    """
    if report.robustness is None:
        return "-"
    null = report.robustness.matched_null
    if null.excess is None:
        return f"{null.observed:.2f}, no null has a partition"
    p_value = "too few nulls for a p" if null.p_value is None else f"p {null.p_value:.2g}"
    return f"{null.observed:.2f}, excess {null.excess + 0.0:+.2f} ({p_value})"


def verdicts_in_words(report: RobustnessReport) -> str:
    """Count the verdicts of each family of tests.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    str
        Such as ``"factors 1 / 2 / 5, phenotypes 0 / 3 / 13"``: robust, significant (robust ones
        included) and testable; or why there is nothing to test.
    """
    words = []
    for family in report.tests:
        counts = Counter(association.verdict for association in family.associations)
        significant = counts["robust"] + counts["significant_but_unstable"]
        name = KINDS[family.kind].split(" ", 1)[1]
        name = name if family.kind != "category" else "categories"
        words.append(f"{name} {counts['robust']} / {significant} / {family.n_testable}")
    if not words and isinstance(report.factors, NoFactors):
        return report.factors.reason
    return ", ".join(words) or "nothing to test"


def no_partition_because(report: RobustnessReport) -> str | None:
    """Say why there is no partition to judge.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    str or None
        None where there is one.
    """
    if isinstance(report.strata, Partition):
        return None
    return f"There is no usable partition: {report.strata.reason}"


def shortened(text: str, longest: int = _LONGEST_LABEL) -> str:
    """Cut a label that is too long for an axis in its middle.

    Parameters
    ----------
    text : str
        A column's or a target's name.
    longest : int
        Characters that fit.

    Returns
    -------
    str
        The same, or its beginning and end.

    Examples
    --------
    >>> shortened("abcdefghij", 7)
    'abc..ij'
    """
    if len(text) <= longest:
        return text
    head = (longest - 1) // 2
    return f"{text[:head]}..{text[-(longest - head - 2) :]}"


def short_names(names: Sequence[str], longest: int = 16) -> dict[str, str]:
    """Shorten names that share a beginning, such as encoders of one trial, and keep them apart.

    Parameters
    ----------
    names : sequence of str
        Each once.
    longest : int
        Characters that fit.

    Returns
    -------
    dict of str to str
        A short name for each; the names as they are where they fit, or where short ones would not
        be unique.

    Examples
    --------
    >>> short_names(["4f6e2a1c0d3b-fold0", "4f6e2a1c0d3b-fold1"])
    {'4f6e2a1c0d3b-fold0': 'fold0', '4f6e2a1c0d3b-fold1': 'fold1'}
    """
    if max(map(len, names), default=0) <= longest:
        return {name: name for name in names}
    heads = {name.rpartition("-")[0] for name in names}
    if len(heads) == 1 and len(names) > 1:
        short = {name: shortened(name.rpartition("-")[2], longest) for name in names}
    else:
        short = {name: shortened(name, longest) for name in names}
    return short if len(set(short.values())) == len(names) else {name: name for name in names}
