"""The story as one page: contents, chapters in order, readable on a phone and on paper."""

import html
from collections.abc import Sequence

from isthmus.report.page import (
    Passage,
    Picture,
    Section,
    framed,
    passage_html,
    picture_html,
    section_html,
    table_html,
)
from isthmus.report.story.begin import cohort_chapter, tried_chapter
from isthmus.report.story.bundle import ReadyPart, ReportBundle
from isthmus.report.story.chapter import Block, Chapter, Gallery
from isthmus.report.story.end import limits_chapter, promotion_chapter
from isthmus.report.story.middle import controls_chapter, pictures_chapter, ranking_chapter
from isthmus.report.story.print_style import FOR_PAPER, STYLE
from isthmus.report.story.strata import strata_chapter, subsets_chapter
from isthmus.report.table import Table

_KINDS = {"search": "Search", "ablation": "Ablation", "trial": "Trial"}


def chapters_of(bundle: ReportBundle, extra: Sequence[ReadyPart] = ()) -> tuple[Chapter, ...]:
    """Tell the story of a study.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.
    extra : sequence of ReadyPart
        Parts that the bundle does not have, for the chapter on promotion.

    Returns
    -------
    tuple of Chapter
        The same for every study, in the same order; a chapter that has nothing to tell says why.
    """
    leaky = is_leaky(bundle)
    chapters = (
        cohort_chapter(bundle),
        tried_chapter(bundle),
        ranking_chapter(bundle),
        controls_chapter(bundle),
        pictures_chapter(bundle),
        strata_chapter(bundle),
        subsets_chapter(bundle),
        promotion_chapter(bundle, extra),
        limits_chapter(bundle),
    )
    return tuple(chapter.labelled(leaky) for chapter in chapters)


def story_page(bundle: ReportBundle, chapters: Sequence[Chapter]) -> str:
    """Write the page of a study's story.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.
    chapters : sequence of Chapter
        As `chapters_of` gives them.

    Returns
    -------
    str
        HTML of about 5 MB and the pictures, nearly all of it plotly.js. Nothing in it can fetch or
        send anything, whatever a column or a setting is named.
    """
    title = title_of(bundle)
    links = "".join(
        f'<li><a href="#chapter-{one.key}">{html.escape(one.title)}</a></li>' for one in chapters
    )
    sections = [section for chapter in chapters for section in chapter.sections]
    body = (
        '<a class="skip" href="#story">Skip to the story</a>',
        f"<header><h1>{html.escape(title)}</h1>",
        f'<p class="note">{html.escape(_subtitle(bundle))}</p></header>',
        f'<nav aria-label="Contents"><h2>Contents</h2><ol>{links}</ol></nav>',
        '<main id="story" tabindex="-1">',
        *(_chapter(number, chapter) for number, chapter in enumerate(chapters, 1)),
        "</main>",
        FOR_PAPER,
    )
    return framed(title, body, sections, is_leaky(bundle), STYLE)


def title_of(bundle: ReportBundle) -> str:
    """Name a study.

    Parameters
    ----------
    bundle : ReportBundle
        Of it.

    Returns
    -------
    str
        The page's title.
    """
    return f"{_KINDS[bundle.kind]} {bundle.name}: from cohort to verdict"


def is_leaky(bundle: ReportBundle) -> bool:
    """Tell whether a study's numbers are to be labelled.

    Parameters
    ----------
    bundle : ReportBundle
        Of it.

    Returns
    -------
    bool
        Whether normalisation saw the held-out subjects in a search's trial, or in every arm of an
        ablation; an ablation that has leaky arms among others labels those arms alone.
    """
    if bundle.ablation is not None:
        return all(arm.leaky for arm in bundle.ablation.plan.arms)
    return any(one.leaky for one in bundle.trials)


def _subtitle(bundle: ReportBundle) -> str:
    """Say in a line what the page is of."""
    cohort = bundle.cohort
    people = "" if cohort.n_subjects is None else f"{cohort.n_subjects} subjects, "
    modalities = ", ".join(cohort.modalities)
    return f"Experiment {bundle.experiment}; {people}{modalities}".rstrip(", ;")


def _chapter(number: int, chapter: Chapter) -> str:
    """Write one chapter."""
    key, title = chapter.key, html.escape(chapter.title)
    blocks = "".join(_block(block) for block in chapter.blocks)
    return (
        f'<article class="chapter" id="chapter-{key}" aria-labelledby="title-{key}">'
        f'<h2 id="title-{key}">{number}. {title}</h2>'
        f'<p class="reads"><b>Shows:</b> {html.escape(chapter.shows)}</p>'
        f'<p class="not-shown"><b>Does not show:</b> {html.escape(chapter.not_shown)}</p>'
        f"{blocks}</article>"
    )


def _block(block: Block) -> str:
    """Write one block of a chapter."""
    match block:
        case Passage():
            return passage_html(block, level=3)
        case Section():
            return section_html(block, level=3)
        case Table():
            return f'<div class="block">{table_html(block, level=3)}</div>'
        case Gallery():
            return _gallery(block)


def _gallery(gallery: Gallery) -> str:
    """Write pictures under their caption."""
    words = gallery.words
    if gallery.pictures:
        shown = "".join(
            f"<figure>{picture_html(Picture(one.png, one.alternative))}"
            f"<figcaption>{html.escape(one.title)}</figcaption></figure>"
            for one in gallery.pictures
        )
    else:
        shown = f'<p class="absent">Not drawn. {html.escape(gallery.absent)}</p>'
    return (
        f"<section><h3>{html.escape(words.title)}</h3>"
        f'<p class="reads">{html.escape(words.reads)}</p>'
        f'<p class="not-shown"><b>Does not show:</b> {html.escape(words.not_shown)}</p></section>'
        f"{shown}"
    )
