"""Edits of tab-separated tables as people and spreadsheets make them."""

from fuzz.target import SPLICES

__all__ = ["CELLS", "OPERATIONS", "SPLICES", "edit_table"]

OPERATIONS = ("cell", "cell", "cell", "column", "row", "drop", "tab", "whole")
_WORDS = (
    *("", "n/a", "NA", "N/A", "NaN", ".", "-999", "-9", "missing", "#DIV/0!", "#N/A", "None", "-"),
    *("1,5", "1.234,5", "1,234", "1 234", "1'234", "12.03.1987", "Mar-12", "44197", "34 y", "45%"),
    *(
        "\u00a034",
        "\uff13\uff14",
        "\u22125",
        "(5)",
        "<0.1",
        "inf",
        "nan",
        "NAN",
        "1e400",
        "-0",
        "1_0",
        "0x10",
    ),
    *("1E+05", "007", "1.0", "yes", "No", "m", "F", "f", '"quoted"', '"', "left hand", "ä", "é"),
    *("e\u0301", "\u200b", "\ufeff", "\x00", "\x1f", "\x85", "\u2028", "🧠", "=1+1", "@x", "TRUE"),
    *("../../etc/passwd", "/etc/passwd", "~", "{participant_id}", "{modality}", "{", "}}", "{0}"),
    *("a/../b", "leaves/a.nii", "loop/a.nii", "sub-01/a.nii", "sub-01", "sub-01 ", "SUB-01", "T1w"),
    *("FA", "x" * 120, "x" * 300, ";", ",", "|", "\r", "participant_id", "age", "path", "modality"),
)
CELLS = tuple(word.encode() for word in _WORDS)
_WHOLE = (
    lambda text: text.encode("utf-16"),
    lambda text: text.encode("utf-16-le"),
    lambda text: text.encode("utf-8-sig"),
    lambda text: text.encode("latin-1", "replace"),
    lambda text: text.replace("\n", "\r").encode(),
    lambda text: text.replace("\n", "\r\n").encode(),
    lambda text: text.replace("\t", ",").encode(),
    lambda text: text.replace("\t", ";").encode(),
    lambda text: text.replace("\n", "\t\n").encode(),
    lambda text: text.replace("\t", '"\t"').encode(),
)


def edit_table(data: bytes, operation: str, place: int, value: bytes) -> bytes:
    """Edit a cell, a column, a row, or how the whole table is written."""
    if operation == "whole":
        return _WHOLE[place % len(_WHOLE)](data.decode("utf-8", "replace"))
    lines = data.split(b"\n")
    at = place % len(lines)
    cells = lines[at].split(b"\t")
    column = place // len(lines) % len(cells)
    if operation == "cell":
        cells[column] = value
        lines[at] = b"\t".join(cells)
    elif operation == "column":
        for number, line in enumerate(lines[1:], start=1):
            parts = line.split(b"\t")
            if column < len(parts) and line:
                parts[column] = value
            lines[number] = b"\t".join(parts)
    elif operation == "row":
        lines.insert(at, lines[place // 7 % len(lines)])
    elif operation == "tab":
        lines[at] += b"\t" + value
    else:
        del lines[at]
    return b"\n".join(lines)
