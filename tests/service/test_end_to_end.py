"""From a study file to a model in the registry, by the commands alone, as the README has them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HPO = [sys.executable, "-c", "from hpo.cli import main; main()"]


class Shell:
    """Somebody's shell in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.environment = kept | {"HPO_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}

    def hpo(self, *arguments: str, seconds: float = 240) -> str:
        ran = subprocess.run(
            [*HPO, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert ran.returncode == 0, f"hpo {' '.join(arguments)}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def python(self, code: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def in_a_terminal_that_closes(self, *arguments: str) -> str:
        """Runs a command in a terminal of its own, which is closed as soon as it is done."""
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(self.folder)
            os.execvpe(HPO[0], [*HPO, *arguments], self.environment)
        said = b""
        while True:
            try:
                said += (more := os.read(terminal, 4096))
            except OSError:  # how Linux tells that nobody writes any more
                break
            if not more:
                break
        os.close(terminal)
        _, status = os.waitpid(process, 0)
        assert os.waitstatus_to_exitcode(status) == 0, said.decode()
        return said.decode()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    try:
        yield shell
    finally:
        shell.hpo("down")


def test_submit_walk_away_watch_promote_load(shell):
    assert "MLflow" in shell.hpo("up")
    said = shell.in_a_terminal_that_closes("submit", str(ROOT / "studies" / "digits.yaml"))
    assert "digits" in said and "http://127.0.0.1:" in said

    assert "complete" in shell.hpo("watch", "digits")
    assert "finished" in shell.hpo("list")
    assert "champion" in shell.hpo("promote", "digits")

    loaded = shell.python(
        "import json, sys, hpo\n"
        "config = hpo.load_best('digits@champion')\n"
        "assert not {'ray', 'optuna'} & sys.modules.keys()\n"
        "print(json.dumps([type(config).__name__, config.model_dump(mode='json')]))"
    )
    name, config = json.loads(loaded)
    assert name == "TrainConfig"
    best = json.loads(shell.hpo("best", "digits", "--format", "json"))
    assert config["batch_lr"]["base_lr"] == best["batch_lr"]["base_lr"]
