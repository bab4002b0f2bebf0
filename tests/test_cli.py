"""The commands, each as a process of its own, as people run them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
HPO = Path(sys.executable).parent / "hpo"

# What must never reach a user's terminal.
CHATTER = ("Traceback", "raylet", "ray::", "(pid=", "alembic", "INFO", "Warning")


def hpo(*args: object, home: Path, code: int = 0, cwd: Path = ROOT) -> str:
    """Runs a command, checks its exit code, and returns all it printed."""
    done = subprocess.run(
        [HPO, *map(str, args)],
        env={**os.environ, "HPO_HOME": str(home), "COLUMNS": "200"},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == code, done.stdout
    assert not [word for word in CHATTER if word in done.stdout], done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a small study of the built-in trainer has run to its end, on Ray."""
    home = tmp_path_factory.mktemp("home")
    said = hpo("run", "digits", *small_settings(), home=home)
    assert "study digits is complete: 6 trials" in said
    assert "test_error" in said
    return home


def small_settings() -> list[str]:
    return [
        *("--trials", "6", "--set", "space.epochs=4", "--set", "pruner={kind: none}"),
        *("--set", "final={top_k: 2, repeats: 2}"),
    ]


def test_validate_shows_the_space(tmp_path):
    said = hpo("validate", "digits", home=tmp_path)
    assert "digits: valid" in said and "batch_lr.base_lr" in said


def test_validate_shows_every_mistake_with_its_place_and_exits_with_2(tmp_path):
    text = (ROOT / "studies" / "digits.yaml").read_text()
    text = text.replace("epochs: 20", "epoch: 20").replace("sampler: tpe", "sampler: tpee")
    broken = tmp_path / "broken.yaml"
    broken.write_text(text)
    said = hpo("validate", broken, home=tmp_path, code=2)
    rows = said.splitlines()
    assert len(rows) == 2
    epoch = next(i for i, line in enumerate(text.splitlines(), 1) if "epoch:" in line)
    assert rows[0] == (
        f"{broken}:{epoch}:3: space.epoch: there is no 'epoch'; did you mean 'epochs'?"
    )
    assert "search.sampler: must be 'grid', 'random', 'qmc', 'tpe', 'gp'," in rows[1]


def test_a_study_that_is_not_there(tmp_path):
    assert "did you mean 'digits'?" in hpo("run", "digit", home=tmp_path, code=2)
    for command in ("status", "best"):
        assert "there is no study 'digits'" in hpo(command, "digits", home=tmp_path, code=2)


@pytest.mark.parametrize("name", ["../up", "UPPER", "a b", ""])
def test_a_name_cannot_leave_the_home(tmp_path, name):
    assert "1 to 64 of a-z 0-9 - _" in hpo("status", name, home=tmp_path, code=2)


def test_plan_runs_nothing(tmp_path):
    said = hpo("plan", "grid", home=tmp_path)
    assert "the grid has" in said and "the first" in said and "cost:" in said
    assert list(tmp_path.iterdir()) == []


def test_running_again_says_complete_and_shows_the_same(small):
    again = hpo("run", "digits", *small_settings(), home=small)
    assert again == hpo("run", "digits", *small_settings(), home=small)
    assert "study digits is complete: 6 trials" in again


def test_another_space_under_the_same_name_is_refused_and_shown(small):
    said = hpo("run", "digits", "--trials", "6", "--set", "space.epochs=5", home=small, code=2)
    assert "there is a study 'digits' with other settings" in said
    assert "space.epochs: 4 -> 5" in said
    assert "give this one another name" in said


def test_list_and_status(small):
    assert "6/6" in hpo("list", home=small)
    said = hpo("status", "digits", home=small)
    assert "complete" in said and "val_error" in said


def test_best_in_every_format(small, tmp_path):
    from_yaml = YAML(typ="safe").load(hpo("best", "digits", home=small))
    from_json = json.loads(hpo("best", "digits", "--format", "json", home=small))
    assert from_yaml == from_json
    file = tmp_path / "best.env"
    hpo("best", "digits", "--format", "env", "--out", file, home=small)
    shell = f". {file}; echo $HPO__EPOCHS $HPO__BATCH_LR__BASE_LR"
    sourced = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    epochs, base_lr = sourced.stdout.split()
    assert (int(epochs), float(base_lr)) == (4, from_json["batch_lr"]["base_lr"])


def test_best_moves_to_another_batch_size_and_says_what_changed(small):
    config = json.loads(hpo("best", "digits", "--format", "json", home=small))
    batch = config["batch_lr"]["batch_size"]
    said = hpo("best", "digits", "--format", "json", "--batch-size", 8 * batch, home=small)
    assert f"batch_lr.batch_size: {batch} -> {8 * batch}" in said
    rates = next(line for line in said.splitlines() if line.startswith("learning_rate: "))
    before, after = rates.removeprefix("learning_rate: ").split(" -> ")
    assert float(after) == pytest.approx(8 * float(before))


def test_schema_and_parts(tmp_path):
    assert json.loads(hpo("schema", home=tmp_path))["properties"]["space"]
    said = hpo("parts", "optimizer", home=tmp_path)
    assert "momentum" in said and "[0, 1)" in said and "adamw" in said
    said = " ".join(hpo("parts", "model", home=tmp_path).split())
    assert "none | batch | layer | weight" in said and "hpo.train" not in said
    assert "did you mean 'optimizer'?" in hpo("parts", "optimiser", home=tmp_path, code=2)


def test_home_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    said = hpo("run", "grid", "--inline", home=tmp_path / "file" / "home", code=2)
    assert "cannot be written" in said and "HPO_HOME" in said


def test_gpu_that_is_not_there(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    said = hpo("run", "grid", "--set", "resources.gpus=1", home=tmp_path, code=2)
    assert "resources.gpus asks for 1 a worker, this machine has 0" in said


def test_ui_on_a_busy_port(small):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = hpo("ui", "--port", port, home=small, code=2)
    assert str(port) in said and "--port" in said


def test_ui_of_an_empty_home(tmp_path):
    assert "there is no MLflow store" in hpo("ui", home=tmp_path, code=2)


def test_missing_data_is_told_before_the_first_trial(tmp_path):
    data = "space.data={kind: csv, path: gone.csv, target: y}"
    said = hpo("run", "wine", "--inline", "--set", data, home=tmp_path, code=2)
    assert "gone.csv" in said
    assert not (tmp_path / "studies" / "wine" / "trials").exists()


def test_a_bad_override(tmp_path):
    assert "--set takes path=value" in hpo("plan", "digits", "--set", "x", home=tmp_path, code=2)
    said = hpo("plan", "digits", "--set", "search.trials=many", home=tmp_path, code=2)
    assert "--set search.trials=many" in said and "must be a whole number, got 'many'" in said
