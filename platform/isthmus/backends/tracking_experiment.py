"""MLflow's experiments, which hold runs: found by name or made, and labelled."""

from collections.abc import Mapping
from typing import Any

from isthmus.backends.tracking_uri import TrackingError, shown

_NOTE = "mlflow.note.content"


def experiment_id(client: Any, name: str, artifact_root: str | None, uri: str) -> str:
    """Find an experiment by its name, or make it.

    Parameters
    ----------
    client : mlflow.MlflowClient
        Of the store.
    name : str
        The experiment's.
    artifact_root : str or None
        Where the artifacts of one that is made go; None: where the store puts them.
    uri : str
        The store's, for messages.

    Returns
    -------
    str
        MLflow's identifier.

    Raises
    ------
    TrackingError
        If the experiment was deleted. What the client raises, it raises too.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        tags = {_NOTE: f"Trials, searches and ablations of the experiment {name}."}
        try:
            return str(client.create_experiment(name, artifact_root, tags))
        except Exception as error:
            # Another process may have made it since.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise error
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"An experiment must not be deleted while runs are logged to it, but {name!r} is "
            f"in {shown(uri)}. Restore it with `mlflow experiments restore -x "
            f"{found.experiment_id}`, or give the experiment another name."
        )
    return str(found.experiment_id)


def label_experiment(client: Any, identifier: str, tags: Mapping[str, str]) -> None:
    """Give an experiment the labels that it lacks; one that somebody changed stays as it is.

    Parameters
    ----------
    client : mlflow.MlflowClient
        Of the store.
    identifier : str
        MLflow's, of an existing experiment.
    tags : Mapping of str to str
        Values by name.
    """
    known = client.get_experiment(identifier).tags
    for name, value in tags.items():
        if name not in known:
            client.set_experiment_tag(identifier, name, value)
