"""Tables of a study: its numbers, its marks, and what they may not be taken for."""

from dataclasses import replace

import pytest
from example_study import MSE, SCORE, make_study, study_of

from isthmus.report.study_summary import (
    importance_table,
    ranking_table,
    selection_note,
    spent_table,
    study_tables,
    unfinished_table,
)


def titles(study, **options):
    return [table.title for table in study_tables(study, **options)]


def column(table, name):
    return [row[table.columns.index(name)] for row in table.rows]


def row_of(table, trial):
    return dict(
        zip(
            table.columns,
            next(r for r in table.rows if r[table.columns.index("trial")] == str(trial)),
            strict=True,
        )
    )


def test_the_ranking_has_every_finished_trial_once_the_best_first():
    study = make_study(24)
    table = ranking_table(study)
    finished = [one for one in study.trials if one.state == "finished"]
    order = [one.number for one in sorted(finished, key=lambda one: one.values[0])]
    assert [int(cell) for cell in column(table, "trial")] == order
    assert column(table, "rank") == [str(i) for i in range(1, len(order) + 1)]
    best = next(one for one in finished if one.number == study.best)
    row = row_of(table, study.best)
    assert row["validation_mse"] == f"{best.values[0]:.4g} +- {best.standard_errors[0]:.2g}"
    assert row["learning_rate"] == f"{best.point['training.learning_rate']:.4g}"
    assert row["parameters"] == f"{best.facts['n_parameters']:,}"
    assert table.title == "Ranking by validation_mse (less is better)"


def test_marks_are_those_of_the_record():
    study = make_study(24)
    study = replace(study, within_one_se=(study.best, 0, 2), smallest=2)
    table = ranking_table(study)
    marks = dict(zip(map(int, column(table, "trial")), column(table, "mark"), strict=True))
    assert marks[study.best].startswith("*")
    assert {n for n, mark in marks.items() if "~" in mark} == {0, 2}
    assert {n for n, mark in marks.items() if "P" in mark} == set(study.front)
    assert "3 trials within one standard error" in table.note
    assert "trial 2 has the smallest embedding (256 values)" in table.note
    assert "a ranking is no test" in table.note
    assert "understates the uncertainty" in table.note


def test_one_objective_has_no_front():
    study = make_study(24, (MSE,))
    table = ranking_table(study)
    assert not any("P" in mark for mark in column(table, "mark"))
    assert "Pareto" not in table.note
    assert "Pareto front" not in titles(study)
    assert "Pareto front" in titles(make_study(24))


def test_equals_share_a_rank():
    study = make_study(24, (MSE,))
    finished = [one for one in study.trials if one.state == "finished"][:4]
    values = ((1.0,), (2.0,), (2.0,), (3.0,))
    tied = [replace(one, values=v) for one, v in zip(finished, values, strict=True)]
    assert column(ranking_table(study_of(tied, (MSE,))), "rank") == ["1", "2", "2", "4"]


def test_a_single_fold_has_no_standard_error_and_none_is_made_up():
    study = make_study(6, (MSE,))
    trials = [replace(one, standard_errors=(None,)) if one.values else one for one in study.trials]
    cells = column(ranking_table(study_of(trials, (MSE,))), "validation_mse")
    assert cells
    assert not any("+-" in cell for cell in cells)


def test_many_dimensions_stand_in_one_column():
    study = make_study(6, (MSE,))
    trials = [
        replace(one, point={**one.point, **{f"model.d{i}": i for i in range(5)}})
        for one in study.trials
    ]
    table = ranking_table(study_of(trials, (MSE,)))
    assert table.columns[:3] == ("rank", "trial", "point")
    assert "d4=4" in column(table, "point")[0]
    assert "embedding values" in table.columns


def test_dimensions_of_one_name_keep_their_paths():
    study = make_study(2, (MSE,))
    trials = [
        replace(one, point={"model.norm": "batch", "volumes.norm": 1}) for one in study.trials
    ]
    columns = ranking_table(study_of(trials, (MSE,))).columns
    assert {"model.norm", "volumes.norm"} <= set(columns)


def test_what_did_not_finish_says_why():
    study = make_study(24)
    table = unfinished_table(study)
    assert len(table.rows) == sum(one.state != "finished" for one in study.trials)
    stopped = row_of(table, 3)
    assert stopped["state"] == "stopped early"
    assert stopped["last report"] == f"{study.trials[3].reports[-1][1]:.4g} at 1"
    assert stopped["why"].startswith("asha at fold 1")
    assert row_of(table, 5)["why"].startswith("TrainingDiverged")
    assert "divisible" in row_of(table, 7)["why"]
    assert row_of(table, 8)["why"] == "the same experiment as trial 0"
    assert row_of(table, 11)["state"] == "not over"


def test_what_the_search_changed_is_shown():
    changed = next(t for t in study_tables(make_study(24)) if t.title.startswith("Settings"))
    assert changed.rows == (("2", "training.accumulation_steps", "4"),)


def test_importance_has_a_column_a_method():
    table = importance_table(make_study(24, (MSE,)))
    assert table.columns == ("dimension", "fANOVA", "PED-ANOVA")
    assert table.rows[0] == ("training.learning_rate", "60%", "5%")
    assert "no test" in table.note
    assert "validation_mse, fANOVA" in importance_table(make_study(24)).columns


def test_what_was_spent_is_of_the_begun_trials():
    study = make_study(24)
    (begun, hours, _, gpu) = spent_table(study).rows
    assert begun[1] == "22 of 24"
    assert hours[1] == "1.5"
    assert gpu[1] == f"{22 * 300 / 3600:.3g}"
    assert "1 failed" in spent_table(study).note


def test_the_adjusted_p_stands_beside_the_naive_one():
    study = make_study(24)
    own = next(one for one in study.selection.trials if one.trial == f"trial {study.best}")
    assert f"p {own.p_naive:.3g} as if" in selection_note(study)
    assert f"{own.p_adjusted:.3g} adjusted" in selection_note(study)
    assert "Quote the second" in ranking_table(study).note
    untested = replace(study, best=int(study.selection.trials[-1].trial.split()[1]))
    assert "no stratification could be tested" in selection_note(untested)
    assert selection_note(replace(study, selection=None)) == ""


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (make_study(0), "no trial yet"),
        (make_study(5, (MSE, SCORE), only="failed"), "5 failed"),
        (make_study(1, (MSE,), only="running"), "1 not over"),
    ],
)
def test_a_study_without_a_finished_trial_says_so(study, said):
    tables = study_tables(study)
    assert tables[0].rows == ()
    assert f"No trial has finished: {said}." == tables[0].note
    assert tables[-1].title.startswith("Spent")
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert table.to_markdown()


def test_a_limit_is_said_and_the_best_are_kept():
    study = make_study(1000)
    whole, cut = ranking_table(study), ranking_table(study, 20)
    assert cut.rows == whole.rows[:20]
    assert cut.note.startswith("The first 20 of 750 rows. ")
    assert all(len(table.rows) <= 20 for table in study_tables(study, 20))
    assert "rows" not in ranking_table(make_study(6), 20).note


def test_one_leaky_trial_labels_everything():
    study = make_study(24)
    assert not any("LEAKY" in title for title in titles(study))
    leaky = (replace(study.trials[0], leaky=True), *study.trials[1:])
    assert all("LEAKY" in title for title in titles(replace(study, trials=leaky)))
