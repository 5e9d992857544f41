"""The robustness job within a trial: once for each encoder, then for all of them together.

What is finished is read back, not computed again: a report by the table and the settings that it
names, its pieces by the problem that they are of.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from isthmus.cohort.participants import Participants
from isthmus.config.people import PeopleConfig
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.core.files import write_text
from isthmus.core.ports import TaskRunner
from isthmus.core.seeds import derive_seed
from isthmus.stratification.across import AcrossEncoders, SelectionReport
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import stratify
from isthmus.stratification.partition import Partition
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.selection import adjust_for_selection
from isthmus.stratification.specifications import compare_encoders
from isthmus.stratification.variables import Variables

OnPieces = Callable[[int, int], None]

STRATA_FILE = "strata.json"
ACROSS_FILE = "across_encoders.json"


@dataclass(frozen=True, eq=False)
class StrataJob:
    """What the robustness job is told, whichever encoder it looks at.

    Attributes
    ----------
    participants : Participants
        Everybody who may be in a table; a folder of results belongs to one such set.
    config : StratificationConfig
        Settings.
    variables : Variables
        Phenotypes and confounds.
    seed : int
        Root of its random streams.
    runner : TaskRunner
        Where pieces are computed.

    Notes
    -----
    Linear algebra runs on one thread, here as in every worker: more threads add up in another
    order, and a report is to be the same, byte for byte, on any number of cores.
    """

    participants: Participants
    config: StratificationConfig
    variables: Variables
    seed: int
    runner: TaskRunner

    def report(
        self, table: EmbeddingTable, file: Path, on_pieces: OnPieces | None = None
    ) -> RobustnessReport:
        """Run the job on one encoder's embeddings, or read what it left.

        Parameters
        ----------
        table : EmbeddingTable
            The embeddings.
        file : Path
            Where the report is, or will be; beside it, in a folder of the same name, finished
            pieces are kept until it is.
        on_pieces : callable, optional
            Hears how many pieces are done, of how many.

        Returns
        -------
        RobustnessReport
            The same, however often the job was cut short.

        Raises
        ------
        IsthmusError
            As `isthmus.stratification.job.stratify`.
        """
        finished = read_report(file)
        if finished is not None and self._made(finished, table):
            return finished
        pieces = file.with_suffix("")
        with threadpool_limits(limits=1):
            report = stratify(
                table,
                self.participants,
                self.config,
                self.variables,
                self.seed,
                runner=self.runner,
                directory=pieces,
                on_progress=on_pieces,
            )
        write_text(file, report.to_json())
        shutil.rmtree(pieces, ignore_errors=True)
        return report

    def across(self, tables: Sequence[EmbeddingTable], file: Path) -> AcrossEncoders:
        """Compare the encoders with each other, or read what that left.

        Parameters
        ----------
        tables : sequence of EmbeddingTable
            One an encoder, at least one.
        file : Path
            Where the record is, or will be.

        Returns
        -------
        AcrossEncoders
            Agreement of the encoders, and every target over the specifications.

        Raises
        ------
        IsthmusError
            As `isthmus.stratification.specifications.compare_encoders`.
        """
        finished = _read_across(file)
        encoders = {table.encoder_id for table in tables}
        if finished is not None and {s.encoder_id for s in finished.specifications} == encoders:
            return finished
        with threadpool_limits(limits=1):
            across = compare_encoders(
                tables, self.participants, self.config, self.variables, self.seed, self.runner
            )
        write_text(file, across.to_json())
        return across

    def selection(self, reports: Mapping[str, Sequence[RobustnessReport]]) -> SelectionReport:
        """Judge the best of several trials as the best of several.

        Parameters
        ----------
        reports : Mapping of str to sequence of RobustnessReport
            Each trial's, an encoder each.

        Returns
        -------
        SelectionReport
            The naive and the adjusted p-value of each trial.
        """
        partitions = {
            trial: [report.strata for report in own if isinstance(report.strata, Partition)]
            for trial, own in reports.items()
        }
        with threadpool_limits(limits=1):
            return adjust_for_selection(
                partitions, self.participants, self.config, self.variables, self.seed
            )

    def _made(self, report: RobustnessReport, table: EmbeddingTable) -> bool:
        """Tell whether a report is of this table and these settings."""
        declared = Variables(report.phenotypes, report.categorical_phenotypes, report.confounds)
        return (report.table_digest, report.config, report.seed, declared) == (
            table.digest,
            self.config,
            self.seed,
            self.variables,
        )


def strata_job(
    participants: Participants,
    people: PeopleConfig,
    config: StratificationConfig,
    seed: int,
    runner: TaskRunner,
) -> StrataJob:
    """Put together what the robustness job is told.

    Parameters
    ----------
    participants : Participants
        Everybody who may be in a table.
    people : PeopleConfig
        Declares phenotypes and confounds.
    config : StratificationConfig
        Settings.
    seed : int
        The experiment's seed; the job has a stream of its own below it.
    runner : TaskRunner
        Where pieces are computed.

    Returns
    -------
    StrataJob
        The same within a trial and in `isthmus stratify`.
    """
    variables = Variables.of(people)
    return StrataJob(participants, config, variables, derive_seed(seed, "strata"), runner)


def read_report(file: Path) -> RobustnessReport | None:
    """Read a finished report.

    Parameters
    ----------
    file : Path
        Where it may be.

    Returns
    -------
    RobustnessReport or None
        None where there is none, or one that this version did not write.
    """
    try:
        return RobustnessReport.from_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, StratificationError):
        return None


def _read_across(file: Path) -> AcrossEncoders | None:
    """Read a finished comparison, as `read_report` does."""
    try:
        return AcrossEncoders.from_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, StratificationError):
        return None
