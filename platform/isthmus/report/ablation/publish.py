"""Publishing an ablation: a run for it, below it one for each arm and seed, then their folds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from isthmus.core.ports import RunStore
from isthmus.report.parent_publish import REASON_TAG, STATE_TAG, ParentPublisher
from isthmus.report.publish import TrackingPublisher
from isthmus.report.run_naming import legal_name, legal_names
from isthmus.study.ablation.findings import AblationResult
from isthmus.study.ablation.records import AblationPlan, ArmRun

ARM_TAG, SEED_TAG, LEVEL_TAG = "isthmus.arm", "isthmus.seed", "isthmus.level."
VERDICTS_TAG, FAILED_TAG = "isthmus.verdicts", "isthmus.failed_arms"


class AblationPublisher(ParentPublisher):
    """Writes an ablation and its trials to a tracking store.

    Parameters
    ----------
    store : RunStore
        Where to write.
    name : str
        What people call the ablation among those of its name, and its run.
    plan : AblationPlan
        What is asked.
    params : Mapping
        Settings that are part of what the ablation is; they must not change.
    files : sequence of Path
        Copied into the run when it is opened, such as the ablation's file.
    """

    def __init__(
        self,
        store: RunStore,
        name: str,
        plan: AblationPlan,
        params: Mapping[str, str | int | float | bool],
        files: Sequence[Path] = (),
    ) -> None:
        tags = {
            "isthmus.ablation": name,
            "isthmus.ablation_id": plan.ablation_id,
            "isthmus.question": plan.question,
        }
        super().__init__(store, name, plan.ablation_id, plan.experiment, params, tags, files)
        self._plan = plan

    def trial(self, run: ArmRun) -> TrackingPublisher:
        """Make the publisher of an arm at a seed, or take the one that was made.

        Parameters
        ----------
        run : ArmRun
            An arm at a seed.

        Returns
        -------
        TrackingPublisher
            Writes to a run below the ablation's; nothing is written yet.
        """
        names = [arm.name for arm in self._plan.arms if run.arm in (arm.name, arm.same_as)]
        levels = next(arm.levels for arm in self._plan.arms if arm.name == run.arm)
        labels = {
            "isthmus.ablation": self._name,
            ARM_TAG: " = ".join(names),
            SEED_TAG: str(run.seed),
            **{legal_name(f"{LEVEL_TAG}{factor}"): level for factor, level in levels.items()},
        }
        of = ", ".join(f"{factor}: {level}" for factor, level in levels.items())
        note = f"Arm {' = '.join(names)} of {self._name} at seed {run.seed}" + f" ({of})" * bool(of)
        return self._below(run.digest, f"{run.arm} seed {run.seed}", labels, note)

    def after_run(self, run: ArmRun, state: str, reason: str) -> None:
        """Close the run of an arm at a seed of which nothing is left to do.

        Parameters
        ----------
        run : ArmRun
            An arm at a seed.
        state : str
            ``gathered``, or ``failed``.
        reason : str
            Why it failed.
        """
        self._end(run.digest, state != "failed", {STATE_TAG: state, REASON_TAG: reason})

    def publish_left(self, run: ArmRun, directory: Path, state: str, reason: str) -> bool:
        """Write what an earlier sitting left of an arm at a seed, unless all is written.

        Parameters
        ----------
        run : ArmRun
            An arm at a seed of which nothing is left to do.
        directory : Path
            Its trial's folder.
        state, reason : str
            As `after_run` takes them.

        Returns
        -------
        bool
            Whether anything was left to write.

        Raises
        ------
        ConfigError
            If the folder is not a trial's.
        """
        if not self._is_left(directory):
            return False
        self._replay(self.trial(run), directory)
        self.after_run(run, state, reason)
        return True

    def count(self, n_folds: Mapping[str, int]) -> None:
        """Write how far the ablation is.

        Parameters
        ----------
        n_folds : Mapping of str to int
            Folds by state.
        """
        self._parent().log_metrics({f"n_folds_{state}": n for state, n in n_folds.items()})

    def conclude(self, result: AblationResult) -> None:
        """Write what was found by the primary metric, and what failed.

        Parameters
        ----------
        result : AblationResult
            The ablation as it stands.
        """
        primary = next(each for each in result.findings if each.is_primary)
        means = {
            f"{primary.metric}.{estimate.arm}": estimate.mean
            for estimate in primary.arms
            if estimate.mean is not None
        }
        verdicts = Counter(contrast.verdict for contrast in primary.contrasts)
        counts = {f"n_contrasts_{verdict}": float(n) for verdict, n in verdicts.items()}
        self._parent().log_metrics(legal_names({**means, **counts}))
        said = [f"{each.comparison.name}: {each.verdict}" for each in primary.contrasts]
        self.set_tags(
            {
                "isthmus.primary_metric": primary.metric,
                VERDICTS_TAG: "; ".join(said),
                FAILED_TAG: ", ".join(failed_arms(result)),
            }
        )


def failed_arms(result: AblationResult) -> tuple[str, ...]:
    """List the arms that failed; one that cannot be built is none of them.

    Parameters
    ----------
    result : AblationResult
        An ablation.

    Returns
    -------
    tuple of str
        Names, in the plan's order: arms with a failed fold, or whose encoders could not be
        compared.
    """
    progress = result.progress
    failed = {fold.run for fold in progress.folds if fold.state == "failed"}
    failed |= set(progress.ungathered)
    return tuple(
        arm.name
        for arm in result.plan.arms
        if failed & {run.number for run in result.plan.runs_of(arm.name)}
    )
