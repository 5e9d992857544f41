"""From an ablation's course to its tracking store: in order, from one thread, and nobody waits."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from isthmus.report.ablation.publish import AblationPublisher
from isthmus.report.outbox import Outbox
from isthmus.study.ablation.events import (
    AblationEvent,
    ArmFailed,
    FoldOver,
    RunOver,
    UnitRetried,
    UnitTold,
)
from isthmus.study.ablation.findings import AblationResult
from isthmus.study.ablation.records import AblationPlan, ArmRun, Progress
from isthmus.trial.events import TrialStarted

_OPEN = ("waiting", "running")


class AblationTracking:
    """A listener that has an ablation's events written to a tracking store.

    Parameters
    ----------
    publisher : AblationPublisher
        Writes; is called from the outbox's thread alone.
    outbox : Outbox
        Keeps what cannot be written now.

    Notes
    -----
    Each fold's process tells of its trial's start; it is passed on once. A trial that cannot be
    published, for another reason than that the store is away, keeps no other from it; the reason
    is raised when the outbox is closed.
    """

    def __init__(self, publisher: AblationPublisher, outbox: Outbox) -> None:
        self._publisher = publisher
        self._outbox = outbox
        self._started: set[str] = set()
        self._n_folds: Counter[str] = Counter()

    def __call__(self, event: AblationEvent) -> None:
        """Hear of one event and queue what it brings."""
        match event:
            case UnitTold(run, _, told):
                if isinstance(told, TrialStarted):
                    if run.digest in self._started:
                        return
                    self._started.add(run.digest)
                self._post(run, lambda: self._publisher.trial(run)(told))
            case UnitRetried(run, fold, why):
                what = "gathering" if fold is None else f"fold {fold}"
                self._post(run, partial(self._publisher.give_up, run.digest, f"{what}: {why}"))
            case FoldOver(_, record):
                self._count({record.state: 1})
            case ArmFailed(_, _, n_skipped):
                self._count({"skipped": n_skipped})
            case RunOver(run, state, reason):
                self._started.discard(run.digest)
                self._post(run, partial(self._publisher.after_run, run, state, reason))
            case _:
                pass

    def open(self) -> None:
        """Have the ablation's run opened."""
        self._outbox.post(self._publisher.open)

    def take_up(self, plan: AblationPlan, progress: Progress, output: Path) -> None:
        """Have written what earlier sittings left unwritten.

        Parameters
        ----------
        plan : AblationPlan
            What is asked.
        progress : Progress
            How far it was before this sitting.
        output : Path
            Folder of the trials' folders.
        """
        self._count(Counter(f.state for f in progress.folds if f.state not in _OPEN))
        for run in plan.runs:
            directory = output / run.folder
            ended = _ended(run, progress)
            if ended is not None and directory.exists():
                self._post(run, partial(self._take_up, run, directory, *ended))

    def finish(
        self, result: AblationResult, files: Sequence[Path], summary: str, succeeded: bool
    ) -> None:
        """Have what was found and the files written, and the ablation's run closed.

        Parameters
        ----------
        result : AblationResult
            The ablation as it stands.
        files : sequence of Path
            Tables, pictures and the page.
        summary : str
            Markdown that describes the run.
        succeeded : bool
            Whether the ablation came to its end.
        """
        self._outbox.post(partial(self._publisher.conclude, result))
        self._outbox.post(partial(self._publisher.publish_files, tuple(files)))
        self._outbox.post(partial(self._publisher.describe, summary))
        self._outbox.post(partial(self._publisher.finish, succeeded))

    def _take_up(self, run: ArmRun, directory: Path, state: str, reason: str) -> None:
        """Write what was left of one trial."""
        self._publisher.publish_left(run, directory, state, reason)

    def _count(self, more: dict[str, int]) -> None:
        """Add to how many folds are over, and have that written."""
        self._n_folds.update(more)
        self._outbox.post(partial(self._publisher.count, dict(self._n_folds)))

    def _post(self, run: ArmRun, call: Callable[[], None]) -> None:
        """Queue something of one trial."""
        self._outbox.post(call, owner=("trial", run.digest))


def _ended(run: ArmRun, progress: Progress) -> tuple[str, str] | None:
    """Say how a run ended in an earlier sitting; None if something of it is left to do."""
    if run.number in progress.gathered:
        return "gathered", ""
    if run.number in progress.ungathered:
        return "failed", progress.ungathered[run.number]
    folds = [fold for fold in progress.folds if fold.run == run.number]
    states = {fold.state for fold in folds}
    if states & set(_OPEN) or states == {"done"}:
        return None
    return "failed", next(fold.reason for fold in folds if fold.state in ("failed", "skipped"))
