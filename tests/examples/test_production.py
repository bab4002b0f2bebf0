"""The programs of examples/production, one after the other as they are used."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from ruamel.yaml import YAML
from sklearn.datasets import load_digits

import hpo
from hpo import studyfile
from hpo.home import Home

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "production"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Home, list[bool]]]:
    """A home after two nights of a study much smaller than the one shown, and who was promoted."""
    folder = tmp_path_factory.mktemp("production")
    small = YAML(typ="safe").load((EXAMPLES / "digits.yaml").read_text())
    small["space"]["epochs"] = 2
    small["search"]["trials"] = 2
    small["final"] = {"top_k": 2, "repeats": 2}
    (folder / "digits.yaml").write_text(json.dumps(small))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPO_HOME", str(folder / "home"))
        retune = load("retune").retune
        promoted = [retune(folder / "digits.yaml", inline=True) for _ in range(2)]
    yield Home(folder / "home"), promoted


def environment(home: Home) -> dict[str, str]:
    return {
        **os.environ,
        "HPO_HOME": str(home.root),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }


def test_the_study_shown_is_a_valid_one():
    assert studyfile.load(EXAMPLES / "digits.yaml").file.final is not None


def test_each_night_learns_from_the_one_before(home):
    found, promoted = home
    assert [folder.name for folder in found.studies()] == ["digits-000", "digits-001"]
    assert promoted[0], "the first champion"
    second = json.loads(found.study("digits-001").spec.read_text())
    assert second["file"]["search"]["warm_start"] == ["digits-000"]


def test_the_champion_is_of_the_night_that_was_promoted_last(home):
    found, promoted = home
    night = "digits-001" if promoted[1] else "digits-000"
    assert hpo.load_best("digits@champion", found) == hpo.load_best(night, found)


def test_a_script_trains_with_the_champion_s_config(home):
    found, _ = home
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "train.py", "--batch-size", "32", "--epochs", "8"],
        env=environment(found),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "batch size 64 -> 32"
    rate = hpo.load_best("digits@champion", found).batch_lr.learning_rate
    assert lines[1] == f"learning rate {rate:.4g} -> {rate / 2:.4g}"
    assert float(lines[3].rpartition(" ")[2].rstrip("%")) < 30


@pytest.fixture(scope="module")
def url(home: tuple[Home, list[bool]]) -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, EXAMPLES / "serve.py", "--port", "0"],
        env=environment(home[0]),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    said = server.stdout.readline()
    assert "answers on" in said
    yield said.split()[-1]
    server.send_signal(signal.SIGTERM)
    server.wait(30)


def post(url: str, body: object) -> dict[str, object]:
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_the_app_answers_with_the_champion(home, url):
    images = load_digits().images[:20, None].tolist()
    found = post(f"{url}/predict", {"images": images})
    assert len(found["classes"]) == 20 and set(found["classes"]) <= set(range(10))
    assert all(abs(sum(row) - 1) < 1e-4 for row in found["probabilities"])
    assert post(f"{url}/reload", None) == {"reloaded": "digits@champion"}


@pytest.mark.parametrize("body", [{}, {"images": [[1]]}, {"images": "x"}, 3])
def test_the_app_refuses_what_are_no_images(url, body):
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(f"{url}/predict", body)
    assert refused.value.code == 400
