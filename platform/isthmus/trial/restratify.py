"""The robustness job on embeddings that are there already: again, with other settings, or first.

What it computes is identified by a key: the embeddings, the settings and the participants. Results
of one key fill one folder, and a folder takes those of one key alone:

    settings.yaml  key.json  across_encoders.json
    <encoder>/     strata.json
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.cohort.confinement import confine
from isthmus.cohort.participants import Participants, load_people
from isthmus.config.stratify import StratifySettings
from isthmus.config.strict_yaml import format_yaml
from isthmus.core.digest import digest_of
from isthmus.core.errors import CohortError, ConfigError
from isthmus.core.files import write_json, write_text
from isthmus.core.ports import TaskRunner
from isthmus.stratification.across import AcrossEncoders
from isthmus.stratification.checks import check_stratification
from isthmus.stratification.embedding_table import LOCKBOX
from isthmus.stratification.memory import require_memory_here
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.subjects import is_clustered
from isthmus.stratification.targets import indicators
from isthmus.trial.embedded import Embedded
from isthmus.trial.strata import ACROSS_FILE, STRATA_FILE, strata_job

KEY_FILE = "key.json"
SETTINGS_FILE = "settings.yaml"
FAMILY_COLUMNS = ("family_id", "family", "familyid", "fam_id")

OnEncoder = Callable[[str, str, int, int], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Embeddings, with all that decides what the robustness job makes of them.

    Attributes
    ----------
    embedded : Embedded
        The encoders.
    settings : StratifySettings
        Resolved.
    people : Path
        The participants table.
    participants : Participants
        Those who are embedded, and nobody else: whoever is in the lockbox stays out.
    notes : tuple of str
        What a user should know before believing the results.
    """

    embedded: Embedded
    settings: StratifySettings
    people: Path
    participants: Participants
    notes: tuple[str, ...]

    @property
    def key(self) -> str:
        """Digest of embeddings, settings and participants."""
        return digest_of(
            {
                "embeddings": sorted(table.digest for table in self.embedded.tables.values()),
                "settings": self.settings.identifying_settings(),
                "participants": self.participants.digest,
            }
        )


@dataclass(frozen=True)
class Restratified:
    """What the robustness job made of one trial's embeddings.

    Attributes
    ----------
    label : str
        The trial.
    key : str
        Identifies what was computed.
    directory : Path
        Where it is.
    reports : Mapping of str to RobustnessReport
        One for each encoder, by its short name.
    across : AcrossEncoders
        What the encoders have in common.
    leaky : bool
        Whether normalisation saw the held-out subjects.
    """

    label: str
    key: str
    directory: Path
    reports: Mapping[str, RobustnessReport]
    across: AcrossEncoders
    leaky: bool


def prepare(embedded: Embedded, settings: StratifySettings, people: Path | None) -> Prepared:
    """Read the participants of some embeddings, and look for what would stop the job halfway.

    Parameters
    ----------
    embedded : Embedded
        The encoders.
    settings : StratifySettings
        Resolved settings.
    people : Path or None
        The participants table; None: that of the experiment that made the embeddings.

    Returns
    -------
    Prepared
        Ready to be run.

    Raises
    ------
    IsthmusError
        If there is no table, it lacks an embedded subject or a column, or the settings cannot be
        met.
    """
    path = people or _own_table(embedded)
    listed = load_people(path, settings.cohort)
    wanted = sorted({name for table in embedded.tables.values() for name in table.participant_ids})
    unknown = sorted(set(wanted) - set(listed.ids))
    if unknown:
        raise CohortError(
            f"{path}: must list every embedded participant, but {len(unknown)} of {len(wanted)} "
            f"are not in it: {', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}. It "
            f"lists such as {', '.join(listed.ids[:3])}. Are the labels written alike?"
        )
    participants = listed.select(wanted)
    for table in embedded.tables.values():
        n = sum(is_clustered(role, settings.stratification) for role in table.roles)
        check_stratification(
            settings.stratification,
            participants.select(table.participant_ids),
            settings.cohort,
            table.values.shape[1],
            [n],
        )
        require_memory_here(settings.stratification, settings.execution, n)
    for column in settings.cohort.categorical_phenotypes:
        indicators(participants, column, participants.ids)  # refuses labels by the dozen
    notes = (*embedded.notes, *_notes(listed, settings), *_sealed(embedded))
    return Prepared(embedded, settings, path, participants, notes)


def run_prepared(
    prepared: Prepared, directory: Path, runner: TaskRunner, tell: OnEncoder
) -> Restratified:
    """Run the robustness job for every encoder, then for all of them together.

    Parameters
    ----------
    prepared : Prepared
        The embeddings and the settings.
    directory : Path
        Receives the results; what an earlier run of the same key left there is not repeated.
    runner : TaskRunner
        Where pieces are computed.
    tell : callable
        Hears the trial's label, the encoder's name, pieces done, and pieces in all.

    Returns
    -------
    Restratified
        The records, which are also written as files.

    Raises
    ------
    ConfigError
        If the folder holds results of another key.
    IsthmusError
        As `isthmus.stratification.job.stratify`.
    """
    embedded, settings = prepared.embedded, prepared.settings
    claim(directory, prepared.key, settings)
    job = strata_job(
        prepared.participants, settings.cohort, settings.stratification, settings.seed, runner
    )
    reports = {}
    for name, table in embedded.tables.items():

        def count(done: int, total: int, name: str = name) -> None:
            tell(embedded.label, name, done, total)

        reports[name] = job.report(table, directory / name / STRATA_FILE, count)
    across = job.across(list(embedded.tables.values()), directory / ACROSS_FILE)
    return Restratified(embedded.label, prepared.key, directory, reports, across, embedded.leaky)


def claim(directory: Path, key: str, settings: StratifySettings | None) -> None:
    """Mark a folder as that of one key, or refuse it as that of another.

    Parameters
    ----------
    directory : Path
        Made when missing.
    key : str
        What its results are of.
    settings : StratifySettings or None
        Written beside, for people.

    Raises
    ------
    ConfigError
        If it holds results of another key.
    """
    file = directory / KEY_FILE
    if file.exists():
        held = json.loads(file.read_text(encoding="utf-8"))["key"]
        if held != key:
            raise ConfigError(
                f"{directory}: holds results of other embeddings, settings or participants "
                f"({held[:12]}, and these are {key[:12]}), which would be mixed up. Give another "
                "folder with --output, or leave --output out."
            )
        return
    if settings is not None:
        write_text(directory / SETTINGS_FILE, format_yaml(settings.identifying_settings()))
    write_json(file, {"key": key})


def _own_table(embedded: Embedded) -> Path:
    """Find the participants table of the experiment that made the embeddings."""
    made_by = embedded.experiment
    if made_by is None:
        raise ConfigError(
            "Embeddings of another tool need the table of their participants: give it with "
            "--participants."
        )
    if not made_by.cohort_root.is_dir():
        raise CohortError(
            f"{embedded.label}: the cohort was in {made_by.cohort_root}, which is not there. Give "
            "its participants table with --participants."
        )
    return confine(made_by.cohort_root, made_by.config.cohort.participants)


def _notes(listed: Participants, settings: StratifySettings) -> list[str]:
    """Say what may have been forgotten."""
    notes, cohort = [], settings.cohort
    families = [name for name in listed.table.columns if str(name).lower() in FAMILY_COLUMNS]
    if families and cohort.group_by is None:
        notes.append(
            f"The participants have a column '{families[0]}', but cohort.group_by is not set: "
            "relatives are taken for independent subjects, which makes p-values too small. Set "
            f"cohort.group_by={families[0]}."
        )
    if not cohort.phenotypes and not cohort.categorical_phenotypes:
        notes.append(
            "No phenotype is declared, so nothing is related to the strata. Set cohort.phenotypes "
            "or cohort.categorical_phenotypes."
        )
    return notes


def _sealed(embedded: Embedded) -> list[str]:
    """Say how many subjects are left out for being of the lockbox."""
    n = max((table.roles.count(LOCKBOX) for table in embedded.tables.values()), default=0)
    return [f"{n} subjects of the lockbox are left out: they are for promotion."] if n else []
