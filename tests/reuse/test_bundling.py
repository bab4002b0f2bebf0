"""What a finished study leaves: a bundle for each result, and none twice."""

from __future__ import annotations

import json
import subprocess

import pytest
from safetensors import safe_open

from hpo import seeds
from hpo.bundle import newest, open_bundle
from hpo.errors import InputError, StudyFailed
from hpo.home import StudyFolder
from hpo.report.kept import KeptCandidate, KeptFinal, read_kept
from hpo.reuse import bundling
from hpo.reuse.provenance import origin_of, remember_origin
from hpo.study import run
from hpo.studyfile import load

IRIS = {
    "name": "iris",
    "trainable": "builtin",
    "space": {
        "data": {"kind": "sklearn", "name": "iris"},
        "model": {"kind": "mlp", "widths": [4]},
        "epochs": 2,
        "batch_lr": {"batch_size": 16, "base_lr": {"low": 0.1, "high": 1.0}},
    },
    "objective": {"metric": "val_loss"},
    "search": {"sampler": "random", "trials": 2, "seed": 3},
}


@pytest.fixture
def study(write_study):
    return write_study(**IRIS)


def bundles(home, name="iris"):
    folder = home.study(name).bundles
    return sorted(folder.iterdir()) if folder.is_dir() else []


def test_a_finished_study_leaves_one(study, home):
    result = run(study, inline=True, home=home)
    (path,) = bundles(home)
    bundle = open_bundle(path)
    found = bundle.contents
    assert (found.study, found.trial, found.config) == (
        "iris",
        result.best.number,
        result.best.config,
    )
    assert found.seeds == (seeds.of_trial(3, found.trial),)
    assert found.validation["val_loss"] == result.best.values
    assert {name: value for name, (value,) in found.test.items()} == dict(result.test)
    assert found.derived == {"learning_rate": found.config["batch_lr"]["base_lr"] / 16}
    assert found.provenance.data.keys() == {"train", "validation", "test"}
    assert found.provenance.packages["torch"]
    assert (bundle.folder / "study.yaml").read_text() == study.read_text()
    with safe_open(bundle.weights, "np") as file:
        assert file.get_tensor("layers.0.weight").shape == (4, 4)


def test_the_same_result_leaves_no_other(study, home, monkeypatch):
    run(study, inline=True, home=home)
    monkeypatch.setattr("hpo.reuse.provenance.packages", lambda: {"torch": "9.0"})
    run(study, inline=True, home=home)
    assert [path.name for path in bundles(home)] == ["0001"]


def test_a_new_result_leaves_a_new_one_and_the_old_stays(study, home):
    before = run(study, inline=True, home=home)
    old = open_bundle(bundles(home)[0]).identity
    total = 2
    while (after := run(study, trials=total, inline=True, home=home)).best == before.best:
        total += 1
    assert [path.name for path in bundles(home)] == ["0001", "0002"]
    assert open_bundle(bundles(home)[0]).identity == old
    assert open_bundle(newest(home.study("iris").bundles)).contents.trial == after.best.number


def test_what_a_killed_process_left_is_cleared_and_a_damaged_one_left_aside(study, home):
    run(study, inline=True, home=home)
    (path,) = bundles(home)
    (path / "bundle.json").unlink()
    (path.parent / ".bundle-x").mkdir()
    run(study, inline=True, home=home)
    assert [each.name for each in bundles(home)] == ["0001", "0002"]
    open_bundle(bundles(home)[1])


def test_several_objectives_leave_none_until_one_is_chosen(write_study, home):
    objective = [{"metric": "val_loss"}, {"metric": "val_error"}]
    path = write_study(**IRIS | {"objective": objective})
    run(path, inline=True, home=home)
    assert bundles(home) == []
    folder = home.study("iris")
    kept = read_kept(folder)
    bundle = bundling.leave(load(path), folder, kept, trial=kept.best[-1].trial)
    assert bundle.contents.trial == kept.best[-1].trial and len(bundle.contents.objectives) == 2
    with pytest.raises(InputError, match="is not among the best"):
        bundling.leave(load(path), folder, kept, trial=99)


def final(kept, **changes):
    config = kept.best[0].config
    winner = KeptCandidate(
        trial=kept.best[0].trial,
        first=kept.best[0].values[0],
        config=config,
        runs={0: 1, 1: 0},
        values=(0.5, 0.7),
        failed=0,
        metrics={"val_loss": (0.5, 0.7), "train_loss": (0.1, 0.2)},
        test={"test_loss": (0.6, 0.8)},
    )
    both = (seeds.of_repeat(0), seeds.of_repeat(1))
    return kept.model_copy(update={"final": KeptFinal(candidates=(winner,), seeds=both, **changes)})


@pytest.mark.parametrize(("refit", "run_number"), [(None, 1), (2, 2)])
def test_with_a_final_stage_it_is_of_the_winner_s_runs(study, home, refit, run_number):
    run(study, inline=True, home=home)
    folder = home.study("iris")
    there: StudyFolder = folder.final
    for number in range(3):
        there.checkpoint(number).mkdir(parents=True)
        source = folder.checkpoint(read_kept(folder).best[0].trial) / "model.safetensors"
        with safe_open(source, "np") as file:
            tensors = {name: file.get_tensor(name) + number for name in file.keys()}
        from safetensors.numpy import save_file

        save_file(tensors, there.checkpoint(number) / "model.safetensors")
    bundle = bundling.leave(load(study), folder, final(read_kept(folder), refit=refit))
    found = bundle.contents
    assert found.seeds == (seeds.of_repeat(0), seeds.of_repeat(1))
    assert found.validation["val_loss"] == (0.5, 0.7)
    assert found.test["test_loss"] == (0.6, 0.8)
    assert found.refit is (refit is not None)
    expected = there.checkpoint(run_number) / "model.safetensors"
    assert bundle.weights.read_bytes() == expected.read_bytes()


PICKLES = """
import torch, hpo
def train(config: dict, trial: hpo.Trial):
    torch.save({"w": torch.zeros(1)}, trial.checkpoint_dir / "model.safetensors")
    return {"loss": config["x"]}
class Broken(hpo.Trainable):
    def run(self, config, trial):
        return {"loss": config["x"]}
    def weights(self, config, trial):
        raise KeyError("where are they")
broken = Broken()
"""


def test_weights_that_are_a_pickle_are_refused(write_study, home, tmp_path):
    (tmp_path / "pickles.py").write_text(PICKLES)
    with pytest.raises(InputError, match=r"model\.safetensors must be in safetensors"):
        run(write_study(trainable="pickles:train"), inline=True, home=home)
    assert bundles(home, "toy") == []


def test_a_trainable_that_fails_to_give_its_weights_loses_nothing_else(write_study, home, tmp_path):
    (tmp_path / "pickles.py").write_text(PICKLES)
    path = write_study(trainable="pickles:broken")
    with pytest.raises(StudyFailed, match="its bundle failed: KeyError"):
        run(path, inline=True, home=home)
    assert read_kept(home.study("toy")).complete


def test_a_function_without_weights_leaves_its_config(write_study, home):
    run(write_study(), inline=True, home=home)
    bundle = open_bundle(bundles(home, "toy")[0])
    assert bundle.weights is None and bundle.contents.provenance.data == {}


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_the_code_is_that_of_git_and_whether_it_was_changed(tmp_path):
    home = tmp_path / "code" / ".hpo"
    code = tmp_path / "code"
    home.mkdir(parents=True)
    assert origin_of(code, home).commit is None, "no repository yet"
    git(code, "init")
    (code / "train.py").write_text("1")
    git(code, "add", "train.py")
    git(code, "commit", "-m", "first")
    (home / "mlflow.db").write_text("")
    clean = origin_of(code, home)
    assert clean.clean is True and len(clean.commit) == 40
    (code / "other.py").write_text("2")
    assert origin_of(code, home).clean is False


def test_shipped_code_keeps_its_origin(study, home, tmp_path):
    folder = home.study("iris")
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "first")
    code = folder.code / "shipped"
    code.mkdir(parents=True)
    remember_origin(tmp_path, folder, home.root)
    shipped = code / study.name
    shipped.write_text(json.dumps(IRIS | {"tracking": {"uri": "none"}}))
    run(shipped, inline=True, home=home)
    found = open_bundle(bundles(home)[0]).contents.provenance
    assert found.commit == origin_of(tmp_path, home.root).commit
    assert found.clean is False, "the study file was never committed"
