"""What a study says of its data, and that it never fails for it after its first trial."""

from __future__ import annotations

import logging

import pytest

from hpo import datasets, studyfile
from hpo.errors import InputError
from hpo.home import StudyFolder
from hpo.publishing import sync
from hpo.study import check_trainable, run

TRAINABLE = """
import hashlib
from pathlib import Path
from typing import Literal
from pydantic import BaseModel
import hpo

class Config(BaseModel):
    x: float
    rows: Literal["one", "two"] = "one"

class Train(hpo.Trainable):
    config_type = Config

    def run(self, config, trial):
        return {"loss": config.x}

    def fingerprint(self, config, folder):
        {BODY}

train = Train()
"""
READS = """text = (folder / (config.rows + ".csv")).read_bytes()
        return {"train": hashlib.sha256(text).hexdigest(), "code": "same"}"""


@pytest.fixture
def write(tmp_path):
    def write(body=READS, **space):
        (tmp_path / "about_data.py").write_text(TRAINABLE.replace("{BODY}", body))
        for name in ("one", "two"):
            (tmp_path / f"{name}.csv").write_text(name)
        path = tmp_path / "study.yaml"
        fixed = {"x": "{low: 0.0, high: 1.0}"} | space
        lines = "\n".join(f"  {name}: {value}" for name, value in fixed.items())
        path.write_text(
            f"name: about\ntrainable: about_data:train\nspace:\n{lines}\n"
            "objective: {metric: loss, direction: minimize}\n"
            "search: {sampler: random, trials: 2, seed: 0}\n"
        )
        return path

    return write


def inputs(home):
    from mlflow import MlflowClient

    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name("about")
    return [
        {i.dataset.name: i.dataset.digest for i in run.inputs.dataset_inputs}
        for run in client.search_runs([experiment.experiment_id])
    ]


def test_digests_are_inputs_of_every_run_and_come_back_after_the_store_was_wiped(write, home):
    run(write(), inline=True, home=home)
    before = inputs(home)
    assert len(before) == 3 and all(set(found) == {"train", "code"} for found in before)
    (home.root / "mlflow.db").unlink()
    assert sync("about", home) == (2, None)
    assert inputs(home) == before


def test_what_differs_between_configs_is_left_out(write):
    digests = check_trainable(studyfile.load(write(rows='{choices: ["one", "two"]}')))
    assert digests == {"code": "same"}


def test_a_study_that_goes_on_over_other_data_says_so(write, home, tmp_path, caplog):
    run(write(), inline=True, home=home)
    (tmp_path / "one.csv").write_text("other rows")
    with caplog.at_level(logging.WARNING, "hpo"):
        run(write_again(tmp_path), inline=True, home=home)
    assert "the data is not what it was when the study last ran (train)" in caplog.text
    digests = [found["train"] for found in inputs(home)]
    assert len(digests) == 5 and len(set(digests)) == 2


def write_again(folder):
    path = folder / "study.yaml"
    path.write_text(path.read_text().replace("trials: 2", "trials: 4"))
    return path


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('gone')", "method fingerprint failed: KeyError: 'gone'"),
        ("return {'train': 7}", r"gives texts by name, got \('train', 7\)"),
    ],
)
def test_a_fingerprint_that_fails_is_refused_before_the_first_trial(write, home, body, message):
    with pytest.raises(InputError, match=message):
        run(write(body), inline=True, home=home)
    assert not home.study("about").root.joinpath("trials").exists()


def test_a_damaged_file_is_written_anew(tmp_path):
    folder = StudyFolder(tmp_path)
    for damaged in ("{", "[1]"):
        folder.data.write_text(damaged)
        assert datasets.read(folder) == {}
    datasets.write_down({"train": "a"}, folder)
    assert datasets.read(folder) == {"train": "a"}
