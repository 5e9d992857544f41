"""The tables at the end of a trial say what was measured, flattering or not."""

from dataclasses import replace

from example_report import make_across, make_report, without_partition

from isthmus.report.summary import controls_verdict, summary_tables
from isthmus.trial.records import FoldFailure


def with_metrics(result, **metrics):
    folds = tuple(replace(fold, metrics={**fold.metrics, **metrics}) for fold in result.folds)
    return replace(result, folds=folds)


def tables(result):
    return {table.title.split(" [")[0]: table for table in summary_tables(result)}


def test_every_part_has_its_table(ran):
    assert list(tables(ran.result)) == [
        "Held-out fidelity",
        "Controls, same held-out subjects and mask",
        "Linear probes",
        "Strata of the embedding",
        "Survival across encoders and clusterings",
    ]


def test_trained_strata_stand_beside_untrained_ones(ran):
    report = make_report()
    folds = tuple(
        replace(fold, strata=report, random_strata=without_partition("degenerate"))
        for fold in ran.result.folds
    )
    table = tables(replace(ran.result, folds=folds))["Strata of the embedding"]
    assert [row[:2] for row in table.rows[:2]] == [("fold 0", "trained"), ("fold 0", "untrained")]
    assert table.rows[0][2:] == (
        "5 strata of 24 to 24",
        "0.69, excess +0.14 (p 0.026)",
        "factors 1 / 3 / 3, phenotypes 2 / 3 / 4, categories 1 / 1 / 2",
        "0.1",
    )
    assert table.rows[1][2].endswith("(degenerate)")
    assert table.rows[1][-1] == "0"


def test_survival_is_shown_only_where_encoders_were_compared(ran):
    compared = replace(ran.result, across=make_across())
    assert len(tables(compared)["Survival across encoders and clusterings"].rows) == 3
    assert "Survival across encoders and clusterings" not in tables(
        replace(ran.result, across=None)
    )


def test_fidelity_has_a_row_for_each_modality_and_one_for_all(ran):
    table = tables(ran.result)["Held-out fidelity"]
    assert [row[0] for row in table.rows] == ["T1w", "FA", "all"]
    mean = ran.result.summary["validation_mse/FA"].mean
    assert table.rows[1][1].startswith(f"{mean:.4g} +- ")


def test_contrasts_that_are_undefined_are_counted(ran):
    defined = tuple(replace(fold, undefined={}) for fold in ran.result.folds)
    assert "undefined" not in tables(replace(ran.result, folds=defined))["Held-out fidelity"].note
    some = {"validation_cnr_ratio": 2, "validation_cnr_ratio/FA": 2}
    folds = tuple(replace(fold, undefined=some) for fold in ran.result.folds)
    note = tables(replace(ran.result, folds=folds))["Held-out fidelity"].note
    assert f"CNR ratio of {2 * len(folds)} held-out images is undefined" in note


def test_controls_are_put_in_relation_to_the_model(ran):
    result = with_metrics(ran.result, validation_mse=0.02, mean_image_mse=0.05)
    table = tables(result)["Controls, same held-out subjects and mask"]
    rows = {row[0]: row[2] for row in table.rows}
    assert rows["model"] == "1.00"
    assert rows["mean training image"] == "2.50"


def test_a_model_that_loses_to_the_mean_image_is_told_so(ran):
    result = with_metrics(
        ran.result, validation_mse=0.05, mean_image_mse=0.02, embedding_shuffle_delta_mse=0.0
    )
    verdict = controls_verdict(result)
    assert "does NOT beat the mean image" in verdict
    assert "the skips carry the image, not the embedding" in verdict


def test_an_embedding_that_matters_is_not_called_bypassed(ran):
    result = with_metrics(ran.result, validation_mse=0.02, embedding_shuffle_delta_mse=0.02)
    assert "+100%" in controls_verdict(result)
    assert "skips carry" not in controls_verdict(result)


def test_leaky_stands_in_every_title(ran):
    leaky = replace(ran.result, leaky=True)
    assert all("LEAKY" in table.title for table in summary_tables(leaky))
    assert not any("LEAKY" in table.title for table in summary_tables(ran.result))


def test_a_failed_fold_leaves_no_means(ran):
    failed = replace(
        ran.result,
        folds=ran.result.folds[:1],
        failures=(FoldFailure(1, "TrainingDiverged", "not finite: sub-1"),),
    )
    (table,) = summary_tables(failed)
    assert table.rows == (("1", "TrainingDiverged", "not finite: sub-1"),)


def test_markdown_has_as_many_cells_in_each_line(ran):
    for table in summary_tables(ran.result):
        lines = [line for line in table.to_markdown().splitlines() if line.startswith("|")]
        assert len(lines) == len(table.rows) + 2
        assert {line.count(" | ") for line in lines} == {len(table.columns) - 1}
