"""From a search's course to its tracking store: in order, from one thread, and nobody waits."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from isthmus.report.outbox import Outbox
from isthmus.report.study_publish import StudyPublisher
from isthmus.study.events import StudyEvent, TrialBegun, TrialOver, TrialRetried, TrialTold
from isthmus.study.records import Point, StudyResult, TrialRecord


class StudyTracking:
    """A listener that has a search's events written to a tracking store.

    Parameters
    ----------
    publisher : StudyPublisher
        Writes; is called from the outbox's thread alone.
    outbox : Outbox
        Keeps what cannot be written now.
    standing : callable
        Says how the study stands; called where the event is told.

    Notes
    -----
    A trial that cannot be published, for another reason than that the store is away, keeps no
    other from it; the reason is raised when the outbox is closed.
    """

    def __init__(
        self, publisher: StudyPublisher, outbox: Outbox, standing: Callable[[], StudyResult]
    ) -> None:
        self._publisher = publisher
        self._outbox = outbox
        self._standing = standing
        self._points: dict[int, Point] = {}

    def __call__(self, event: StudyEvent) -> None:
        """Hear of one event and queue what it brings."""
        match event:
            case TrialBegun(record):
                self._points[record.number] = record.point
            case TrialTold(number, told):
                self._post(
                    number, lambda: self._publisher.trial(number, self._points[number])(told)
                )
            case TrialRetried(record, why):
                self._post(record.number, partial(self._publisher.give_up, record.number, why))
            case TrialOver(record):
                result = self._standing()
                self._post(record.number, partial(self._publisher.after_trial, record, result))
            case _:
                pass

    def open(self) -> None:
        """Have the study's run opened."""
        self._outbox.post(self._publisher.open)

    def take_up(self, records: Sequence[TrialRecord], output: Path) -> None:
        """Have written what earlier sittings left unwritten.

        Parameters
        ----------
        records : sequence of TrialRecord
            All trials so far.
        output : Path
            Folder of the trials' folders.
        """
        result = self._standing()
        for record in records:
            if record.state == "running":
                continue
            folder = output / (record.folder or "")
            self._post(record.number, partial(self._take_up, record, folder, result))

    def finish(self, files: Sequence[Path], summary: str, succeeded: bool) -> None:
        """Have the study's files written, and its run closed.

        Parameters
        ----------
        files : sequence of Path
            Tables, pictures and the page.
        summary : str
            Markdown that describes the run.
        succeeded : bool
            Whether the search came to its end.
        """
        self._outbox.post(partial(self._publisher.publish_files, tuple(files)))
        self._outbox.post(partial(self._publisher.describe, summary))
        self._outbox.post(partial(self._publisher.finish, succeeded))

    def _take_up(self, record: TrialRecord, folder: Path, result: StudyResult) -> None:
        """Write what was left of one trial."""
        self._publisher.publish_left(record, folder, result)

    def _post(self, number: int, call: Callable[[], None]) -> None:
        """Queue something of one trial."""
        self._outbox.post(call, owner=("trial", number))
