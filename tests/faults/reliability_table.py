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
    if not found:
        sys.exit(f"{records} must hold records of faults, and holds none; run the tests first.")
    text = page.read_text(encoding="utf-8")
    for group in GROUPS:
        of_group = sorted((r for r in found if r["group"] == group), key=lambda r: r["order"])
        if of_group:
            text = replaced(text, group, table(of_group))
    page.write_text(text, encoding="utf-8")


def replaced(text: str, group: str, content: str) -> str:
    """Put a table where the page has markers for it."""
    begin, end = f"<!-- {group}: begin -->", f"<!-- {group}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"The page must have {begin} and {end} once each.")
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{content}{end}{after}"


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
