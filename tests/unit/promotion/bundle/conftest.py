"""Two bundles of encoders that were really trained: a trial's fold, and one that can do without."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_cohort import FOLD, make_task, write_cohort

from isthmus.config.load import load_experiment
from isthmus.core.digest import digest_file
from isthmus.promotion.bundle.inputs import BundleInputs
from isthmus.promotion.bundle.load import load_bundle
from isthmus.promotion.bundle.record import BundleRecord
from isthmus.promotion.bundle.served import ServedModel
from isthmus.promotion.bundle.write import write_bundle
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.training.encoder import load_encoder
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.run import prepare_trial
from isthmus.volumes.store import open_store


@dataclass(frozen=True)
class Bundled:
    """A bundle that was written, what it was made from, and the bundle in use."""

    inputs: BundleInputs
    folder: Path
    record: BundleRecord
    served: ServedModel


def bundled(inputs: BundleInputs, folder: Path) -> Bundled:
    record = write_bundle(inputs, folder)
    return Bundled(inputs, folder, record, load_bundle(folder, "cpu"))


@pytest.fixture(scope="session")
def of_fold(ran, tmp_path_factory) -> Bundled:
    """Of the first fold of a trial, with a mask and with strata."""
    inputs = BundleInputs.of_fold(prepare_trial(ran.experiment), 0)
    return bundled(inputs, tmp_path_factory.mktemp("bundles") / "fold-0")


@pytest.fixture(scope="session")
def of_refit(tmp_path_factory) -> Bundled:
    """Of a training that withheld images, without mask, strata or held-out subjects."""
    folder = tmp_path_factory.mktemp("refit")
    file = write_cohort(folder).folder / "experiment.yaml"
    settings = (
        "model.fusion.operation=mean",
        "training.modality_dropout=0.3",
        "training.epochs=1",
        "volumes.normalisation.method=subject_zscore",
    )
    task = make_task(file, folder / "trained", *settings)
    InProcessLauncher().launch(task, lambda event: None)
    store, ids = open_store(task.store_url), (*FOLD.train, *FOLD.monitor)
    values = load_encoder(task.directory, "cpu").embed(store, ids)
    roles = ("train",) * len(FOLD.train) + ("monitor",) * len(FOLD.monitor)
    inputs = BundleInputs(
        encoder_directory=task.directory,
        experiment=load_experiment(file, settings),
        store=store,
        ids={"train": FOLD.train, "monitor": FOLD.monitor},
        table=EmbeddingTable("enc-0", ids, values, roles),
        report=None,
        trial_digest="0" * 64,
        identity={"experiment": "1" * 64},
        fold=None,
    )
    return bundled(inputs, folder / "bundle")


@pytest.fixture
def changed(of_fold, tmp_path) -> Callable[..., Path]:
    """A copy of the fold's bundle with one file replaced, its digest made to fit if asked for."""

    def change(name: str, content: bytes, fitting: bool = False) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(of_fold.folder, folder)
        (folder / name).write_bytes(content)
        if fitting:
            record = json.loads((folder / "bundle.json").read_text())
            record["files"][name] = digest_file(folder / name)
            (folder / "bundle.json").write_text(json.dumps(record))
        return folder

    return change
