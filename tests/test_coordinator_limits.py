"""Budgets, time limits, leases, known results: what ends trials and studies beside themselves."""

from __future__ import annotations

import threading
import time

import pytest

from hpo import coordinator as coordinators
from hpo import frozen, studyfile
from hpo.coordinator import Coordinator
from hpo.errors import StudyFailed
from hpo.records import Decision, Outcome, Report, State
from hpo.stage import Search

RANDOM = {"sampler": "random", "trials": 20}


@pytest.fixture
def open_study(write_study, home, storage):
    opened = []

    def start(**changes):
        changes = {"search": RANDOM, "storage": storage, **changes}
        study = studyfile.load(write_study(**changes))
        frozen.freeze(study, home)
        opened.append(Coordinator(Search(home.study(study.name))))
        return opened[-1]

    yield start
    for coordinator in opened:
        coordinator.close()


def complete(coordinator, spec, value, **more):
    coordinator.finish(spec.number, spec.lease, Outcome(State.COMPLETE, {"loss": value, **more}))


def states(coordinator):
    return [t.state for t in coordinator.changes(0)[1]]


def test_a_target_ends_the_study_and_pauses_what_runs(open_study):
    coordinator = open_study(budget={"target": 0.1})
    one, two = coordinator.next_trial("a"), coordinator.next_trial("b")
    complete(coordinator, one, 0.05)
    assert coordinator.next_trial("a") is None and not coordinator.work_left()
    assert not coordinator.finished(), "a worker still holds a trial"
    assert coordinator.report(two.number, two.lease, Report(1, {"loss": 1.0}, 0)) is Decision.PAUSE
    assert coordinator.next_trial("b") is None
    progress = coordinator.progress()
    assert progress.done and progress.ended_by.startswith("budget.target: loss 0.05 reaches 0.1")
    assert states(coordinator) == [State.COMPLETE, State.RUNNING]
    coordinator.close()
    again = open_study(budget={"target": 0.1})
    assert again.progress().done and again.next_trial("a") is None
    again.close()
    further = open_study(budget={"target": 0.01})
    assert further.next_trial("a").number == two.number
    assert further.next_trial("b").number == 2


def test_hours_are_counted_over_all_runs(open_study):
    first = open_study(resources={"cpus": 2})
    spec = first.next_trial("a")
    time.sleep(0.1)
    complete(first, spec, 0.5)
    first.worker_ended("a", died=False)
    spent = first.progress().spent
    assert first.work_left() and spent.cpu_seconds == 2 * spent.worker_seconds >= 0.2
    first.close()
    # A second more: enough for a trial to begin, on a busy machine as well.
    budget = {"cpu_hours": (spent.cpu_seconds + 2.0) / 3600}
    second = open_study(budget=budget, resources={"cpus": 2})
    assert second.progress().spent == spent
    spec = second.next_trial("a")
    time.sleep(1.1)
    assert second.report(1, spec.lease, Report(1, {"loss": 1.0}, 0)) is Decision.PAUSE
    assert second.next_trial("a") is None
    assert second.progress().ended_by.startswith("budget.cpu_hours")


def test_time_of_an_unfinished_trial_goes_to_what_it_comes_to(open_study):
    first = open_study()
    first.next_trial("a")
    time.sleep(0.1)
    first.worker_ended("a", died=False)
    before = first.progress().spent
    assert before.unfinished.keys() == {0} and before.busy_seconds.keys() == {State.RUNNING}
    first.close()
    second = open_study()
    complete(second, second.next_trial("a"), 0.5)
    after = second.progress().spent
    assert not after.unfinished and after.busy_seconds.keys() == {State.COMPLETE}
    assert second.changes(0)[1][0].seconds >= before.unfinished[0] >= 0.1


def test_a_study_that_only_its_budget_ends(open_study):
    coordinator = open_study(
        search={"sampler": "random"}, budget={"no_improvement": 2}, objective={"metric": "loss"}
    )
    assert coordinator.progress().total is None
    for value in (0.5, 0.4, 0.6, 0.7):
        complete(coordinator, coordinator.next_trial("a"), value)
    assert coordinator.next_trial("a") is None and coordinator.progress().done


def test_a_trial_over_its_time_ends_at_its_next_report(open_study):
    coordinator = open_study(budget={"trial_seconds": 1.0})
    spec = coordinator.next_trial("a")
    assert coordinator.report(0, spec.lease, Report(1, {"loss": 1.0}, 0)) is Decision.GO_ON
    time.sleep(1.1)
    assert coordinator.report(0, spec.lease, Report(2, {"loss": 1.0}, 0)) is Decision.TIME_OUT
    spec = coordinator.next_trial("a")
    time.sleep(1.1)
    complete(coordinator, spec, 0.1)  # over its time, too, though it never reported
    ended = coordinator.changes(0)[1][spec.number]
    assert (ended.state, ended.reason) == (
        State.FAILED,
        "over its time limit, budget.trial_seconds",
    )


def test_a_worker_that_is_deaf_to_the_time_limit_is_to_be_killed(open_study, monkeypatch):
    monkeypatch.setattr(coordinators, "OVERTIME_SECONDS", 0.05)
    coordinator = open_study(budget={"trial_seconds": 1.0})
    spec = coordinator.next_trial("a")
    assert coordinator.overdue(["a"]) == ()
    time.sleep(1.12)
    for _ in range(2):  # until it has ended
        assert coordinator.overdue(["a"]) == ("a",)
    coordinator.worker_ended("a", died=True)
    assert coordinator.overdue([]) == ()
    assert states(coordinator) == [State.FAILED]
    complete(coordinator, spec, 0.1)
    assert states(coordinator) == [State.FAILED]


def test_a_silent_worker_loses_its_trial_and_what_it_still_says_is_void(open_study):
    coordinator = open_study(resources={"lease_seconds": 1})
    silent, alive = coordinator.next_trial("a"), coordinator.next_trial("b")
    found = ()
    while not found:
        coordinator.alive("b", [(alive.number, alive.lease)])
        found = coordinator.overdue(["a", "b"])
        time.sleep(0.05)
    assert found == ("a",)
    assert coordinator.next_trial("a") is None, "it is to be killed"
    assert coordinator.next_trial("c").number == silent.number
    assert coordinator.report(0, silent.lease, Report(1, {"loss": 1.0}, 0)) is Decision.PAUSE
    assert coordinator.report(1, alive.lease, Report(1, {"loss": 1.0}, 0)) is Decision.GO_ON


def test_failures_in_a_row_end_the_study_with_the_most_frequent_reason(open_study):
    coordinator = open_study(budget={"max_failures": 3})
    for reason in ("no GPU", "no data", "no GPU"):
        assert coordinator.progress().failure is None
        spec = coordinator.next_trial("a")
        coordinator.finish(spec.number, spec.lease, Outcome(State.FAILED, {}, reason, "Traceback"))
    failure = coordinator.progress().failure
    assert isinstance(failure, StudyFailed)
    assert failure.message == "3 trials in a row failed; most often (2x) no GPU"
    assert str(coordinator.folder.traceback(2)) in failure.hint
    assert coordinator.next_trial("a") is None
    coordinator.close()
    again = open_study(budget={"max_failures": 3})
    assert again.next_trial("a").number == 3, "mended, it goes on"


def test_a_trial_out_of_memory_teaches_the_sampler(open_study):
    coordinator = open_study()
    complete(coordinator, coordinator.next_trial("a"), 0.7)
    spec = coordinator.next_trial("a")
    coordinator.finish(spec.number, spec.lease, Outcome(State.OUT_OF_MEMORY, {}, "full"))
    told = frozen.open_record(coordinator.folder).told(spec.number)
    assert (told.values, told.constraints) == ([0.7], {"out_of_memory": 1.0})
    assert coordinator.next_trial("b").number == 2


def test_an_exception_in_the_sampler_stops_the_study_and_loses_nothing(open_study, monkeypatch):
    coordinator = open_study()
    complete(coordinator, coordinator.next_trial("a"), 0.7)
    with monkeypatch.context() as patch:
        broken = coordinator._draws._proposer
        patch.setattr(broken, "propose", lambda *_: 1 / 0)
        assert coordinator.next_trial("a") is None
    failure = coordinator.progress().failure
    assert failure.message == "the sampler random failed: ZeroDivisionError: division by zero"
    coordinator.close()
    again = open_study()
    assert again.next_trial("a").number == 1


CONFIGS = {"x": {"choices": [0.0, 0.5]}}
DETERMINISTIC = "import hpo\n@hpo.deterministic\ndef train(config, trial): ...\n"


def test_a_config_tried_before_is_answered_from_the_record(open_study, tmp_path):
    (tmp_path / "sure.py").write_text(DETERMINISTIC)
    coordinator = open_study(trainable="sure:train", space=CONFIGS)
    ran = []
    while spec := coordinator.next_trial("a"):
        ran.append(spec.config["x"])
        value = 0.1 if spec.config["x"] else None
        if value is None:
            coordinator.finish(spec.number, spec.lease, Outcome(State.DIVERGED, {}, "nan"))
        else:
            complete(coordinator, spec, value)
    assert sorted(ran) == [0.0, 0.5]
    trials = coordinator.changes(0)[1]
    assert len(trials) == 20 and coordinator.progress().done
    for trial in trials:
        first = next(t for t in trials if t.config == trial.config)
        assert (trial.state, trial.values) == (first.state, first.values)
        assert trial.same_as == (None if trial is first else first.number)


def test_without_that_declaration_every_trial_runs(open_study):
    coordinator = open_study(space=CONFIGS)
    for number in range(20):
        spec = coordinator.next_trial("a")
        assert spec.number == number
        complete(coordinator, spec, 0.1)


def test_several_objectives(open_study):
    objectives = [{"metric": "loss"}, {"metric": "score", "direction": "maximize"}]
    coordinator = open_study(objective=objectives)
    for loss, score in [(0.5, 1.0), (0.4, 0.5), (0.6, 0.9), (0.5, 1.0)]:
        complete(coordinator, coordinator.next_trial("a"), loss, score=score)
    assert [t.number for t in coordinator.progress().best] == [0, 1]
    assert [t.values for t in coordinator.changes(0)[1]][1] == (0.4, 0.5)
    spec = coordinator.next_trial("a")
    assert coordinator.report(4, spec.lease, Report(1, {"loss": 0.1}, 0)) is Decision.PAUSE
    assert "objective.metric is 'score'" in coordinator.progress().failure.message


def test_checkpoints_of_the_whole_pareto_set_are_kept(open_study):
    coordinator = open_study(objective=[{"metric": "loss"}, {"metric": "size"}])
    kept = []
    for loss, size in [(3, 3), (1, 5), (2, 4), (2, 2), (1, 1)]:
        spec = coordinator.next_trial("a")
        coordinator.folder.checkpoint(spec.number).mkdir(parents=True)
        complete(coordinator, spec, float(loss), size=float(size))
        kept.append([i for i in range(5) if coordinator.folder.checkpoint(i).exists()])
    assert kept == [[0], [0, 1], [0, 1, 2], [1, 3], [4]]


def test_with_several_workers_the_next_draw_is_made_while_trials_run(open_study, monkeypatch):
    coordinator = open_study()
    coordinator.next_trial("a")
    assert coordinator._draws._ahead is None, "a lone worker's draws know all results"
    coordinator.next_trial("b")
    assert coordinator._draws._ahead is not None


@pytest.fixture
def slow_draw(monkeypatch):
    """Draws wait; yields what tells that one is being made, and what lets it go on."""
    drawing, go_on = threading.Event(), threading.Event()

    def hold(coordinator):
        proposer = coordinator._draws._proposer
        propose = proposer.propose

        def slow(*args):
            drawing.set()
            assert go_on.wait(60)
            return propose(*args)

        monkeypatch.setattr(proposer, "propose", slow)
        return drawing, go_on

    yield hold
    go_on.set()


def test_reports_do_not_wait_for_a_draw(open_study, slow_draw):
    coordinator = open_study()
    spec = coordinator.next_trial("a")
    drawing, go_on = slow_draw(coordinator)
    found = []
    asking = threading.Thread(target=lambda: found.append(coordinator.next_trial("b")))
    asking.start()
    assert drawing.wait(60)
    for step in range(1, 4):
        report = Report(step, {"loss": 1.0}, 0)
        assert coordinator.report(0, spec.lease, report) is Decision.GO_ON
    assert not found
    go_on.set()
    asking.join()
    assert found[0].number == 1


def test_a_worker_that_dies_while_it_waits_for_a_draw_gets_no_trial(open_study, slow_draw):
    coordinator = open_study()
    drawing, go_on = slow_draw(coordinator)
    found = []
    asking = threading.Thread(target=lambda: found.append(coordinator.next_trial("a")))
    asking.start()
    assert drawing.wait(60)
    coordinator.worker_ended("a", died=True)
    go_on.set()
    asking.join()
    assert found == [None] and coordinator.work_left()
    assert coordinator.next_trial("b").number == 0


def test_when_hardly_a_config_is_new_the_study_is_over(open_study, tmp_path):
    (tmp_path / "sure.py").write_text(DETERMINISTIC)
    coordinator = open_study(
        trainable="sure:train",
        space=CONFIGS,
        search={"sampler": "random"},
        budget={"wall_hours": 1},
    )
    while spec := coordinator.next_trial("a"):
        complete(coordinator, spec, 0.1)
    assert coordinator.progress().done
    assert coordinator.progress().ended_by.startswith("100 configs in a row")
