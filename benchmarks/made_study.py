"""A search of as many trials as wanted, of which one was trained: the others are its copies.

The search goes the product's own way: its folder, the study that Optuna keeps, the director that
asks for each trial, hears of it and closes it. A copy has the point, the digest, the settings and
the numbers of its own trial, as a run of it would write them; its weights, embeddings and tables
are hard links to those of the trained one. Pictures and pages are left out of the copies.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from isthmus.backends.optuna_search import OptunaLedger
from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import make_phantom
from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.config.load import dump_experiment, load_experiment
from isthmus.config.search_space import SearchSpace
from isthmus.core.files import write_json, write_text
from isthmus.core.seeds import generator
from isthmus.report.study_files import write_study_files
from isthmus.study.attempt import Assignment, Ending
from isthmus.study.director import Director
from isthmus.study.prospects import Prospects
from isthmus.study.records import StudyResult
from isthmus.study.search import PreparedSearch, prepare_search, storage_of
from isthmus.study.standing import standing_of
from isthmus.study.stopper import NeverStop
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.events import FoldFinished, FoldStarted, TrialFinished, TrialStarted
from isthmus.trial.propose import propose
from isthmus.trial.records import TrialResult
from isthmus.trial.run import (
    EXPERIMENT_FILE,
    FOLD_FILE,
    IDENTITY_FILE,
    TRIAL_FILE,
    load_trial,
    run_trial,
)
from isthmus.volumes.ingest import ingest

SETTINGS = (
    "model.depth=2",
    "model.base_channels=2",
    "model.embedding_size=64",
    "training.epochs=2",
    "training.global_batch_size=2",
    "cross_validation.n_folds=2",
    "stratification.n_permutations=99",
    "stratification.robustness.n_draws=20",
    "stratification.robustness.n_null_phenotypes=39",
    "stratification.robustness.n_matched_nulls=19",
    "stratification.robustness.n_null_draws=2",
    "stratification.specifications.n_null_phenotypes=19",
    "execution.device=cpu",
    "execution.threads_per_worker=1",
    "execution.ingest_processes=1",
)
_CHANGED = {FOLD_FILE, TRIAL_FILE, IDENTITY_FILE, EXPERIMENT_FILE, ".lock", "drawn.json"}


@dataclass
class MadeStudy:
    """A search that goes on trial by trial, each at once.

    Attributes
    ----------
    prepared : PreparedSearch
        What is searched, and its folder.
    ledger : OptunaLedger
        Its trials.
    director : Director
        Decides its course.
    model : Path
        Folder of the trial that was trained.
    result : TrialResult
        What it came to.
    seconds : dict
        What each question and each ending took, by the number of trials that there were.
    """

    prepared: PreparedSearch
    ledger: OptunaLedger
    director: Director
    model: Path
    result: TrialResult
    seconds: dict[str, dict[int, float]] = field(default_factory=lambda: {"ask": {}, "end": {}})

    def go_on(self, n_trials: int, clock: Callable[[], float]) -> None:
        """Run trials until there are as many; `seconds` has what each question and end took."""
        while len(self.director.records) < n_trials:
            n, began = len(self.director.records), clock()
            assignment = self.director.next()
            self.seconds["ask"][n] = clock() - began
            if not isinstance(assignment, Assignment):
                raise SystemExit(f"the search ended early: {self.director.why_halted}")
            self._run(assignment, clock)

    def _run(self, assignment: Assignment, clock: Callable[[], float]) -> None:
        """Leave a trial's folder, and tell the director of it."""
        number = assignment.number
        record = next(one for one in reversed(self.director.records) if one.number == number)
        folder = self.prepared.trial.experiment.output / str(record.folder)
        result = self._result(assignment, str(record.digest))
        lay_copy(self.model, folder, self.prepared, assignment, result)
        events: list[TrialStarted | FoldStarted | FoldFinished | TrialFinished] = [
            TrialStarted(
                result.digest, assignment.experiment.config, result.identity, result.facts, folder
            )
        ]
        for fold in result.folds:
            directory = folder / f"fold-{fold.number}"
            events += [FoldStarted(fold.number), FoldFinished(fold, directory, reused=False)]
        for event in (*events, TrialFinished(result, folder)):
            self.director.hear(number, event)
        began = clock()
        self.director.end(number, Ending("finished"))
        self.seconds["end"][len(self.director.records)] = clock() - began

    def _result(self, assignment: Assignment, digest: str) -> TrialResult:
        """Make up the numbers of a trial: a valley in the learning rate, noise, a trade-off."""
        config = assignment.experiment.config
        noise = generator(0, "load", assignment.number).standard_normal(2 * len(self.result.folds))
        off = abs(math.log10(config.training.learning_rate) + 3.0)
        folds = []
        for k, fold in enumerate(self.result.folds):
            mse = 0.1 + 0.02 * off + 4.0 / config.model.embedding_size + 0.003 * noise[2 * k]
            score = 0.5 + 0.1 * off - config.model.embedding_size / 2000 + 0.02 * noise[2 * k + 1]
            own = {"validation_mse": float(mse), "strata_robustness_score": float(score)}
            folds.append(replace(fold, metrics={**fold.metrics, **own}))
        identity = {**self.prepared.trial.identity, "experiment": config.digest}
        size = {"embedding_size": config.model.embedding_size}
        facts = {**self.result.facts, **size}
        return replace(
            self.result, digest=digest, identity=identity, folds=tuple(folds), facts=facts
        )

    def standing(self, whole: bool = False) -> StudyResult:
        """Say how it stands, as a search does at each trial's end, or at its own."""
        return standing_of(self.prepared, self.ledger, whole)

    def write_files(self, result: StudyResult) -> tuple[Path, ...]:
        """Leave what a search leaves."""
        return write_study_files(result, self.prepared.folder)

    def close(self) -> None:
        """End the sitting."""
        self.director.close()
        self.ledger.close()


def lay_copy(
    model: Path,
    folder: Path,
    prepared: PreparedSearch,
    assignment: Assignment,
    result: TrialResult,
) -> None:
    """Leave the folder of a trial: its own records, and links to the rest."""
    trial = replace(prepared.trial, experiment=assignment.experiment)
    for source in (model, *sorted(model.glob("fold-*"))):
        target = folder / source.relative_to(model)
        target.mkdir(parents=True, exist_ok=True)
        for file in source.iterdir():
            if file.is_file() and file.name not in _CHANGED and file.suffix not in (".png", ".md"):
                (target / file.name).unlink(missing_ok=True)
                os.link(file, target / file.name)
    known = {"digest": result.digest, "identity": result.identity, "facts": result.facts}
    write_json(folder / IDENTITY_FILE, known)
    here = trial.experiment.located(split_file=folder / "split.json")
    write_text(folder / EXPERIMENT_FILE, dump_experiment(here))
    for fold in result.folds:
        write_json(folder / f"fold-{fold.number}" / FOLD_FILE, fold.to_json())
    write_json(folder / TRIAL_FILE, result.to_json())


def train_one(root: Path, trial_settings: tuple[str, ...] = SETTINGS) -> Path:
    """Make a cohort and train the one trial, beside the search; return its folder."""
    make_phantom(root / "phantom", PhantomConfig(n_subjects=26, grid=(16, 16, 16)))
    file = root / "experiment.yaml"
    write_text(file, propose(root / "phantom", file, "smoke").text)
    experiment = load_experiment(file, [*trial_settings, f"execution.output={root / 'trained'}"])
    ingest(experiment, load_participants(experiment))
    found: list[Path] = []

    def remember(event: object) -> None:
        if isinstance(event, TrialFinished):
            found.append(event.directory)

    run_trial(experiment, InProcessLauncher(), remember)
    return found[0]


def space_of(kind: str, n_trials: int) -> SearchSpace:
    """Five dimensions of three kinds, and two objectives that pull apart."""
    return SearchSpace.model_validate(
        {
            "name": f"load-{kind}",
            "space": {
                "model.embedding_size": {"kind": "categorical", "choices": [64, 128, 256, 384]},
                "model.convolution": {"kind": "categorical", "choices": ["separable", "standard"]},
                "training.learning_rate": {"kind": "float", "low": 1e-4, "high": 1e-2, "log": True},
                "training.kernel_l2": {"kind": "float", "low": 0.0, "high": 0.01},
                "training.epochs": {"kind": "int", "low": 2, "high": 40},
            },
            "objectives": [
                {"metric": "validation_mse", "direction": "minimize"},
                {"metric": "strata_robustness_score", "direction": "maximize"},
            ],
            "sampler": {"kind": kind},
            "budget": {"n_trials": n_trials},
        }
    )


def open_study(
    root: Path, model: Path, kind: str, n_trials: int, storage: str | None = None
) -> MadeStudy:
    """Begin a search, or go on with it."""
    settings = [*SETTINGS, f"execution.output={root / 'runs'}"]
    if storage is not None:
        settings.append(f"execution.study_storage={storage}")
    experiment = load_experiment(root / "experiment.yaml", settings)
    space = space_of(kind, n_trials)
    prepared = prepare_search(experiment, space, fork=False)
    url = storage_of(experiment, prepared.folder)
    ledger = OptunaLedger(url, prepared.study_name, space, seed=0)
    prospects = Prospects(prepared.trial, space, {"threads_per_worker": 1}, lambda _: None)
    output = experiment.output
    director = Director(
        space,
        ledger,
        prospects,
        NeverStop(),
        1,
        lambda folder: load_trial(output / folder),
        lambda event: None,
    )
    return MadeStudy(prepared, ledger, director, model, load_trial(model))
