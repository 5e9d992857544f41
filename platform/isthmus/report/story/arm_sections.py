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


def arm_sections(bundle: ReportBundle) -> dict[str, Section]:
    """Draw an ablation's figures.

    Parameters
    ----------
    bundle : ReportBundle
        Of an ablation that could be read.

    Returns
    -------
    dict of str to Section
        By key (`isthmus.report.ablation.captions.KEYS`).
    """
    if bundle.ablation is None:
        return {}
    sections = {part.key: section_of(bundle.ablation, part) for part in arm_parts(bundle.ablation)}
    kept = bundle.side_by_side
    if kept is not None:
        picture = Picture(kept.png, kept.alternative)
        sections["side_by_side"] = replace(sections["side_by_side"], chart=picture)
    return sections
