"""Two configs seed by seed: only missing runs run, and what cannot be compared is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from toys import lines as noted

from hpo import study
from hpo.compare import Comparison, check, compare, find, to_run
from hpo.errors import InputError
from hpo.final.paired import verdict
from hpo.home import Home
from hpo.report.kept import read_kept
from hpo.result import load_study

TESTS = Path(__file__).parent


@pytest.fixture
def write(write_study, tmp_path):
    shutil.copy(TESTS / "noisy.py", tmp_path / "noisy.py")

    def write(name: str, **changes: Any) -> Path:
        space = {"x": {"low": 0, "high": 1}, "log": str(tmp_path / "log.jsonl")}
        return write_study(
            **{
                "name": name,
                "trainable": "noisy:trainer",
                "space": space,
                "search": {"sampler": "random", "trials": 4},
                **changes,
            }
        )

    return write


def compared(first: str, second: str, home: Home, repeats: int = 3) -> Comparison:
    one, other = find(first, home), find(second, home)
    check(one, other, repeats)
    return compare(one, other, repeats, home=home, inline=True)


def count_runs(tmp_path: Path) -> int:
    return sum("ran" in line for line in noted(tmp_path / "log.jsonl"))


def test_studies_without_a_final_stage_are_compared_seed_by_seed(write, home, tmp_path) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        search = {"sampler": "random", "trials": 4, "seed": seed}
        study.run(write(name, search=search), inline=True, home=home)
    before = count_runs(tmp_path)
    assert list(to_run(find("one", home), find("two", home), 3)) == [
        "study one: 3 runs over fresh seeds",
        "study two: 3 runs over fresh seeds",
    ]
    found = compared("one", "two", home)
    assert count_runs(tmp_path) == before + 6
    xs = [load_study(name, home).config.x for name in ("one", "two")]
    # From one seed both have the same luck, so that their difference has none.
    assert found.difference.mean == pytest.approx((xs[1] - 0.3) ** 2 - (xs[0] - 0.3) ** 2)
    assert found.difference.n == 3 and found.difference.told_apart
    *_, last = found.lines()
    assert last == verdict(found.difference, found.objective, "one", "two")
    assert compared("one", "two", home) == found
    assert count_runs(tmp_path) == before + 6, "what has run does not run again"
    compared("one", "two:0", home, repeats=4)
    assert count_runs(tmp_path) == before + 6 + 1 + 4
    tests = sum("tested" in line for line in noted(tmp_path / "log.jsonl"))
    assert tests == 2, "each study its best, and the comparisons none"


def test_it_uses_the_runs_of_the_final_stage_and_leaves_its_verdict(write, home, tmp_path) -> None:
    final = {"top_k": 2, "repeats": 3}
    path = write("one", final=final, baseline={"x": 0.9, "log": str(tmp_path / "log.jsonl")})
    done = study.run(path, inline=True, home=home)
    before = count_runs(tmp_path)
    found = compared("one", "one:baseline", home)
    assert count_runs(tmp_path) == before
    assert found.values[0].mean == pytest.approx(sum(done.kept.final.winner.values) / 3)
    other = next(t.number for t in done.trials if t.number not in done.kept.final.alike)
    compared("one", f"one:{other}", home, repeats=5)
    assert count_runs(tmp_path) > before
    assert read_kept(home.study("one")) == done.kept and load_study("one", home).done
    log = noted(tmp_path / "log.jsonl")
    again = study.run(path, inline=True, home=home)
    assert again.kept == done.kept and noted(tmp_path / "log.jsonl") == log


def test_what_cannot_be_compared_is_refused(write, home, tmp_path) -> None:
    study.run(write("one"), inline=True, home=home)
    study.run(
        write("up", objective={"metric": "loss", "direction": "maximize"}), inline=True, home=home
    )
    study.run(
        write("same", trainable="toys:constant", space={"x": {"low": 0, "high": 1}}),
        inline=True,
        home=home,
    )
    for first, second, words in (
        ("one", "up", "is to minimize loss, up to maximize loss"),
        ("one", "same", "deterministic"),
        ("one", "one:4", "no trial '4', it has 4 trials"),
        ("one", "one:-1", "no trial '-1'"),
        ("one", "one:baseline", "names no baseline"),
        ("one", "none", "there is no study 'none'"),
        ("../one", "one", "a study's name"),
    ):
        with pytest.raises(InputError, match=words):
            compared(first, second, home)
    with pytest.raises(InputError, match="at least 2"):
        compared("one", "one:0", home, repeats=1)


def test_other_data_is_refused(write, home, tmp_path) -> None:
    study.run(write("one"), inline=True, home=home)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = write("two")
    shutil.copy(tmp_path / "noisy.py", elsewhere / "noisy.py")
    path = path.rename(elsewhere / "two.yaml")
    (elsewhere / "rows.txt").write_text("abc")
    study.run(path, inline=True, home=home)
    said = check(find("one", home), find("two", home), 3)
    assert said == ["whether both have the same data, their trainables cannot tell"]
    (tmp_path / "rows.txt").write_text("abd")
    with pytest.raises(InputError, match="one and two have other data: rows"):
        compared("one", "two", home)
