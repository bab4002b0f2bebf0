"""The commands that show what a study came to, on studies that have run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

import hpo
from hpo.cli import app
from hpo.errors import InputError
from hpo.home import Home

SEVERAL = '''
import hpo

def train(config: dict, trial: hpo.Trial) -> dict[str, float]:
    """Small error at the cost of speed, and the other way round."""
    return {"error": config["x"], "speed": 10 * config["x"], "loss": 1.0}
'''

Command = Callable[..., Result]


@pytest.fixture
def command(home: Home, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("HPO_HOME", str(home.root))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: object) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args])

    return run


@pytest.fixture
def several(write_study: Any, home: Home, tmp_path: Path) -> None:
    """A study of two objectives, all of whose four trials are in the Pareto set."""
    (tmp_path / "several.py").write_text(SEVERAL)
    study = write_study(
        name="several",
        trainable="several:train",
        space={"x": {"choices": [0.1, 0.2, 0.3, 0.4]}},
        objective=[{"metric": "error"}, {"metric": "speed", "direction": "maximize"}],
        search={"sampler": "grid"},
    )
    hpo.run(study, inline=True, home=home)


def test_the_pareto_set_is_listed_and_one_of_it_printed(several: None, command: Command) -> None:
    listed = YAML(typ="safe").load(command("best", "several").stdout)
    assert [sorted(entry) for entry in listed] == [["config", "trial", "values"]] * 4
    for entry in listed:
        alone = command("best", "several", "--trial", entry["trial"])
        assert YAML(typ="safe").load(alone.stdout) == entry["config"]
        assert entry["values"]["error"] == entry["config"]["x"]


def test_a_format_for_one_config_asks_which(several: None, command: Command) -> None:
    refused = command("best", "several", "--format", "env").exception
    assert isinstance(refused, InputError) and "trial 3: error" in refused.hint
    assert "HPO__X=" in command("best", "several", "--format", "env", "--trial", 3).stdout


def test_the_set_goes_to_a_file_as_one_config_does(
    several: None, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "front.json"
    said = command("best", "several", "--format", "json", "--out", file)
    assert said.stdout == "" and f"wrote {file}" in said.stderr
    assert len(YAML(typ="safe").load(file.read_text())) == 4


def test_list_and_status_tell_the_size_of_the_set(several: None, command: Command) -> None:
    assert "4 trials in the Pareto set" in command("list").stdout
    said = command("status", "several").stdout
    assert "Pareto set: 4 trials" in said and "workers' time" in said


def test_what_the_tracker_missed_is_published_on_demand(
    write_study: Any, home: Home, command: Command
) -> None:
    study = write_study(search={"sampler": "random", "trials": 2}, tracking={"uri": "default"})
    hpo.run(study, inline=True, home=home)
    (home.root / "mlflow.db").unlink()
    said = command("sync", "toy")
    assert (said.exit_code, said.stdout) == (0, "the tracker shows 2 trials of study toy\n")


def test_a_tracker_that_is_still_away_is_told_with_the_exit_code(
    write_study: Any, home: Home, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    hpo.run(write_study(search={"sampler": "random", "trials": 2}), inline=True, home=home)
    monkeypatch.setattr("hpo.publishing.sync", lambda name: (2, "nobody there"))
    said = command("sync", "toy")
    assert said.exit_code == 1 and "the tracker is still behind: nobody there" in said.stdout
