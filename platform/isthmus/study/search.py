"""A search's place and identity: where it is kept, and whether it is the one that is there.

The search's folder lies beside its trials' and holds

    search.json  experiment.yaml  space.yaml  split.json     what is searched, enough to go on
    study.db                                                 the trials, where nothing else is set
    study.json  summary.md  ...                              what came of it
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.cohort.splits import save_split
from isthmus.config.load import Experiment, dump_experiment, load_experiment
from isthmus.config.paths import flatten
from isthmus.config.search_load import load_space
from isthmus.config.search_space import SearchSpace
from isthmus.config.strict_yaml import format_yaml
from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError
from isthmus.core.files import write_text
from isthmus.study.place import Identity, Kind, find_place
from isthmus.trial.run import PreparedTrial, prepare_trial

SEARCH_FILE, EXPERIMENT_FILE, SPACE_FILE = "search.json", "experiment.yaml", "space.yaml"
SEARCH = Kind("search", SEARCH_FILE, "study_id", "space")
# What a search may cost, and what people call it and say of it, is no part of what it is.
_NO_IDENTITY = {"name", "description", "budget"}


@dataclass(frozen=True)
class PreparedSearch:
    """A search whose inputs are open and whose identity is known.

    Attributes
    ----------
    trial : PreparedTrial
        The experiment that is varied.
    space : SearchSpace
        How it is varied.
    folder : Path
        Where the search is kept.
    identity : Mapping of str to Any
        Experiment, data, folds and space, but for what varies, by dotted path.
    """

    trial: PreparedTrial
    space: SearchSpace
    folder: Path
    identity: Identity

    @property
    def study_id(self) -> str:
        """Digest of the identity."""
        return digest_of(dict(self.identity))

    @property
    def study_name(self) -> str:
        """Name of the study where many are kept, such as in a database."""
        return _study_name(self.folder, self.study_id)


def prepare_search(experiment: Experiment, space: SearchSpace, fork: bool) -> PreparedSearch:
    """Open the inputs of a search and find its place, where it may have been begun before.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings; the cohort must be ingested.
    space : SearchSpace
        Checked against the experiment.
    fork : bool
        Begin another search beside those of the name that differ.

    Returns
    -------
    PreparedSearch
        With its folder made and what is searched written down in it.

    Raises
    ------
    ConfigError
        If a search of the name is there, but of another experiment, cohort or space, and `fork`
        is false; the message lists the differences.
    IsthmusError
        As `prepare_trial`.
    """
    trial = prepare_trial(experiment)
    identity = identity_of(trial, space)
    name = f"{experiment.config.name}-search-{space.name}"
    study_id = digest_of(identity)
    here = find_place(experiment.output, name, SEARCH, study_id, identity, fork)
    prepared = PreparedSearch(trial, space, here, identity)
    _write(prepared)
    return prepared


@dataclass(frozen=True)
class KeptSearch:
    """A search as its folder has it, to be looked at.

    Attributes
    ----------
    experiment : Experiment
        The experiment that is varied.
    space : SearchSpace
        How it is varied.
    folder : Path
        Where the search is kept.
    study_id : str
        Identity of the search.
    """

    experiment: Experiment
    space: SearchSpace
    folder: Path
    study_id: str

    @property
    def study_name(self) -> str:
        """Name of the study where many are kept."""
        return _study_name(self.folder, self.study_id)


def read_search(folder: Path) -> KeptSearch:
    """Read what is searched in a folder.

    Parameters
    ----------
    folder : Path
        Of a search.

    Returns
    -------
    KeptSearch
        As its last sitting left it.

    Raises
    ------
    ConfigError
        If the folder is none of a search.
    """
    if not SEARCH.is_begun(folder):
        raise ConfigError(
            f"{folder}: must be the folder of a search, but there is no {SEARCH_FILE} in it. "
            "`isthmus search` names the folder at its end."
        )
    experiment = load_experiment(folder / EXPERIMENT_FILE)
    space = load_space(folder / SPACE_FILE, experiment.config)
    return KeptSearch(experiment, space, folder, SEARCH.read(folder)["study_id"])


def storage_of(experiment: Experiment, folder: Path) -> str:
    """Say where the study of a search is kept.

    Parameters
    ----------
    experiment : Experiment
        Its `execution.study_storage` decides.
    folder : Path
        The search's.

    Returns
    -------
    str
        A URL; of a sqlite file in the folder, where nothing is set.
    """
    return experiment.config.execution.study_storage or f"sqlite:///{folder / 'study.db'}"


def identity_of(trial: PreparedTrial, space: SearchSpace) -> dict[str, Any]:
    """List all that makes a search what it is.

    Parameters
    ----------
    trial : PreparedTrial
        The experiment that is varied.
    space : SearchSpace
        How.

    Returns
    -------
    dict of str to Any
        JSON values by dotted path: settings but for those that vary, the data's digests, the space.
    """
    settings = flatten(trial.experiment.config.identifying_settings())
    search = space.model_dump(mode="json", exclude=_NO_IDENTITY)
    dimensions = search.pop("space")
    return {
        **{path: value for path, value in settings.items() if path not in space.space},
        **{
            f"digest of {name}": trial.identity[name]
            for name in ("images", "participants", "split")
        },
        **{f"space.{path}": dimension for path, dimension in dimensions.items()},
        **flatten(search, "search."),
    }


def _study_name(folder: Path, study_id: str) -> str:
    """Name a study so that others of the same folder name do not meet it in a database."""
    return f"{folder.name}-{study_id[:12]}"


def _write(search: PreparedSearch) -> None:
    """Leave in the folder what is needed to go on, and to read it."""
    folder, trial = search.folder, search.trial
    folder.mkdir(parents=True, exist_ok=True)
    save_split(trial.split, folder / "split.json")
    located = trial.experiment.located(split_file=folder / "split.json")
    write_text(folder / EXPERIMENT_FILE, dump_experiment(located))
    write_text(folder / SPACE_FILE, format_yaml(search.space.model_dump(mode="json")))
    SEARCH.write(folder, search.study_id, search.identity)
