"""The robustness job on tables that are there: what is read, refused, kept and not repeated."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from foreign_embeddings import DECLARED, QUICK, write_foreign
from threadpoolctl import threadpool_info, threadpool_limits

from isthmus.config.stratify import load_settings
from isthmus.core.errors import CohortError, ConfigError, IsthmusError, StratificationError
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.runner import InProcessRunner
from isthmus.trial.embedded import from_files, from_folder
from isthmus.trial.restratify import Prepared, prepare, run_prepared
from isthmus.trial.selection import select_among


class Interrupted(Exception):
    """Stands for a process that was killed."""


class Stopping(InProcessRunner):
    """Runs some pieces for real, then is killed."""

    def __init__(self, n: int) -> None:
        self.left = n

    def run(self, function, shared, pieces, on_done):
        def one_less(piece, result):
            on_done(piece, result)
            self.left -= 1
            if self.left == 0:
                raise Interrupted

        super().run(function, shared, pieces, one_less)


class Counting(InProcessRunner):
    """Runs pieces for real and counts them."""

    def __init__(self) -> None:
        self.n = 0

    def run(self, function, shared, pieces, on_done):
        self.n += len(pieces)
        super().run(function, shared, pieces, on_done)


def silent(label: str, encoder: str, done: int, total: int) -> None:
    """Hear of progress."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_foreign(tmp_path_factory.mktemp("foreign"))


@pytest.fixture
def prepared(files) -> Callable[..., Prepared]:
    """Prepare the tables with further settings."""

    def with_settings(*overrides: str) -> Prepared:
        embeddings, people = files
        settings = load_settings(None, [*QUICK, *DECLARED, *overrides])
        return prepare(from_files([embeddings]), settings, people)

    return with_settings


@pytest.fixture(scope="module")
def done(files, tmp_path_factory):
    """The job, once, without disturbance."""
    settings = load_settings(None, [*QUICK, *DECLARED])
    ready = prepare(from_files([files[0]]), settings, files[1])
    return ready, run_prepared(ready, tmp_path_factory.mktemp("done"), InProcessRunner(), silent)


def test_planted_strata_come_out_robust_and_the_pieces_are_cleared_away(done):
    _, found = done
    report = found.reports["vae"]
    verdicts = {a.target: a.verdict for a in report.family("phenotype").associations}
    assert verdicts == {"verbal": "robust", "memory": "robust", "grip": "not_significant"}
    assert report.family("category").associations[0].target == "handedness"
    assert report.n_held_out == 0
    folder = found.directory / "vae"
    assert RobustnessReport.from_json((folder / "strata.json").read_text()) == report
    assert not (folder / "strata").exists()


def test_the_settings_that_were_used_are_beside_the_results(done):
    ready, found = done
    again = load_settings(found.directory / "settings.yaml")
    assert again.identifying_settings() == ready.settings.identifying_settings()
    assert json.loads((found.directory / "key.json").read_text()) == {"key": ready.key}


def test_what_is_finished_is_not_repeated(done):
    ready, found = done
    runner, told = Counting(), []
    again = run_prepared(ready, found.directory, runner, lambda *event: told.append(event))
    assert again == found
    assert (runner.n, told) == (0, [])


def test_cut_short_it_goes_on_and_ends_the_same(done, prepared, tmp_path):
    _, undisturbed = done
    with pytest.raises(Interrupted):
        run_prepared(prepared(), tmp_path, Stopping(3), silent)
    kept = list((tmp_path / "vae" / "strata").rglob("*.npz"))
    assert len(kept) == 3
    runner, told = Counting(), []
    again = run_prepared(prepared(), tmp_path, runner, lambda *event: told.append(event))
    assert told[0][:3] == ("vae", "vae", 3)
    assert told[-1][2] == told[-1][3]
    assert again.reports == undisturbed.reports
    for name in ("vae/strata.json", "across_encoders.json"):
        assert (tmp_path / name).read_bytes() == (undisturbed.directory / name).read_bytes()


def test_linear_algebra_is_on_one_thread_whatever_the_caller_has(prepared, tmp_path):
    seen = []

    class Looking(InProcessRunner):
        def run(self, function, shared, pieces, on_done):
            seen.extend(pool["num_threads"] for pool in threadpool_info())
            super().run(function, shared, pieces, on_done)

    with threadpool_limits(limits=2):
        run_prepared(prepared(), tmp_path, Looking(), silent)
    assert set(seen) == {1}


def test_a_folder_takes_the_results_of_one_key(done, prepared):
    _, found = done
    with pytest.raises(ConfigError, match=r"other embeddings, settings or participants.*--output"):
        run_prepared(prepared("seed=1"), found.directory, InProcessRunner(), silent)


def test_the_key_is_of_all_that_can_change_a_report_and_of_nothing_else(
    done, prepared, files, tmp_path
):
    ready, _ = done
    assert prepared("execution.stratification_workers=2").key == ready.key
    assert prepared("stratification.alpha=0.01").key != ready.key
    assert prepared("cohort.confounds=[age]").key != ready.key
    embeddings, people = files
    table = pd.read_csv(people, sep="\t", keep_default_na=False)
    # those who are not embedded, and columns that nothing names, have no say
    table.assign(notes="x").iloc[:-3].to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    same = prepare(from_files([embeddings]), ready.settings, tmp_path / "people.tsv")
    assert same.key == ready.key
    table.loc[0, "age"] = 33.5
    table.to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    other = prepare(from_files([embeddings]), ready.settings, tmp_path / "people.tsv")
    assert other.key != ready.key


def test_only_those_who_are_embedded_are_looked_at(done):
    ready, _ = done
    assert len(ready.participants.ids) == 60


def test_families_that_are_not_declared_and_missing_phenotypes_are_noted(prepared):
    assert prepared().notes == ()
    (note,) = prepared("cohort.group_by=null").notes
    assert "'family_id'" in note
    assert "cohort.group_by=family_id" in note
    (note,) = prepared("cohort.phenotypes=[]", "cohort.categorical_phenotypes=[]").notes
    assert "nothing is related to the strata" in note


@pytest.mark.parametrize(
    ("overrides", "error", "named"),
    [
        (["cohort.phenotypes=[verbl]"], CohortError, r"'verbl', which cohort\.phenotypes.*verbal"),
        (["cohort.categorical_phenotypes=[hand]"], CohortError, r"categorical_phenotypes names"),
        (["cohort.categorical_phenotypes=[age]"], CohortError, "few values"),
        (
            ["cohort.phenotypes=[family_id]", "cohort.group_by=null"],
            CohortError,
            "exactly two values",
        ),
        (["stratification.pca_components=11"], StratificationError, "at most 10"),
        (["stratification.subjects=held_out"], StratificationError, "at least 10 subjects, got 0"),
        (["stratification.factors.n_factors=9"], StratificationError, "n_factors"),
        (["cohort.group_by=sex"], StratificationError, "famil"),
    ],
)
def test_what_the_tables_cannot_meet_is_refused_before_anything_is_computed(
    prepared, overrides, error, named
):
    with pytest.raises(error, match=named):
        prepared(*overrides)


def test_everybody_who_is_embedded_must_be_listed(files, tmp_path):
    embeddings, people = files
    table = pd.read_csv(people, sep="\t", keep_default_na=False)
    table["participant_id"] = table["participant_id"].str.removeprefix("sub-")
    table.to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    with pytest.raises(CohortError, match=r"60 of 60 are not in it: sub-000.*lists such as 000"):
        prepare(from_files([embeddings]), load_settings(None), tmp_path / "people.tsv")


def test_another_tools_embeddings_need_a_table_of_participants(files):
    with pytest.raises(ConfigError, match="--participants"):
        prepare(from_files([files[0]]), load_settings(None), None)


def test_several_encoders_are_compared_and_two_of_one_name_refused(files, tmp_path):
    embeddings, people = files
    other, _ = write_foreign(tmp_path, "gan", seed=9)
    settings = load_settings(None, [*QUICK, *DECLARED])
    ready = prepare(from_files([embeddings, other]), settings, people)
    found = run_prepared(ready, tmp_path / "out", InProcessRunner(), silent)
    (pair,) = found.across.agreements
    assert {pair.encoder_a, pair.encoder_b} == {"vae", "gan"}
    assert pair.ari > 0.9
    with pytest.raises(ConfigError, match="two are of 'vae'"):
        from_files([embeddings, embeddings])


def test_the_best_of_several_trials_is_judged_as_such(done, files, tmp_path):
    ready, found = done
    write_foreign(tmp_path, "other", seed=9)
    second = prepare(from_files([tmp_path / "other.tsv"]), ready.settings, files[1])
    trials = [(ready, found)]
    trials.append((second, run_prepared(second, tmp_path / "out", InProcessRunner(), silent)))
    report = select_among(trials, tmp_path / "both", InProcessRunner())
    assert {trial.trial for trial in report.trials} == {"vae", "other"}
    for trial in report.trials:
        assert trial.p_adjusted >= trial.p_naive
    before = (tmp_path / "both" / "selection.json").stat().st_mtime_ns
    assert select_among(trials, tmp_path / "both", InProcessRunner()) == report
    assert (tmp_path / "both" / "selection.json").stat().st_mtime_ns == before


def test_trials_of_other_columns_or_other_people_are_not_judged_together(
    done, prepared, files, tmp_path
):
    ready, found = done
    embeddings, people = files
    with pytest.raises(ConfigError, match="one set of columns"):
        select_among(
            [(ready, found), (prepared("cohort.confounds=[]"), found)],
            tmp_path / "a",
            InProcessRunner(),
        )
    table = pd.read_csv(people, sep="\t", keep_default_na=False)
    table.loc[0, "age"] = 33.5
    table.to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    other = prepare(from_files([embeddings]), ready.settings, tmp_path / "people.tsv")
    with pytest.raises(ConfigError, match=r"one table of participants.*--participants"):
        select_among([(ready, found), (other, found)], tmp_path / "b", InProcessRunner())


def test_a_folder_that_is_no_trials_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="must be a trial's folder"):
            from_folder(folder)


def test_a_trials_folder_gives_what_was_stratified_in_it(ran, tmp_path):
    embedded = from_folder(ran.directory)
    assert list(embedded.tables) == ["fold-0", "fold-1"]
    assert embedded.tables["fold-1"].encoder_id == ran.result.folds[1].encoder_id
    assert embedded.run_id is None
    one = from_folder(ran.directory / "fold-1")
    assert one.label == f"{ran.directory.name}-fold-1"
    assert list(one.tables) == ["fold-1"]


def test_a_trial_without_a_finished_fold_is_refused_and_unfinished_folds_are_noted(ran, tmp_path):
    trial = tmp_path / "trial"
    (trial / "fold-0").mkdir(parents=True)
    (trial / "fold-1").mkdir()
    (trial / "experiment.yaml").write_bytes((ran.directory / "experiment.yaml").read_bytes())
    with pytest.raises(ConfigError, match="at least one fold must be finished"):
        from_folder(trial)
    (trial / "fold-0" / "embeddings.parquet").write_bytes(
        (ran.directory / "fold-0" / "embeddings.parquet").read_bytes()
    )
    embedded = from_folder(trial)
    assert list(embedded.tables) == ["fold-0"]
    assert "fold-1" in embedded.notes[0]
    with pytest.raises(IsthmusError, match="no such embedding table"):
        from_folder(trial / "fold-1")
