"""The end of a study: candidates, baseline, refit, verdict, and the test at the very last."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from noisy import BASELINE, MARKER
from toys import lines as noted

from hpo import StudyResult, load_study, seeds, study, studyfile
from hpo.bundle import newest
from hpo.errors import StudyFailed, StudyFileError
from hpo.final.plan import read_plan
from hpo.home import Home
from hpo.records import State
from hpo.report import status
from hpo.report.final import lines

TESTS = Path(__file__).parent


@pytest.fixture
def write(write_study, tmp_path):
    shutil.copy(TESTS / "noisy.py", tmp_path / "noisy.py")

    def write(trials: int = 6, **changes: Any) -> Path:
        space = {"x": {"low": 0, "high": 1}, "log": str(tmp_path / "log.jsonl")}
        return write_study(
            **{
                "name": "noisy",
                "trainable": "noisy:trainer",
                "space": space,
                "search": {"sampler": "random", "trials": trials},
                "final": {"top_k": 2, "repeats": 3},
                **changes,
            }
        )

    return write


def run(path: Path, home: Home) -> StudyResult:
    return study.run(path, inline=True, home=home)


def times_tested(tmp_path: Path) -> Counter[int]:
    return Counter(line["tested"] for line in noted(tmp_path / "log.jsonl") if "tested" in line)


def test_the_winner_has_the_best_mean_over_fresh_seeds(write, home, tmp_path) -> None:
    result = run(write(baseline={"x": 0.95, "log": str(tmp_path / "log.jsonl")}), home)
    final = result.kept.final
    assert result.done and load_study("noisy", home).done
    assert final.seeds == tuple(seeds.of_repeat(r) for r in range(3))
    means = [sum(each.values) / 3 for each in final.candidates]
    assert means == sorted(means) and len(means) == 2
    ranked = sorted(result.trials, key=lambda trial: trial.values[0])
    assert {each.trial for each in final.candidates} == {trial.number for trial in ranked[:2]}
    winner = final.winner
    assert result.best.number == result.kept.numbers[0] == winner.trial
    assert result.config.x == winner.config["x"] == result.trials[winner.trial].config["x"]
    assert final.baseline.config["x"] == 0.95 and final.baseline.first is None
    # Each run of the winner and of the baseline once, and no other.
    numbers = [*winner.runs.values(), *final.baseline.runs.values()]
    assert times_tested(tmp_path) == Counter(numbers)
    assert winner.test == {"test_loss": tuple(MARKER + n for n in winner.runs.values())}
    assert result.test == pytest.approx({"test_loss": sum(winner.test["test_loss"]) / 3})
    assert not any(each.test for each in final.candidates[1:])
    told = list(lines(final, result.objectives[0]))
    assert told[0].startswith(f"winner: trial {winner.trial}, loss") and "(n = 3)" in told[0]
    assert any("by luck" in line or "by bad luck" in line for line in told)
    assert any(line.startswith(f"trial {winner.trial} is better than baseline") for line in told)
    assert sum("on the test set" in line for line in told) == 2


def test_run_again_it_does_nothing_and_the_same_seed_gives_the_same(write, home, tmp_path) -> None:
    first = run(write(), home)
    before = noted(tmp_path / "log.jsonl")
    again = run(write(), home)
    assert noted(tmp_path / "log.jsonl") == before, "nothing runs and nothing is tested twice"
    assert again.kept == first.kept == load_study("noisy", home).kept
    other = run(write(), Home(tmp_path / "other"))
    assert other.kept == first.kept


def test_killed_in_the_middle_it_goes_on(write, home, tmp_path) -> None:
    space = {"x": {"low": 0, "high": 1}, "log": str(tmp_path / "log.jsonl"), "die_at": 4}
    path = write(trials=4, space=space)  # trial 4 is none of the search, but run 4 of the final
    (tmp_path / "armed").touch()
    code = f"from hpo import study; study.run({str(path)!r}, inline=True, home={str(home.root)!r})"
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    standing = load_study("noisy", home)
    assert not standing.done and len(standing.runs) == 5 and standing.kept.final is None
    assert "the final stage is under way: 4 runs done" in said(standing)
    assert not times_tested(tmp_path)
    result = run(path, home)
    assert result.done and [each.state for each in result.runs] == [State.COMPLETE] * 6
    ran = Counter(line["seed"] for line in noted(tmp_path / "log.jsonl") if "ran" in line)
    assert [ran[seed] for seed in result.kept.final.seeds] == [2, 2, 3], "only run 4 ran twice"


def test_stopped_in_the_middle_it_is_not_done_and_goes_on(write, home, tmp_path) -> None:
    stopped = []

    def stop(progress, trouble) -> None:
        if progress.stage == "final" and progress.finished >= 2 and not stopped:
            stopped.append(progress)
            os.kill(os.getpid(), signal.SIGINT)

    space = {"x": {"low": 0, "high": 1}, "log": str(tmp_path / "log.jsonl"), "nap": 0.2}
    halted = study.run(write(space=space), inline=True, home=home, observer=stop)
    assert stopped and not halted.done and halted.kept.final is None and not halted.test
    assert not times_tested(tmp_path) and len(halted.runs) < 6
    result = run(write(space=space), home)
    assert result.done and len(result.runs) == 6


def test_more_trials_bring_more_candidates_and_only_these_run(write, home, tmp_path) -> None:
    first = run(write(), home)
    plan = read_plan(home.study("noisy").final)
    log = tmp_path / "log.jsonl"
    log.unlink()
    more = run(write(trials=20), home)
    grown = read_plan(home.study("noisy").final)
    assert grown.runs[: len(plan.runs)] == plan.runs and set(grown.candidates) > set(
        plan.candidates
    )
    ran = [line for line in noted(log) if "ran" in line]
    assert len(ran) == 14 + len(grown.runs) - len(plan.runs)
    winner = more.kept.final.winner
    assert set(times_tested(tmp_path)) <= set(winner.runs.values())
    if winner.trial != first.kept.final.winner.trial:  # what the former winner had is shown no more
        text = (home.study("noisy").root / "best.json").read_text()
        for value in first.kept.final.winner.test["test_loss"]:
            assert str(value) not in text


def test_more_repeats_run_only_what_is_new_and_test_only_that(write, home, tmp_path) -> None:
    run(write(), home)
    before = times_tested(tmp_path)
    more = run(write(final={"top_k": 2, "repeats": 5}), home)
    assert len(more.runs) == 10 and len(more.kept.final.winner.values) == 5
    assert set((times_tested(tmp_path) - before).values()) == {1}


def said(result: StudyResult) -> str:
    return "\n".join(str(part) for part in status.status(result))


def test_no_test_metric_is_anywhere_before_the_end(write, home, tmp_path) -> None:
    """Neither in a file of the home, nor in the tracker's store, nor in what is said."""
    path = write(tracking={"uri": "default"})
    seen = []

    def look(progress, trouble) -> None:
        seen.append((progress.stage, marked(home.root), times_tested(tmp_path)))

    result = study.run(path, inline=True, home=home, observer=look)
    assert {stage for stage, _, _ in seen} == {"search", "final"}
    assert all(not found and not counted for _, found, counted in seen)
    assert result.trouble is None
    shown = {file.name for file in marked(home.root)}
    assert {"best.json", "summary.md"} <= shown and shown & {"mlflow.db", "mlflow.db-wal"}, shown


def marked(root: Path) -> list[Path]:
    """Files that hold a test metric; the store of the tracker is one of them."""
    return [
        path for path in root.rglob("*") if path.is_file() and b"test_loss" in path.read_bytes()
    ]


def test_the_tracker_tells_the_stages_apart(write, home) -> None:
    from mlflow import MlflowClient

    result = run(write(tracking={"uri": "default"}), home)
    client = MlflowClient(home.tracking_uri)
    runs = client.search_runs(["1"], "tags.hpo.trial != ''")
    by_stage = Counter(each.data.tags["hpo.stage"] for each in runs)
    assert by_stage == {"search": 6, "final": 6}
    final = [each.data.tags for each in runs if each.data.tags["hpo.stage"] == "final"]
    assert Counter(tags["hpo.repeat"] for tags in final) == {"0": 2, "1": 2, "2": 2}
    candidates = {f"{each.trial:06d}" for each in result.kept.final.candidates}
    assert {tags["hpo.candidate"] for tags in final} == candidates
    (parent,) = client.search_runs(["1"], "tags.hpo.study_id != ''")
    assert parent.info.status == "FINISHED"
    assert "winner: trial" in parent.data.tags["mlflow.note.content"]
    assert parent.data.tags["hpo.best.trial"] == f"{result.best.number:06d}"


def test_a_refit_trains_the_winner_once_more_and_has_no_value(write, home, tmp_path) -> None:
    result = run(write(final={"top_k": 2, "repeats": 3, "refit": True}), home)
    final = result.kept.final
    refit = result.runs[final.refit]
    assert final.refit == 6 and refit.config == final.winner.config
    assert (refit.state, refit.values, refit.steps) == (State.COMPLETE, (), 3)
    assert set(refit.metrics) == {"train_loss"}, "what it says of validation rows is not kept"
    assert final.refit not in final.winner.runs.values() and final.refit not in times_tested(
        tmp_path
    )
    assert (home.study("noisy").final.checkpoint(final.refit) / "model.json").exists()
    refits = [line for line in noted(tmp_path / "log.jsonl") if line.get("refit")]
    assert [line["refit"] for line in refits] == [3]


def test_under_ray_it_is_what_it_is_in_one_process(write, home, tmp_path, ray_cluster) -> None:
    """The search alone may come out differently side by side: here it draws at random."""
    log = tmp_path / "log.jsonl"
    path = write(
        baseline={"x": 0.95, "log": str(log)},
        final={"top_k": 2, "repeats": 2, "refit": True},
        resources={"workers": 2},
    )
    there = study.run(path, home=home)
    tested = times_tested(tmp_path)
    pids = {line["pid"] for line in noted(log) if "ran" in line}
    assert there.done and os.getpid() not in pids
    assert [each.state for each in there.runs] == [State.COMPLETE] * 7
    assert set(tested.values()) == {1} and len(tested) == 4
    log.unlink()
    here = run(path, Home(tmp_path / "other"))
    assert there.kept == here.kept and there.kept.final.refit == 6
    assert newest(home.study("noisy").bundles) is not None


def test_without_a_complete_run_nobody_wins(write, home, tmp_path) -> None:
    settings: dict[str, Any] = {"baseline": {"x": BASELINE}, "budget": {"max_failures": 100}}
    path = write(**settings)
    (tmp_path / "broken").touch()
    words = r"none of the candidates' 6 final runs completed; most often \(6x\).*ValueError: no"
    with pytest.raises(StudyFailed, match=words) as raised:
        run(path, home)
    assert "more final.repeats" in str(raised.value)
    assert not load_study("noisy", home).done and not times_tested(tmp_path)

    (tmp_path / "broken").unlink()
    mended = run(write(final={"top_k": 2, "repeats": 5}, **settings), home)
    assert mended.done and mended.kept.final.winner.failed == 3
    assert sorted(mended.kept.final.winner.runs) == [3, 4]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trainable": "toys:constant"}, "final: runs over fresh seeds, which change nothing"),
        ({"trainable": "toys:train", "final": {"refit": True}}, r"final.refit: needs a trainable"),
        ({"final": None, "baseline": {"x": 0.5}}, "baseline: is compared in the final stage"),
        ({"baseline": {"x": 2}}, "baseline: is rejected by the config model: x"),
        ({"objective": [{"metric": "loss"}, {"metric": "b"}]}, "final: ranks by one objective"),
    ],
)
def test_what_cannot_be_honoured_is_refused(write, changes, words) -> None:
    with pytest.raises(StudyFileError, match=words):
        studyfile.load(write(space={"x": {"low": 0, "high": 1}}, **changes))


def test_the_plan_tells_what_the_final_stage_costs(write, home) -> None:
    from hpo.report import plan

    final = {"top_k": 2, "repeats": 3, "refit": True}
    told = list(plan.lines(studyfile.load(write(final=final, baseline={"x": 0.5})), home))
    assert told[1] == (
        "final stage: 2 candidates and the baseline over 3 seeds, and a refit of the winner:"
        " 10 runs of at most 3 steps, 30 in all"
    )
