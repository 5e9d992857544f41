"""Tables of what encoders have in common, and of what is left of the best of many trials."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from statistics import median

from isthmus.report.strata_words import number, short_names
from isthmus.report.table import Table
from isthmus.stratification.across import AcrossEncoders, SelectionReport, Specification

MOST_PAIRS = 15


def across_tables(across: AcrossEncoders, leaky: bool = False) -> tuple[Table, ...]:
    """Put the comparison of encoders into tables: survival, specifications, agreement.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.
    leaky : bool
        Whether normalisation saw the held-out subjects; then every title says so.

    Returns
    -------
    tuple of Table
        Tables without a row are left out.
    """
    tables = (survival_table(across), specifications_table(across), agreement_table(across))
    return tuple(table.labelled(leaky) for table in tables if table.rows)


def survival_table(across: AcrossEncoders) -> Table:
    """Show for each target how much of it survives other encoders and other clusterings.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.

    Returns
    -------
    Table
        One row a target.
    """
    rows = tuple(
        (
            one.target,
            f"{one.share:.0%}",
            f"{one.null_share:.1%}",
            number(one.p_value),
            number(one.effect_median),
            f"{one.n_usable} of {one.n_specifications}",
        )
        for one in across.survivals
    )
    columns = (
        "target",
        f"q <= {across.alpha:g}",
        "same, null",
        "joint p",
        "median epsilon^2",
        "usable specifications",
    )
    note = (
        "Share of encoders x clusterers x components in which the target is significant; those "
        f"without a partition count as not. Null and joint p from {across.n_permutations} "
        "permutations of the phenotypes; they do not make up for strata that no stable "
        "partition backs."
    )
    return Table("Survival across encoders and clusterings", columns, rows, note)


def specifications_table(across: AcrossEncoders) -> Table:
    """Show what each way to cluster gave over the encoders.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.

    Returns
    -------
    Table
        One row for each clusterer and number of components.
    """
    ways: dict[tuple[str, int | None], list[Specification]] = defaultdict(list)
    for one in across.specifications:
        ways[one.clusterer, one.pca_components].append(one)
    rows = []
    for (clusterer, components), of in ways.items():
        outcomes = Counter(one.outcome for one in of)
        counts = [one.n_strata for one in of if one.outcome == "partition" and one.n_strata]
        silhouettes = [one.silhouette for one in of if one.silhouette is not None]
        rows.append(
            (
                clusterer.replace("_", " "),
                "all" if components is None else str(components),
                f"{outcomes['partition']} of {len(of)}",
                str(outcomes["degenerate_partition"]),
                str(outcomes["non_convergence"]),
                f"{min(counts)} to {max(counts)}" if counts else "-",
                number(median(silhouettes) if silhouettes else None),
            )
        )
    columns = (
        "clusterer",
        "principal components",
        "encoders with a partition",
        "degenerate",
        "not converged",
        "strata",
        "median silhouette",
    )
    return Table("Specifications", columns, tuple(rows))


def agreement_table(across: AcrossEncoders) -> Table:
    """Show how far the encoders agree on who belongs together.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.

    Returns
    -------
    Table
        One row a pair; with more than 15 pairs, one row an encoder with its mean over the others.
    """
    names = short_names(encoder_names(across))
    pairs = across.agreements
    if len(pairs) <= MOST_PAIRS:
        columns = ("encoders", "subjects shared", "ARI", "AMI")
        rows = tuple(
            (
                f"{names[one.encoder_a]}, {names[one.encoder_b]}",
                str(one.n_shared),
                number(one.ari),
                number(one.ami),
            )
            for one in pairs
        )
    else:
        columns = ("encoder", "others", "mean ARI", "mean AMI")
        rows = tuple(
            (
                names[name],
                str(len(own)),
                number(_mean(one.ari for one in own)),
                number(_mean(one.ami for one in own)),
            )
            for name in names
            if (own := [one for one in pairs if name in (one.encoder_a, one.encoder_b)])
        )
    note = ""
    if pairs:
        values = [one.ari for one in pairs]
        note = (
            f"{len(pairs)} pairs: ARI {number(min(values))} to {number(max(values))}, mean "
            f"{number(_mean(values))}. 0 is what chance gives, 1 the same partition; encoders "
            "trained on overlapping subjects are not independent."
        )
    return Table("Agreement of the encoders' partitions", columns, rows, note)


def selection_table(selection: SelectionReport) -> Table:
    """Show each trial's best finding before and after it is judged as the best of many.

    Parameters
    ----------
    selection : SelectionReport
        What is left of the best of many trials.

    Returns
    -------
    Table
        One row a trial, by rising adjusted p-value.
    """
    rows = tuple(
        (
            one.trial,
            str(one.n_partitions),
            one.target or "nothing testable",
            number(one.p_naive),
            number(one.p_adjusted),
        )
        for one in selection.trials
    )
    note = (
        f"Adjusted: largest of {selection.n_statistics} statistics (trials x partitions x "
        f"factors) over {selection.n_permutations} permutations common to all trials. Quote the "
        "adjusted p; the naive one takes each trial for the only one."
    )
    columns = ("trial", "partitions", "best factor", "naive p", "adjusted p")
    return Table("The best of many trials", columns, rows, note)


def across_metrics(across: AcrossEncoders) -> dict[str, float]:
    """Pick out single numbers, for a table of runs. What could not be computed is absent.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.

    Returns
    -------
    dict of str to float
        ``encoders_ari`` (mean over pairs), and for each target ``survival_share/<target>`` and
        ``survival_p_value/<target>``.
    """
    metrics = {}
    if across.agreements:
        metrics["encoders_ari"] = _mean(one.ari for one in across.agreements)
    for one in across.survivals:
        metrics[f"survival_share/{one.target}"] = one.share
        metrics[f"survival_p_value/{one.target}"] = one.p_value
    return metrics


def encoder_names(across: AcrossEncoders) -> tuple[str, ...]:
    """List the encoders that were compared.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.

    Returns
    -------
    tuple of str
        Each once, in the order of the specifications.
    """
    of_pairs = [name for one in across.agreements for name in (one.encoder_a, one.encoder_b)]
    names = [one.encoder_id for one in across.specifications] + of_pairs
    return tuple(dict.fromkeys(names))


def _mean(values: Iterable[float]) -> float:
    """Average numbers of which there is at least one."""
    listed = list(values)
    return sum(listed) / len(listed)
