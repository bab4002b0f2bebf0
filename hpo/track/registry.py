"""MLflow's model registry: versions of a study's model, each with its bundle inside.

The folder of a version is an MLflow model whose
network is in torch's export format, which is loaded without running code from the file, with the
bundle beside it as `bundle/`. Of a trainable that builds no model the version is the bundle alone.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.bundle import Bundle, Contents, open_bundle
from hpo.errors import HpoError, InputError
from hpo.track import batches, contents, sqlite
from hpo.track.bundle_download import download
from hpo.track.login import Login, logged_in
from hpo.track.silence import NO_TELEMETRY

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# Somebody waits for the answer: a server that is down is told within seconds, not minutes.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    **NO_TELEMETRY,
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

BUNDLE = "bundle"
_IDENTITY = re.compile(r"[0-9a-f]{64}")

# What loading an exported network takes; MLflow would find out by loading it in a new process.
REQUIREMENTS = ("mlflow", "numpy", "torch")


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a registered model.

    Args:
        number: as MLflow counts, from 1.
        identity: of the bundle in it.
        source: where its folder is.
    """

    name: str
    number: str
    identity: str
    source: str


@dataclass(frozen=True, slots=True)
class Network:
    """A model that can be served.

    Args:
        module: a `torch.nn.Module` on the CPU, in evaluation mode.
        example: inputs for it, [2 or more, ...].
    """

    module: Any
    example: np.ndarray


class Registry:
    """The registry behind an MLflow tracking URI.

    Every method raises HpoError if it does not answer.
    """

    def __init__(self, uri: str, login: Login | None = None) -> None:
        self._uri = uri
        self._login = login
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        database = sqlite.path_of(uri)
        if database is not None and not database.exists():
            raise InputError(
                f"there is no MLflow store {database}",
                "run a study first; hpo sync STUDY publishes one that has run to a new store",
            )

    def holder(self, name: str, alias: str) -> Version | None:
        """The version that an alias stands for; `None` if there is none."""
        with self._asking() as client:
            try:
                return _version(client.get_model_version_by_alias(name, alias))
            except _mlflow_error() as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def fetch(self, version: Version, into: Path) -> Bundle:
        """The bundle of a version, checked; from the folder `into` if it was fetched before.

        Raises:
            InputError: it is not what was registered.
        """
        folder = into / version.identity
        if not folder.exists():
            with self._asking():
                return download(f"{version.source}/{BUNDLE}", version.identity, into, self._uri)
        try:
            bundle = open_bundle(folder)
            if bundle.identity == version.identity:
                return bundle
            why = f"{folder} holds another bundle, {bundle.identity[:12]}"
        except InputError as error:
            why = error.message
        raise InputError(why, f"remove {folder}: it is a copy, and is fetched again")

    def register(
        self,
        name: str,
        bundle: Bundle,
        network: Network | None,
        tags: Mapping[str, str],
        description: str,
    ) -> Version:
        """Makes a version of a bundle, or finds the one that there is.

        Args:
            name: of the registered model, which is made if there is none.
            network: the model; `None` for the bundle alone.

        Raises:
            InputError: the tracker does not have the bundle's study.
        """
        with self._asking() as client:
            if (known := _find(client, name, bundle.identity)) is not None:
                return known
            run = _run_of(client, bundle.contents)
            path = f"models/{bundle.identity[:16]}"
            with tempfile.TemporaryDirectory(prefix="hpo-model-") as scratch:
                folder = Path(scratch) / "model"
                if network is not None:
                    _save(network, bundle, folder)
                shutil.copytree(bundle.folder, folder / BUNDLE)
                client.log_artifacts(run.info.run_id, str(folder), path)
            _ensure_model(client, name)
            made = client.create_model_version(
                name,
                f"{run.info.artifact_uri}/{path}",
                run.info.run_id,
                tags={contents.BUNDLE_TAG: bundle.identity, **tags},
                description=description,
            )
            return _version(made)

    def set_alias(self, version: Version, alias: str) -> None:
        """Makes an alias stand for a version, whatever it stood for before."""
        with self._asking() as client:
            client.set_registered_model_alias(version.name, alias, version.number)

    @contextmanager
    def _asking(self) -> Iterator[MlflowClient]:
        from mlflow import MlflowClient

        try:
            with logged_in(self._login), batches.quiet():
                yield MlflowClient(self._uri, registry_uri=self._uri)
        except (_mlflow_error(), _request_error()) as error:
            first = str(error).strip().partition("\n")[0]
            raise HpoError(
                f"the model registry did not do it: {first}", "once it answers, run this again"
            ) from error


def _save(network: Network, bundle: Bundle, folder: Path) -> None:
    import mlflow.pytorch

    known = bundle.contents.provenance.packages
    try:
        mlflow.pytorch.save_model(
            network.module,
            str(folder),
            input_example=network.example,
            pip_requirements=[f"{name}=={known[name]}" for name in REQUIREMENTS if name in known],
            serialization_format="pt2",
        )
    except _mlflow_error():
        raise
    except Exception as error:
        why = str(error).strip().partition("\n")[0]
        raise InputError(
            f"the model cannot be exported: {type(error).__name__}: {why}",
            "write the model so that torch.export.export(model, (example,)) takes it, with any"
            " number of rows",
        ) from error


def _find(client: MlflowClient, name: str, identity: str) -> Version | None:
    found = client.search_model_versions(f"name = '{name}'")
    return next((_version(v) for v in found if v.tags.get(contents.BUNDLE_TAG) == identity), None)


def _run_of(client: MlflowClient, of: Contents) -> Any:
    experiments = [each.experiment_id for each in client.search_experiments()]
    found = client.search_runs(
        experiments, f"tags.`{contents.STUDY_ID}` = '{of.study_id}'", max_results=1
    )
    if not found:
        raise InputError(
            "the tracker does not have this study's run, which a registered model belongs to",
            f"publish it: hpo sync {of.study}",
        )
    return found[0]


def _ensure_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except _mlflow_error() as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version(found: ModelVersion) -> Version:
    # The tag becomes a path on this machine.
    if not _IDENTITY.fullmatch(found.tags.get(contents.BUNDLE_TAG, "")):
        raise InputError(
            f"version {found.version} of the registered model {found.name!r} has no bundle of hpo",
            "give the study another name, or set the alias to a version that hpo promote made",
        )
    return Version(
        found.name, str(found.version), found.tags[contents.BUNDLE_TAG], str(found.source)
    )


def _mlflow_error() -> type[Any]:
    from mlflow.exceptions import MlflowException

    return MlflowException


def _request_error() -> type[OSError]:
    """What MLflow lets through of an artifact store that refuses or does not answer."""
    from requests import RequestException

    return RequestException
