"""An ablation's director on a plan made by hand, whose folds are done by writing their files."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import Experiment, resolve
from isthmus.study.ablation.director import AblationDirector, Conditions
from isthmus.study.ablation.events import AblationEvent
from isthmus.study.ablation.records import AblationPlan, Arm, ArmRun, Comparison, Factor, FoldRun
from isthmus.study.attempt import Assignment, Ending
from isthmus.trial.events import FoldFailed, TrialStarted
from isthmus.trial.records import FoldFailure

COHORT = {"images": "{participant_id}_{modality}.nii", "modalities": ["T1w"]}
N_FOLDS = 2


def config_of(**training: Any) -> ExperimentConfig:
    """Make settings without a file."""
    return resolve({"cohort": COHORT, "training": {"global_batch_size": 8, **training}})


def plan_of(n_arms: int = 3, seeds: tuple[int, ...] = (0, 1)) -> AblationPlan:
    """Make a plan of arms ``a0`` (the baseline), ``a1``, ...; the last one is as ``a0`` is."""
    names = [f"a{i}" for i in range(n_arms)]
    arms = [Arm(name, {"f": name}, {}, ("T1w",), is_baseline=not i) for i, name in enumerate(names)]
    arms.append(Arm("alias", {"f": "alias"}, {}, ("T1w",), same_as="a0"))
    runs = [
        ArmRun(i, name, seed, f"{name}-{seed}", f"small-{name}-{seed}", f"split-{seed}")
        for i, (name, seed) in enumerate((name, seed) for name in names for seed in seeds)
    ]
    return AblationPlan(
        name="sizes",
        ablation_id="id",
        experiment="small",
        question="Does it matter?",
        design="factorial",
        factors=(Factor("f", "It does.", tuple(names), "a0"),),
        arms=tuple(arms),
        seeds=seeds,
        n_folds=N_FOLDS,
        fold_sizes=dict.fromkeys(seeds, ((8, 4),) * N_FOLDS),
        runs=tuple(runs),
        comparisons=tuple(
            Comparison(f"{name} against a0", "arm", ((name, "a0", 1.0),), "f") for name in names[1:]
        ),
    )


@dataclass
class AblationBench:
    """Directors of one ablation, one after another, and what they were told."""

    output: Path
    plan: AblationPlan = field(default_factory=plan_of)
    config: ExperimentConfig = field(default_factory=config_of)
    told: list[AblationEvent] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The ablation's."""
        return self.output / "small-ablation-sizes"

    def director(self, n_slots: int = 1, **conditions: Any) -> AblationDirector:
        """Begin a sitting."""
        experiments = {run.number: Experiment(self.config, self.output) for run in self.plan.runs}
        under = Conditions(**{"n_slots": n_slots, "max_failures": 2, **conditions})
        return AblationDirector(
            self.plan, experiments, self.output, self.folder, under, self.told.append
        )

    def run_of(self, assignment: Assignment) -> ArmRun:
        """Tell which arm and seed an assignment is of."""
        return self.plan.runs[assignment.number // (N_FOLDS + 1)]

    def name(self, assignment: Assignment) -> str:
        """Name an assignment: arm, seed, fold; or ``all`` where folds are gathered."""
        run = self.run_of(assignment)
        fold = "all" if assignment.fold is None else assignment.fold
        return f"{run.arm} {run.seed} {fold}"

    def write(self, run: ArmRun, fold: int | None) -> None:
        """Leave the result of a fold, or of a trial."""
        folder = self.output / run.folder / ("" if fold is None else f"fold-{fold}")
        folder.mkdir(parents=True, exist_ok=True)
        content = {"succeeded": True, "folds": [{}] * N_FOLDS}
        (folder / ("trial.json" if fold is None else "fold.json")).write_text(json.dumps(content))

    def started(self, assignment: Assignment, **changed: Any) -> TrialStarted:
        """Tell of a trial's start, as it was planned."""
        run = self.run_of(assignment)
        event = TrialStarted(run.digest, self.config, {"split": run.split}, {}, Path())
        return replace(event, **changed)

    def play(self, director: AblationDirector, assignment: Assignment) -> None:
        """Run an assignment to its end."""
        assert director.hear(assignment.number, self.started(assignment))
        self.write(self.run_of(assignment), assignment.fold)
        director.end(assignment.number, Ending("finished"))

    def diverge(self, director: AblationDirector, assignment: Assignment) -> bool:
        """Let a fold diverge; say whether it was to go on."""
        failure = FoldFailure(assignment.fold or 0, "TrainingDiverged", "the loss is not finite")
        go_on = director.hear(assignment.number, FoldFailed(failure, Path()))
        director.end(assignment.number, Ending("halted"))
        return go_on

    def play_all(self, director: AblationDirector) -> list[str]:
        """Run an ablation to its end, one thing after another; name all of them."""
        names = []
        while isinstance(assignment := director.next(), Assignment):
            names.append(self.name(assignment))
            self.play(director, assignment)
        assert assignment == "done"
        return names

    def events(self, kind: type) -> list[Any]:
        """List what was told of one kind."""
        return [event for event in self.told if isinstance(event, kind)]

    def fold(self, director: AblationDirector, arm: str, seed: int, fold: int) -> FoldRun:
        """Look up how a fold stands."""
        (run,) = [run for run in self.plan.runs if (run.arm, run.seed) == (arm, seed)]
        folds = director.progress.folds
        return next(each for each in folds if (each.run, each.fold) == (run.number, fold))
