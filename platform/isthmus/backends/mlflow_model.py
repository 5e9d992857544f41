"""A bundle as an MLflow pyfunc model from code: its signature, its example and what it needs."""

import importlib.metadata
import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import (
    AnyType,
    Array,
    ColSpec,
    DataType,
    Map,
    ParamSchema,
    ParamSpec,
    Schema,
)
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.core.digest import digest_file, digest_of
from isthmus.promotion.bundle.record import BundleRecord, read_record
from isthmus.promotion.serving.answers import ANSWER_COLUMNS
from isthmus.promotion.serving.requests import PARTICIPANT, RECONSTRUCT, blank_request

with warnings.catch_warnings():
    # It warns of a type in its own code.
    warnings.simplefilter("ignore", UserWarning)
    import mlflow.pyfunc

BUNDLE_TAG = "isthmus.bundle"
_MODEL_NAME = "isthmus-encoder"
_EXPERIMENT = "isthmus registered models"
_CODE = Path(__file__).with_name("served_model.py")
# What loading a bundle and answering imports, besides isthmus, and no more than that.
_NEEDED = (
    *("mlflow", "fsspec", "nibabel", "numba", "numpy", "pandas", "psutil", "pyarrow", "pydantic"),
    *("pyyaml", "safetensors", "scipy", "statsmodels", "torch", "zarr"),
)
_KINDS = {
    "string": DataType.string,
    "number": DataType.double,
    "boolean": DataType.boolean,
    "vector": Array(DataType.double),
    "images": Map(DataType.string),
}


def run_for(store: MlflowRunStore, name: str, run_id: str | None, key: str) -> Any:
    """Look up the run that a model belongs to, or make one.

    Parameters
    ----------
    store : MlflowRunStore
        Where it is.
    name : str
        Of the registered model.
    run_id : str or None
        None: a run that stands for the model alone, found again by its key.
    key : str
        Digest of the model's content.

    Returns
    -------
    mlflow.entities.Run
        The run.

    Raises
    ------
    TrackingError
        If there is no such run.
    """
    if run_id is None:
        logger = store.open_run(_EXPERIMENT, f"{name} {key[:12]}", key, {})
        logger.finish(True)
        run_id = logger.run_id
    with store._answers(f"look up the run {run_id}"):
        return store._client.get_run(run_id)


def log_bundle(
    store: MlflowRunStore, bundle: Path, extras: Mapping[str, Path], run: Any, key: str
) -> tuple[str, str]:
    """Log a bundle as a model of a run, unless an interrupted registration left it whole.

    Parameters
    ----------
    store : MlflowRunStore
        Where to.
    bundle : Path
        Its folder.
    extras : Mapping of str to Path
        Files that go with it, by name.
    run : mlflow.entities.Run
        Which run.
    key : str
        Digest of the content, under which it is found again.

    Returns
    -------
    model_id : str
        MLflow's identifier of the logged model.
    location : str
        Where its files are.

    Raises
    ------
    TrackingError
        If the store does not take it.
    """
    client, experiment = store._client, run.info.experiment_id
    with store._answers("look for the model's files"):
        clause = f"tags.`{BUNDLE_TAG}` = '{key}'"
        for model in client.search_logged_models([experiment], filter_string=clause):
            if model.status == LoggedModelStatus.READY:
                return model.model_id, model.artifact_location
    with tempfile.TemporaryDirectory() as beside:
        folder = Path(beside) / "model"
        with store._answers("take the model's files"):
            made = client.create_logged_model(
                experiment, _MODEL_NAME, run.info.run_id, tags={BUNDLE_TAG: key}
            )
            write_model(folder, bundle, extras, made.model_id, run.info.run_id)
            client.log_model_artifacts(made.model_id, str(folder))
            client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
            # The run's page lists it then.
            client.log_outputs(run.info.run_id, [LoggedModelOutput(made.model_id, step=0)])
    return made.model_id, made.artifact_location


def make_version(store: MlflowRunStore, name: str, **version: Any) -> str:
    """Register a logged model, and have its page lead to the version, as MLflow's own way does.

    Parameters
    ----------
    store : MlflowRunStore
        Where.
    name : str
        Of the registered model; made when missing.
    **version
        As `mlflow.MlflowClient.create_model_version` takes them, with ``model_id``.

    Returns
    -------
    str
        The new version's number.

    Raises
    ------
    TrackingError
        If the store does not take it.
    """
    client, model_id = store._client, version["model_id"]
    with store._answers(f"register a version of {name}"):
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        number = str(client.create_model_version(name, **version).version)
        tags = client.get_logged_model(model_id).tags
        known = json.loads(tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
        linked = json.dumps([*known, {"name": name, "version": number}])
        client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: linked})
    return number


def write_model(
    folder: Path, bundle: Path, extras: Mapping[str, Path], model_id: str, run_id: str
) -> None:
    """Write the folder that MLflow keeps, serves and loads.

    Parameters
    ----------
    folder : Path
        To be made.
    bundle : Path
        A bundle's folder; copied as it is.
    extras : Mapping of str to Path
        Files that are copied beside it, by name.
    model_id, run_id : str
        MLflow's identifiers of the model and of the run that it came of.

    Notes
    -----
    No pickle is written: the code is a file of isthmus, the weights are the bundle's.
    """
    record = read_record(bundle)
    model = Model(model_uuid=model_id, run_id=run_id, model_id=model_id)
    with warnings.catch_warnings():
        # MLflow compares an example's columns in a way that pandas deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(_CODE),
            artifacts={"bundle": str(bundle), **{name: str(path) for name, path in extras.items()}},
            signature=_signature(record.modalities),
            input_example=pd.DataFrame([blank_request(record)]),
            pip_requirements=list(requirements()),
            mlflow_model=model,
            metadata={"encoder_id": record.encoder_id, "bundle": record.digest},
        )
    # MLflow writes down where the files lay on this machine, which is nobody's business.
    flavor = model.flavors[mlflow.pyfunc.FLAVOR_NAME]
    flavor["model_code_path"] = _CODE.name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    model.save(str(folder / "MLmodel"))


def requirements() -> tuple[str, ...]:
    """List what a machine that serves needs, in the versions that are running.

    Returns
    -------
    tuple of str
        Pinned requirements, isthmus first. Of ``2.13.0+cpu`` only ``2.13.0`` is asked for: which
        build fits is the other machine's affair.
    """
    versions = {name: importlib.metadata.version(name) for name in ("isthmus", *_NEEDED)}
    return tuple(f"{name}=={version.partition('+')[0]}" for name, version in versions.items())


def content_digest(record: BundleRecord, extras: Mapping[str, Path]) -> str:
    """Digest all that a version is made of.

    Parameters
    ----------
    record : BundleRecord
        The bundle's; it has the digest of each of its files.
    extras : Mapping of str to Path
        Files that go with it, by name.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return digest_of([record.digest, {name: digest_file(path) for name, path in extras.items()}])


def _signature(modalities: tuple[str, ...]) -> ModelSignature:
    """Say what goes in and out; every modality's column must be there, if only with null in it.

    MLflow passes over columns that it does not know. With optional columns a misspelt modality
    would be one that was not given.
    """
    inputs = [ColSpec(AnyType(), modality) for modality in modalities]
    inputs.append(ColSpec(DataType.string, PARTICIPANT, required=False))
    outputs = [
        ColSpec(_KINDS[column.kind], column.name, required=not column.nullable)
        for column in ANSWER_COLUMNS
    ]
    params = ParamSchema([ParamSpec(RECONSTRUCT, DataType.boolean, default=False)])
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs), params=params)
