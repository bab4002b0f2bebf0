"""The final stage: its plan only grows, its runs are handed out once, and its verdict is honest."""

from __future__ import annotations

import time

import pytest

from hpo import frozen, seeds, studyfile
from hpo.coordinator import Coordinator
from hpo.final.candidates import Lineup
from hpo.final.plan import Entry, Plan, Run, read_plan, write_plan
from hpo.final.stage import Final
from hpo.final.verdict import judge
from hpo.records import Objective, Outcome, Report, State, TrialRecord
from hpo.report.final import as_kept_final
from hpo.stage import Search

A, B, C = ({"x": value} for value in (0.25, 0.5, 0.75))
LOSS = Objective("loss")


def entries(*configs: dict) -> list[Entry]:
    return [Entry(10 + i, config) for i, config in enumerate(configs)]


def record(number: int, config: dict, value: float | None, state=State.COMPLETE) -> TrialRecord:
    values = () if value is None else (value,)
    return TrialRecord(number, state, config, config, values, {}, "", 0.0, 1.0, 5)


def test_a_plan_takes_its_candidates_in_turns() -> None:
    plan = Plan().with_repeats(entries(A, B), 2)
    assert [(run.config, run.repeat) for run in plan.runs] == [(A, 0), (B, 0), (A, 1), (B, 1)]
    assert plan.numbers(B) == {0: 1, 1: 3}
    assert plan.runs[0].seed == plan.runs[1].seed != plan.runs[2].seed


def test_a_plan_only_grows() -> None:
    before = Plan().with_repeats(entries(A, B), 2)
    after = before.with_repeats(entries(C, A), 3)
    assert after.runs[:4] == before.runs
    assert [(run.config, run.repeat) for run in after.runs[4:]] == [(C, 0), (C, 1), (C, 2), (A, 2)]
    assert after.with_repeats(entries(A, B), 2) == after, "nothing is run twice"


def test_no_seed_of_the_search_comes_again() -> None:
    search = {seeds.of_trial(seed, n) for seed in range(20) for n in range(200)}
    assert not search & {Run(config={}, repeat=r).seed for r in range(100)}


@pytest.fixture
def study(write_study, home, storage):
    study = studyfile.load(write_study(storage=storage))
    frozen.freeze(study, home)
    folder = home.study("toy")
    Coordinator(Search(folder)).close()
    return folder


def test_its_runs_are_handed_out_once_and_go_on_after_a_crash(study) -> None:
    write_plan(Plan().with_repeats(entries(A, B), 2), study.final)
    coordinator = Coordinator(Final(study))
    first = coordinator.next_trial("w")
    assert (first.config, first.seed) == (A, seeds.of_repeat(0))
    coordinator.finish(first.number, first.lease, Outcome(State.COMPLETE, {"loss": 1.0}))
    coordinator.next_trial("w")
    coordinator.close()

    again = Coordinator(Final(study))
    seen = []
    while spec := again.next_trial("w"):
        seen.append((spec.config, spec.seed))
        outcome = Outcome(State.COMPLETE, {"loss": spec.config["x"]})
        again.finish(spec.number, spec.lease, outcome)
    assert seen == [(B, seeds.of_repeat(0)), (A, seeds.of_repeat(1)), (B, seeds.of_repeat(1))]
    assert again.progress().done
    again.close()
    write_plan(read_plan(study.final).with_repeats(entries(C), 1), study.final)
    more = Coordinator(Final(study))
    assert more.next_trial("w").config == C
    more.close()


def test_what_every_complete_run_saved_is_kept(study) -> None:
    write_plan(Plan().with_repeats(entries(A, B), 1), study.final)
    coordinator = Coordinator(Final(study))
    for value in (0.1, 0.9):
        spec = coordinator.next_trial("w")
        saved = study.final.checkpoint(spec.number)
        saved.mkdir(parents=True)
        coordinator.report(spec.number, spec.lease, Report(1, {"loss": value}, time.time()))
        coordinator.finish(spec.number, spec.lease, Outcome(State.COMPLETE, {"loss": value}))
    coordinator.close()
    assert all(study.final.checkpoint(number).exists() for number in (0, 1))
    Coordinator(Final(study)).close()
    assert all(study.final.checkpoint(number).exists() for number in (0, 1))


def verdict(values: list[list[float | None]], objective: Objective = LOSS):
    """Of candidates A, B, ... with these values, a list for each repeat."""
    configs = [A, B, C][: len(values[0])]
    plan = Plan().with_repeats(entries(*configs), len(values))
    flat = [value for row in values for value in row]
    records = [
        record(n, run.config, value, State.COMPLETE if value is not None else State.DIVERGED)
        for n, (run, value) in enumerate(zip(plan.runs, flat, strict=True))
    ]
    trials = [record(10 + i, config, 0.1 * (i + 1)) for i, config in enumerate(configs)]
    return judge(plan, records, objective, Lineup(tuple(trials), None), len(values))


def test_the_best_mean_wins_and_luck_is_told() -> None:
    found = verdict([[0.5, 0.3], [0.6, 0.32], [0.55, 0.31]])
    assert [each.entry.trial for each in found.candidates] == [11, 10]
    assert luck(found, LOSS) == pytest.approx(0.31 - 0.2)
    assert found.alike == ()
    up = verdict([[0.5, 0.3], [0.6, 0.32], [0.55, 0.31]], Objective("loss", "maximize"))
    assert up.winner.entry.trial == 10 and luck(up, up_objective()) == pytest.approx(0.1 - 0.55)


def luck(found, objective: Objective) -> float | None:
    return as_kept_final(found, 3, None).winner.luck(objective)


def up_objective() -> Objective:
    return Objective("loss", "maximize")


def test_those_within_the_noise_are_named() -> None:
    found = verdict([[0.50, 0.51, 0.9], [0.60, 0.57, 1.0], [0.55, 0.57, 0.95]])
    assert found.winner.entry.trial in (10, 11) and {each.entry.trial for each in found.alike} <= {
        10,
        11,
    }
    assert len(found.alike) == 1


def test_a_candidate_that_sometimes_diverges_comes_last() -> None:
    found = verdict([[0.01, 0.5], [None, 0.6], [0.02, 0.55]])
    assert [each.entry.trial for each in found.candidates] == [11, 10]
    assert found.candidates[1].failed == 1


def test_nobody_wins_without_a_complete_run() -> None:
    assert verdict([[None, None]]) is None


def test_the_baseline_cannot_win() -> None:
    plan = Plan().with_repeats(entries(A, B), 2)
    records = [record(n, run.config, run.config["x"]) for n, run in enumerate(plan.runs)]
    lineup = Lineup((record(4, B, 0.4),), baseline=Entry(None, A))
    found = judge(plan, records, LOSS, lineup, 2)
    assert found.winner.entry.trial == 4 and found.baseline.entry.name == "baseline"
    assert found.baseline.repeated.mean == 0.25 < found.winner.repeated.mean
    assert found.baseline.first is None
