"""Embeddings that are there already: in a trial's folder, in a tracking store, or in a file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.config.load import Experiment, load_experiment
from isthmus.core.errors import ConfigError
from isthmus.core.ports import RunReader, StoredRun
from isthmus.stratification.embedding_table import EmbeddingTable, load_parquet
from isthmus.stratification.foreign_table import load_embeddings

EMBEDDINGS_FILE = "embeddings.parquet"
EXPERIMENT_FILE = "experiment.yaml"
STRATIFY_TAG = "isthmus.stratify"
_TRIAL_TAG, _FOLD_TAG = "isthmus.trial", "isthmus.fold"
_FOLD_FOLDER = re.compile(r"fold-(\d+)")


@dataclass(frozen=True, eq=False)
class Embedded:
    """The encoders of one trial, or of one fold, or of another tool, with what they embedded.

    Attributes
    ----------
    label : str
        Names the results; fit for a folder's name.
    tables : Mapping of str to EmbeddingTable
        Each encoder's embeddings by a short name, such as ``fold-0``.
    experiment : Experiment or None
        What made them; None for another tool.
    folder : Path or None
        The trial's folder, if they lie in one.
    run_id : str or None
        Their run in a tracking store, where it is known.
    fold_run_id : str or None
        The run of one of a trial's folds, where that is all that its folder tells.
    notes : tuple of str
        What was left out.
    """

    label: str
    tables: Mapping[str, EmbeddingTable]
    experiment: Experiment | None = None
    folder: Path | None = None
    run_id: str | None = None
    fold_run_id: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def leaky(self) -> bool:
        """Whether normalisation saw the held-out subjects."""
        made_by = self.experiment
        return made_by is not None and made_by.config.volumes.normalisation.leaky


def from_folder(folder: Path) -> Embedded:
    """Read the embeddings in the folder of a trial, or of one of its folds.

    Parameters
    ----------
    folder : Path
        As `isthmus train` left it.

    Returns
    -------
    Embedded
        Of the folds that have embeddings; the others are noted.

    Raises
    ------
    IsthmusError
        If the folder is no such folder, holds no embeddings, or its files cannot be used.
    """
    folder = folder.resolve()
    fold = _FOLD_FOLDER.fullmatch(folder.name)
    if fold and (folder.parent / EXPERIMENT_FILE).is_file():
        return Embedded(
            label=f"{folder.parent.name}-{folder.name}",
            tables={folder.name: load_parquet(folder / EMBEDDINGS_FILE)},
            experiment=load_experiment(folder.parent / EXPERIMENT_FILE),
            folder=folder.parent,
            run_id=_published(folder),
        )
    folds = sorted(
        (int(found[1]), path)
        for path in folder.glob("fold-*")
        if (found := _FOLD_FOLDER.fullmatch(path.name)) and path.is_dir()
    )
    if not (folder / EXPERIMENT_FILE).is_file() or not folds:
        raise ConfigError(
            f"{folder}: must be a trial's folder, with {EXPERIMENT_FILE} and fold-0 and so on, or "
            "one of these folds' folders. `isthmus train` says where it writes them. For a table "
            "of embeddings use --embeddings."
        )
    tables, missing = {}, []
    for _, path in folds:
        if (path / EMBEDDINGS_FILE).is_file():
            tables[path.name] = load_parquet(path / EMBEDDINGS_FILE)
        else:
            missing.append(path.name)
    experiment = load_experiment(folder / EXPERIMENT_FILE)
    return Embedded(
        label=folder.name,
        tables=_some(tables, str(folder)),
        experiment=experiment,
        folder=folder,
        fold_run_id=next(filter(None, (_published(path) for _, path in folds)), None),
        notes=_left_out(missing),
    )


def from_run(reader: RunReader, run_id: str, scratch: Path) -> Embedded:
    """Fetch the embeddings of a trial's run, or of one of its folds' runs.

    Parameters
    ----------
    reader : RunReader
        The tracking store.
    run_id : str
        A run that `isthmus train` made.
    scratch : Path
        Folder for what is fetched.

    Returns
    -------
    Embedded
        Of the folds that are finished; the others are noted.

    Raises
    ------
    IsthmusError
        If there is no such run, isthmus did not train it, or it has no embeddings.
    """
    run = reader.run(run_id)
    if STRATIFY_TAG in run.tags:
        raise ConfigError(
            f"Run {run_id} ({run.name}) is of `isthmus stratify` and holds no embeddings; name the "
            f"run above it, {run.parent_id}."
        )
    if _TRIAL_TAG not in run.tags:
        raise ConfigError(
            f"Run {run_id} ({run.name or 'without a name'}) must be of `isthmus train`, a trial's "
            f"or a fold's, but has no tag {_TRIAL_TAG}. For a table of embeddings that another "
            "tool made use --embeddings."
        )
    above, folds = _family(reader, run)
    experiment = load_experiment(reader.fetch(above, EXPERIMENT_FILE, scratch / above))
    label = f"{experiment.config.name}-{run.tags[_TRIAL_TAG][:12]}"
    if _FOLD_TAG in run.tags:
        label += f"-fold-{run.tags[_FOLD_TAG]}"
    tables, missing = {}, []
    for number, fold in folds:
        if fold.finished:
            path = reader.fetch(fold.run_id, EMBEDDINGS_FILE, scratch / fold.run_id)
            tables[f"fold-{number}"] = load_parquet(path)
        else:
            missing.append(f"fold-{number}")
    tables = _some(tables, f"run {run_id}")
    return Embedded(label, tables, experiment, run_id=run_id, notes=_left_out(missing))


def from_files(files: Sequence[Path]) -> Embedded:
    """Read embeddings that other tools made, an encoder a file.

    Parameters
    ----------
    files : sequence of Path
        At least one; see `isthmus.stratification.foreign_table.load_embeddings`.

    Returns
    -------
    Embedded
        Named after the first file.

    Raises
    ------
    IsthmusError
        If a file cannot be used, or two are of encoders of one name.
    """
    tables: dict[str, EmbeddingTable] = {}
    for file in files:
        table = load_embeddings(file)
        if table.encoder_id in tables:
            raise ConfigError(
                f"{file}: each file must be of an encoder of its own, but two are of "
                f"{table.encoder_id!r}. Rename the file: it names the encoder."
            )
        tables[table.encoder_id] = table
    return Embedded(files[0].stem, tables)


def _family(reader: RunReader, run: StoredRun) -> tuple[str, list[tuple[int, StoredRun]]]:
    """Find the trial's run, and the folds that are asked for."""
    if _FOLD_TAG in run.tags:
        if run.parent_id is None:
            raise ConfigError(f"Run {run.run_id} is a fold's and must be below its trial's run.")
        return run.parent_id, [(int(run.tags[_FOLD_TAG]), run)]
    below = [child for child in reader.children(run.run_id) if _FOLD_TAG in child.tags]
    return run.run_id, sorted(
        ((int(child.tags[_FOLD_TAG]), child) for child in below), key=lambda item: item[0]
    )


def _some(tables: dict[str, EmbeddingTable], where: str) -> dict[str, EmbeddingTable]:
    """Refuse a trial of which no fold is finished."""
    if not tables:
        raise ConfigError(
            f"{where}: at least one fold must be finished, but none has {EMBEDDINGS_FILE}. Run "
            "`isthmus train` to its end."
        )
    return tables


def _left_out(names: Sequence[str]) -> tuple[str, ...]:
    """Note folds without embeddings."""
    if not names:
        return ()
    return (f"{', '.join(names)}: not finished, so without embeddings, and left out.",)


def _published(folder: Path) -> str | None:
    """Read which run a fold's results were written to."""
    try:
        return (folder / "published").read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
