"""What a registered version holds, copied out of MLflow's store with suspicion."""

import tempfile
from pathlib import Path

import yaml
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.backends.tracking_uri import TrackingError
from isthmus.cohort.confinement import confine
from isthmus.config.strict_yaml import parse_yaml
from isthmus.core.errors import CohortError
from isthmus.core.ports import ModelVersion


def fetch_bundle(store: MlflowRunStore, version: ModelVersion, destination: Path) -> None:
    """Copy a version's bundle to a folder that is made for it, whole or not at all.

    Parameters
    ----------
    store : MlflowRunStore
        Where it is.
    version : ModelVersion
        Which.
    destination : Path
        The folder; it must not be there yet.

    Raises
    ------
    TrackingError
        If it is there, the version holds no bundle, or names one outside itself.
    """
    what = f"{version.name}, version {version.version}"
    if destination.exists():
        raise TrackingError(
            f"A model must be downloaded into a folder of its own, but {destination} is there "
            "already. Remove it, or name another."
        )
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".download-") as beside:
        folder = Path(beside)
        with store._answers(f"give the files of {what}"):
            kept = get_artifact_repository(version.source, tracking_uri=store.tracking_uri)
            kept.download_artifacts("MLmodel", beside)
            inside = _within(folder, _artifacts(folder / "MLmodel", what)["bundle"], what)
            kept.download_artifacts(inside, beside)
        bundle = folder / inside
        if not bundle.is_dir():
            raise TrackingError(f"{what}: must hold a folder {inside}, but does not.")
        bundle.rename(destination)


def fetch_extra(
    store: MlflowRunStore, version: ModelVersion, label: str, folder: Path
) -> Path | None:
    """Copy a file that was registered with a version.

    Parameters
    ----------
    store : MlflowRunStore
        Where it is.
    version : ModelVersion
        Which.
    label : str
        Its name among the extras.
    folder : Path
        Where to.

    Returns
    -------
    Path or None
        None where the version has no such file.

    Raises
    ------
    TrackingError
        If the version holds no model of isthmus, or names a file outside itself.
    """
    what = f"{version.name}, version {version.version}"
    with store._answers(f"give {label} of {what}"):
        kept = get_artifact_repository(version.source, tracking_uri=store.tracking_uri)
        kept.download_artifacts("MLmodel", str(folder))
        known = _artifacts(folder / "MLmodel", what)
        if label not in known:
            return None
        inside = _within(folder, known[label], what)
        kept.download_artifacts(inside, str(folder))
    return folder / inside


def _artifacts(file: Path, what: str) -> dict[str, str]:
    """Read out of a model's description where its parts are."""
    try:
        description = parse_yaml(file.read_text(encoding="utf-8"))
        parts = description["flavors"]["python_function"]["artifacts"]
        found = {str(name): str(part["path"]) for name, part in parts.items()}
        found["bundle"]
    except (OSError, KeyError, TypeError, AttributeError, UnicodeDecodeError, yaml.YAMLError):
        raise TrackingError(
            f"{what}: must hold a bundle of isthmus, but its MLmodel names none. Was it "
            "registered by isthmus promote?"
        ) from None
    return found


def _within(folder: Path, inside: str, what: str) -> str:
    """Refuse a part of a model that lies outside of it."""
    try:
        confine(folder, inside)
    except CohortError:
        raise TrackingError(
            f"{what}: must hold its bundle within its own files, but its MLmodel names "
            f"{inside!r}. Do not use it; find out who changed it."
        ) from None
    return inside
