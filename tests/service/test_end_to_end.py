"""From a study file to a model in the registry, by the commands alone, as the README has them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import psycopg
import pytest
from service_site import ROOT, Site

STUDY = str(ROOT / "studies" / "digits.yaml")

SMALLER = [
    *("--trials", "8", "--set", "space.epochs=4", "--set", "resources.workers=1"),
    *("--set", "final.top_k=2", "--set", "final.repeats=2"),
]


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


def loaded(site: Site) -> tuple[str, dict[str, object]]:
    """The champion's type and config, in a Python that loads neither Ray nor Optuna."""
    code = (
        "import json, sys, hpo\n"
        "config = hpo.load_best('digits@champion')\n"
        "assert not {'ray', 'optuna'} & sys.modules.keys()\n"
        "print(json.dumps([type(config).__name__, config.model_dump(mode='json')]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=site.root,
        env={**os.environ, **site.variables()},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    name, config = json.loads(ran.stdout)
    return name, config


def rows(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert found is not None
        return int(found[0])


@pytest.mark.parametrize("store", ["files", "postgresql"])
def test_submit_walk_away_watch_promote_load(store, tmp_path, request):
    site, up, of_study = Site(tmp_path), [], SMALLER
    if store == "postgresql":
        server = request.getfixturevalue("postgres")
        server.create("mlflow_end_to_end")
        server.create("record_end_to_end")
        up = ["--store", server.url_of("mlflow_end_to_end")]
        of_study = [*SMALLER, "--set", f"storage={server.url_of('record_end_to_end')}"]
    try:
        assert "MLflow" in site.hpo("up", *up)
        said = in_a_terminal_that_closes(site, "submit", STUDY, *of_study)
        assert "digits" in said and "http://127.0.0.1:" in said

        assert "complete" in site.hpo("watch", "digits")
        assert "finished" in site.hpo("list")
        assert "champion" in site.hpo("promote", "digits")

        name, config = loaded(site)
        assert name == "TrainConfig"
        best = json.loads(site.hpo("best", "digits", "--format", "json"))
        assert config["batch_lr"]["base_lr"] == best["batch_lr"]["base_lr"]
        if store == "postgresql":
            assert rows(server.url_of("mlflow_end_to_end"), "runs") > 8
            assert not (site.home.root / "mlflow.db").exists()
            assert not (site.home.study("digits").journal).exists()
    finally:
        said = site.hpo("down")
    assert "the service is down" in said
    assert site.processes() == []
