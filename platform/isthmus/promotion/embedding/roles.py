"""What each subject was to a model: in its training, held out of it, in the lockbox, or new."""

import json
from collections.abc import Mapping
from pathlib import Path

from isthmus.cohort.folds import Fold, Split
from isthmus.cohort.seal import read_seal
from isthmus.config.load import Experiment
from isthmus.core.digest import digest_of
from isthmus.promotion.bundle.record import Origin
from isthmus.stratification.embedding_table import LOCKBOX, Role
from isthmus.trial.run import IDENTITY_FILE

_PARTS = ("train", "monitor", "validation")


def roles_of(origin: Origin, experiment: Experiment | None) -> Mapping[str, Role] | None:
    """Look up who was in a model's training.

    Parameters
    ----------
    origin : Origin
        Which training the model is of.
    experiment : Experiment or None
        The experiment whose cohort is embedded; None for a folder.

    Returns
    -------
    Mapping of str to Role or None
        By participant_id; whoever is not listed is new to the model. None where nobody can tell:
        the experiment has no trial of that digest, so that the same label may be another person.

    Notes
    -----
    A trial's folder holds its split beside its identity, whose digest must be the model's. A label
    alone says nothing: ``sub-001`` is somebody in every study. A refit is trained on all
    development subjects, and those who choose its last epoch are called ``train`` as well.
    """
    split = None if experiment is None else _split(origin, experiment.output)
    if experiment is None or split is None:
        return None
    roles: dict[str, Role] = {}
    if origin.fold is None:
        people = {name for fold in split.folds for ids in fold.parts.values() for name in ids}
        roles = dict.fromkeys(sorted(people), "train")
    else:
        fold = split.folds[origin.fold]
        roles |= dict.fromkeys(fold.train, "train")
        roles |= dict.fromkeys(fold.monitor, "monitor")
        roles |= dict.fromkeys(fold.validation, "validation")
    store = experiment.store_url
    seal = None if "://" in store else read_seal(Path(store))
    return roles | dict.fromkeys(seal.participant_ids if seal else (), LOCKBOX)


def _split(origin: Origin, output: Path) -> Split | None:
    """Read the split of the trial that has the model's digest, if it is whole."""
    for file in sorted(output.glob(f"*-{origin.trial_digest[:12]}/{IDENTITY_FILE}")):
        try:
            identity = json.loads(file.read_text(encoding="utf-8"))["identity"]
            content = json.loads((file.parent / "split.json").read_text(encoding="utf-8"))
            folds = (
                Fold(number, *(tuple(fold[part]) for part in _PARTS))
                for number, fold in enumerate(content["folds"])
            )
            split = Split(tuple(folds), content["seed"], content["method"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if digest_of(identity) == origin.trial_digest and identity["split"] == split.digest:
            return split
    return None
