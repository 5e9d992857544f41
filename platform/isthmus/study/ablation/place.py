"""An ablation's place: where it is kept, and whether it is the one that is there.

The ablation's folder lies beside those of its trials and holds

    ablation.json  experiment.yaml  ablation.yaml     what is asked, enough to go on
    progress.json                                     attempts and failures
    result.json  ablation.html  summary.md  ...       what came of it
"""

from pathlib import Path

from isthmus.config.ablation.design import AblationConfig
from isthmus.config.load import Experiment, dump_experiment
from isthmus.config.strict_yaml import format_yaml
from isthmus.core.files import write_text
from isthmus.study.ablation.plan import PreparedAblation
from isthmus.study.place import Kind, find_place

RECORD_FILE, EXPERIMENT_FILE, ABLATION_FILE = "ablation.json", "experiment.yaml", "ablation.yaml"
ABLATION = Kind("ablation", RECORD_FILE, "ablation_id", "ablation")


def place_of(experiment: Experiment, prepared: PreparedAblation, fork: bool = False) -> Path:
    """Find the folder of an ablation, where it may have been begun before; nothing is written.

    Parameters
    ----------
    experiment : Experiment
        What is ablated.
    prepared : PreparedAblation
        What is asked.
    fork : bool
        Begin another ablation beside those of the name that differ.

    Returns
    -------
    Path
        Of the one that was begun, or a free one.

    Raises
    ------
    ConfigError
        If an ablation of the name is there, but of another experiment, cohort or design, and
        `fork` is false; the message lists the differences.
    """
    plan = prepared.plan
    name = f"{plan.experiment}-ablation-{plan.name}"
    identity = prepared.identity
    return find_place(experiment.output, name, ABLATION, plan.ablation_id, identity, fork)


def keep_place(
    folder: Path, experiment: Experiment, ablation: AblationConfig, prepared: PreparedAblation
) -> tuple[Path, ...]:
    """Leave in an ablation's folder what is needed to go on, and to read it.

    Parameters
    ----------
    folder : Path
        As `place_of` found it.
    experiment : Experiment
        What is ablated.
    ablation : AblationConfig
        What is asked.
    prepared : PreparedAblation
        Its plan.

    Returns
    -------
    tuple of Path
        The files written: the experiment's, the ablation's, the record.
    """
    files = tuple(folder / name for name in (EXPERIMENT_FILE, ABLATION_FILE, RECORD_FILE))
    write_text(files[0], dump_experiment(experiment.located(split_file=None)))
    write_text(files[1], format_yaml(ablation.model_dump(mode="json")))
    ABLATION.write(folder, prepared.plan.ablation_id, prepared.identity)
    return files
