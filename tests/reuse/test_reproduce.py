"""A best config run again from its bundle."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.bundle import Provenance, newest, open_bundle, write_bundle
from hpo.errors import InputError, StudyFailed
from hpo.reuse import provenance
from hpo.reuse.reproduce import differing, reproduce
from hpo.study import run


def files(home):
    root = home.study("iris").root
    return {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}


def restated(home, tmp_path, **changes):
    """The bundle of iris, saying something else."""
    bundle = open_bundle(newest(home.study("iris").bundles))
    contents = bundle.contents.model_copy(update=changes)
    return write_bundle(tmp_path / "restated", contents, "name: iris\n", bundle.weights).folder


def test_the_same_machine_gives_the_same_and_writes_nothing(done):
    before, heard = files(done), []
    found = reproduce("iris", home=done, observer=lambda *counts: heard.append(counts))
    assert found.met and found.reruns[0].exact and found.differences == ()
    assert heard == [(0, 1), (1, 1)]
    assert files(done) == before


def test_what_was_stated_wrongly_is_not_met(done, tmp_path):
    folder = restated(done, tmp_path, validation={"val_loss": (0.123,)})
    found = reproduce(folder, home=done)
    assert not found.met and "not within the stated spread" in str(found.reruns[0])


def test_within_two_standard_errors_it_is_met(done, tmp_path):
    stated = open_bundle(newest(done.study("iris").bundles)).contents
    (value,), (seed,) = stated.validation["val_loss"], stated.seeds
    changes = {"seeds": (seed, seed + 1), "test": {}}
    loose = {"validation": {"val_loss": (value, value)}}
    there = restated(done, tmp_path, **changes, **loose)
    again = reproduce(there, home=done).reruns[0].found.values[seed + 1]
    low, high = value - 0.3, again + 0.1
    tight = {"validation": {"val_loss": (low, high)}}
    there = restated(done, tmp_path / "tight", **changes, **tight)
    (rerun,) = reproduce(there, home=done).reruns
    assert rerun.tolerance == pytest.approx(2 * rerun.stated.standard_deviation / 2**0.5)
    assert rerun.met and not rerun.exact
    assert abs(rerun.found.mean - rerun.stated.mean) == pytest.approx(0.1)
    one = reproduce(there, home=done, repeats=1).reruns[0]
    assert one.found.n == 1 and one.tolerance == pytest.approx((high - low) * 2**0.5)


def test_what_differs_is_told(done, tmp_path):
    was = open_bundle(newest(done.study("iris").bundles)).contents.provenance
    packages = was.packages | {"torch": "0.1"}
    changes = {"packages": packages, "commit": "a" * 40, "clean": False}
    folder = restated(done, tmp_path, provenance=was.model_copy(update=changes))
    found = "\n".join(reproduce(folder, home=done).differences)
    assert 'packages.torch: "0.1" -> ' in found
    assert "code: commit aaaa" in found and "not committed, then" in found


def test_other_data_is_told(tmp_path, home, write_iris):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    np.savez(tmp_path / "data.npz", x=x, y=y)
    space = {"data": {"kind": "npz", "path": "data.npz"}, "model": {"kind": "mlp"}, "epochs": 1}
    run(write_iris(tmp_path, space=space, tracking={"uri": "none"}), inline=True, home=home)
    x[:] = rng.normal(size=x.shape)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    found = reproduce("iris", home=home)
    assert not found.met
    assert [line.partition(":")[0] for line in found.differences] == [
        *("data.train", "data.validation", "data.test"),
    ]
    (tmp_path / "data.npz").unlink()
    with pytest.raises(InputError, match="there is no such file"):
        reproduce("iris", home=home)


def test_a_run_that_fails_is_told(write_study, home, tmp_path):
    run(write_study(), inline=True, home=home)
    toys = tmp_path / "toys.py"
    toys.write_text("def train(config, trial):\n    raise ValueError('no more')\n")
    import sys

    sys.modules.pop("toys")
    with pytest.raises(StudyFailed, match="failed: ValueError: no more"):
        reproduce("toy", home=home)


DIGESTS = """
from pathlib import Path
import hpo
class Trainer(hpo.Trainable):
    def run(self, config, trial):
        return {"loss": config["x"]}
    def fingerprint(self, config, folder):
        return {"rows": len((folder / "rows.txt").read_text()) or "none"}
trainer = Trainer()
"""


def test_digests_that_are_none_are_told(write_study, home, tmp_path):
    (tmp_path / "digests.py").write_text(DIGESTS)
    (tmp_path / "rows.txt").touch()
    run(write_study(trainable="digests:trainer"), inline=True, home=home)
    (tmp_path / "rows.txt").write_text("1")
    with pytest.raises(InputError, match=r"fingerprint gives texts by name, got \('rows', 1\)"):
        reproduce("toy", home=home)
    (tmp_path / "rows.txt").unlink()
    with pytest.raises(InputError, match="method fingerprint failed: FileNotFoundError"):
        reproduce("toy", home=home)


def test_nothing_known_nothing_said():
    unknown = Provenance(python="3", platform="x", packages={})
    assert list(differing(unknown, unknown)) == []


@pytest.mark.parametrize("repeats", [0, -1])
def test_there_are_no_fewer_runs_than_one(done, repeats):
    with pytest.raises(InputError, match="repeats must be at least 1"):
        reproduce("iris", home=done, repeats=repeats)


def test_other_code_is_told(write_study, home, tmp_path):
    run(write_study(), inline=True, home=home)
    assert not any("code" in line for line in reproduce("toy", home=home).differences)
    with (tmp_path / "toys.py").open("a") as file:
        file.write("\n# changed\n")
    found = reproduce("toy", home=home)
    assert "code: the Python files in the study file's folder are others" in found.differences


def test_packages_are_those_that_python_would_load(tmp_path, monkeypatch):
    for folder, name, version in (
        ("first", "Twice", "2.0"),
        ("second", "twice", "1.0"),
        ("thirdparty_files", "rays-own", "1.0"),
    ):
        facts = tmp_path / folder / f"{name}-{version}.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    for folder in ("second", "first", "thirdparty_files"):
        monkeypatch.syspath_prepend(tmp_path / folder)
    found = provenance.packages()
    assert found["twice"] == "2.0" and "rays-own" not in found and "torch" in found


def test_a_package_that_was_added_meanwhile_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert "made-up" not in provenance.packages()
    made = tmp_path / "made_up-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    assert provenance.packages()["made-up"] == "1.0"
