"""The subject that every model of a fold shows: kept by each fold, drawn by the ablation alone."""

import json

from isthmus.report.fold_files import draw_fold
from isthmus.trial.panels import COMPARED, compared_subject, load_panels


def test_the_compared_subject_depends_on_fold_and_held_out_ids_alone():
    ids = ("sub-2", "sub-1", "sub-3")
    assert [compared_subject(ids, fold) for fold in range(4)] == [
        "sub-1",
        "sub-2",
        "sub-3",
        "sub-1",
    ]
    assert compared_subject(ids[::-1], 1) == compared_subject(ids, 1)


def test_a_fold_keeps_it_beside_those_that_errors_chose(ran):
    split = json.loads((ran.directory / "split.json").read_text())
    for fold in ran.result.folds:
        directory = ran.directory / f"fold-{fold.number}"
        panels = load_panels(directory / "panels.npz")
        (compared,) = [panel for panel in panels if panel.why == COMPARED]
        assert panels[-1].why == COMPARED
        held_out = split["folds"][fold.number]["validation"]
        assert compared.participant_id == compared_subject(held_out, fold.number)


def test_the_pictures_of_a_fold_are_those_of_its_errors(ran):
    fold = ran.result.folds[0]
    directory = ran.directory / f"fold-{fold.number}"
    pictures = draw_fold(fold, directory)["reconstructions"]
    chosen = [panel for panel in load_panels(directory / "panels.npz") if panel.why != COMPARED]
    assert len(pictures) == len(chosen)
    assert [p.name for p in pictures] == [
        f"{i}_{panel.participant_id}.png" for i, panel in enumerate(chosen)
    ]
