"""An ablation's figures for the story, drawn from the record alone."""

from dataclasses import replace
from pathlib import Path

from isthmus.report.ablation.sections import Part, parts_of, section_of
from isthmus.report.page import Picture, Section
from isthmus.report.story.bundle import ReportBundle
from isthmus.study.ablation.findings import AblationResult


def arm_parts(result: AblationResult) -> tuple[Part, ...]:
    """List an ablation's figures, without those that need its trials' folders.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    tuple of Part
        In order; that of reconstructions says that there are none.
    """
    return parts_of(replace(result, panels={}), Path())


def arm_section(bundle: ReportBundle, key: str) -> Section | None:
    """Draw one of an ablation's figures.

    Parameters
    ----------
    bundle : ReportBundle
        Of any study.
    key : str
        One of `isthmus.report.ablation.captions.KEYS`.

    Returns
    -------
    Section or None
        None where there is no ablation that could be read.
    """
    if bundle.ablation is None:
        return None
    part = next(one for one in arm_parts(bundle.ablation) if one.key == key)
    section, kept = section_of(bundle.ablation, part), bundle.side_by_side
    if key == "side_by_side" and kept is not None:
        return replace(section, chart=Picture(kept.png, kept.alternative))
    return section
