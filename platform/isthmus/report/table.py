"""A table of text: what every report is made of."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Table:
    """A titled table of text.

    Attributes
    ----------
    title : str
        What it shows.
    columns : tuple of str
        Headings.
    rows : tuple of tuple of str
        As many cells as there are columns.
    note : str
        What to know when reading it; may be empty.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def to_markdown(self) -> str:
        """Write as a markdown table.

        Returns
        -------
        str
            Title, table and note.
        """
        lines = [f"**{self.title}**", "", _line(self.columns), _line(("---",) * len(self.columns))]
        lines += [_line(row) for row in self.rows]
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines) + "\n"

    def first(self, limit: int | None) -> "Table":
        """Leave out the rows beyond a limit, and say so.

        Parameters
        ----------
        limit : int, optional
            Most rows; None for all.

        Returns
        -------
        Table
            The same, or its beginning with a note.
        """
        if limit is None or len(self.rows) <= limit:
            return self
        note = f"The first {limit} of {len(self.rows):,} rows. {self.note}".strip()
        return replace(self, rows=self.rows[:limit], note=note)

    def labelled(self, leaky: bool) -> "Table":
        """Label a table that a leaky normalisation touched.

        Parameters
        ----------
        leaky : bool
            Whether normalisation saw the held-out subjects.

        Returns
        -------
        Table
            The same, or with the label in its title.
        """
        return replace(self, title=f"{self.title} [LEAKY normalisation]") if leaky else self


def _line(cells: tuple[str, ...]) -> str:
    """Write one line of a markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
