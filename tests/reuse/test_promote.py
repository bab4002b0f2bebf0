"""From a finished study to the model registry and back."""

from __future__ import annotations

import json
import os
import pickletools
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import hpo
from hpo.bundle import newest, open_bundle
from hpo.errors import InputError
from hpo.home import Home
from hpo.reuse.promote import Promotion, promote
from hpo.study import run

ROOT = Path(__file__).parents[2]
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.9, 3.0, 4.2, 1.5]]


@pytest.fixture(scope="module")
def champion(done: Home) -> Promotion:
    return promote("iris", home=done)


def model_folder(home: Home) -> Path:
    (found,) = home.artifacts.glob("*/artifacts/models/*")
    return found


def test_the_first_takes_the_alias_as_it_comes(champion, done):
    assert champion.promoted and champion.comparison is None and champion.served
    again = promote("iris", home=done)
    assert (again.version, again.promoted, again.comparison) == (champion.version, True, None)


def test_the_bundle_lies_in_the_model(champion, done):
    assert open_bundle(model_folder(done) / "bundle").identity == champion.identity


def test_what_is_registered_says_what_it_is(champion, done):
    from mlflow import MlflowClient

    version = MlflowClient(done.tracking_uri).get_model_version_by_alias("iris", "champion")
    assert version.tags["hpo.bundle"] == champion.identity
    assert version.tags["hpo.metric.val_loss"].endswith("(n = 1)")
    assert version.description.startswith("Trial ") and version.run_id


# What a tensor in torch's own format is made of; it is loaded by an unpickler that knows no other.
TENSORS_ONLY = {
    "torch._utils _rebuild_tensor_v2",
    "torch FloatStorage",
    "collections OrderedDict",
    "torch.storage UntypedStorage",
    "torch._utils _rebuild_tensor_v3",
    "torch float32",
}


def test_nothing_in_the_model_is_a_pickle_that_runs_code(champion, done):
    """The network's own tensors are raw bytes; only the rows it was traced with are in torch's
    format for tensors."""
    files = [path for path in model_folder(done).rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {
        "", ".json", ".pt2", ".safetensors", ".txt", ".yaml",
    }  # fmt: skip
    with zipfile.ZipFile(model_folder(done) / "data" / "model.pt2") as archive:
        for name in archive.namelist():
            if name.endswith("_config.json"):
                entries = json.loads(archive.read(name))["config"].values()
                assert not any(entry["use_pickle"] for entry in entries)
        (traced,) = [name for name in archive.namelist() if "sample_inputs" in name]
        with archive.open(traced) as inner, zipfile.ZipFile(inner) as rows:
            (pickled,) = [name for name in rows.namelist() if name.endswith("data.pkl")]
            opcodes = pickletools.genops(rows.read(pickled))
            assert {arg for op, arg, _ in opcodes if op.name == "GLOBAL"} <= TENSORS_ONLY


def test_mlflow_loads_it_with_pickle_forbidden(champion, done, monkeypatch):
    import mlflow.pytorch

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    loaded = mlflow.pytorch.load_model(str(model_folder(done)))
    ours = hpo.load_model("iris@champion", done)
    for n in (1, 3):
        rows = torch.tensor(ROWS[:n])
        assert torch.equal(loaded(rows), ours(rows))


@contextmanager
def served(home: Home, log: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {
        **os.environ,
        "MLFLOW_TRACKING_URI": home.tracking_uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "OMP_NUM_THREADS": "1",
        # MLflow runs uvicorn by its name: as in a virtual environment that is activated.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/iris@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{url}/ping", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_mlflow_serves_it(champion, done, tmp_path):
    with served(done, tmp_path / "log") as url:
        request = urllib.request.Request(
            f"{url}/invocations",
            json.dumps({"inputs": ROWS}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)["predictions"]
    expected = hpo.load_model("iris@champion", done)(torch.tensor(ROWS))
    np.testing.assert_allclose(np.array(found), expected.numpy(), rtol=1e-5, atol=1e-6)


def fresh(code: str, home: Home, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HPO_HOME": str(home.root), "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
    )


def test_production_needs_neither_ray_nor_optuna(champion, done):
    ran = fresh(
        "import sys, hpo, torch\n"
        "config = hpo.load_best('iris@champion')\n"
        "model = hpo.load_model('iris@champion')\n"
        "print(type(config).__name__, tuple(model(torch.zeros(5, 4)).shape))\n"
        "print([m for m in ('ray', 'optuna') if m in sys.modules])",
        done,
    )
    assert (ran.stdout.splitlines(), ran.stderr) == (["TrainConfig (5, 3)", "[]"], "")


def test_another_machine_fetches_it_and_checks_it(champion, done, tmp_path):
    elsewhere = Home(tmp_path / "elsewhere")
    config = hpo.load_best("iris@champion", elsewhere, tracking_uri=done.tracking_uri)
    assert config == hpo.load_best("iris", done)
    cached = elsewhere.bundles / champion.identity
    weights = cached / "weights.safetensors"
    weights.chmod(0o644)
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(InputError, match=r"weights\.safetensors is not what was bundled"):
        hpo.load_model("iris@champion", elsewhere, tracking_uri=done.tracking_uri)


def test_the_address_comes_from_the_environment_first(champion, done, tmp_path):
    code = "import hpo; print(hpo.load_best('iris@champion').epochs)"
    elsewhere = Home(tmp_path / "elsewhere")
    assert fresh(code, elsewhere, MLFLOW_TRACKING_URI=done.tracking_uri).stdout == "2\n"
    ran = fresh(code, elsewhere)
    assert "there is no MLflow store" in ran.stderr


def test_a_bundle_in_the_wrong_place_is_refused(champion, done, tmp_path):
    from mlflow import MlflowClient

    MlflowClient(done.tracking_uri).set_model_version_tag(
        "iris", champion.version, "hpo.bundle", "0" * 64
    )
    try:
        with pytest.raises(InputError, match=r"is bundle [0-9a-f]{12}, and not 000000000000"):
            hpo.load_best("iris@champion", Home(tmp_path), tracking_uri=done.tracking_uri)
    finally:
        MlflowClient(done.tracking_uri).set_model_version_tag(
            "iris", champion.version, "hpo.bundle", champion.identity
        )
        shutil.rmtree(tmp_path / "bundles")


def test_an_alias_that_nobody_holds_is_told(champion, done):
    for reference in ("iris@other", "unknown@champion"):
        with pytest.raises(InputError, match=f"the model registry has no {reference}"):
            hpo.load_best(reference, done)


@pytest.mark.parametrize("alias", ["latest", "v3", "", "Upper", "a b", "x" * 65])
def test_an_alias_that_mlflow_would_misread_is_refused(done, alias):
    with pytest.raises(InputError, match="an alias is"):
        promote("iris", alias, home=done)


# -- beside a holder --------------------------------------------------------------------------


def test_what_is_not_better_beyond_noise_needs_force(tmp_path, write_iris):
    home = Home(tmp_path / "home")
    first = run(write_iris(tmp_path), inline=True, home=home)
    promote("iris", home=home)
    total = 2
    while run(write_iris(tmp_path), trials=total, inline=True, home=home).best == first.best:
        total += 1
    kept = promote("iris", home=home)
    assert not kept.promoted and not kept.comparison.is_better
    said = "\n".join(kept.comparison.lines())
    assert "batch_lr.base_lr: " in said and "learning_rate: " in said
    assert "val_loss: " in said and "cannot be judged: n = 1" in said
    assert hpo.load_best("iris@champion", home).model_dump(mode="json", exclude_unset=True) == dict(
        first.best.config
    ), "the holder stays"
    taken = promote("iris", force=True, home=home)
    assert taken.promoted and taken.version == "2"
    assert hpo.load_best("iris@champion", home) == hpo.load_best("iris", home)
    assert promote("iris", "other", home=home).version == "2", "one version for each bundle"


FUNCTION = """
import hpo, torch
from safetensors.torch import save_file
def build(config):
    return torch.nn.Linear(3, 2)
@hpo.model(build, inputs=(3,))
def train(config: dict, trial: hpo.Trial):
    torch.manual_seed(trial.seed)
    save_file(build(config).state_dict(), trial.checkpoint_dir / "model.safetensors")
    return {"loss": config["x"], "other": -config["x"]}
def bare(config: dict, trial: hpo.Trial):
    return {"loss": config["x"]}
"""


def function_study(write_study, tmp_path, **changes):
    (tmp_path / "functions.py").write_text(FUNCTION)
    usual = {
        "trainable": "functions:train",
        "space": {"x": {"low": 0.0, "high": 1.0}},
        "search": {"sampler": "random", "trials": 2},
        "tracking": {"uri": "default"},
    }
    return write_study(**usual | changes)


def test_a_function_s_model_is_registered_too(write_study, home, tmp_path):
    result = run(function_study(write_study, tmp_path), inline=True, home=home)
    assert promote("toy", home=home).served
    model = hpo.load_model("toy@champion", home)
    left = home.study("toy").checkpoint(result.best.number) / "model.safetensors"
    assert torch.equal(model.weight, load_file(left)["weight"])


def test_without_a_model_the_config_alone_is_registered(write_study, home, tmp_path):
    run(function_study(write_study, tmp_path, trainable="functions:bare"), inline=True, home=home)
    done = promote("toy", home=home)
    assert done.promoted and not done.served
    assert hpo.load_best("toy@champion", home) == hpo.load_best("toy", home)
    with pytest.raises(InputError, match="has no weights"):
        hpo.load_model("toy@champion", home)


def test_of_a_pareto_set_one_has_to_be_chosen(write_study, home, tmp_path):
    objective = [{"metric": "loss"}, {"metric": "other"}]
    run(function_study(write_study, tmp_path, objective=objective), inline=True, home=home)
    with pytest.raises(InputError, match="which of its best trials to take is your choice"):
        promote("toy", home=home)
    assert promote("toy", trial=1, home=home).promoted
    assert hpo.load_best("toy@champion", home) == hpo.load_best("toy", home, trial=1)


def test_code_that_is_not_there_is_named_and_need_not_be(write_study, home, tmp_path):
    run(function_study(write_study, tmp_path), inline=True, home=home)
    promote("toy", home=home)
    (tmp_path / "functions.py").rename(tmp_path / "gone.py")
    elsewhere = fresh_study_code(tmp_path / "other", home)
    assert "there is no module 'functions'" in elsewhere and "typed=False" in elsewhere
    found = hpo.load_best("toy@champion", home, typed=False)
    (tmp_path / "code").mkdir()
    (tmp_path / "gone.py").rename(tmp_path / "code" / "functions.py")
    assert hpo.load_best("toy@champion", home, code=tmp_path / "code") == found


def fresh_study_code(elsewhere: Path, home: Home) -> str:
    """What a process says that has neither the study nor its code."""
    code = "import hpo; hpo.load_best('toy@champion')"
    return fresh(code, Home(elsewhere), MLFLOW_TRACKING_URI=home.tracking_uri).stderr


def test_a_study_that_is_not_done_or_not_tracked_is_refused(write_study, home, tmp_path):
    run(function_study(write_study, tmp_path, tracking={"uri": "none"}), inline=True, home=home)
    with pytest.raises(InputError, match="is tracked nowhere"):
        promote("toy", home=home)
    with pytest.raises(InputError, match="there is no study 'other'"):
        promote("other", home=home)


def test_a_study_that_the_tracker_missed_is_published_first(write_study, home, tmp_path):
    from mlflow import MlflowClient

    from hpo.publishing import sync

    run(function_study(write_study, tmp_path), inline=True, home=home)
    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name("toy").experiment_id
    for found in client.search_runs([experiment]):
        client.delete_run(found.info.run_id)
    with pytest.raises(InputError, match="does not have this study's run") as refused:
        promote("toy", home=home)
    assert refused.value.hint == "publish it: hpo sync toy"
    assert sync("toy", home)[1] is None
    assert promote("toy", home=home).promoted


def test_a_result_whose_bundle_was_not_written_is_bundled_first(write_study, home, tmp_path):
    path = function_study(write_study, tmp_path)
    first, total = run(path, inline=True, home=home), 3
    while (last := run(path, trials=total, inline=True, home=home)).best == first.best:
        total += 1
    bundles = home.study("toy").bundles
    shutil.rmtree(newest(bundles))  # as when the run had ended between its result and the bundle
    assert open_bundle(newest(bundles)).contents.trial == first.best.number
    promote("toy", home=home)
    assert hpo.load_best("toy@champion", home) == last.best.config
    assert open_bundle(newest(bundles)).contents.trial == last.best.number


def test_what_was_bundled_is_promoted_without_its_checkpoints(write_study, home, tmp_path):
    result = run(function_study(write_study, tmp_path), inline=True, home=home)
    shutil.rmtree(home.study("toy").checkpoint(result.best.number))
    assert promote("toy", home=home).served
    assert [path.name for path in home.study("toy").bundles.iterdir()] == ["0001"]
