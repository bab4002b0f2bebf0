"""The model registry of a real MLflow server, as production on another machine sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import hpo
from hpo.bundle import newest, open_bundle
from hpo.errors import HpoError, InputError
from hpo.home import Home
from hpo.reuse.promote import promote
from hpo.study import run
from hpo.track.registry import Network, Registry, Version
from hpo.track.server import free_port
from hpo.track.ui import serve

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
def promoted(
    tmp_path_factory: pytest.TempPathFactory, make_home: Callable[[Path], Home]
) -> Iterator[tuple[str, Home]]:
    """The address of a server, and a home whose study was promoted there."""
    folder = tmp_path_factory.mktemp("registry")
    with serve(make_home(folder / "server"), port=free_port()) as ui:
        path = folder / "iris.yaml"
        path.write_text(json.dumps(IRIS | {"tracking": {"uri": ui.url}}))
        home = Home(folder / "home")
        run(path, inline=True, home=home)
        assert promote("iris", home=home).promoted
        yield ui.url, home


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
