"""What the README shows is what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.main import get_command

import hpo
from hpo import studyfile
from hpo.cli import app
from hpo.errors import StudyFileError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_study_file_is_valid(tmp_path):
    file = tmp_path / "my-digits.yaml"
    file.write_text(blocks("yaml")[0])
    assert studyfile.load(file).name == "my-digits"


def test_its_mistakes_are_told_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = blocks("yaml")[0].replace("  epochs: 10", "  epoch: 10").replace("0.99}", "1.0}", 1)
    Path("my-digits.yaml").write_text(text)
    with pytest.raises(StudyFileError) as told:
        studyfile.load("my-digits.yaml")
    assert str(told.value) == blocks("text")[0].strip()


def test_the_function_can_be_searched_and_its_best_config_loaded(tmp_path, home):
    (tmp_path / "mine.py").write_text(blocks("python")[0])
    study = {
        "name": "mine",
        "trainable": "mine:train",
        "space": {"learning_rate": {"low": 0.01, "high": 0.5, "log": True}, "width": 8},
        "objective": {"metric": "loss"},
        "search": {"sampler": "random", "trials": 3},
        "tracking": {"uri": "none"},
    }
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(study))
    result = hpo.run(file, inline=True, home=home)
    assert result.done
    config = hpo.load_best("mine", home.root)
    assert type(config).__name__ == "Config"
    assert config.learning_rate == result.best.config["learning_rate"]


def test_every_command_is_in_the_table():
    shown = set(re.findall(r"`hpo ([a-z]+)", README))
    assert set(get_command(app).commands) <= shown


def test_every_shipped_file_is_in_the_tables():
    for folder in ("search_spaces", "studies"):
        for file in (ROOT / folder).glob("*.yaml"):
            assert f"| `{file.stem}` |" in README


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE)) <= set(targets)
