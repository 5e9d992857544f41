"""Where each participant's images are: by a pattern or a manifest, within the cohort's folder."""

import string
from collections.abc import Sequence
from pathlib import Path

from isthmus.cohort.confinement import confine
from isthmus.cohort.participants import Participants
from isthmus.cohort.tables import MISSING, read_table
from isthmus.config.load import Experiment
from isthmus.config.paths import did_you_mean
from isthmus.core.errors import CohortError, ConfigError

__all__ = ["confine", "image_paths"]

_FIELDS = ("participant_id", "modality")


def image_paths(experiment: Experiment, participants: Participants) -> dict[str, dict[str, Path]]:
    """Say where every image should be.

    Parameters
    ----------
    experiment : Experiment
        With `cohort.images` or `cohort.manifest`.
    participants : Participants
        The whole cohort: a manifest may name nobody else.

    Returns
    -------
    dict of str to dict of str to Path
        Absolute path for each participant and modality. Whether the file exists is not asked
        here; a manifest may leave modalities of a participant out.

    Raises
    ------
    ConfigError
        If the pattern has an unknown field.
    CohortError
        If a path leaves the cohort's folder, or the manifest does not fit the cohort.
    """
    cohort = experiment.config.cohort
    root = experiment.cohort_root
    if cohort.manifest is not None:
        manifest = confine(root, cohort.manifest)
        return _from_manifest(manifest, root, participants, cohort.modalities)
    assert cohort.images is not None  # the settings give exactly one of the two
    _check_pattern(cohort.images)
    return {
        label: {
            modality: confine(root, fill_pattern(cohort.images, label, modality))
            for modality in cohort.modalities
        }
        for label in participants.ids
    }


def fill_pattern(pattern: str, participant_id: str, modality: str) -> str:
    """Put a participant and a modality into a pattern.

    Parameters
    ----------
    pattern : str
        With ``{participant_id}`` and ``{modality}``, each any number of times.
    participant_id, modality : str
        What to put there, as it is.

    Returns
    -------
    str
        Path from the cohort's folder.

    Examples
    --------
    >>> fill_pattern("{participant_id}/{participant_id}_{modality}.nii", "sub-01", "FA")
    'sub-01/sub-01_FA.nii'
    """
    # Split first, so that a label that contains braces is never read as a field.
    parts = string.Formatter().parse(pattern)
    values = {"participant_id": participant_id, "modality": modality}
    return "".join(text + (values[name] if name else "") for text, name, _, _ in parts)


def _check_pattern(pattern: str) -> None:
    """Refuse fields that nothing would fill."""
    rule = f"cohort.images: {pattern!r}"
    try:
        fields = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ConfigError(f"{rule} must be a pattern with matching braces: {error}.") from None
    for _, name, spec, conversion in fields:
        if name is not None and (name not in _FIELDS or spec or conversion):
            hint = did_you_mean(name, dict.fromkeys(_FIELDS))
            raise ConfigError(
                f"{rule} may have the fields {{participant_id}} and {{modality}}, got "
                f"{{{name}}}.{hint}"
            )
    lacking = [name for name in _FIELDS if name not in {name for _, name, _, _ in fields}]
    if lacking:
        raise ConfigError(
            f"{rule} must have the fields {{participant_id}} and {{modality}}, or images cannot be "
            f"told apart, but {{{lacking[0]}}} is none; doubled braces are plain text."
        )


def _from_manifest(
    manifest: Path, root: Path, participants: Participants, modalities: Sequence[str]
) -> dict[str, dict[str, Path]]:
    """Read a manifest, every row of which must be of use."""
    table = read_table(manifest)
    table.require([*_FIELDS, "path"])
    paths: dict[str, dict[str, Path]] = {label: {} for label in participants.ids}
    images: dict[tuple[str, str], int] = {}
    files: dict[Path, int] = {}
    rows = zip(*(table.column(name) for name in (*_FIELDS, "path")), table.lines, strict=True)
    for label, modality, relative, line in rows:
        where = f"{manifest}: line {line}"
        if label not in paths:
            hint = did_you_mean(label, paths)
            raise CohortError(f"{where}: there is no participant '{label}' in the table.{hint}")
        if modality not in modalities:
            hint = did_you_mean(modality, dict.fromkeys(modalities))
            raise CohortError(
                f"{where}: the modality must be one of cohort.modalities {list(modalities)}, got "
                f"'{modality}'.{hint}"
            )
        first = images.setdefault((label, modality), line)
        if first != line:
            raise CohortError(
                f"{where}: each image must be listed once, but {modality} of {label} is on line "
                f"{first} too."
            )
        if relative in MISSING:
            continue
        path = confine(root, relative)
        first = files.setdefault(path, line)
        if first != line:
            raise CohortError(
                f"{where}: each image must be a file of its own, but line {first} names "
                f"{relative} too."
            )
        paths[label][modality] = path
    return paths
