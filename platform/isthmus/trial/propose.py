"""A first experiment for a cohort: what was found in its folder, as settings that work."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from isthmus.cohort.discover import Discovery, discover
from isthmus.cohort.participants import load_participants
from isthmus.config.load import Experiment, resolve
from isthmus.core.errors import ConfigError
from isthmus.model.geometry import fitting_embedding_size
from isthmus.trial.facts import Facts, cohort_facts, model_facts
from isthmus.trial.preview import cohort_grid

HEADER = """\
# Written by `isthmus init` after looking at {n_participants} participants; {n_complete} of them
# have all of {modalities}. It is a proposal: what is a phenotype and what
# is a confound is yours to decide. `isthmus check` shows what these settings mean;
# docs/configuration.md lists all there are.
"""
PROBED = ("age", "sex")


@dataclass(frozen=True)
class Proposal:
    """An experiment file, and what a user should know of it.

    Attributes
    ----------
    text : str
        YAML with comments.
    notes : tuple of str
        What was left out of the proposal, and why.
    facts : dict
        Cohort, model and cost in numbers.
    """

    text: str
    notes: tuple[str, ...]
    facts: Facts


def propose(folder: Path, destination: Path, preset: str) -> Proposal:
    """Propose an experiment for a cohort's folder.

    Parameters
    ----------
    folder : Path
        With ``participants.tsv`` and images.
    destination : Path
        Where the experiment file will be; the cohort's place is written relative to it.
    preset : str
        Settings to start from. The embedding size is changed to the nearest that the cohort's
        grid can have.

    Returns
    -------
    Proposal
        Checked: it resolves, its participants load and its model can be built.

    Raises
    ------
    IsthmusError
        If the folder holds no cohort that can be studied.
    """
    found = discover(folder)
    here = destination.resolve().parent
    content = _content(found, here, preset)
    experiment = Experiment(resolve(content, source=f"the proposal for {folder}"), here)
    grid = cohort_grid(experiment)
    size = fitting_embedding_size(experiment.config.model, grid)
    notes = list(found.warnings)
    if size != experiment.config.model.embedding_size:
        content["model"] = {"embedding_size": size}
        shown = "x".join(str(edge) for edge in grid)
        notes.append(
            f"model.embedding_size is {size}: the preset's "
            f"{experiment.config.model.embedding_size} cannot be had at the grid {shown}."
        )
    experiment = Experiment(resolve(content, source=f"the proposal for {folder}"), here)
    config = experiment.config
    facts = {
        **cohort_facts(config, load_participants(experiment)),
        **model_facts(config, grid),
    }
    header = HEADER.format(
        n_participants=found.n_participants,
        n_complete=found.n_complete,
        modalities=", ".join(found.modalities),
    )
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return Proposal(header + body, tuple(notes), facts)


def _content(found: Discovery, here: Path, preset: str) -> dict[str, Any]:
    """Lay out the settings that differ from the preset."""
    root = os.path.relpath(found.folder.resolve(), here)
    columns = {name.lower(): name for name in (*found.confounds, *found.phenotypes)}
    return {
        "schema_version": 1,
        "preset": preset,
        "name": _name(found.folder),
        "cohort": {"root": root, **found.settings()},
        "controls": {"probe_targets": [columns[name] for name in PROBED if name in columns]},
    }


def _name(folder: Path) -> str:
    """Name the experiment after the cohort's folder, as far as a name can be so."""
    name = folder.resolve().name
    if not name:
        raise ConfigError(f"COHORT_DIR must be a folder of one cohort, got {folder.resolve()}.")
    return re.sub(r"^[ .]|[^\w .-]", "-", name)[:80]
