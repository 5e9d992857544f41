"""A cohort whose subjects lack images, studied end to end, and every subset of its modalities."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from phantom_experiment import SETTINGS

from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import PhantomConfig, make_phantom
from isthmus.config.load import load_experiment
from isthmus.config.paths import put
from isthmus.config.search_metrics import OF_SUBSETS, SYNTHESIS, why_not_sought
from isthmus.core.errors import CohortError, ConfigError
from isthmus.report.fold_files import SUBSETS, draw_fold
from isthmus.report.pictures import reconstruction_figure, save_png
from isthmus.report.run_naming import legal_names
from isthmus.report.subset_figures import subset_figure
from isthmus.report.subset_views import subset_tables
from isthmus.report.summary import summary_tables
from isthmus.stratification.partition import Partition
from isthmus.study.prospects import prospect_of
from isthmus.training.encoder import load_encoder
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.panels import load_panels
from isthmus.trial.preflight import require_images
from isthmus.trial.preview import preview
from isthmus.trial.records import FoldResult
from isthmus.trial.run import prepare_trial, run_trial
from isthmus.trial.subset_grid import AGREEMENT_TABLE, GRID_TABLE, SYNTHESIS_PANELS
from isthmus.trial.subset_records import SubsetAgreement, SubsetGrid, SubsetScore
from isthmus.volumes.ingest import ingest
from isthmus.volumes.store import open_store

MODALITIES = ("T1w", "FA", "NDI")
CHANGED = {
    "name": "incomplete",
    "cohort.modalities": list(MODALITIES),
    "cohort.missing_modalities": "keep",
    "model.fusion": {"operation": "mean"},
    "model.norm": "group",
    "training.modality_dropout": 0.4,
    "stratification.specifications.clusterers": ["affinity_propagation"],
}


@pytest.fixture(scope="module")
def incomplete(tmp_path_factory):
    """An experiment file on a phantom a quarter of whose subjects lack an image; ingested."""
    folder = tmp_path_factory.mktemp("incomplete")
    phantom = PhantomConfig(26, (16, 16, 16), modalities=MODALITIES, missing_share=0.25)
    make_phantom(folder / "cohort", phantom)
    content = json.loads(json.dumps(SETTINGS))
    for path, value in CHANGED.items():
        put(content, path, value)
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(content))
    experiment = load_experiment(file)
    report = ingest(experiment, load_participants(experiment))
    assert (report.n_accepted, report.n_incomplete) == (26, 6)
    return file


@pytest.fixture(scope="module")
def studied(incomplete):
    """The trial, run to its end, and where."""
    events = []
    result = run_trial(load_experiment(incomplete), InProcessLauncher(), events.append)
    return result, events[-1].directory


def test_everybody_is_embedded_and_stratified(studied):
    result, directory = studied
    assert result.succeeded
    lacking = result.facts["lacking"]
    assert [part.split(" ")[0] for part in lacking.split(", ")] == list(MODALITIES)
    counts = [int(part.split(" ")[1]) for part in lacking.split(", ")]
    assert sum(counts) == result.facts["n_incomplete"] > 0
    for fold in result.folds:
        ids = pd.read_parquet(directory / f"fold-{fold.number}/embeddings.parquet")
        assert len(ids) == result.facts["n_subjects"]
        assert fold.strata.strata.participant_ids
        assert {f"validation_mse/{name}" for name in MODALITIES} <= set(fold.metrics)


def test_a_grid_has_every_subset_and_modality(studied):
    result, directory = studied
    fold = result.folds[0]
    grid = fold.subset_grid
    assert len(grid.agreements) == 7
    assert len(grid.scores) == 21
    assert [item.synthesised for item in grid.scores[:3]] == [False, True, True]
    assert grid.agreements[-1].given == MODALITIES
    table = pd.read_csv(directory / "fold-0" / GRID_TABLE, sep="\t")
    assert len(table) == 21 * grid.n_held_out
    cell = table[(table.given == "T1w+NDI") & (table.modality == "FA")]
    assert cell.synthesised.all()
    (score,) = (s for s in grid.scores if s.given == ("T1w", "NDI") and s.modality == "FA")
    assert score.mse == pytest.approx(cell.mse.mean())
    # the full set's errors are the model's own, on those who have all
    fidelity = pd.read_csv(directory / "fold-0/fidelity.tsv", sep="\t")
    own = fidelity[(fidelity.control == "model") & (fidelity.metric == "mse")]
    own = own.set_index(["participant_id", "modality"])["value"]
    full = table[table.given == "T1w+FA+NDI"].set_index(["participant_id", "modality"])
    pd.testing.assert_series_equal(full.mse, own.loc[full.index], check_names=False, rtol=1e-5)
    agreements = pd.read_csv(directory / "fold-0" / AGREEMENT_TABLE, sep="\t")
    assert list(agreements.given)[-1] == "T1w+FA+NDI"


def test_a_synthesis_does_not_see_what_it_makes(studied, incomplete):
    _, directory = studied
    encoder = load_encoder(directory / "fold-0", "cpu")
    store = open_store(load_experiment(incomplete).store_url)
    table = pd.read_csv(directory / "fold-0" / GRID_TABLE, sep="\t")
    name = table.participant_id.iloc[0]
    x_MDHW = encoder.read(store, name)
    x_MDHW[1] = np.nan
    y_MDHW = encoder.reconstruct_volume(x_MDHW, given_M=np.array([True, False, True]))
    truth = encoder.read(store, name)[1]
    mask_DHW = encoder.normaliser.mask_DHW
    expected = np.mean((y_MDHW[1] - truth)[mask_DHW].astype(float) ** 2)
    cell = table[(table.given == "T1w+NDI") & (table.modality == "FA")]
    assert cell.set_index("participant_id").mse[name] == pytest.approx(expected, rel=1e-4)


def test_metrics_of_the_grid_can_be_sought(studied, incomplete):
    result, _ = studied
    config = load_experiment(incomplete).config
    for fold in result.folds:
        wanted = {*SYNTHESIS, *(f"{name}/{m}" for name in SYNTHESIS for m in MODALITIES)}
        assert wanted <= set(fold.metrics)
        assert legal_names(fold.metrics) == fold.metrics
        assert all(math.isfinite(value) for value in fold.metrics.values())
        assert {why_not_sought(name, config) for name in (*wanted, *OF_SUBSETS)} == {None}
    plain = config.model_copy(
        update={"training": config.training.model_copy(update={"modality_dropout": 0.0})}
    )
    assert "needs controls.subset_grid" in why_not_sought("synthesis_mse", plain)


def test_the_full_set_is_clustered_as_the_strata_are(ran):
    """In a cohort without gaps the grid's reference is the strata job's own partition."""
    from isthmus.stratification.embedding_table import load_parquet
    from isthmus.trial.strata import strata_job
    from isthmus.trial.subset_grid import _cluster

    trial = prepare_trial(ran.experiment)
    config = ran.experiment.config
    job = strata_job(trial.participants, config.cohort, config.stratification, config.seed, None)
    for fold in ran.result.folds:
        table = load_parquet(ran.directory / f"fold-{fold.number}/embeddings.parquet")
        assert _cluster(job, table) == fold.strata.strata


def test_a_finished_fold_is_read_back_with_its_grid(studied, ran):
    result, directory = studied
    content = json.loads((directory / "fold-0/fold.json").read_text())
    assert FoldResult.from_json(content) == result.folds[0]
    # records of the time before there were grids, and of trials without one
    old = json.loads((ran.directory / "fold-0/fold.json").read_text())
    assert "subset_grid" not in old
    assert FoldResult.from_json(old).subset_grid is None


def test_the_summary_and_the_pictures_show_what_is_synthesised(studied):
    result, directory = studied
    titles = [table.title for table in summary_tables(result)]
    assert "Fewer modalities given" in titles
    grid, synthesis = subset_tables(result)
    assert grid.rows[0][0] == "T1w"
    assert not grid.rows[0][1].endswith("*")
    assert grid.rows[0][2].endswith(" *")
    assert [row[0] for row in synthesis.rows] == list(MODALITIES)
    worse = [m for m in MODALITIES if result.summary[f"synthesis_delta_mse/{m}"].mean <= 0]
    assert ("does NOT beat" in synthesis.note) == bool(worse)
    (panel,) = load_panels(directory / "fold-0" / SYNTHESIS_PANELS)
    assert panel.modalities == MODALITIES
    drawn = draw_fold(result.folds[0], directory / "fold-0")[SUBSETS]
    assert [path.name for path in drawn] == [
        "subset_grid.png",
        f"synthesis_{panel.participant_id}.png",
    ]
    assert all(path.stat().st_size > 5000 for path in drawn)


def test_subjects_without_a_fused_image_stop_the_trial_before_it_starts(incomplete):
    store = open_store(load_experiment(incomplete).store_url)
    without = {
        modality: [name for name in store.participant_ids if not store.known(name, [modality])[0]]
        for modality in MODALITIES
    }
    modality = max(without, key=lambda name: len(without[name]))
    with pytest.raises(CohortError) as refused:
        prepare_trial(load_experiment(incomplete, [f"model.modalities=[{modality}]"]))
    message = str(refused.value)
    assert f"an image of a fused modality ({modality})" in message
    assert ", ".join(without[modality]) in message


def test_a_check_says_who_lacks_what(incomplete):
    found = preview(load_experiment(incomplete))
    assert found.facts["n_incomplete"] > 0
    note = found.notes[0]
    assert "6 of 26 participants lack an image (T1w " in note
    assert note.endswith("; 6 are kept with what they have.")
    out = preview(
        load_experiment(
            incomplete, ["cohort.missing_modalities=exclude", "execution.store=not-there"]
        )
    )
    assert "6 would be left out: " in out.notes[0]


def test_a_failed_clustering_is_an_outcome_and_agrees_with_nothing():
    def agreement(given, ari, outcome="partition"):
        return SubsetAgreement(given, 20, outcome, 2, ari, ari, None)

    both = ("T1w", "FA")
    grid = SubsetGrid(
        both,
        3,
        (
            SubsetScore(("T1w",), "FA", True, 0.04, 0.2, 0.05),
            SubsetScore(("T1w",), "T1w", False, 0.01, 0.1, 0.03),
            SubsetScore(("FA",), "T1w", True, 0.05, 0.2, 0.03),
        ),
        (
            agreement(("T1w",), 0.5),
            agreement(("FA",), None, "non_convergence"),
            agreement(both, 1.0),
        ),
    )
    metrics = grid.metrics()
    assert metrics["subset_ari"] == 0.25  # as in the draws of the robustness job: none is 0
    nothing = replace(
        grid, agreements=(*grid.agreements[:2], agreement(both, None, "non_convergence"))
    )
    assert nothing.agreement(("T1w",), "ari") is None
    assert "subset_ari" not in nothing.metrics()
    assert metrics["synthesis_delta_mse/FA"] == pytest.approx(0.01)
    assert metrics["synthesis_delta_mse/T1w"] == pytest.approx(-0.02)
    assert metrics["synthesis_delta_mse"] == pytest.approx(-0.005)
    assert SubsetGrid.from_json(json.loads(json.dumps(grid.to_json()))) == grid


def test_a_model_that_was_not_taught_to_do_with_less_is_marked(studied, incomplete):
    result, _ = studied
    grid = result.folds[0].subset_grid
    assert grid.modality_dropout == 0.4
    assert grid.caution is None
    untaught = replace(grid, modality_dropout=0.0)
    assert "outside of what it has seen" in untaught.caution
    assert "WITHOUT modality dropout" in subset_figure(untaught).get_suptitle()
    assert "WITHOUT" not in subset_figure(grid).get_suptitle()
    folds = tuple(replace(fold, subset_grid=untaught) for fold in result.folds)
    assert untaught.caution in subset_tables(replace(result, folds=folds))[0].note
    assert untaught.caution not in subset_tables(result)[0].note
    settings = ["training.modality_dropout=0", "controls.subset_grid=true"]
    found = preview(load_experiment(incomplete, settings))
    assert any("outside of what it has seen" in note for note in found.notes)
    # a record of the time before it said so
    old = {key: value for key, value in grid.to_json().items() if key != "modality_dropout"}
    assert SubsetGrid.from_json(old).caution is None


def test_a_check_says_what_the_grid_costs(incomplete):
    found = preview(load_experiment(incomplete))
    n_subjects, n_folds = found.facts["n_subjects"], found.facts["n_folds"]
    assert found.facts["subset_grid"] == (
        f"7 subsets: about {7 * n_subjects} reconstructions, {6 * n_subjects * n_folds} "
        f"embeddings, {7 * n_folds} clusterings"
    )
    plain = load_experiment(incomplete, ["training.modality_dropout=0"])
    assert "subset_grid" not in preview(plain).facts


def test_a_check_says_that_a_single_image_is_never_withheld(ran):
    file = ran.directory / "experiment.yaml"
    settings = ["training.modality_dropout=0.5", "model.modalities=[FA]"]
    found = preview(load_experiment(file, settings))
    assert any("modality_dropout changes nothing" in note for note in found.notes)
    assert not any("modality_dropout" in note for note in preview(load_experiment(file)).notes)
    assert "subset_grid" not in found.facts


def test_a_grid_that_nobody_can_be_scored_on_says_why(studied):
    result, _ = studied
    grid = result.folds[0].subset_grid
    outcomes = tuple(
        SubsetAgreement(item.given, 0, "not_possible", None, None, None, "Too few.")
        for item in grid.agreements
    )
    empty = replace(grid, n_held_out=0, scores=(), agreements=outcomes)
    metrics = {k: v for k, v in result.folds[0].metrics.items() if not k.startswith("synthesis")}
    folds = tuple(replace(fold, subset_grid=empty, metrics=metrics) for fold in result.folds)
    (table,) = subset_tables(replace(result, folds=folds))
    assert {row[1:] for row in table.rows} == {("-", "-", "-", "-", "-", "0 of 2")}
    assert table.note.endswith("Without a partition: Too few.")
    assert empty.metrics() == {}


def test_arms_whose_modalities_some_subjects_lack_are_known_before_they_run(incomplete):
    base = prepare_trial(load_experiment(incomplete))
    reasons = []
    for modality in MODALITIES:
        lacks = [x for x in base.store.participant_ids if not base.store.known(x, [modality])[0]]
        if lacks:
            with pytest.raises(ConfigError) as refused:
                prospect_of(base, {"model.modalities": [modality]}, {}, lambda _: None, "this arm")
            reasons.append(str(refused.value))
            assert f"of a fused modality ({modality}), but {len(lacks)} of" in reasons[-1]
    assert reasons


def lacking_one(store, modality):
    return tuple(x for x in store.participant_ids if not store.known(x, [modality])[0])


def test_a_fold_that_cannot_be_normalised_or_scored_stops_the_trial_before_it_starts(incomplete):
    trial = prepare_trial(load_experiment(incomplete))
    having = {name for name in trial.store.participant_ids if trial.store.known(name, ["NDI"])[0]}
    folds = tuple(
        replace(fold, train=tuple(name for name in fold.train if name not in having))
        for fold in trial.split.folds
    )
    split = replace(trial.split, folds=folds)
    for settings in ([], ["volumes.normalisation.leaky=true"]):
        config = load_experiment(incomplete, settings).config
        require_images(config, trial.store, trial.split)
        with pytest.raises(ConfigError, match=r"^Fold 0: .* there are \{.*'NDI': 0"):
            require_images(config, trial.store, split)
    without = (replace(trial.split.folds[0], validation=lacking_one(trial.store, "NDI")),)
    with pytest.raises(ConfigError, match=r"^Fold 0: .* nobody has NDI\."):
        require_images(trial.experiment.config, trial.store, replace(trial.split, folds=without))


def test_pictures_say_what_is_missing(studied, tmp_path):
    _, directory = studied
    panel = load_panels(directory / "fold-0/panels.npz")[0]
    nothing = tuple(np.full_like(plane, np.nan) for plane in panel.inputs[1])
    lacking = replace(panel, inputs=(panel.inputs[0], nothing, panel.inputs[2]))
    figure = reconstruction_figure(lacking)
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert words.count("missing") == 3
    assert len(words) == 6
    save_png(figure, tmp_path / "missing.png")
    whole = reconstruction_figure(replace(panel, inputs=(panel.inputs[0],) * 3))
    assert not [text for axis in whole.axes for text in axis.texts]


def test_partition_outcomes_are_typed(studied):
    result, _ = studied
    for fold in result.folds:
        for item in fold.subset_grid.agreements:
            assert (item.n_strata is not None) == (item.outcome == "partition")
            assert (item.reason is None) == (item.outcome == "partition")
        full = fold.subset_grid.agreements[-1]
        assert full.ari in (None, 1.0)
        assert (full.ari is None) == (full.outcome != "partition")
        assert isinstance(fold.strata.strata, Partition) or fold.strata.strata.reason
