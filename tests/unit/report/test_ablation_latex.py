"""Tables in LaTeX: the right structure, and nothing that LaTeX would act upon."""

import re
import shutil
import subprocess

import pytest

from isthmus.report.latex import escaped, to_latex
from isthmus.report.table import Table

NASTY = r"\input{x} 50% a_b & c#d $e ~f ^g {h} <i> |j| [k] *l 'm' "
TABLE = Table(
    "Effects of a_b & 100%",
    ("comparison [x]", "difference", "p"),
    (("[none] against all", "-0.5", "0.03"), ("*", "1.25e-05 [-1, 2]", "-")),
    "Note: 5 % of {all}.",
)


def test_every_special_character_is_escaped():
    text = escaped(NASTY)
    for special in "%_&#$":
        assert not re.search(rf"(?<!\\){re.escape(special)}", text)
    assert text.count("\\textbackslash{}") == 1
    assert "{[}k{]}" in text
    assert "\\input" not in text


def test_a_minus_is_one_before_a_number_alone():
    assert escaped("-0.5 to -3e-05, sub-01, x-1, one-sided") == (
        "$-$0.5 to $-$3e-05, sub-01, x-1, one-sided"
    )


def test_line_breaks_and_control_characters_cannot_end_a_row():
    assert escaped("a\nb\0c\x1bd") == "a bcd"


def test_a_table_is_booktabs_with_as_many_cells_as_columns():
    text = to_latex(TABLE, "tab:my skips_1")
    lines = text.splitlines()
    assert [text.count(rule) for rule in ("\\toprule", "\\midrule", "\\bottomrule")] == [1, 1, 1]
    assert "\\begin{tabular}{lrr}" in lines
    assert "\\label{tab:my-skips-1}" in lines
    assert "\\caption{Effects of a\\_b \\& 100\\%}" in lines
    rows = [line for line in lines if line.endswith("\\\\")]
    assert len(rows) == 3
    assert all(row.count(" & ") == 2 for row in rows)
    # a bracket or a star at a row's beginning would be the line break's argument
    assert rows[1].startswith("{[}none{]}")
    assert rows[2].startswith("{*}")
    opened, closed = (len(re.findall(rf"(?<!\\)\{mark}", text)) for mark in "{}")
    assert opened == closed
    assert text.count("\\begin{") == text.count("\\end{")


def test_a_table_without_rows_is_still_one():
    text = to_latex(Table("Nothing", ("a", "b"), ()), "x")
    assert "\\begin{tabular}{ll}" in text
    assert "footnotesize" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: apt-get install texlive")
def test_it_compiles(tmp_path):
    nasty = Table(NASTY, (NASTY,) * 2, ((NASTY, "-0.5"), ("[x]", "*")), NASTY)
    body = to_latex(TABLE, "a") + to_latex(nasty, NASTY)
    document = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}{body}"
    (tmp_path / "a.tex").write_text(document + "\\end{document}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout[-2000:]
