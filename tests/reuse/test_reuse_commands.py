"""The commands that put a result to use."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from hpo.bundle import newest
from hpo.cli import app
from hpo.home import Home


@pytest.fixture
def hpo(done: Home, monkeypatch):
    monkeypatch.setenv("HPO_HOME", str(done.root))

    def call(*arguments: str, code: int = 0) -> str:
        ran = CliRunner().invoke(app, list(arguments))
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        assert ran.exit_code == code, ran.output
        return ran.stdout

    return call


def test_promote_says_how_to_use_it(hpo):
    said = hpo("promote", "iris")
    assert "iris@champion is version 1 of the registered model 'iris'" in said
    assert "mlflow models serve -m models:/iris@champion" in said


def test_best_takes_an_alias_and_a_folder_with_all_its_flags(hpo, done):
    hpo("promote", "iris")
    plain = hpo("best", "iris", "--format", "json")
    for reference in ("iris@champion", str(newest(done.study("iris").bundles))):
        assert hpo("best", reference, "--format", "json") == plain
        moved = json.loads(hpo("best", reference, "--format", "json", "--batch-size", "32"))
        assert moved["batch_lr"]["batch_size"] == 32


def test_reproduce_says_whether_it_is_met(hpo):
    said = hpo("reproduce", "iris")
    assert "run 1 of 1" in said and "the same to the last digit" in said
    assert "nothing differs in code, packages and data" in said


def test_what_is_not_promoted_ends_with_1(hpo, done, tmp_path, write_iris):
    from hpo.study import run

    hpo("promote", "iris")
    other = {"sampler": "random", "trials": 1, "seed": 99}
    run(write_iris(tmp_path, "other", search=other), inline=True, home=done)
    said = hpo("promote", "other", "--model", "iris", code=1)
    assert "beside the present iris@champion:" in said and "--force replaces it" in said
    assert "version 2" in hpo("promote", "other", "--model", "iris", "--alias", "next")
