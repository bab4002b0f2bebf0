"""The model registry of a real MLflow server, as production on another machine sees it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import hpo
from hpo.bundle import newest, open_bundle, write_bundle
from hpo.errors import HpoError, InputError
from hpo.home import Home
from hpo.reuse.promote import promote
from hpo.study import run
from hpo.track.registry import Network, Registry, Version
from hpo.track.server import free_port
from hpo.track.ui import Ui

IRIS = {
    "name": "iris",
    "trainable": "builtin",
    "space": {
        "data": {"kind": "sklearn", "name": "iris"},
        "model": {"kind": "mlp", "widths": [4]},
        "epochs": 1,
        "batch_lr": {"batch_size": 16, "base_lr": {"low": 0.1, "high": 1.0}},
    },
    "objective": {"metric": "val_loss"},
    "search": {"sampler": "random", "trials": 1},
}


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory, server: tuple[Ui, Home]) -> tuple[str, Home]:
    """The address of a server, and a home whose study was promoted there."""
    ui, _ = server
    folder = tmp_path_factory.mktemp("registry")
    path = folder / "iris.yaml"
    path.write_text(json.dumps(IRIS | {"tracking": {"uri": ui.url}}))
    home = Home(folder / "home")
    run(path, inline=True, home=home)
    assert promote("iris", home=home).promoted
    return ui.url, home


def bundle_of(home: Home):
    path = newest(home.study("iris").bundles)
    assert path is not None
    return open_bundle(path)


def test_another_machine_gets_the_same_bundle(promoted, tmp_path):
    url, home = promoted
    registry = Registry(url)
    holder = registry.holder("iris", "champion")
    assert holder is not None and holder.identity == bundle_of(home).identity
    assert registry.fetch(holder, tmp_path).identity == holder.identity
    assert [path.name for path in tmp_path.iterdir()] == [holder.identity], "nothing half fetched"


def test_what_nobody_holds_is_none(promoted):
    registry = Registry(promoted[0])
    assert registry.holder("iris", "other") is None
    assert registry.holder("unknown", "champion") is None


def test_mlflow_loads_the_model_by_its_alias(promoted, tmp_path, monkeypatch):
    url, _ = promoted
    code = (
        "import mlflow, mlflow.pytorch, torch\n"
        "model = mlflow.pytorch.load_model('models:/iris@champion')\n"
        "print(model(torch.ones(3, 4)).tolist())"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    ours = hpo.load_model("iris@champion", Home(tmp_path / "home"))(torch.ones(3, 4))
    assert torch.allclose(torch.tensor(json.loads(ran.stdout)), ours)


def test_the_bundle_of_the_study_s_run_is_the_same(promoted, tmp_path):
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    url, _ = promoted
    client = MlflowClient(url)
    experiment = client.get_experiment_by_name("iris").experiment_id
    (parent,) = client.search_runs([experiment], "tags.`hpo.bundle` != ''")
    uri = f"runs:/{parent.info.run_id}/bundle/0001"
    found = download_artifacts(uri, dst_path=str(tmp_path), tracking_uri=url)
    assert open_bundle(Path(found)).identity == parent.data.tags["hpo.bundle"]


def test_a_version_of_somebody_else_s_is_told(promoted):
    from mlflow import MlflowClient

    client = MlflowClient(promoted[0])
    client.create_registered_model("theirs")
    client.create_model_version("theirs", "s3://bucket/model")
    client.set_registered_model_alias("theirs", "champion", "1")
    with pytest.raises(InputError, match="has no bundle of hpo"):
        Registry(promoted[0]).holder("theirs", "champion")


@pytest.mark.parametrize("tag", ["../../outside", "A" * 64, "a" * 63, "/etc"])
def test_a_tag_that_is_no_digest_is_no_bundle(promoted, tag):
    from mlflow import MlflowClient

    client = MlflowClient(promoted[0])
    model = f"climbing-{len(tag)}"
    client.create_registered_model(model)
    client.create_model_version(model, "s3://bucket/model", tags={"hpo.bundle": tag})
    client.set_registered_model_alias(model, "champion", "1")
    with pytest.raises(InputError, match="has no bundle of hpo"):
        Registry(promoted[0]).holder(model, "champion")


@pytest.fixture
def upload(promoted, tmp_path):
    """Puts a changed copy of the bundle where artifacts are, and tells what a registry would."""
    from mlflow import MlflowClient

    url, home = promoted
    client = MlflowClient(url)
    experiment = client.get_experiment_by_name("iris").experiment_id
    parent = client.search_runs([experiment], "tags.`hpo.bundle` != ''")[0].info

    def upload(name: str, change: Callable[[Path], None]) -> Version:
        bundle, changed = bundle_of(home), tmp_path / name / "bundle"
        shutil.copytree(bundle.folder, changed, copy_function=shutil.copyfile)
        change(changed)
        client.log_artifacts(parent.run_id, str(changed.parent), name)
        return Version("iris", "7", bundle.identity, f"{parent.artifact_uri}/{name}")

    return upload


def longer(folder: Path) -> None:
    with (folder / "study.yaml").open("a") as file:
        file.write("# and more" * 1000)


def other(folder: Path) -> None:
    path = folder / "study.yaml"
    path.write_text(path.read_text().replace("iris", "sepa"))


def described(folder: Path) -> None:
    """A bundle that is right in itself, and another one."""
    contents = open_bundle(folder).contents
    shutil.rmtree(folder)
    write_bundle(folder, contents, "name: other\n", None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (longer, "has a study.yaml of 1"),
        (other, r"study\.yaml is not what was bundled"),
        (described, "is bundle [0-9a-f]{12}, and not"),
        (lambda folder: (folder / "manifest.json").unlink(), r"has no manifest\.json"),
        (lambda folder: (folder / "bundle.json").unlink(), r"has no bundle\.json"),
    ],
    ids=["longer", "changed", "another", "no-manifest", "missing"],
)
def test_what_was_changed_in_the_store_is_refused_and_not_kept(
    promoted, upload, tmp_path, request, change, words
):
    version = upload(request.node.callspec.id, change)
    into = tmp_path / "fetched"
    with pytest.raises(InputError, match=words):
        Registry(promoted[0]).fetch(version, into)
    assert list(into.iterdir()) == []


def test_a_copy_that_was_damaged_here_is_told(promoted, tmp_path):
    registry = Registry(promoted[0])
    holder = registry.holder("iris", "champion")
    copy = registry.fetch(holder, tmp_path).folder
    (copy / "more.txt").write_text("")
    with pytest.raises(InputError, match="is not in the manifest") as refused:
        registry.fetch(holder, tmp_path)
    assert refused.value.hint == f"remove {copy}: it is a copy, and is fetched again"
    shutil.rmtree(copy)
    assert registry.fetch(holder, tmp_path).identity == holder.identity


def test_a_store_of_artifacts_that_refuses_is_told(promoted, tmp_path):
    nowhere = f"{promoted[0]}/nowhere/mlflow-artifacts/artifacts/model"
    with pytest.raises(HpoError, match="the model registry did not do it: 404"):
        Registry(promoted[0]).fetch(Version("iris", "1", "a" * 64, nowhere), tmp_path)


def test_a_model_that_cannot_be_exported_is_refused(promoted):
    class Data(torch.nn.Module):
        def forward(self, x):
            return x if x.sum().item() > 0 else -x  # what happens depends on the values

    bundle = bundle_of(promoted[1])
    network = Network(Data(), torch.ones(2, 4).numpy())
    with pytest.raises(InputError, match="the model cannot be exported"):
        Registry(promoted[0]).register("other", bundle, network, {}, "")


def test_a_registry_that_does_not_answer_is_told():
    gone = Registry(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(HpoError, match="the model registry did not do it"):
        gone.set_alias(Version("iris", "1", "", ""), "champion")
