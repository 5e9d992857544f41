"""A model that can do without an image embeds who lacks one, and says of what it was made."""

from pathlib import Path

import pandas as pd
import pytest
from small_cohort import FOLD, IDS, make_task, write_cohort

from isthmus.config.load import load_experiment
from isthmus.promotion.bundle.inputs import BundleInputs
from isthmus.promotion.bundle.write import write_bundle
from isthmus.promotion.embedding.files import ModelLabel
from isthmus.promotion.embedding.run import check_places, embed
from isthmus.promotion.embedding.source import find_cohort, subjects_of
from isthmus.promotion.embedding.subject import EmbedJob, InProcessEmbedRunner
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.training.encoder import load_encoder
from isthmus.training.launch import InProcessLauncher
from isthmus.volumes.store import open_store

SETTINGS = (
    "model.fusion.operation=mean",
    "training.modality_dropout=0.3",
    "training.epochs=1",
    "volumes.normalisation.method=subject_zscore",
)


@pytest.fixture(scope="module")
def spare(tmp_path_factory):
    """A cohort, and the bundle of a model of it that was trained to do without images."""
    folder = tmp_path_factory.mktemp("spare")
    file = write_cohort(folder).folder / "experiment.yaml"
    task = make_task(file, folder / "trained", *SETTINGS)
    InProcessLauncher().launch(task, lambda event: None)
    store, ids = open_store(task.store_url), (*FOLD.train, *FOLD.monitor)
    values = load_encoder(task.directory, "cpu").embed(store, ids)
    roles = ("train",) * len(FOLD.train) + ("monitor",) * len(FOLD.monitor)
    inputs = BundleInputs(
        encoder_directory=task.directory,
        experiment=load_experiment(file, SETTINGS),
        store=store,
        ids={"train": FOLD.train, "monitor": FOLD.monitor},
        table=EmbeddingTable("enc-0", ids, values, roles),
        report=None,
        trial_digest="0" * 64,
        identity={"experiment": "1" * 64},
        fold=None,
    )
    bundle = folder.parent / "spare-bundle"
    return folder, bundle, write_bundle(inputs, bundle)


def embedded(spare, output: Path, reconstructions: Path | None = None):
    folder, bundle, record = spare
    check_places(output, reconstructions, folder)
    cohort = subjects_of(find_cohort(folder), record.modalities, not record.accepts_missing)
    job = EmbedJob(bundle, record.digest, "cpu", reconstructions, 1)
    label = ModelLabel(record.encoder_id, record.digest, str(bundle))
    runner = InProcessEmbedRunner()
    report = embed(cohort, label, job, None, output, runner, lambda done, total: None)
    return report, pd.read_parquet(output).set_index("participant_id")


def test_who_lacks_an_image_is_embedded_without_it(spare, tmp_path):
    folder, _, record = spare
    assert record.accepts_missing
    lacking, refused = IDS[1], IDS[2]
    report, whole = embedded(spare, tmp_path / "whole.parquet")
    assert (report.n_embedded, dict(report.without)) == (len(IDS), {})
    # neither strata nor a stratum that would be made up
    assert whole["stratum"].isna().all()
    kept = {path: path.read_bytes() for path in folder.glob("*_FA.nii.gz")}
    try:
        (folder / f"{lacking}_FA.nii.gz").unlink()
        (folder / f"{refused}_FA.nii.gz").write_bytes(b"no image")
        report, found = embedded(spare, tmp_path / "e.parquet", tmp_path / "made")
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert dict(report.without) == {"FA": 1}
    # an image that is there and refused is no missing one
    assert list(report.refused) == [refused]
    assert found["verdict"][lacking] == "ok, without FA"
    assert set(found["verdict"].drop(lacking)) == {"ok"}
    columns = [name for name in found if name.startswith("embedding_")]
    others = [name for name in IDS if name not in (lacking, refused)]
    assert (found.loc[others, columns] == whole.loc[others, columns]).all(axis=None)
    assert (found.loc[lacking, columns] != whole.loc[lacking, columns]).any()
    # by this normalisation an image that was not given has no units to come back to
    assert [p.name for p in (tmp_path / "made" / lacking).iterdir()] == [
        f"{lacking}_T1w_reconstruction.nii.gz"
    ]
