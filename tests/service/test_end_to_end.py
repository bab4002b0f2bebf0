"""From a study file to a model in the registry, by the commands alone, as the README has them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

from service_site import ROOT, Site


def in_a_terminal_that_closes(site: Site, *arguments: str) -> str:
    """Runs a command in a terminal of its own, which is closed as soon as the command is done."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(site.root)
        os.execvpe(sys.executable, site.command(*arguments), {**os.environ, **site.variables()})
    said = b""
    while True:
        try:
            more = os.read(terminal, 4096)
        except OSError:  # how Linux tells that nobody writes any more
            break
        if not more:
            break
        said += more
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said.decode()
    return said.decode()


def test_submit_walk_away_watch_promote_load(site):
    assert "MLflow" in site.hpo("up")
    said = in_a_terminal_that_closes(site, "submit", str(ROOT / "studies" / "digits.yaml"))
    assert "digits" in said and "http://127.0.0.1:" in said

    assert "complete" in site.hpo("watch", "digits")
    assert "finished" in site.hpo("list")
    assert "champion" in site.hpo("promote", "digits")

    code = (
        "import json, sys, hpo\n"
        "config = hpo.load_best('digits@champion')\n"
        "assert not {'ray', 'optuna'} & sys.modules.keys()\n"
        "print(json.dumps([type(config).__name__, config.model_dump(mode='json')]))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=site.root,
        env={**os.environ, **site.variables()},
        capture_output=True,
        text=True,
    )
    assert loaded.returncode == 0, loaded.stderr
    name, config = json.loads(loaded.stdout)
    assert name == "TrainConfig"
    best = json.loads(site.hpo("best", "digits", "--format", "json"))
    assert config["batch_lr"]["base_lr"] == best["batch_lr"]["base_lr"]
    assert "the service is down" in site.hpo("down")
    assert site.processes() == []
