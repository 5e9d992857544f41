"""How a trial, its settings and its numbers are named in a tracking store."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.paths import flatten

FIRST_SECTIONS = ("model", "training", "volumes", "stratification", "controls", "cohort")
FIRST_METRICS = ("validation_", "strata_", "encoders_", "survival_")


def run_name(config: ExperimentConfig, digest: str) -> str:
    """Name a run so that a list of runs can be read without opening them.

    Parameters
    ----------
    config : ExperimentConfig
        Settings of the trial.
    digest : str
        Identity of the trial.

    Returns
    -------
    str
        Such as ``"T1w+FA E512 depth 3 separable 4f6e2a1c"``.
    """
    model = config.model
    leaky = " LEAKY" if config.volumes.normalisation.leaky else ""
    return (
        f"{'+'.join(config.fused_modalities)} E{model.embedding_size} depth {model.depth} "
        f"{model.convolution}{leaky} {digest[:8]}"
    )


def trial_title(number: int) -> str:
    """Begin the name of a search's trial so that a list in the order of names is in theirs.

    Parameters
    ----------
    number : int
        The trial's, from 0.

    Returns
    -------
    str
        The number has at least three digits.

    Examples
    --------
    >>> trial_title(7)
    'trial 007'
    """
    return f"trial {number:03d}"


def flat_params(config: ExperimentConfig) -> dict[str, str | int | float | bool]:
    """List the settings that can change a result by dotted path.

    Parameters
    ----------
    config : ExperimentConfig
        Settings of the trial.

    Returns
    -------
    dict
        Exactly the settings that the digest covers, which is what the run is found by. Numbers
        and booleans as they are, the rest as compact JSON or text. What is compared most comes
        first, for a tracking store's page lists them in this order.
    """
    leaves = flatten(config.identifying_settings())
    return plain_params(dict(sorted(leaves.items(), key=lambda leaf: _place(leaf[0]))))


def _place(path: str) -> int:
    """Say where a setting stands in a list of settings; those of one place keep their order."""
    section = path.partition(".")[0]
    return FIRST_SECTIONS.index(section) if section in FIRST_SECTIONS else len(FIRST_SECTIONS)


def plain_params(leaves: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Write settings as a tracking store takes them.

    Parameters
    ----------
    leaves : Mapping of str to Any
        JSON values by dotted path.

    Returns
    -------
    dict
        Numbers, booleans and text as they are, the rest as compact JSON.

    Examples
    --------
    >>> plain_params({"model.depth": 4, "cohort.modalities": ["T1w", "FA"]})
    {'model.depth': 4, 'cohort.modalities': '["T1w", "FA"]'}
    """
    return {
        path: value if isinstance(value, str | int | float) else json.dumps(value)
        for path, value in leaves.items()
    }


def leading_first(metrics: Mapping[str, float]) -> dict[str, float]:
    """Order a trial's metrics so that a tracking store's list begins with what is read first.

    Parameters
    ----------
    metrics : Mapping of str to float
        By name.

    Returns
    -------
    dict of str to float
        Fidelity and strata of the trial itself before controls and probes; means over modalities
        before those of each and before standard errors.

    Examples
    --------
    >>> list(leading_first({"pca_mse": 0.4, "validation_mse/FA": 0.1, "validation_mse": 0.2}))
    ['validation_mse', 'validation_mse/FA', 'pca_mse']
    """

    def place(name: str) -> tuple[int, int]:
        own = next((i for i, start in enumerate(FIRST_METRICS) if name.startswith(start)), 9)
        return own, 2 if name.endswith("_se") else int("/" in name)

    return {name: metrics[name] for name in sorted(metrics, key=place)}


def described(markdown: str, run_id: str) -> str:
    """Write a description so that MLflow's page of the run shows the pictures in it.

    Parameters
    ----------
    markdown : str
        Its pictures are named as the run's artifacts are.
    run_id : str
        The run's identifier.

    Returns
    -------
    str
        Each picture by the address that the server gives artifacts from. A name that has an
        address already stays as it is.

    Examples
    --------
    >>> described("![Front](front.png)", "4f6e")
    '![Front](get-artifact?path=front.png&run_uuid=4f6e)'
    """

    def placed(picture: re.Match[str]) -> str:
        path = quote(picture["path"], safe="")
        return f"![{picture['title']}](get-artifact?path={path}&run_uuid={run_id})"

    return re.sub(r"!\[(?P<title>[^\]]*)\]\((?P<path>[^):?]+)\)", placed, markdown)


def legal_name(name: str) -> str:
    """Name something so that a tracking store takes it.

    Parameters
    ----------
    name : str
        With the user's labels in it.

    Returns
    -------
    str
        Characters other than letters, digits and ``_-. :/`` are replaced by ``_``.

    Examples
    --------
    >>> legal_name("validation_mse.T1w+FA")
    'validation_mse.T1w_FA'
    """
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)


def legal_names(metrics: Mapping[str, float]) -> dict[str, float]:
    """Name metrics so that a tracking store takes them.

    Parameters
    ----------
    metrics : Mapping of str to float
        Named with the user's column and modality labels.

    Returns
    -------
    dict of str to float
        As `legal_name` has them.

    Examples
    --------
    >>> legal_names({"probe_IQ (full).r/pca": 0.5})
    {'probe_IQ _full_.r/pca': 0.5}
    """
    return {legal_name(name): value for name, value in metrics.items()}
