"""A study whose checkpoints are in S3: what its final stage comes to is read from there."""

from __future__ import annotations

import shutil

import pytest
from upath import UPath

import hpo
from hpo import frozen
from hpo.bundle import newest, open_bundle
from hpo.home import Home
from hpo.study import run


@pytest.mark.parametrize("refit", [False, True])
def test_the_winner_is_tested_and_bundled_from_the_store(tmp_path, write_iris, s3, refit):
    bucket = s3.bucket()
    final = {"top_k": 2, "repeats": 2, "refit": refit}
    path, home = write_iris(tmp_path, final=final, checkpoints=bucket), Home(tmp_path / "home")
    local = run(
        write_iris(tmp_path, "local", final=final, checkpoints=str(tmp_path / "shared")),
        inline=True,
        home=home,
    )
    result = run(path, inline=True, home=home)
    winner = result.kept.final.winner
    assert len(winner.test["test_loss"]) == 2
    assert winner.test == local.kept.final.winner.test, "as if it had never been away"

    study = home.study("iris")
    number = result.kept.final.refit if refit else winner.runs[0]
    saved = frozen.open_checkpoints(study, "final").saved(number)
    assert saved is not None and not study.final.checkpoint(number).exists()
    stage = frozen.open_checkpoints(study, "final").store.root
    stored = {
        UPath(f"{stage}/{number:06d}/{saved.prefix}/{name}").read_bytes() for name in saved.files
    }
    weights = open_bundle(newest(study.bundles)).weights
    assert weights.read_bytes() in stored

    # What was copied here from the store is only a copy.
    for copy in study.final.root.glob("trials/*/checkpoint-*"):
        shutil.rmtree(copy)
    shutil.rmtree(study.bundles)
    assert run(path, inline=True, home=home).kept == result.kept
    assert open_bundle(newest(study.bundles)).weights.read_bytes() in stored
    assert hpo.load_model("iris", home=home) is not None
