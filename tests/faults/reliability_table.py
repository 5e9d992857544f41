"""Rewrite the tables of faults in docs/reliability.md from what the tests of faults recorded.

ISTHMUS_RELIABILITY=FOLDER python -m pytest -m long tests/faults
python tests/faults/reliability_table.py FOLDER docs/reliability.md
"""

import json
import sys
from pathlib import Path
from typing import Any

GROUPS = ("nodes", "services", "elastic")


def main(records: Path, page: Path) -> None:
    """Put a table of each group between its two markers."""
    found = [json.loads(file.read_text()) for file in sorted(records.glob("*.json"))]
    text = page.read_text(encoding="utf-8")
    missing = []
    for group in GROUPS:
        of_group = sorted((r for r in found if r["group"] == group), key=lambda r: r["order"])
        before, present, after = parts(text, group)
        wanted = max(1, n_rows(present))
        if len(of_group) < wanted:
            missing.append(f"{group}: {len(of_group)} of at least {wanted}")
        text = before + table(of_group) + after
    if missing:
        sys.exit(
            f"{records} must hold a record of each fault of the page, and lacks some: "
            f"{'; '.join(missing)}. Run the tests, and see which were skipped or failed; where a "
            "fault is no longer tested, take its row out of the page first."
        )
    page.write_text(text, encoding="utf-8")


def parts(text: str, group: str) -> tuple[str, str, str]:
    """Cut the page into what is before a group's table, the table, and what is after it."""
    begin, end = f"<!-- {group}: begin -->\n", f"<!-- {group}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"The page must have {begin.strip()} and {end} once each, each on its own line.")
    before, rest = text.split(begin)
    present, after = rest.split(end)
    return before + begin, present, end + after


def n_rows(present: str) -> int:
    """Count the faults in a table, which has two lines above them."""
    return max(0, sum(line.startswith("|") for line in present.splitlines()) - 2)


def table(records: list[dict[str, Any]]) -> str:
    """Write records as lines of a table."""
    lines = [
        "| fault | what happens | noticed after (s) | over after (s) | result |",
        "|---|---|---|---|---|",
    ]
    for record in records:
        seconds = (shown(record["noticed_s"]), shown(record["finished_s"]))
        cells = (record["fault"], record["happened"], *seconds, record["result"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def shown(seconds: float | None) -> str:
    """Write seconds as a reader needs them."""
    if seconds is None:
        return "never"
    return f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
