"""What a report's page is made of: chapters, each of words, figures, tables and pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from isthmus.report.page import Passage, Picture, Section
from isthmus.report.story.bundle import KeptPicture
from isthmus.report.strata_captions import Caption
from isthmus.report.strata_views import Absent
from isthmus.report.table import Table


@dataclass(frozen=True)
class Gallery:
    """Pictures under one caption.

    Attributes
    ----------
    words : Caption
        How to read them, and what they do not show.
    pictures : tuple of KeptPicture
        In order; may be empty.
    absent : str
        Why there are none; only said if so.
    """

    words: Caption
    pictures: tuple[KeptPicture, ...]
    absent: str = ""


Block = Passage | Section | Table | Gallery


@dataclass(frozen=True)
class Chapter:
    """One part of the story.

    Attributes
    ----------
    key : str
        Its name in links.
    title : str
        What it is about.
    shows, not_shown : str
        In plain words: what it shows, and what it does not.
    blocks : tuple
        In order.
    """

    key: str
    title: str
    shows: str
    not_shown: str
    blocks: tuple[Block, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""
        return tuple(block for block in self.blocks if isinstance(block, Table))

    @property
    def sections(self) -> tuple[Section, ...]:
        """Its figures."""
        return tuple(block for block in self.blocks if isinstance(block, Section))

    def labelled(self, leaky: bool) -> "Chapter":
        """Label its tables where normalisation was leaky.

        Parameters
        ----------
        leaky : bool
            Whether it saw the held-out subjects.

        Returns
        -------
        Chapter
            The same, or with the label in each title that does not have it.
        """
        return replace(
            self,
            blocks=tuple(
                block.labelled(leaky and "[LEAKY" not in block.title)
                if isinstance(block, Table)
                else block
                for block in self.blocks
            ),
        )


def said(title: str, *lines: str, warns: bool = False) -> Passage:
    """Write a passage of the lines that there are.

    Parameters
    ----------
    title : str
        What it is about.
    *lines : str
        One point each; empty ones are left out.
    warns : bool
        Whether it is a warning.

    Returns
    -------
    Passage
        Of the others.
    """
    return Passage(title, tuple(line for line in lines if line), warns)


def nothing(title: str, reason: str) -> Passage:
    """Say that something is not there, and why.

    Parameters
    ----------
    title : str
        What is not there.
    reason : str
        Why, and what would bring it.

    Returns
    -------
    Passage
        In place of it.
    """
    return Passage(title, (reason,))


def picture_section(
    key: str, words: Caption, png: bytes | None, alternative: str, absent: str
) -> Section:
    """Put a picture, or the reason why there is none, under its caption.

    Parameters
    ----------
    key : str
        Its name in the page.
    words : Caption
        How to read it.
    png : bytes or None
        None where there is none.
    alternative : str
        What is to be seen, in words.
    absent : str
        Why there is none.

    Returns
    -------
    Section
        Of the page.
    """
    return Section(key, words, Absent(absent) if png is None else Picture(png, alternative))


def with_rows(tables: Sequence[Table]) -> Iterator[Table]:
    """Leave out tables without a row.

    Parameters
    ----------
    tables : sequence of Table
        Any.

    Yields
    ------
    Table
        The others.
    """
    yield from (table for table in tables if table.rows)
