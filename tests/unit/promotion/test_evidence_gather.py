"""Evidence on a trial that was really run: gathered, judged, written, and refused once tampered."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from example_study import study_of

from isthmus.config.promotion.load import load_gates
from isthmus.config.promotion.thresholds import IntegrityGate
from isthmus.core.errors import ConfigError
from isthmus.promotion.evidence.gather import gather_evidence
from isthmus.promotion.evidence.latency import measure_latency
from isthmus.promotion.evidence.record import TrialEvidence
from isthmus.promotion.gates.integrity import judge_integrity
from isthmus.promotion.gates.judge import judge
from isthmus.stratification.across import SelectionReport, TrialSignificance
from isthmus.study.records import Objective, StudyResult, TrialRecord

MSE = (Objective("validation_mse", "minimize"),)


@pytest.fixture(scope="module")
def evidence(ran: Any) -> TrialEvidence:
    """A trial by itself, with everything gathered."""
    return gather_evidence(
        ran.directory, latency=partial(measure_latency, n=2, device="cpu"), columns=("sex", "site")
    )


@pytest.fixture
def trial(ran: Any, tmp_path: Path) -> Path:
    """A copy of the trial's folder, to be spoilt."""
    return Path(shutil.copytree(ran.directory, tmp_path / ran.directory.name))


def _study(ran: Any, **changes: Any) -> StudyResult:
    """A study whose trial 4 is the trial that was run."""
    record = TrialRecord(
        number=4,
        point={},
        state="finished",
        values=(ran.result.summary["validation_mse"].mean,),
        standard_errors=(0.001,),
        digest=ran.result.digest,
        folder=ran.directory.name,
    )
    return study_of([replace(record, **changes)], MSE)


def test_everything_is_gathered(ran: Any, evidence: TrialEvidence) -> None:
    assert evidence.missing == {}
    assert (evidence.digest, evidence.number) == (ran.result.digest, None)
    assert evidence.modalities == ("T1w", "FA")
    assert [check for check in evidence.integrity if not check.holds] == []
    for own, fold in zip(evidence.folds, ran.result.folds, strict=True):
        assert own.metrics["validation_mse"] == fold.metrics["validation_mse"]
        assert len(own.losses) == fold.n_epochs
        assert own.strata.outcome == fold.strata.strata.kind
        assert not any(name.startswith("probe") for name in own.metrics)
    assert evidence.latency is not None
    assert len(evidence.latency.seconds) == 2
    assert evidence.latency.device == "cpu"


def test_it_holds_nothing_of_a_single_subject(ran: Any, evidence: TrialEvidence) -> None:
    text = evidence.to_json()
    assert not [name for name in ran.result.folds[0].strata.participant_ids if name in text]


def test_it_is_read_back_as_it_was_written(evidence: TrialEvidence) -> None:
    assert TrialEvidence.from_json(evidence.to_json()) == evidence
    with pytest.raises(ConfigError, match="must be what `to_json` wrote"):
        TrialEvidence.from_json("{}")


def test_a_trial_by_itself_is_adjusted_for_its_own_partitions(evidence: TrialEvidence) -> None:
    assert evidence.selection is not None
    assert not evidence.selection.of_study
    assert evidence.selection.p_naive == evidence.selection.p_adjusted
    assert evidence.selection.n_trials == 1


def test_both_shipped_files_can_be_asked_of_it(evidence: TrialEvidence) -> None:
    verdicts = {verdict.gate: verdict for verdict in judge(evidence, load_gates())}
    assert verdicts["integrity"].passed
    assert verdicts["not_leaky"].passed
    assert verdicts["size"].passed
    demo = {verdict.gate: verdict for verdict in judge(evidence, load_gates("demo"))}
    assert demo["latency"].found == evidence.latency.median_seconds  # type: ignore[union-attr]
    assert demo["mean_image"].found == pytest.approx(
        verdicts["mean_image"].evidence["mean/FA"]
    ) or (demo["mean_image"].found == pytest.approx(verdicts["mean_image"].evidence["mean/T1w"]))


def test_groups_are_of_held_out_subjects(ran: Any, evidence: TrialEvidence) -> None:
    sex, site = evidence.groups
    assert (sex.column, site.column) == ("sex", "site")
    (pair,) = sex.pairs
    n = sum(fold.n_validation for fold in ran.result.folds)
    assert pair.n_group + pair.n_other == n


def test_a_study_lends_its_adjusted_p(ran: Any) -> None:
    rows = (
        TrialSignificance("trial 2", 2, "factor_1", 0.01, 0.02),
        TrialSignificance("trial 4", 2, "factor_2", 0.03, 0.3),
    )
    study = replace(_study(ran), selection=SelectionReport(rows, 8, 99))
    evidence = gather_evidence(ran.directory, study, 4, columns=())
    assert evidence.selection is not None
    assert evidence.selection.of_study
    assert (evidence.selection.p_naive, evidence.selection.p_adjusted) == (0.03, 0.3)
    assert evidence.selection.n_trials == 2
    later = SelectionReport((replace(rows[1], p_adjusted=0.5),), 8, 99)
    assert gather_evidence(ran.directory, study, 4, selection=later).selection.p_adjusted == 0.5  # type: ignore[union-attr]
    none = gather_evidence(ran.directory, _study(ran), 4)
    assert none.selection is None
    assert "has no adjusted p-values" in none.missing["selection"]
    lost = replace(study, selection=SelectionReport(rows[:1], 8, 99))
    assert "Trial 4 is not among" in gather_evidence(ran.directory, lost, 4).missing["selection"]


def test_what_cannot_be_gathered_is_said(trial: Path) -> None:
    (trial / "split.json").unlink()
    shutil.rmtree(trial / "fold-0")

    def broken(folder: Path) -> Any:
        return measure_latency(folder)

    evidence = gather_evidence(trial, latency=broken)
    assert evidence.groups == ()
    assert evidence.selection is None
    assert set(evidence.missing) == {"groups", "selection", "latency"}
    assert "It could not be measured" in evidence.missing["latency"]
    assert evidence.folds[0].losses == ()
    verdict = judge_integrity(evidence, IntegrityGate())
    assert "split.json: its digest is that of the identity: It is missing." in verdict.words


@pytest.mark.parametrize("content", [None, "{", '{"digest": 1}'])
def test_a_trial_without_a_result_is_refused(trial: Path, content: str | None) -> None:
    file = trial / "trial.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(ConfigError, match=r"trial\.json: (a trial must have finished|must be)"):
        gather_evidence(trial)


def _edit(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def edited(trial: Path) -> None:
        content = json.loads((trial / name).read_text())
        change(content)
        (trial / name).write_text(json.dumps(content))

    return edited


def _flip(name: str) -> Callable[[Path], None]:
    def flipped(trial: Path) -> None:
        content = bytearray((trial / name).read_bytes())
        content[-1] ^= 1
        (trial / name).write_bytes(bytes(content))

    return flipped


def _better_scores(trial: Path) -> None:
    file = trial / "fold-0" / "fidelity.tsv"
    table = pd.read_csv(file, sep="\t", keep_default_na=False, dtype=str)
    is_own = (table["control"] == "model") & (table["metric"] == "mse")
    table.loc[is_own, "value"] = "0.0001"
    table.to_csv(file, sep="\t", index=False)


def _other_embeddings(trial: Path) -> None:
    shutil.copy(trial / "fold-1" / "embeddings.parquet", trial / "fold-0" / "embeddings.parquet")


def _shorter_history(trial: Path) -> None:
    file = trial / "fold-1" / "history.jsonl"
    file.write_text(file.read_text().splitlines()[0] + "\n")


def _other_settings(trial: Path) -> None:
    file = trial / "experiment.yaml"
    file.write_text(file.read_text().replace("global_batch_size: 2", "global_batch_size: 4"))


def _better_fold(content: Any) -> None:
    content["folds"][0]["metrics"]["validation_mse"] = 1e-6


def _better_strata(content: Any) -> None:
    content["folds"][1]["strata"]["seed"] += 1


def _other_identity(content: Any) -> None:
    content["identity"]["images"] = "0" * 64


def _swapped_split(content: Any) -> None:
    parts = content["folds"][0]
    parts["train"], parts["validation"] = parts["validation"], parts["train"]


@pytest.mark.parametrize(
    ("spoil", "file"),
    [
        (_flip("fold-0/model.safetensors"), "fold-0/model.safetensors"),
        (_flip("fold-1/normaliser.npz"), "fold-1/normaliser.npz"),
        (_edit("fold-0/encoder.json", lambda c: c.update(init_seed=1)), "fold-0/encoder.json"),
        (_edit("fold-0/fitted.json", lambda c: c.update(encoder_id="x")), "fold-0/fitted.json"),
        (lambda trial: (trial / "fold-0/fitted.json").unlink(), "fold-0/fitted.json"),
        (lambda trial: (trial / "fold-1/normaliser.npz").unlink(), "fold-1/normaliser.npz"),
        (_other_embeddings, "fold-0/embeddings.parquet"),
        (_flip("fold-0/embeddings.parquet"), "fold-0/embeddings.parquet"),
        (_edit("fold-1/strata.json", lambda c: c.update(seed=1)), "fold-1/strata.json"),
        (_better_scores, "fold-0/fidelity.tsv"),
        (_shorter_history, "fold-1/history.jsonl"),
        (_other_settings, "experiment.yaml"),
        (_edit("split.json", _swapped_split), "split.json"),
        (_edit("identity.json", lambda c: c.update(digest="0" * 64)), "identity.json"),
        (_edit("trial.json", _better_fold), "fold-0/fold.json"),
        (_edit("trial.json", _better_strata), "fold-1/strata.json"),
        (_edit("trial.json", _other_identity), "trial.json"),
        (_edit("trial.json", lambda c: c["folds"].pop()), "trial.json"),
        (lambda trial: trial.rename(trial.with_name("elsewhere")), "trial.json"),
    ],
)
def test_a_tampered_file_is_named(
    ran: Any, trial: Path, spoil: Callable[[Path], None], file: str
) -> None:
    spoil(trial)
    (folder,) = trial.parent.iterdir()
    evidence = gather_evidence(folder, _study(ran), 4, columns=())
    verdict = judge_integrity(evidence, IntegrityGate())
    assert not verdict.passed
    assert file in str(verdict.evidence["files"]).split(", ")
    assert file in verdict.words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"digest": "0" * 64}, "its digest is that of the study 'architecture': Must be 0000"),
        ({"values": (0.5,)}, "`validation_mse` must be 0.5, is"),
        ({"number": 5}, "The study has no such number."),
    ],
)
def test_a_trial_that_its_study_does_not_know_is_refused(
    ran: Any, changes: dict[str, Any], words: str
) -> None:
    evidence = gather_evidence(ran.directory, _study(ran, **changes), 4, columns=())
    verdict = judge_integrity(evidence, IntegrityGate())
    assert not verdict.passed
    assert words in verdict.words


def test_an_untouched_copy_is_not_refused(ran: Any, trial: Path) -> None:
    evidence = gather_evidence(trial, _study(ran), 4, columns=())
    assert judge_integrity(evidence, IntegrityGate()).passed
    assert len(evidence.integrity) > 20
