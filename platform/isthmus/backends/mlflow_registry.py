"""The model registry on MLflow: bundles kept as pyfunc models, versions, labels and aliases."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from isthmus.backends.mlflow_fetch import fetch_bundle, fetch_extra
from isthmus.backends.mlflow_model import (
    BUNDLE_TAG,
    content_digest,
    log_bundle,
    make_version,
    run_for,
)
from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.backends.tracking_limits import cut, quotable
from isthmus.backends.tracking_uri import TrackingError
from isthmus.core.ports import ModelVersion
from isthmus.promotion.bundle.load import load_bundle

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
# What MLflow's schema holds; sqlite would take more, and a server on PostgreSQL refuse it.
_MODEL_TAG_LENGTH = 5000
_DESCRIPTION_LENGTH = 5000
_VERSION_TAG_LENGTH = 8000


class MlflowModelRegistry:
    """Implement `isthmus.core.ports.ModelRegistry` on MLflow's registry.

    Parameters
    ----------
    tracking_uri : str
        As `isthmus.backends.mlflow_store.MlflowRunStore` takes it; the registry is where the runs
        are.

    Raises
    ------
    ConfigError
        If the URI is of another kind.
    TrackingError
        If nothing answers at the URI, or its schema is not MLflow's; also of every method.

    Notes
    -----
    A version is a pyfunc model whose code is `isthmus.backends.served_model` and whose one
    artifact is the bundle's folder, as it is: nothing in it is a pickle. Versions of the same
    content are one version, found again by the digest under the tag ``isthmus.bundle``.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._store = MlflowRunStore(tracking_uri)
        self._client = self._store._client
        self.tracking_uri = self._store.tracking_uri

    def register(
        self,
        name: str,
        bundle: Path,
        *,
        run_id: str | None,
        tags: Mapping[str, str],
        description: str,
        extras: Mapping[str, Path],
    ) -> ModelVersion:
        """Keep a bundle, and files beside it, as the newest version of a model.

        Parameters
        ----------
        name : str
            Of the registered model; made when missing.
        bundle : Path
            A folder that `isthmus.promotion.bundle.load_bundle` loads.
        run_id : str or None
            The run that the model came of. None: a run of its own is made for it.
        tags : Mapping of str to str
            Labels of the version.
        description : str
            Its card, in Markdown. What is longer than 5,000 characters is cut; give the whole as
            an extra.
        extras : Mapping of str to Path
            Files that are kept with it, by name, such as an exported program.

        Returns
        -------
        ModelVersion
            The new version, or the one of the same content that is there already; its labels and
            its description are then set anew.

        Raises
        ------
        IsthmusError
            If the bundle cannot be loaded, an extra is no file, or the store does not take it.
        """
        for label, path in extras.items():
            if not path.is_file():
                raise TrackingError(f"An extra must be a file, but {label}, {path}, is not one.")
        # Loading verifies it: what cannot be served is not registered.
        record = load_bundle(bundle, device="cpu").record
        key = content_digest(record, extras)
        known = next((v for v in self.versions(name) if v.tags.get(BUNDLE_TAG) == key), None)
        text = cut(description, _DESCRIPTION_LENGTH)
        if known is not None:
            self.set_tags(name, known.version, tags)
            with self._store._answers(f"describe version {known.version} of {name}"):
                self._client.update_model_version(name, known.version, text)
            return self._found(name, known.version)
        run = run_for(self._store, name, run_id, key)
        model_id, source = log_bundle(self._store, bundle, extras, run, key)
        labels = {
            tag: cut(value, _VERSION_TAG_LENGTH) for tag, value in {**tags, BUNDLE_TAG: key}.items()
        }
        number = make_version(
            self._store,
            name,
            source=source,
            run_id=run.info.run_id,
            tags=labels,
            description=text,
            model_id=model_id,
        )
        return self._found(name, number)

    def find(self, name: str, which: str) -> ModelVersion | None:
        """Look up the version that an alias points at, or that has a number.

        Parameters
        ----------
        name : str
            Of the registered model.
        which : str
            An alias, or a number.

        Returns
        -------
        ModelVersion or None
            None if there is no such model, alias or version.
        """
        with self._store._answers(f"look up {name}, {which}"), _absent_allowed():
            if which.isdigit():
                return _version(self._client.get_model_version(name, which))
            return _version(self._client.get_model_version_by_alias(name, which))
        return None

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """List a model's versions, the oldest first.

        Parameters
        ----------
        name : str
            Of the registered model.

        Returns
        -------
        tuple of ModelVersion
            Empty where there is no such model.
        """
        clause, token, found = f"name = '{quotable(name)}'", None, []
        with self._store._answers(f"list the versions of {name}"):
            while token != "":
                page = self._client.search_model_versions(clause, page_token=token)
                found += list(page)
                token = page.token or ""
        aliases = self.aliases(name)
        listed = sorted(found, key=lambda version: int(version.version))
        return tuple(_version(version, aliases) for version in listed)

    def aliases(self, name: str) -> Mapping[str, str]:
        """Look up which version each alias of a model points at.

        Parameters
        ----------
        name : str
            Of the registered model.

        Returns
        -------
        Mapping of str to str
            Versions by alias; empty where there is no such model.
        """
        model = self._model(name)
        return {} if model is None else {a: str(v) for a, v in model.aliases.items()}

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version, away from where it pointed.

        Parameters
        ----------
        name : str
            Of the registered model.
        alias : str
            Letters, digits, ``_`` and ``-``.
        version : str
            An existing version's number.
        """
        with self._store._answers(f"point {name}@{alias} at version {version}"):
            self._client.set_registered_model_alias(name, alias, version)

    def drop_alias(self, name: str, alias: str) -> None:
        """Take an alias away; there need not be one.

        Parameters
        ----------
        name : str
            Of the registered model, which there must be.
        alias : str
            The alias.
        """
        with self._store._answers(f"drop {name}@{alias}"):
            self._client.delete_registered_model_alias(name, alias)

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set labels of one version; a value longer than 8,000 characters is cut, with its digest.

        Parameters
        ----------
        name : str
            Of the registered model.
        version : str
            An existing version's number.
        tags : Mapping of str to str
            Values by name.
        """
        with self._store._answers(f"label version {version} of {name}"):
            for tag, value in tags.items():
                text = cut(value, _VERSION_TAG_LENGTH)
                self._client.set_model_version_tag(name, version, tag, text)

    def model_tags(self, name: str) -> Mapping[str, str]:
        """Read the labels of the model itself, which its versions share.

        Parameters
        ----------
        name : str
            Of the registered model.

        Returns
        -------
        Mapping of str to str
            Empty where there is no such model.
        """
        model = self._model(name)
        return {} if model is None else dict(model.tags)

    def set_model_tags(self, name: str, tags: Mapping[str, str]) -> None:
        """Set labels of the model itself.

        Parameters
        ----------
        name : str
            Of the registered model, which there must be.
        tags : Mapping of str to str
            Values by name, each of at most 5,000 characters.

        Raises
        ------
        TrackingError
            If a value is longer: it is a record, and none is cut. Nothing is set then.
        """
        for tag, value in tags.items():
            if len(value) > _MODEL_TAG_LENGTH:
                raise TrackingError(
                    f"A label of a registered model must have at most {_MODEL_TAG_LENGTH} "
                    f"characters, but {tag} has {len(value)}. Shorten it."
                )
        with self._store._answers(f"label the model {name}"):
            for tag, value in tags.items():
                self._client.set_registered_model_tag(name, tag, value)

    def download(self, version: ModelVersion, destination: Path) -> Path:
        """Copy a version's bundle to a folder that is made for it.

        Parameters
        ----------
        version : ModelVersion
            As the registry gave it.
        destination : Path
            The folder to make; it must not be there yet.

        Returns
        -------
        Path
            ``destination``. It is there whole or not at all, and what it holds is verified by
            `isthmus.promotion.bundle.load_bundle`.

        Raises
        ------
        TrackingError
            If the destination is there already, the version holds no bundle, or what it names
            would lie outside the destination.
        """
        fetch_bundle(self._store, version, destination)
        return destination

    def extra(self, version: ModelVersion, label: str, folder: Path) -> Path | None:
        """Copy a file that was registered with a version; None where it has none of that name.

        Parameters
        ----------
        version : ModelVersion
            As the registry gave it.
        label : str
            The file's name among the extras.
        folder : Path
            Where to.

        Returns
        -------
        Path or None
            The copy.
        """
        return fetch_extra(self._store, version, label, folder)

    def _model(self, name: str) -> Any:
        """Ask for a registered model; None where there is none."""
        with self._store._answers(f"look up the model {name}"), _absent_allowed():
            return self._client.get_registered_model(name)
        return None

    def _found(self, name: str, version: str) -> ModelVersion:
        """Read back a version that is known to be there."""
        with self._store._answers(f"look up version {version} of {name}"):
            return _version(self._client.get_model_version(name, version))


@contextmanager
def _absent_allowed() -> Iterator[None]:
    """Pass over MLflow's answer that there is no such model, version or alias."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise


def _version(found: Any, aliases: Mapping[str, str] | None = None) -> ModelVersion:
    """Make of MLflow's record ours."""
    number = str(found.version)
    names = found.aliases if aliases is None else [a for a, v in aliases.items() if v == number]
    return ModelVersion(
        found.name, number, tuple(sorted(names)), dict(found.tags), found.run_id, found.source
    )
