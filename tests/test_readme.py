"""What the README shows is what happens."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import hpo
from hpo import studyfile
from hpo.cli import app
from hpo.errors import StudyFileError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """What is to be typed after a prompt, without comments."""
    lines = "".join(blocks("sh", text)).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("hpo ")]


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
    file = tmp_path / "mine.yaml"
    (study,) = (text for text in blocks("yaml") if text.startswith("name: mine"))
    file.write_text(study)
    result = hpo.run(file, trials=3, overrides={"tracking.uri": "none"}, inline=True, home=home)
    assert result.done
    config = hpo.load_best("mine", home.root)
    assert type(config).__name__ == "Config"
    assert config.learning_rate == result.best.config["learning_rate"]


def test_packs_are_set_as_shown(tmp_path):
    (setting,) = (text for text in blocks("yaml") if text.startswith("resources:"))
    file = tmp_path / "packs.yaml"
    for pack, expected in (("auto", "auto"), ("off", "off"), ("8", 8)):
        written = setting.replace("pack: auto", f"pack: {pack}").strip()
        file.write_text(re.sub("^resources:.*$", written, blocks("yaml")[0], flags=re.MULTILINE))
        assert studyfile.load(file).file.resources.pack == expected


def test_the_result_can_be_used_as_shown(tmp_path, home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPO_HOME", str(home.root))
    smaller = {"space.epochs": "1"}
    hpo.run("digits", trials=2, overrides=smaller, inline=True)
    assert hpo.promote("digits").promoted
    untracked = {**smaller, "tracking.uri": "none"}
    front = hpo.run("trade_off", trials=3, overrides=untracked, inline=True).front
    shown = [words for words in commands(README) if words[1] == "best"]
    assert len(shown) >= 5
    for words in shown:
        arguments = [str(front[0].number) if word == "N" else word for word in words[1:]]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    assert Path("best.env").read_text().startswith("HPO__")


def test_every_command_is_in_the_table():
    shown = set(re.findall(r"`hpo ([a-z]+)", README))
    assert set(get_command(app).commands) <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_have_the_options_they_are_shown_with(page):
    known = get_command(app).commands
    text = page.read_text()
    shown = [shlex.join(words) for words in commands(text)]
    shown += re.findall(r"`(hpo [a-z][^`]*)`", text)
    for line in shown:
        name = line.split()[1].rstrip(",")
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", line)) <= options, line


def test_options_in_the_table_are_of_their_command():
    known = get_command(app).commands
    for name, rest in re.findall(r"^\| `hpo ([a-z]+)[^|]*\| (.*) \|$", README, re.MULTILINE):
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, name


def test_every_shipped_file_is_in_the_tables():
    for folder in ("search_spaces", "studies"):
        for file in (ROOT / folder).glob("*.yaml"):
            assert f"| `{file.stem}` |" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found.read_text()), target


def anchors(text: str) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in ("README.md", "CONTRIBUTING.md"):
        shown = re.findall(r"^make ([a-z]+)", (ROOT / page).read_text(), re.MULTILINE)
        assert set(shown) <= set(targets)
