"""What stands on the pages, whatever is or is not there; nothing is drawn in a browser here."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dash import no_update
from dash.development.base_component import Component
from example_study import MSE, SCORE, make_study
from shown_runs import ABLATION, FAILED, OPEN_TRIAL, SEARCH, lay_out

from isthmus.core.errors import ConfigError, ImageError, StoreUnavailable
from isthmus.study.record_json import read_study, write_study
from isthmus.trial.panels import load_panels
from isthmus_dashboard import app
from isthmus_dashboard.addresses import PAGES, Address
from isthmus_dashboard.context import Context
from isthmus_dashboard.folder_source import FolderSource
from isthmus_dashboard.last_seen import LastSeen
from isthmus_dashboard.pages import embeddings, front, images
from isthmus_dashboard.render import render
from isthmus_dashboard.scans import Scans
from isthmus_dashboard.source import Missing

NASTY = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def runs(ran, tmp_path_factory):
    """The session's trial, copied, with a search and an ablation around it."""
    folder = tmp_path_factory.mktemp("shown") / "runs"
    shutil.copytree(ran.directory, folder / ran.directory.name)
    return lay_out(folder, ran.experiment, ran.result)


@pytest.fixture
def context(runs):
    return context_over(runs.runs)


def context_over(folder: Path) -> Context:
    return Context(LastSeen(FolderSource(folder, read_study)), Scans())


def parts_of(piece):
    """Every component and every text, depth first."""
    if isinstance(piece, list | tuple):
        for one in piece:
            yield from parts_of(one)
    elif isinstance(piece, Component):
        yield piece
        yield from parts_of(getattr(piece, "children", None))
    elif piece is not None:
        yield piece


def words(pieces) -> str:
    return " ".join(str(one) for one in parts_of(pieces) if not isinstance(one, Component))


def graphs(pieces) -> list:
    return [one for one in parts_of(pieces) if type(one).__name__ == "Graph"]


def show(context, page="overview", study=SEARCH, **choices):
    return render(context, Address(study, page, choices))


def test_the_list_names_everything_that_is_there(context, runs):
    said = words(render(context, Address()))
    for name in (SEARCH, ABLATION, OPEN_TRIAL, runs.trial.name):
        assert name in said


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_every_study_is_drawn_or_says_why_not(context, runs, page):
    for study in (SEARCH, ABLATION, OPEN_TRIAL, runs.trial.name):
        said = show(context, page, study)
        assert "a fault of isthmus" not in words(said), (study, page)
        assert graphs(said) or len(words(said)) > 60
        # what is not JSON could not be sent
        json.dumps(
            [one.to_plotly_json() if isinstance(one, Component) else one for one in said],
            default=str,
        )


def test_the_overview_tells_of_states_progress_and_failures(context):
    said = words(show(context))
    assert "trial 11" in said
    assert "epoch 1 of 2" in said
    assert f"trial {FAILED}" in said
    assert "the loss of step 12 is not finite" in said


def test_axes_of_the_front_can_be_sizes_too(context, runs):
    axes = front.axes_of(runs.study)
    assert [one.metric for one in axes] == [
        MSE.metric, SCORE.metric, "embedding_size", "n_parameters",
    ]  # fmt: skip
    seen = front.by_axes(runs.study, axes, 0, 3)
    finished = [one for one in seen.trials if one.state == "finished"]
    assert all(one.values[1] == one.facts["n_parameters"] for one in finished)
    best = min(one.values[0] for one in finished)
    smallest = min(one.values[1] for one in finished)
    on_front = [one for one in finished if one.number in seen.front]
    assert {min(one.values[0] for one in on_front), min(one.values[1] for one in on_front)} == {
        best,
        smallest,
    }
    assert front.by_axes(runs.study, axes, 1, 1).objectives == (SCORE,)


def test_each_point_of_the_front_is_the_trial_that_is_told_of(context, runs):
    chart = graphs(show(context, "front"))[0].figure
    address = Address(SEARCH, "front")
    for trace in (0, 1):
        for point, text in enumerate(chart.data[trace].text):
            number = front.clicked_trial(runs.study, address, trace, point)
            assert text.startswith(f"trial {number},")
    assert front.clicked_trial(runs.study, address, 0, 10**6) is None
    assert front.clicked_trial(runs.study, address, 7, 0) is None


@pytest.mark.parametrize("colour", ["stratum", "factor:factor_1", "column:age"])
def test_each_point_of_the_plane_is_the_subject_that_is_told_of(context, runs, colour):
    chart = graphs(show(context, "embeddings", colour=colour))[0].figure
    address = Address(SEARCH, "embeddings", {"colour": colour})
    standing = context.seen.standing(SEARCH).value
    known = 0
    for trace, drawn in enumerate(chart.data):
        for point, text in enumerate(drawn.text or ()):
            known += 1
            assert embeddings.clicked_subject(context, standing, address, trace, point) == text
    assert known == len(
        context.seen.source.trial(SEARCH, standing.trials[0].key).folds[0].strata.participant_ids
    )


def test_a_subject_shows_what_is_known_of_it(context, runs):
    subject = runs.result.folds[0].strata.participant_ids[3]
    said = words(show(context, "embeddings", subject=subject))
    for part in ("part in training", "memory_recall", "factor_1", "Its images"):
        assert part in said
    row = runs.experiment.cohort_root / "participants.tsv"
    header, *lines = (line.split("\t") for line in row.read_text().splitlines())
    own = next(line for line in lines if line[0] == subject)
    assert float(own[header.index("age")]) > 0
    assert own[header.index("age")].rstrip("0").rstrip(".")[:4] in said


def test_without_the_participants_file_there_are_no_phenotypes_and_it_says_so(runs, tmp_path):
    folder = tmp_path / "runs"
    shutil.copytree(runs.runs, folder)
    file = folder / runs.trial.name / "experiment.yaml"
    text = file.read_text().replace(str(runs.experiment.cohort_root), str(tmp_path / "gone"))
    file.write_text(text)
    said = words(show(context_over(folder), "embeddings"))
    assert "Phenotypes are not shown" in said
    assert "Start the dashboard where the cohort is" in said
    assert "factor_1" in said
    assert "memory_recall" not in said


def test_planes_show_the_volumes_and_what_the_network_makes_of_them(context, runs):
    subject = runs.result.folds[0].strata.participant_ids[0]
    drawn = graphs(show(context, "images", subject=subject, i="5", j="6", k="7", modality="FA"))
    scan = images.scan_of(
        context,
        context.seen.standing(SEARCH).value,
        images.choose_trial(
            context, context.seen.standing(SEARCH).value, Address(SEARCH, "images")
        ),
        subject,
    )
    position = scan.modalities.index("FA")
    for plane, (axis, at) in enumerate(((0, 5), (1, 6), (2, 7))):
        shown = drawn[plane].figure.data
        assert (shown[0].z == scan.x_MDHW[position].take(at, axis=axis).T).all()
        assert (shown[1].z == scan.y_MDHW[position].take(at, axis=axis).T).all()


def test_what_is_shown_is_what_the_trial_kept(context, runs):
    panel = load_panels(runs.trial / "fold-0" / "panels.npz")[0]
    standing = context.seen.standing(SEARCH).value
    chosen = images.choose_trial(context, standing, Address(SEARCH, "images"))
    scan = images.scan_of(context, standing, chosen, panel.participant_id)
    for modality in range(len(panel.modalities)):
        for kept, cut in zip(
            zip(panel.inputs[modality], panel.reconstructions[modality], strict=True),
            images.cuts_of(scan, modality, scan.centre),
            strict=True,
        ):
            assert abs(kept[0] - cut.input).max() < 1e-6
            assert abs(kept[1] - cut.reconstruction).max() < 1e-5


@pytest.mark.parametrize("lost", ["model.safetensors", "normaliser.npz"])
def test_without_the_network_the_kept_slices_are_shown_and_why(runs, tmp_path, lost):
    folder = tmp_path / "runs"
    shutil.copytree(runs.runs, folder)
    fold = folder / runs.trial.name / "fold-0"
    (fold / lost).unlink()
    shown = show(context_over(folder), "images")
    assert f"has no {lost}" in words(shown)
    assert "slices that the trial kept" in words(shown)
    assert len(graphs(shown)) == 3
    (fold / "panels.npz").unlink()
    shown = show(context_over(folder), "images")
    assert not graphs(shown)
    assert "No images" in words(shown)


def test_nobody_of_the_lockbox_can_be_shown(context, runs):
    ids = runs.result.folds[0].strata.participant_ids
    everybody = (runs.experiment.cohort_root / "participants.tsv").read_text().splitlines()[1:]
    locked = sorted({line.split("\t")[0] for line in everybody} - set(ids))
    assert locked
    for page in ("images", "embeddings"):
        shown = show(context, page, subject=locked[0])
        assert "lockbox" in words(shown)
        assert locked[0] not in words(graphs(shown))
    with pytest.raises(ImageError, match="partition has no subject"):
        context.scans.of(runs.trial / "fold-0", runs.experiment.store_url, locked[0])


def test_names_are_text_and_nothing_else(runs, tmp_path):
    study = runs.study
    trials = tuple(
        replace(one, reason=NASTY, point={**one.point, NASTY: NASTY}) for one in study.trials
    )
    write_study(replace(study, name=NASTY, trials=trials), tmp_path / "nasty")
    shown = show(context_over(tmp_path), "overview", "nasty")
    kinds = {type(one).__name__ for one in parts_of(shown) if isinstance(one, Component)}
    assert kinds & {"Markdown", "DangerouslySetInnerHTML", "Iframe"} == set()
    for one in graphs(shown):
        assert NASTY not in json.dumps(one.figure.to_plotly_json(), default=str)


def test_an_unfinished_study_says_what_to_do(tmp_path):
    write_study(make_study(0), tmp_path / "empty")
    write_study(make_study(4, only="failed"), tmp_path / "failed")
    context = context_over(tmp_path)
    assert "No trial yet" in words(show(context, "overview", "empty"))
    for study in ("empty", "failed"):
        for page in ("robustness", "embeddings", "images"):
            assert "Wait for the first one to finish" in words(show(context, page, study))
        assert "No trial has finished" in words(show(context, "front", study))


@pytest.mark.parametrize("trial", ["../../etc", "/etc", "..", "nobody"])
def test_an_address_leads_to_no_file_elsewhere(context, trial):
    with pytest.raises(Missing):
        context.seen.source.files(SEARCH, trial, None, ("passwd",))
    assert "Choose one" in words(show(context, "robustness", trial=trial))
    assert "Choose one" in words(show(context, "overview", trial))


def test_a_damaged_record_says_which_and_what_to_do(runs, tmp_path):
    folder = tmp_path / "runs"
    shutil.copytree(runs.runs, folder)
    (folder / runs.trial.name / "trial.json").write_text("{")
    said = words(show(context_over(folder), "robustness"))
    assert "trial.json must be a trial's record" in said
    assert "Run the trial again" in said


def test_the_last_view_is_kept_while_the_store_is_away(runs):
    times = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=k) for k in range(99))
    source = FolderSource(runs.runs, read_study)
    seen = LastSeen(source, lambda: next(times))
    context = Context(seen, Scans())
    there = show(context)
    source._load_study = raises(StoreUnavailable("Nothing answers. Start it."))
    away = show(context)
    assert "The store is away" in words(away)
    assert "2026-01-01 00:00" in words(away)
    assert "Nothing answers. Start it." in words(away)
    assert len(graphs(away)) == len(graphs(there)) > 0
    source._load_study = read_study
    assert "The store is away" not in words(show(context))


def test_a_store_that_was_never_there_says_so(tmp_path):
    said = words(render(context_over(tmp_path / "none"), Address()))
    assert "There must be a folder of runs" in said
    assert "--output" in said
    (tmp_path / "none").mkdir()
    assert "No studies yet" in words(render(context_over(tmp_path / "none"), Address()))


def test_a_fault_leaves_the_rest_usable(runs, caplog):
    source = FolderSource(runs.runs, raises(ZeroDivisionError("no")))
    context = Context(LastSeen(source), Scans())
    assert "a fault of isthmus" in words(show(context))
    assert "could not be drawn" in caplog.text
    assert ABLATION in words(render(context, Address()))


def raises(error):
    def load(folder):
        raise error

    return load


def test_an_open_store_is_not_asked_for_the_same_subject_twice(context, runs, monkeypatch):
    subject = runs.result.folds[0].strata.participant_ids[0]
    fold = runs.trial / "fold-0"
    first = context.scans.of(fold, runs.experiment.store_url, subject)
    assert context.scans.of(fold, runs.experiment.store_url, subject) is first
    with pytest.raises(ConfigError):
        context.scans.of(fold, str(runs.runs / "no-store"), subject)


def test_a_store_that_was_ingested_again_is_opened_again(context, runs, tmp_path):
    subject = runs.result.folds[0].strata.participant_ids[0]
    fold, store = runs.trial / "fold-0", tmp_path / "store"
    shutil.copytree(runs.experiment.store_url, store)
    first = context.scans.of(fold, str(store), subject)
    assert context.scans.of(fold, str(store), subject) is first
    complete = store / "complete.json"
    content = complete.read_bytes()
    complete.unlink()
    with pytest.raises(ConfigError, match="has not finished"):
        context.scans.of(fold, str(store), subject)
    complete.write_bytes(content)
    again = context.scans.of(fold, str(store), subject)
    assert again is not first
    assert context.scans.of(fold, str(store), subject) is again


def test_a_click_on_a_trial_that_is_gone_chooses_nobody(context):
    click = {"points": [{"curveNumber": 0, "pointNumber": 0}]}
    path = f"/study/{SEARCH}/embeddings"
    assert app._choose_subject(context, click, path, "?trial=nobody") is no_update
    assert "subject=sub-" in app._choose_subject(context, click, path, "")


def test_the_course_is_read_of_the_trials_that_run_alone(context, runs, monkeypatch):
    read = []
    monkeypatch.setattr(
        "isthmus_dashboard.folder_source.folds_of", lambda folder: read.append(folder) or ()
    )
    context.seen.standing(SEARCH)
    assert len(read) == sum(one.state == "running" for one in runs.study.trials) == 1
