"""Arms over prepared trials: their settings, their size, and whether they can be built at all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isthmus.config.experiment import ExperimentConfig
from isthmus.core.errors import ConfigError
from isthmus.study.ablation.arms import MODALITIES, Draft
from isthmus.study.ablation.matching import Describe, Settling
from isthmus.study.ablation.records import Arm, ArmSize
from isthmus.study.feasibility import why_not
from isthmus.study.prospects import Prospect, prospect_of
from isthmus.training.footprint import least_bytes
from isthmus.trial.run import PreparedTrial


@dataclass(frozen=True)
class BuiltArm:
    """An arm, and its trial at each seed.

    Attributes
    ----------
    arm : Arm
        As the plan has it.
    prospects : Mapping of int to Prospect
        By seed; none of an arm that cannot be built or is the same as another.
    """

    arm: Arm
    prospects: Mapping[int, Prospect] = field(default_factory=dict)


class ArmBuilder:
    """Builds arms over prepared trials.

    Parameters
    ----------
    settling : Settling
        Turns levels into settings.
    in_common : Mapping of str to Any
        What all arms lay over the experiment.
    trials : Mapping of int to PreparedTrial
        By seed: the experiment with the baseline's folds, which are those of every arm.
    describe : callable
        Gives the size of an experiment's model.
    memory_bytes : int or None
        What a training worker has for itself; None: not looked at.
    execution : Mapping of str to Any
        Settings of `execution` that each trial is given.
    """

    def __init__(
        self,
        settling: Settling,
        in_common: Mapping[str, Any],
        trials: Mapping[int, PreparedTrial],
        describe: Describe,
        memory_bytes: int | None,
        execution: Mapping[str, Any],
    ) -> None:
        self._settling = settling
        self._in_common = in_common
        self._trials = trials
        self._describe = describe
        self._memory = memory_bytes
        self._execution = execution

    def build(self, drafts: Sequence[Draft], notes: tuple[str, ...]) -> Iterator[BuiltArm]:
        """Yield the arms of a design.

        Parameters
        ----------
        drafts : sequence of Draft
            The baseline first.
        notes : tuple of str
            What to know of the baseline.

        Yields
        ------
        BuiltArm
            One a draft.

        Raises
        ------
        ConfigError
            If the baseline cannot be built.
        """
        first = min(self._trials)
        seen: dict[str, str] = {}
        for number, draft in enumerate(drafts):
            built = self._built(draft, notes if number == 0 else (), is_baseline=number == 0)
            if built.arm.is_baseline and built.arm.infeasible:
                raise ConfigError(
                    f"The baseline, {draft.name}, must be an experiment that can be run, but: "
                    f"{built.arm.infeasible}"
                )
            if built.arm.infeasible:
                yield built
                continue
            digest = built.prospects[first].digest
            if digest in seen:
                yield BuiltArm(_the_same(built.arm, seen[digest]))
                continue
            seen[digest] = draft.name
            yield built

    def _built(self, draft: Draft, notes: tuple[str, ...], is_baseline: bool) -> BuiltArm:
        """Build one arm, or say why it cannot be."""
        settings: dict[str, Any] = dict(draft.settings)
        try:
            if MODALITIES not in draft.settings:
                settings, said = self._settling.settle(draft.levels)
                notes = (*notes, *said)
            prospects = {
                seed: prospect_of(
                    trial,
                    {**self._in_common, **settings},
                    self._execution,
                    lambda config, trial=trial: why_not(  # type: ignore[misc]
                        config, trial.store.grid, config.execution.workers, self._memory
                    ),
                    "this arm",
                )
                for seed, trial in self._trials.items()
            }
        except ConfigError as error:
            known = settings.get(MODALITIES) or self._in_common.get(MODALITIES)
            fused = known or next(iter(self._trials.values())).experiment.config.fused_modalities
            return BuiltArm(
                Arm(
                    draft.name,
                    draft.levels,
                    settings,
                    tuple(fused),
                    is_baseline,
                    infeasible=str(error),
                    notes=notes,
                )
            )
        config = next(iter(prospects.values())).experiment.config
        arm = Arm(
            draft.name,
            draft.levels,
            settings,
            config.fused_modalities,
            is_baseline,
            size=self._size(config),
            leaky=config.volumes.normalisation.leaky,
            notes=notes,
        )
        return BuiltArm(arm, prospects)

    def _size(self, config: ExperimentConfig) -> ArmSize:
        """Measure what can be known without training."""
        model = self._describe(config)
        return ArmSize(
            model.parameters.total,
            model.multiply_accumulates,
            model.embedding_size,
            least_bytes(config, model, n_subjects=1),
        )


def _the_same(arm: Arm, other: str) -> Arm:
    """Mark an arm as the same experiment as an earlier one."""
    return Arm(
        arm.name,
        arm.levels,
        arm.settings,
        arm.modalities,
        same_as=other,
        size=arm.size,
        leaky=arm.leaky,
        notes=arm.notes,
    )
