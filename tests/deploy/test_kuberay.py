"""The Kubernetes manifests: valid, and such that the service they make is the one the docs tell of.

`raycluster-v1.schema.json.gz` is the schema of KubeRay 1.7's RayCluster, from its custom resource
definition (Apache License 2.0), without the descriptions.
"""

from __future__ import annotations

import gzip
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.scripts import scripts

from hpo.service import ray_head

ROOT = Path(__file__).parents[2]
KUBERNETES = "1.32"
MANIFESTS = sorted((ROOT / "deploy" / "kuberay").glob("*.yaml"))

Manifest = dict[str, Any]


def manifests() -> Iterator[Manifest]:
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text())


def named(kind: str) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in manifests() if m["kind"] == kind}


def closed(schema: Any) -> Any:
    """The schema with unknown fields refused, as Kubernetes does with strict validation."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    strict = "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields")
    inner = {name: closed(each) for name, each in schema.items()}
    return {"additionalProperties": False, **inner} if strict else inner


@pytest.fixture(scope="module")
def cluster_schema() -> Any:
    schema = json.loads(gzip.decompress((Path(__file__).parent / SCHEMA).read_bytes()))
    schema["properties"]["metadata"] = {"type": "object"}
    return closed(schema)


SCHEMA = "raycluster-v1.schema.json.gz"


def cluster() -> Manifest:
    return named("RayCluster")["hpo"]


def pods() -> Iterator[Manifest]:
    """The specs of all pods."""
    for deployment in named("Deployment").values():
        yield deployment["spec"]["template"]["spec"]
    yield cluster()["spec"]["headGroupSpec"]["template"]["spec"]
    for group in cluster()["spec"]["workerGroupSpecs"]:
        yield group["template"]["spec"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_what_kubernetes_knows_is_valid(path):
    for manifest in yaml.safe_load_all(path.read_text()):
        if manifest["kind"] != "RayCluster":
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_the_cluster_is_what_kuberay_takes(cluster_schema):
    jsonschema.validate(cluster(), cluster_schema)


def test_a_misspelt_field_would_be_found(cluster_schema):
    wrong = cluster()
    wrong["spec"]["headGroupSpec"]["rayStartParam"] = {}
    with pytest.raises(jsonschema.ValidationError, match="rayStartParam"):
        jsonschema.validate(wrong, cluster_schema)


def test_ray_start_takes_the_parameters():
    options = {name for option in scripts.start.params for name in option.opts}
    spec = cluster()["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert {f"--{name}" for name in group["rayStartParams"]} <= options


def test_the_head_has_slots_for_studies():
    parameters = cluster()["spec"]["headGroupSpec"]["rayStartParams"]
    # KubeRay puts it into a shell command as it stands.
    (resources,) = shlex.split(parameters["resources"])
    assert json.loads(resources)[ray_head.SLOT] >= 1


def test_nobody_gets_in_without_a_token_or_a_password():
    auth = cluster()["spec"]["authOptions"]
    assert (
        auth["mode"] == "token"
        and "auth_token" in named("Secret")[auth["secretName"]]["stringData"]
    )
    (server,) = named("Deployment")["mlflow"]["spec"]["template"]["spec"]["containers"]
    assert "--app-name=basic-auth" in server["args"]
    (hosts,) = [e["value"] for e in server["env"] if e["name"] == "MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert "*" not in hosts
    for service in named("Service").values():
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_every_secret_and_volume_that_is_used_is_there():
    secrets, claims, maps = named("Secret"), named("PersistentVolumeClaim"), named("ConfigMap")
    for pod in pods():
        for container in pod["containers"]:
            for source in container.get("envFrom", []):
                assert source["secretRef"]["name"] in secrets
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    key = variable["valueFrom"]["secretKeyRef"]
                    assert key["key"] in secrets[key["name"]]["stringData"]
        for volume in pod.get("volumes", []):
            assert volume.get("persistentVolumeClaim", {}).get("claimName", "") in {"", *claims}
            assert volume.get("configMap", {}).get("name", "") in {"", *maps}


def is_blank(value: str) -> bool:
    """Whether a value still has to be filled in: nothing, or an address that says where to."""
    return not value or re.fullmatch(r"[a-z+]+://[a-z]+:PASSWORD@[a-z]+/[a-z]+", value) is not None


def test_no_secret_has_a_value():
    values = {
        name: value
        for secret in named("Secret").values()
        for name, value in secret["stringData"].items()
    }
    assert values.pop("MLFLOW_TRACKING_USERNAME") == "admin"
    assert [name for name, value in values.items() if not is_blank(value)] == []


@pytest.mark.parametrize(
    "value",
    [
        *("hunter2", "PASSWORD", "hunterPASSWORD2", "postgresql://mlflow:hunter2@postgres/mlflow"),
        *("postgresql://m:PASSWORD@h/d?password=hunter2", "postgresql://m:xPASSWORD@h/d"),
    ],
)
def test_a_value_would_be_found(value):
    assert not is_blank(value)


def test_ray_is_told_what_the_service_tells_it():
    wanted = ray_head.environment(Path("token"))
    for group in (cluster()["spec"]["headGroupSpec"], *cluster()["spec"]["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        told = {variable["name"]: variable["value"] for variable in container["env"]}
        for name in wanted.keys() - {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"}:  # KubeRay's own
            assert told[name] == wanted[name]


def test_the_version_of_ray_is_one_that_the_project_takes():
    import ray

    assert cluster()["spec"]["rayVersion"] == ray.__version__


def test_a_study_always_finds_a_node():
    # Workers are counted by the nodes that are there: where there are none, none are asked for.
    for group in cluster()["spec"]["workerGroupSpecs"]:
        assert 1 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
