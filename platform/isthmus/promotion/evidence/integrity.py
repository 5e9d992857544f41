"""Whether the files of a trial are what their records say, and the records what the files say."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from isthmus.cohort.folds import Fold, Split
from isthmus.cohort.participants import Participants
from isthmus.config.load import load_experiment
from isthmus.core.digest import digest_of
from isthmus.core.errors import IsthmusError
from isthmus.promotion.evidence.groups import read_fidelity
from isthmus.promotion.evidence.record import Check
from isthmus.stratification.embedding_table import load_parquet
from isthmus.stratification.record import RobustnessReport
from isthmus.study.records import StudyResult, TrialRecord
from isthmus.training.card import ENCODER_FILE, digest_encoder, read_card
from isthmus.training.fitted import FITTED_FILE
from isthmus.training.history import HISTORY_FILE, read_history
from isthmus.trial.embedded import EMBEDDINGS_FILE
from isthmus.trial.fold import FIDELITY_FILE, fidelity_metrics
from isthmus.trial.records import FoldResult, TrialResult
from isthmus.trial.run import EXPERIMENT_FILE, FOLD_FILE, IDENTITY_FILE, TRIAL_FILE
from isthmus.trial.strata import STRATA_FILE

SPLIT_FILE = "split.json"
_ROUNDING = 1e-9


def check_trial(
    directory: Path,
    result: TrialResult,
    participants: Participants | None = None,
    study: StudyResult | None = None,
    number: int | None = None,
) -> tuple[Check, ...]:
    """Compare the records of a finished trial with each other and with its files.

    Parameters
    ----------
    directory : Path
        The trial's folder.
    result : TrialResult
        Its ``trial.json``.
    participants : Participants, optional
        The development subjects as they are now; none given: they are not compared.
    study : StudyResult, optional
        The study that it is of; none given: it is not compared.
    number : int, optional
        The trial's number there.

    Returns
    -------
    tuple of Check
        All that was compared. A file that is missing or cannot be read does not agree; nothing is
        raised for it.

    Notes
    -----
    Digests of weights, network and normaliser, of embeddings and of the identity are computed
    anew, and so are the fidelity metrics from the table of subjects.
    """
    checks = list(_of_trial(directory, result))
    if participants is not None:
        checks.append(_of_people(result, participants))
    for fold in result.folds:
        checks += _of_fold(directory, fold)
    if study is not None:
        record = next((one for one in study.trials if one.number == number), None)
        checks += _of_study(directory, result, study, record)
    return tuple(checks)


def _of_trial(directory: Path, result: TrialResult) -> Iterator[Check]:
    """Compare the trial with what identifies it."""

    def own() -> str:
        return _differ(result.digest, digest_of(result.identity))

    def identity() -> str:
        content = _read(directory / IDENTITY_FILE)
        written = {"digest": result.digest, "identity": result.identity, "facts": result.facts}
        return _differ(written, {name: content[name] for name in written})

    def experiment() -> str:
        found = load_experiment(directory / EXPERIMENT_FILE).config.digest
        return _differ(result.identity["experiment"], found)

    def split() -> str:
        return _differ(result.identity["split"], _split(directory / SPLIT_FILE).digest)

    def folds() -> str:
        expected = list(range(int(result.facts["n_folds"])))
        failed = [failure.number for failure in result.failures]
        return _differ(expected, sorted([*failed, *(fold.number for fold in result.folds)]))

    yield _check(TRIAL_FILE, "its digest is that of its identity", own)
    yield _check(IDENTITY_FILE, f"identity and facts are those of {TRIAL_FILE}", identity)
    yield _check(EXPERIMENT_FILE, "its digest is that of the identity", experiment)
    yield _check(SPLIT_FILE, "its digest is that of the identity", split)
    yield _check(TRIAL_FILE, "every fold is there once", folds)


def _of_people(result: TrialResult, participants: Participants) -> Check:
    """Compare the participants table with the one that the trial was run on."""
    return _check(
        "participants",
        "the declared columns of the development subjects are those of the identity",
        lambda: _differ(result.identity["participants"], participants.digest),
    )


def _of_fold(directory: Path, fold: FoldResult) -> Iterator[Check]:
    """Compare one fold's files with its records."""
    folder = directory / f"fold-{fold.number}"
    at = folder.name

    def record() -> str:
        # as JSON: the trial's record holds nothing that is not in the fold's
        return _differ(digest_of(fold.to_json()), digest_of(_read(folder / FOLD_FILE)))

    def encoder() -> str:
        return _differ(fold.encoder_id, read_card(folder).encoder_id)

    def fitted() -> str:
        return _differ(fold.encoder_id, _read(folder / FITTED_FILE)["encoder_id"])

    def embeddings() -> str:
        found = load_parquet(folder / EMBEDDINGS_FILE)
        return _differ(fold.encoder_id, found.encoder_id) or _differ(
            _report(folder).table_digest, found.digest
        )

    def strata() -> str:
        # as they are written: a report that was read has lists where a computed one has tuples
        return _differ(
            digest_of(json.loads(fold.strata.to_json())),
            digest_of(json.loads(_report(folder).to_json())),
        )

    def fidelity() -> str:
        metrics, _ = fidelity_metrics(read_fidelity(folder))
        return _numbers_differ(metrics, fold.metrics)

    def history() -> str:
        return _differ(fold.n_epochs, len(read_history(folder)))

    yield _check(f"{at}/{FOLD_FILE}", f"it is the fold of {TRIAL_FILE}", record)
    yield from _of_encoder(folder)
    yield _check(f"{at}/{FITTED_FILE}", "it is of the fold's encoder", fitted)
    yield _check(f"{at}/{ENCODER_FILE}", "it is of the fold's encoder", encoder)
    yield _check(f"{at}/{EMBEDDINGS_FILE}", f"its digest is that of {STRATA_FILE}", embeddings)
    yield _check(f"{at}/{STRATA_FILE}", f"it is the report of {TRIAL_FILE}", strata)
    yield _check(f"{at}/{FIDELITY_FILE}", f"its means are the metrics of {TRIAL_FILE}", fidelity)
    yield _check(f"{at}/{HISTORY_FILE}", f"its epochs are those of {TRIAL_FILE}", history)


def _of_encoder(folder: Path) -> Iterator[Check]:
    """Compare weights, network and normaliser with the digests taken after training."""
    what = f"its digest is that of {FITTED_FILE}"
    try:
        written = _read(folder / FITTED_FILE)["digests"]
        names = sorted(written)
        found = digest_encoder(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        missing = getattr(error, "filename", None)
        name = Path(missing).name if missing else FITTED_FILE
        yield Check(f"{folder.name}/{name}", what, False, _cannot(error))
        return
    for name in sorted({*names, *found}):
        yield _check(
            f"{folder.name}/{name}",
            what,
            lambda name=name: _differ(written.get(name), found.get(name)),  # type: ignore[misc]
        )


def _of_study(
    directory: Path, result: TrialResult, study: StudyResult, record: TrialRecord | None
) -> Iterator[Check]:
    """Compare the trial with what its study recorded of it."""
    of = f"the study {study.name!r}"
    if record is None:
        yield Check(TRIAL_FILE, f"it is a trial of {of}", False, "The study has no such number.")
        return

    def values() -> str:
        named = {objective.metric: i for i, objective in enumerate(study.objectives)}
        recorded = record.values or ()
        expected = {name: recorded[i] for name, i in named.items() if i < len(recorded)}
        means = {name: estimate.mean for name, estimate in result.summary.items()}
        return _numbers_differ(expected, means)

    yield _check(
        TRIAL_FILE, f"its digest is that of {of}", lambda: _differ(record.digest, result.digest)
    )
    yield _check(
        TRIAL_FILE, f"its folder is that of {of}", lambda: _differ(record.folder, directory.name)
    )
    yield _check(TRIAL_FILE, f"its objectives are those of {of}", values)


def _check(file: str, what: str, differ: Callable[[], str]) -> Check:
    """Compare, and take what cannot be read as a difference."""
    try:
        reason = differ()
    except (OSError, ValueError, KeyError, TypeError, IsthmusError) as error:
        reason = _cannot(error)
    return Check(file, what, not reason, reason)


def _cannot(error: Exception) -> str:
    """Say why a file cannot be compared."""
    if isinstance(error, FileNotFoundError):
        return "It is missing."
    if isinstance(error, KeyError):
        return f"It has no {error.args[0]!r}."
    return f"It cannot be read: {str(error).rstrip('.'):.200}."


def _differ(expected: object, found: object) -> str:
    """Say how two values differ; empty where they do not."""
    if expected == found:
        return ""
    return f"Must be {_short(expected)}, is {_short(found)}."


def _numbers_differ(expected: Mapping[str, float], found: Mapping[str, float]) -> str:
    """Say which numbers differ, if any; only those that are expected are looked at."""
    for name, value in expected.items():
        other = found.get(name)
        if other is None or not math.isclose(value, other, rel_tol=_ROUNDING, abs_tol=1e-15):
            shown = "missing" if other is None else f"{other:.6g}"
            return f"`{name}` must be {value:.6g}, is {shown}."
    return ""


def _short(value: object) -> str:
    """Write a digest by its beginning, anything else as it is."""
    is_digest = isinstance(value, str) and len(value) == 64
    return f"{str(value)[:12]}..." if is_digest else f"{value!r:.80}"


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _split(path: Path) -> Split:
    """Read a split as it is, without checking it against participants."""
    content = _read(path)
    folds = tuple(
        Fold(i, *(tuple(fold[part]) for part in ("train", "monitor", "validation")))
        for i, fold in enumerate(content["folds"])
    )
    return Split(folds, content["seed"], content["method"])


def _report(folder: Path) -> RobustnessReport:
    """Read a fold's report on its strata."""
    return RobustnessReport.from_json((folder / STRATA_FILE).read_text(encoding="utf-8"))
