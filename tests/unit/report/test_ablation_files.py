"""An ablation as files and tables: all of them, whole, at any time, and none that is untrue."""

import csv
import io
from dataclasses import replace

import pytest
from example_ablation import DIVERGED, NOT_BUILT, renamed, skips_ablation, subsets_ablation

from isthmus.report.ablation.files import contrasts_csv, scores_csv, write_ablation_files
from isthmus.report.ablation.tables import ablation_tables, arms_table, failed_table, spent_table
from isthmus.study.ablation.result_json import read_result

PNG = b"\x89PNG"
TEXTS = [
    "result.json",
    "ablation.html",
    "summary.md",
    "scores.csv",
    "contrasts.csv",
    "contrasts.tex",
]
PICTURES = {
    "effects.png",
    "scores.png",
    "critical_difference.png",
    "verdicts.png",
    "reconstructions.png",
    "learning_curves.png",
    "strata_agreement.png",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def skips(folder):
    return skips_ablation(folder / "skips")


@pytest.fixture(scope="module")
def subsets(folder):
    return subsets_ablation(folder / "subsets")


def table(result, title):
    return next(one for one in ablation_tables(result) if one.title.startswith(title))


def test_an_ablation_is_a_record_a_page_a_summary_numbers_and_pictures(subsets, folder, tmp_path):
    written = write_ablation_files(subsets, folder / "subsets", tmp_path / "new")
    names = [path.name for path in written]
    assert names[:6] == TEXTS
    assert set(names[6:]) == PICTURES
    assert set((tmp_path / "new").iterdir()) == set(written)
    assert all(path.read_bytes().startswith(PNG) for path in written[6:])
    assert read_result(tmp_path / "new") == subsets
    text = (tmp_path / "new" / "summary.md").read_text()
    assert text.startswith("# Ablation modalities of small\n\n**Question**\n\n- Which modalities")
    assert all(f"]({name})" in text for name in PICTURES)
    assert text.index("Verdicts, by the primary") < text.index("What failed") < 2500


def test_the_same_result_is_written_the_same_and_other_files_stay(skips, folder, tmp_path):
    (tmp_path / "progress.json").touch()
    first = {p: p.read_bytes() for p in write_ablation_files(skips, folder / "skips", tmp_path)}
    again = write_ablation_files(skips, folder / "skips", tmp_path)
    assert {path: path.read_bytes() for path in again} == first
    assert set(tmp_path.iterdir()) == {*again, tmp_path / "progress.json"}


def test_pictures_that_are_no_longer_true_are_removed(skips, folder, tmp_path):
    for name in PICTURES:
        (tmp_path / name).write_bytes(PNG)
    finding = replace(skips.findings[0], ranking=None, why_not_ranked="There are two arms.")
    fewer = replace(skips, findings=(finding,), panels={}, curves=())
    written = write_ablation_files(fewer, folder / "skips", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}
    assert {path.name for path in written[6:]} == {"effects.png", "scores.png"}
    text = (tmp_path / "summary.md").read_text()
    assert "**Critical-difference diagram of the primary metric**: not drawn. There are two" in text


@pytest.mark.parametrize("finished", [0, 7])
def test_an_ablation_can_be_written_at_any_time(tmp_path, finished):
    result = skips_ablation(tmp_path, finished=finished)
    written = write_ablation_files(result, tmp_path, tmp_path / "report")
    assert [path.name for path in written[:6]] == TEXTS
    summary = (tmp_path / "report" / "summary.md").read_text()
    assert f"{finished} of 30 folds done" in summary
    assert "not finished yet" in summary


def test_an_ablation_without_findings_can_be_written(tmp_path):
    bare = replace(skips_ablation(tmp_path, finished=0), findings=())
    written = write_ablation_files(bare, tmp_path, tmp_path / "report")
    assert [path.name for path in written] == TEXTS
    assert "nothing has been compared" in written[2].read_text()
    assert written[3].read_text() == "arm,leaky,seed,fold,metric,value\n"


def test_scores_are_all_values_to_their_last_digit(subsets):
    rows = list(csv.DictReader(io.StringIO(scores_csv(subsets))))
    assert list(rows[0]) == ["arm", "leaky", "seed", "fold", "metric", "value"]
    found = {
        (r["arm"], int(r["seed"]), int(r["fold"]), r["metric"]): float(r["value"]) for r in rows
    }
    expected = {
        (arm.arm, block.seed, block.fold, finding.metric): value
        for finding in subsets.findings
        for arm in finding.arms
        for block, value in zip(finding.blocks, arm.values, strict=True)
        if value is not None
    }
    assert found == expected
    # what the failed arm finished is kept
    assert ("T1w+NDI", 1, 1, "validation_mse") in found


def test_contrasts_are_all_of_every_metric_and_the_pairs(subsets):
    rows = list(csv.DictReader(io.StringIO(contrasts_csv(subsets))))
    expected = [
        one
        for finding in subsets.findings
        for one in (*finding.contrasts, *(finding.ranking.pairs if finding.ranking else ()))
    ]
    assert [row["comparison"] for row in rows] == [one.comparison.name for one in expected]
    for row, one in zip(rows, expected, strict=True):
        for name in ("difference", "p_value_adjusted", "smallest_resolvable"):
            value = getattr(one, name)
            assert row[name] == ("" if value is None else repr(value))
    failed = next(row for row in rows if row["verdict"] == "unpaired")
    assert DIVERGED.rstrip(".") in failed["in_words"]


def test_arms_have_their_sizes_means_and_states(subsets):
    arms = arms_table(subsets)
    rows = {row[0]: dict(zip(arms.columns, row, strict=True)) for row in arms.rows}
    whole = rows["T1w+FA+NDI (baseline)"]
    assert (whole["parameters"], whole["modalities"]) == ("120,000", "T1w, FA, NDI")
    estimate = subsets.findings[0].arms[0]
    assert whole["validation_mse"] == (
        f"{estimate.mean:.4g} [{estimate.ci_low:.3g}, {estimate.ci_high:.3g}]"
    )
    states = {name: row["state"] for name, row in rows.items()}
    assert states["T1w"] == "infeasible"
    assert states["T1w+NDI"] == "failed"
    assert rows["T1w"]["parameters"] == rows["T1w+NDI"]["validation_mse"] == "-"
    assert "cannot be compared by it" in arms.note


def test_leaky_arms_are_labelled_in_every_table_and_file(tmp_path):
    leaky = skips_ablation(tmp_path, leaky=("none",))
    for one in ablation_tables(leaky):
        for row in one.rows:
            for cell in row:
                if cell.startswith(("none", "all against none")) or cell.endswith("against none"):
                    assert "[LEAKY]" in cell
    write_ablation_files(leaky, tmp_path, tmp_path / "report")
    tex = (tmp_path / "report" / "contrasts.tex").read_text()
    assert "none against all {[}LEAKY{]}" in tex
    rows = csv.DictReader(io.StringIO(scores_csv(leaky)))
    assert {row["leaky"] for row in rows if row["arm"] == "none"} == {"True"}


def test_what_failed_has_seed_fold_type_and_message(subsets):
    rows = failed_table(subsets).rows
    kind, message = DIVERGED.split(": ", 1)
    assert rows == (
        ("T1w+NDI", "1", "2", kind, message, "1"),
        ("T1w", "-", "-", "infeasible", NOT_BUILT, "-"),
    )


def test_what_was_spent_adds_up_and_counts_shared_runs_once(subsets):
    *arms, total = spent_table(subsets).rows
    assert "NDI+FA" not in {row[0] for row in arms}
    assert sum(int(row[1]) for row in arms) == int(total[1]) == 42
    # 42 folds of ten minutes
    assert (total[0], total[4], total[5]) == ("all arms", "7", "3.5")


def test_tables_of_comparisons_can_be_cut_for_a_terminal(skips):
    cut = ablation_tables(skips, limit=2)
    assert max(len(one.rows) for one in cut) == 2
    pairs = next(one for one in cut if one.title.startswith("All pairs"))
    assert pairs.note.startswith("The first 2 of 3 rows.")
    assert len(table(skips, "All pairs").rows) == 3


def test_without_failures_there_is_no_table_of_them(skips):
    assert "What failed" not in {one.title for one in ablation_tables(skips)}


def test_dollars_and_brackets_in_names_can_be_drawn(skips, folder, tmp_path):
    nasty = renamed(skips, "a $x_{ </script> [bold] | b")
    nasty = replace(nasty, plan=replace(nasty.plan, name="skips"))
    written = write_ablation_files(nasty, folder / "skips", tmp_path)
    assert {path.name for path in written[6:]} == PICTURES - {"strata_agreement.png"}
    assert r"a \$x\_\{ \textless{}/script\textgreater{} {[}bold{]}" in written[5].read_text()
