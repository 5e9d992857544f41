"""Tables for a paper: LaTeX by the booktabs package, safe whatever a user named."""

import re

from isthmus.report.table import Table

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # at a row's beginning these would be arguments of the line break before it
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
_MINUS = re.compile(r"(?<![\w.)])-(?=\d|\.\d)")
_NUMBER = re.compile(r"[<>=+\-]?\s*[\d.,]+(e[+-]?\d+)?( .*)?|-")


def escaped(text: str) -> str:
    r"""Write text so that LaTeX prints it as it is.

    Parameters
    ----------
    text : str
        Any; line breaks become spaces, and other control characters are left out.

    Returns
    -------
    str
        Without a character that LaTeX would act upon; a number's minus is a minus.

    Examples
    --------
    >>> print(escaped("50 % of a_b & c"), escaped("-0.5"))
    50 \% of a\_b \& c $-$0.5
    """
    flat = "".join(one for one in " ".join(text.split()) if one.isprintable())
    # minus first, by a sign that no text has: the dollars of its own must stay
    marked = _MINUS.sub("\0", flat)
    whole = "".join(_ESCAPED.get(one, one) for one in marked)
    return whole.replace("\0", "$-$")


def to_latex(table: Table, label: str) -> str:
    r"""Write a table in the style of booktabs.

    Parameters
    ----------
    table : Table
        Title, columns, rows and note; the title becomes the caption.
    label : str
        What it is referred to by: letters, digits, colons and hyphens.

    Returns
    -------
    str
        A ``table`` to be read by ``\input``; the document needs ``\usepackage{booktabs}``. Columns
        of numbers are set flush right.
    """
    kinds = [
        "r" if table.rows and all(_NUMBER.fullmatch(row[k]) for row in table.rows) else "l"
        for k in range(len(table.columns))
    ]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        r"\small",
        rf"\caption{{{escaped(table.title)}}}",
        rf"\label{{{re.sub(r'[^A-Za-z0-9:-]', '-', label)}}}",
        rf"\begin{{tabular}}{{{''.join(kinds)}}}",
        r"\toprule",
        _row(table.columns),
        r"\midrule",
        *(_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if table.note:
        lines += ["", r"\smallskip", rf"{{\footnotesize {escaped(table.note)}}}"]
    return "\n".join((*lines, r"\end{table}")) + "\n"


def _row(cells: tuple[str, ...]) -> str:
    """Write one row."""
    return " & ".join(escaped(cell) for cell in cells) + r" \\"
