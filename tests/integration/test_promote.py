"""From a search to a champion in the registry, as a user does it, and all that is refused."""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tiny_search import Run, isthmus, mlflow_runs, search_folder, study_records, write_search

from isthmus.backends.mlflow_registry import MlflowModelRegistry
from isthmus.promotion.bundle.load import load_bundle
from isthmus.promotion.decision import PromotionDecision, read_decision
from isthmus.promotion.promote import FOLDER
from isthmus.promotion.registry.history import read_history

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
# Two trials, of which the second hardly learns.
RATES = [0.003, 1e-6]
SETTINGS = {
    "cohort.lockbox_share": 0.4,
    "training.epochs": 3,
    "stratification.clusterer": "ward",
    "stratification.n_strata": 2,
}


@dataclass(frozen=True)
class Study:
    """A finished search, a gates' file that its trials differ by, and where they lie."""

    home: Path
    good: int
    poor: int

    @property
    def folder(self) -> Path:
        return search_folder(self.home)

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.home / 'runs' / 'mlflow.db'}"

    @property
    def registry(self) -> MlflowModelRegistry:
        return MlflowModelRegistry(self.uri)

    @property
    def decision(self) -> PromotionDecision:
        return read_decision(self.folder / FOLDER)

    @property
    def model(self) -> str:
        return str(yaml.safe_load((self.home / "experiment.yaml").read_text())["name"])

    def trial(self, number: int) -> Path:
        folder = next(r.folder for r in study_records(self.folder) if r.number == number)
        return self.home / "runs" / str(folder)

    def n_looks(self) -> int:
        (looks,) = self.home.rglob("lockbox_looks.jsonl")
        return len(looks.read_text().splitlines())

    def promote(self, *options: str):
        return isthmus(
            "promote", str(self.folder), "--gates", "gates.yaml", *options, folder=self.home
        )


def error_over_mean_image(trial: Path) -> float:
    summary = json.loads((trial / "trial.json").read_text())["summary"]
    return summary["validation_mse"]["mean"] / summary["mean_image_mse"]["mean"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Study:
    home = tmp_path_factory.mktemp("promote")
    space = {"training.learning_rate": {"kind": "categorical", "choices": RATES}}
    write_search(home, 2, SETTINGS, space=space, sampler={"kind": "grid"})
    done = isthmus("search", "experiment.yaml", "space.yaml", folder=home)
    assert done.returncode == 0, done.stdout + done.stderr
    rates = {
        r.number: r.point["training.learning_rate"] for r in study_records(search_folder(home))
    }
    good, poor = (next(n for n, rate in rates.items() if rate == wanted) for wanted in RATES)
    study = Study(home, good, poor)
    ratios = [error_over_mean_image(study.trial(number)) for number in (good, poor)]
    assert ratios[0] < 0.8 * ratios[1]
    between = math.sqrt(ratios[0] * ratios[1])
    gates = {
        "gates": {
            "integrity": True,
            "not_leaky": True,
            "mean_image": {"max_ratio": between, "by": "mean"},
            "latency": {"max_seconds": 600.0},
        },
        "lockbox": {"mean_image": {"max_ratio": 2 * between, "by": "mean"}},
        "champion": {"margin": 0.1, "by": "mean"},
    }
    (home / "gates.yaml").write_text(yaml.safe_dump(gates))
    return study


@pytest.fixture(scope="module")
def promoted(searched: Study) -> Study:
    done = searched.promote()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version 1 is the champion" in done.stdout
    return searched


@pytest.fixture
def study_run(promoted: Study) -> Run:
    runs = mlflow_runs(promoted.home / "runs")
    return next(run for run in runs if "isthmus.study_id" in run.tags)


def test_the_trial_that_passed_is_the_champion_with_its_evidence(promoted):
    decision = promoted.decision
    assert decision.outcome == "champion"
    assert decision.chosen is not None
    assert decision.chosen.trial == promoted.good
    assert [one.passed for one in sorted(decision.judged, key=lambda one: one.number)] == [
        number == promoted.good for number in sorted((promoted.good, promoted.poor))
    ]
    version = promoted.registry.find(promoted.model, "champion")
    assert version is not None
    assert version.version == "1"
    assert version.tags["isthmus.decision"] == decision.digest
    assert version.tags["isthmus.trial"] == decision.chosen_trial.evidence.digest
    assert version.tags["isthmus.lockbox_look"] == "1"
    assert len(version.tags["isthmus.git_commit"]) in (40, len("none: installed as a package"))
    (move,) = read_history(promoted.registry.model_tags(promoted.model))
    assert (move.kind, move.version, move.decision) == ("promotion", "1", decision.digest)


def test_the_encoder_is_that_of_the_fold_in_the_middle(promoted):
    trial = json.loads((promoted.trial(promoted.good) / "trial.json").read_text())
    errors = [fold["metrics"]["validation_mse"] for fold in trial["folds"]]
    assert promoted.decision.chosen.fold == errors.index(sorted(errors)[len(errors) // 2])


def test_the_registered_bundle_embeds_as_training_did(promoted, tmp_path):
    registry = promoted.registry
    version = registry.find(promoted.model, "champion")
    bundle = registry.download(version, tmp_path / "bundle")
    served = load_bundle(bundle, device="cpu")
    fold = promoted.trial(promoted.good) / f"fold-{promoted.decision.chosen.fold}"
    table = pd.read_parquet(fold / "embeddings.parquet").set_index("participant_id")
    name = table.index[0]
    cohort = promoted.home / "cohort" / name
    images = {m: cohort / f"{name}_{m}.nii.gz" for m in served.record.modalities}
    found = served.predict(served.read_images(images))
    expected = table.loc[name].filter(like="embedding_").to_numpy(float)
    assert found.embedding_E == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_card_tells_what_for_how_well_and_for_whom_and_names_nobody(promoted, tmp_path):
    version = promoted.registry.find(promoted.model, "champion")
    card = promoted.registry.extra(version, "card.md", tmp_path).read_text()
    for part in ("Intended use", "Data", "Held-out error", "By group", "Lockbox", "Limits"):
        assert part in card
    assert "no diagnosis" in card
    participants = pd.read_csv(promoted.home / "cohort" / "participants.tsv", sep="\t")
    assert not [name for name in participants["participant_id"] if name in card]


def test_the_studys_run_in_mlflow_has_the_decision(study_run, promoted):
    assert study_run.tags["isthmus.promoted_model"] == f"{promoted.model}/1"
    assert "is the champion" in study_run.tags["isthmus.promotion"]
    assert study_run.metrics["lockbox_look"] == 1.0


def test_the_same_command_again_opens_nothing_and_moves_nothing(promoted):
    looks = promoted.n_looks()
    done = promoted.promote()
    assert done.returncode == 0, done.stderr
    assert "is the champion already" in done.stdout
    assert promoted.n_looks() == looks
    # What the look found stays in the latest decision, which the report shows.
    assert promoted.decision.lockbox is not None
    assert promoted.decision.passed
    assert [v.version for v in promoted.registry.versions(promoted.model)] == ["1"]


def test_a_worse_model_is_refused_with_the_gate_and_by_how_much(promoted):
    looks = promoted.n_looks()
    done = promoted.promote("--trial", str(promoted.poor))
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"Trial {promoted.poor} does not pass 1 of" in done.stderr
    assert "mean_image: The model's squared error over the mean image's is" in done.stderr
    assert "above" in done.stderr
    assert promoted.n_looks() == looks
    assert promoted.registry.aliases(promoted.model) == {"champion": "1"}
    as_json = promoted.promote("--trial", str(promoted.poor), "--json")
    assert as_json.returncode == 3
    assert json.loads(as_json.stdout)["outcome"] == "refused"
    assert "mean_image: The model's" in as_json.stderr


def test_a_trial_by_itself_is_challenger_then_champion_and_its_look_is_not_taken_again(promoted):
    looks, trial = promoted.n_looks(), str(promoted.trial(promoted.good))
    command = ("promote", trial, "--gates", "gates.yaml", "--model", "by itself")
    for options, alias in ((("--challenger",), "challenger"), ((), "champion")):
        done = isthmus(*command, *options, folder=promoted.home)
        assert done.returncode == 0, done.stdout + done.stderr
        assert promoted.registry.aliases("by itself") == {alias: "1"}
        assert promoted.n_looks() == looks
    (version,) = promoted.registry.versions("by itself")
    assert version.tags["isthmus.gates_failed"] == "none"
    assert f"'by itself@{alias}'" in done.stdout


def test_a_refit_is_labelled_and_held_against_what_the_folds_held_out(promoted, tmp_path):
    looks = promoted.n_looks()
    asked = ("--gates-set", "lockbox.error_ratio={max_ratio: 100.0}", "--model", "refitted")
    for outcome in ("champion", "already"):
        done = promoted.promote("--refit", *asked)
        assert done.returncode == 0, done.stdout + done.stderr
        decision = promoted.decision
        assert decision.outcome == outcome
        assert promoted.n_looks() == looks + 1
    assert decision.chosen.is_refit
    ratio = next(v for v in decision.lockbox_verdicts if v.gate == "lockbox.error_ratio")
    assert ratio.passed
    assert "a refit holds out nobody" in ratio.words
    trial = json.loads((promoted.trial(promoted.good) / "trial.json").read_text())
    held_out = trial["summary"]["validation_mse"]["mean"]
    assert ratio.evidence["validation_mse"] == pytest.approx(held_out, rel=0.1)
    version = promoted.registry.find("refitted", "champion")
    assert version.tags["isthmus.origin"] == "refit"
    card = promoted.registry.extra(version, "card.md", tmp_path).read_text()
    assert "refit on all development subjects" in card
    assert "no error by group" in card


def test_worse_than_the_champion_it_is_refused_before_the_lockbox_is_opened(promoted):
    looks = promoted.n_looks()
    eased = ("--gates-set", "gates.mean_image=false", "--trial", str(promoted.poor))
    done = promoted.promote(*eased)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "champion: The challenger's squared error over the champion's" in done.stderr
    assert promoted.n_looks() == looks
    assert promoted.registry.aliases(promoted.model) == {"champion": "1"}


def test_a_tampered_model_is_refused_whatever_the_reason(promoted, tmp_path):
    home = tmp_path / "copy"
    shutil.copytree(promoted.home, home)
    # Its files name the folder that it was copied from: what is judged must be the copy.
    for file in home.rglob("*.yaml"):
        file.write_text(file.read_text().replace(str(promoted.home), str(home)))
    copy = Study(home, promoted.good, promoted.poor)
    weights = copy.trial(copy.good) / "fold-0" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    done = copy.promote("--trial", str(copy.good), "--override", "it looks fine to me")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "integrity:" in done.stderr
    assert "fold-0/model.safetensors" in done.stderr


def test_an_override_is_recorded_its_look_counted_and_rolled_back(promoted):
    looks, model = promoted.n_looks(), promoted.model
    reason = "the scanner was changed and this is the only one for it"
    blank = promoted.promote("--trial", str(promoted.poor), "--override", " ")
    assert blank.returncode == 2
    done = promoted.promote("--trial", str(promoted.poor), "--override", reason)
    assert done.returncode == 0, done.stdout + done.stderr
    assert promoted.n_looks() == looks + 1
    assert f"Look {looks + 1} of this lockbox" in " ".join(done.stdout.split()) or (
        promoted.decision.lockbox.number == looks + 1
    )
    registry = promoted.registry
    version = registry.find(model, "champion")
    assert version.version == "2"
    assert version.tags["isthmus.override"] == reason
    assert "mean_image" in version.tags["isthmus.gates_failed"].split()
    move = read_history(registry.model_tags(model))[-1]
    assert (move.kind, move.reason) == ("override", reason)
    back = isthmus(
        "rollback", model, "--reason", "worse in use", "--tracking-uri", promoted.uri,
        folder=promoted.home,
    )  # fmt: skip
    assert back.returncode == 0, back.stderr
    assert registry.aliases(model)["champion"] == "1"
    history = read_history(registry.model_tags(model))
    assert [move.kind for move in history] == ["promotion", "override", "rollback"]
    assert history[-1].reason == "worse in use"
