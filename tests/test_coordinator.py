"""The coordinator, driven as workers and supervisors drive it, without Ray."""

from __future__ import annotations

import json
import math
import time

import pytest

from hpo import coordinator as coordinators
from hpo import frozen, metric_log, studyfile
from hpo.coordinator import Coordinator
from hpo.errors import InputError, StudyConflict, StudyFailed
from hpo.losses import MAX_DEATHS, MAX_LOSSES
from hpo.records import Decision, Outcome, Report, State
from hpo.stage import Search

DONE = Outcome(State.COMPLETE)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(coordinators, "PREDECESSOR_SECONDS", 0)


@pytest.fixture
def open_study(write_study, home, storage):
    """Opens a coordinator on the study; those open before must have been closed."""
    opened = []

    def start(**changes):
        study = studyfile.load(write_study(storage=storage, **changes))
        frozen.freeze(study, home)
        opened.append(Coordinator(Search(home.study(study.name))))
        return opened[-1]

    yield start
    for coordinator in opened:
        coordinator.close()


def reopen(coordinator, again=False):
    """What happens when the process died: a new one, from the record alone.

    `again`: its workers live on.
    """
    coordinator.close()
    return Coordinator(Search(coordinator.folder), again)


def report(step, value, **more):
    return Report(step, {"loss": value, **more}, time.time())


def state_of(coordinator, number):
    return next(t for t in coordinator.changes(0)[1] if t.number == number)


def complete(coordinator, spec, value):
    coordinator.finish(spec.number, spec.lease, Outcome(State.COMPLETE, {"loss": value}))


def test_a_study_from_first_to_last_trial(open_study):
    coordinator = open_study(search={"sampler": "random", "trials": 3})
    values = [0.3, 0.1, 0.2]
    for number, value in enumerate(values):
        assert coordinator.work_left() and not coordinator.finished()
        spec = coordinator.next_trial("w")
        assert (spec.number, set(spec.config)) == (number, {"x"})
        assert coordinator.report(number, spec.lease, report(1, value)) is Decision.GO_ON
        coordinator.finish(number, spec.lease, DONE)
    assert coordinator.next_trial("w") is None
    assert coordinator.finished() and not coordinator.work_left()
    progress = coordinator.progress()
    assert (progress.total, progress.finished, progress.finished_here) == (3, 3, 3)
    assert [(t.number, t.value) for t in progress.best] == [(1, 0.1)]
    assert [t.value for t in coordinator.changes(0)[1]] == values


def test_no_two_workers_get_the_same_trial(open_study):
    coordinator = open_study()
    specs = [coordinator.next_trial(f"w{i}") for i in range(8)]
    assert [spec.number for spec in specs] == list(range(8))
    assert len({spec.lease for spec in specs}) == len({spec.seed for spec in specs}) == 8
    assert coordinator.next_trial("w8") is None
    assert not coordinator.work_left() and not coordinator.finished()


def test_asking_again_gives_the_trial_back(open_study):
    coordinator = open_study()
    first, again = coordinator.next_trial("w"), coordinator.next_trial("w")
    assert (again.number, again.config, again.seed) == (first.number, first.config, first.seed)
    assert again.lease != first.lease


def test_what_comes_under_an_old_lease_is_ignored(open_study):
    coordinator = open_study()
    old = coordinator.next_trial("w1")
    coordinator.worker_ended("w1", died=True)
    new = coordinator.next_trial("w2")
    assert new.number == old.number
    assert coordinator.report(old.number, old.lease, report(1, 0.9)) is Decision.PAUSE
    complete(coordinator, old, 0.9)
    assert state_of(coordinator, 0).state is State.RUNNING
    assert metric_log.read(coordinator.folder.metrics(0)) == []
    complete(coordinator, new, 0.2)
    complete(coordinator, new, 0.8)
    complete(coordinator, old, 0.9)
    assert state_of(coordinator, 0).value == 0.2


@pytest.mark.parametrize("number", [7, -1])
def test_a_trial_that_was_never_handed_out_has_no_results(open_study, number):
    coordinator = open_study()
    assert coordinator.report(number, "w/1", report(1, 0.1)) is Decision.PAUSE
    coordinator.finish(number, "w/1", DONE)
    assert coordinator.changes(0) == (0, [])


def test_a_lost_trial_runs_again_with_its_checkpoint(open_study):
    coordinator = open_study()
    spec = coordinator.next_trial("w1")
    checkpoint = coordinator.folder.checkpoint(spec.number)
    checkpoint.mkdir(parents=True)
    coordinator.report(spec.number, spec.lease, report(1, 0.5))
    coordinator.worker_ended("w1", died=True)
    assert coordinator.work_left()
    again = coordinator.next_trial("w2")
    assert (again.number, again.config, again.seed) == (spec.number, spec.config, spec.seed)
    assert again.lease != spec.lease and checkpoint.exists()
    assert coordinator.report(again.number, again.lease, report(2, 0.4)) is Decision.GO_ON
    assert [r.step for r in metric_log.read(coordinator.folder.metrics(0))] == [1, 2]


def test_a_trial_that_keeps_killing_its_workers_is_given_up(open_study):
    coordinator = open_study()
    for death in range(MAX_LOSSES):
        assert coordinator.next_trial(f"w{death}").number == 0
        coordinator.worker_ended(f"w{death}", died=True)
    given_up = state_of(coordinator, 0)
    assert given_up.state is State.FAILED
    assert given_up.reason == f"its worker died {MAX_LOSSES} times while running it"
    assert coordinator.next_trial("w").number == 1
    assert coordinator.progress().failure is None


def test_workers_that_die_before_they_run_anything_fail_the_study(open_study):
    coordinator = open_study()
    for death in range(MAX_DEATHS):
        assert coordinator.progress().failure is None
        coordinator.worker_ended(f"w{death}", died=True)
    assert isinstance(coordinator.progress().failure, StudyFailed)
    assert coordinator.finished()


def test_workers_that_end_by_themselves_are_no_deaths(open_study):
    coordinator = open_study()
    for i in range(3 * MAX_DEATHS):
        coordinator.worker_ended(f"w{i}", died=False)
    assert coordinator.progress().failure is None


def test_workers_beyond_the_limit_end_with_their_trial_and_others_come_when_it_grows(open_study):
    coordinator = open_study()
    held = {worker: coordinator.next_trial(worker) for worker in ("a", "b", "c")}
    coordinator.limit_workers(2)
    assert not coordinator.work_left()
    assert coordinator.report(0, held["a"].lease, report(1, 0.5)) is Decision.GO_ON
    complete(coordinator, held["a"], 0.5)
    assert coordinator.next_trial("a") is None and not coordinator.finished()
    coordinator.worker_ended("a", died=False)
    complete(coordinator, held["b"], 0.4)
    assert coordinator.next_trial("b").number == 3
    assert coordinator.next_trial("d") is None
    coordinator.limit_workers(3)
    assert coordinator.work_left() and coordinator.next_trial("e").number == 4


def test_stop_pauses_what_runs_and_it_comes_back(open_study):
    coordinator = open_study()
    one, two = coordinator.next_trial("w1"), coordinator.next_trial("w2")
    coordinator.stop()
    assert coordinator.finished() and coordinator.next_trial("w3") is None
    assert coordinator.report(one.number, one.lease, report(1, 0.5)) is Decision.PAUSE
    complete(coordinator, two, 0.1)  # what ends meanwhile counts
    again = reopen(coordinator)
    assert state_of(again, two.number).value == 0.1
    back = again.next_trial("w1")
    assert (back.number, back.config, back.seed) == (one.number, one.config, one.seed)
    assert again.report(back.number, back.lease, report(2, 0.4)) is Decision.GO_ON
    assert again.next_trial("w2").number == 2
    again.close()


@pytest.mark.parametrize("where", ["in its first report", "in what it returned"])
def test_an_objective_that_is_never_reported_stops_the_study(open_study, where):
    coordinator = open_study(objective={"metric": "val_loss"})
    spec = coordinator.next_trial("w")
    if where == "in its first report":
        assert coordinator.report(0, spec.lease, report(1, 0.5, vall_loss=1)) is Decision.PAUSE
    else:
        outcome = Outcome(State.COMPLETE, {"loss": 0.5, "vall_loss": 1.0})
        coordinator.finish(0, spec.lease, outcome)
    failure = coordinator.progress().failure
    assert isinstance(failure, InputError)
    assert failure.message == (
        f"objective.metric is 'val_loss', but {where} the trainable has: loss, vall_loss;"
        " did you mean 'vall_loss'?"
    )
    assert coordinator.next_trial("w") is None and coordinator.finished()
    assert state_of(coordinator, 0).state is State.RUNNING, "the trial itself did nothing wrong"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "train_loss"])
def test_a_loss_that_is_not_finite_ends_the_trial_in_that_step(open_study, name, bad):
    coordinator = open_study()
    spec = coordinator.next_trial("w")
    assert coordinator.report(0, spec.lease, report(1, 0.5, accuracy=math.nan)) is Decision.GO_ON
    metrics = {"loss": 0.5, name: bad}
    assert coordinator.report(0, spec.lease, Report(2, metrics, 0.0)) is Decision.DIVERGE
    coordinator.finish(0, spec.lease, Outcome(State.DIVERGED, {}, "nan"))
    ended = state_of(coordinator, 0)
    assert (ended.state, ended.value, ended.steps) == (State.DIVERGED, None, 2)
    assert repr(metric_log.read(coordinator.folder.metrics(0))[1].metrics[name]) == repr(bad)
    assert coordinator.progress().best == ()


def test_pruned_trials_keep_the_value_of_their_last_report(open_study):
    coordinator = open_study(pruner={"kind": "asha", "min_steps": 1, "reduction_factor": 2})
    decisions = []
    for value in (0.1, 0.2, 0.9):
        spec = coordinator.next_trial("w")
        decisions.append(coordinator.report(spec.number, spec.lease, report(1, value)))
        pruned = decisions[-1] is Decision.PRUNE
        outcome = Outcome(State.PRUNED if pruned else State.COMPLETE)
        coordinator.finish(spec.number, spec.lease, outcome)
    assert decisions == [Decision.GO_ON, Decision.PRUNE, Decision.PRUNE]
    assert [t.value for t in coordinator.changes(0)[1]] == [0.1, 0.2, 0.9]
    assert [t.number for t in coordinator.progress().best] == [0]


def test_changes_are_given_once(open_study):
    coordinator = open_study()
    assert coordinator.changes(0) == (0, [])
    one, two = coordinator.next_trial("w1"), coordinator.next_trial("w2")
    cursor, changed = coordinator.changes(0)
    assert [t.number for t in changed] == [0, 1]
    assert coordinator.changes(cursor) == (cursor, [])
    coordinator.report(1, two.lease, report(1, 0.5))
    coordinator.report(1, two.lease, report(2, 0.4))
    later, changed = coordinator.changes(cursor)
    assert [(t.number, t.steps) for t in changed] == [(1, 2)]
    complete(coordinator, one, 0.3)
    assert [t.number for t in coordinator.changes(later)[1]] == [0]
    assert [t.number for t in coordinator.changes(cursor)[1]] == [0, 1]


def test_checkpoints_are_removed_except_the_best_ones(open_study):
    coordinator = open_study()
    endings = [
        (State.COMPLETE, 0.5, {0}),
        (State.FAILED, None, {0}),
        (State.COMPLETE, 0.7, {0}),
        (State.COMPLETE, 0.2, {3}),
        (State.DIVERGED, None, {3}),
        (State.PRUNED, 0.1, {3}),
        (State.COMPLETE, 0.2, {3}),
    ]
    running = coordinator.next_trial("other")  # takes number 0 and ends first of all
    for number, (state, value, kept) in enumerate(endings):
        spec = running if number == 0 else coordinator.next_trial("w")
        coordinator.folder.checkpoint(spec.number).mkdir(parents=True)
        metrics = {} if value is None else {"loss": value}
        coordinator.finish(spec.number, spec.lease, Outcome(state, metrics))
        left = {i for i in range(number + 1) if coordinator.folder.checkpoint(i).exists()}
        assert left == kept
    spec = coordinator.next_trial("w")
    coordinator.folder.checkpoint(spec.number).mkdir(parents=True)
    again = reopen(coordinator)
    spec = again.next_trial("w")
    complete(again, spec, 0.1)
    assert not again.folder.checkpoint(3).exists() and again.folder.checkpoint(7).exists()
    again.close()


def test_one_study_has_one_coordinator(open_study):
    coordinator = open_study()
    with pytest.raises(StudyConflict, match="is running the study 'toy'"):
        Coordinator(Search(coordinator.folder))
    coordinator.next_trial("w")
    assert state_of(coordinator, 0).state is State.RUNNING
    reopen(coordinator).close()


def test_a_restarted_coordinator_takes_a_running_worker_at_its_word(open_study):
    before = open_study()
    one, two = before.next_trial("w1"), before.next_trial("w2")
    before.report(0, one.lease, report(1, 0.5))
    after = reopen(before, again=True)
    assert after.report(0, one.lease, report(2, 0.4)) is Decision.GO_ON
    assert after.next_trial("w3").number == 2, "what others may still run is not handed out"
    after.alive("w2", [(1, two.lease)])
    assert after.report(1, two.lease, report(1, 0.3)) is Decision.GO_ON
    complete(after, one, 0.4)
    assert state_of(after, 0).value == 0.4
    assert [r.step for r in metric_log.read(after.folder.metrics(0))] == [1, 2]
    after.close()


def test_a_trial_that_no_worker_claims_after_a_restart_runs_again(open_study):
    before = open_study(search={"sampler": "random", "trials": 1}, resources={"lease_seconds": 1})
    before.next_trial("w1")
    after = reopen(before, again=True)
    assert not after.work_left() and not after.finished()
    deadline = time.monotonic() + 10
    while not after.work_left():
        assert time.monotonic() < deadline
        assert after.overdue([]) == ()
        time.sleep(0.05)
    assert after.next_trial("w2").number == 0
    after.close()


@pytest.mark.parametrize("died", [True, False])
def test_a_worker_that_ends_after_the_restart_gives_its_trial_back(open_study, died):
    before = open_study(search={"sampler": "random", "trials": 1})
    spec = before.next_trial("w/1")
    after = reopen(before, again=True)
    assert after.report(0, spec.lease, report(1, 0.5)) is Decision.GO_ON
    assert not after.work_left() and not after.finished()
    after.worker_ended("w/1", died=died)
    assert after.work_left()
    again = after.next_trial("w/2")
    assert again.number == 0
    complete(after, again, 0.1)
    assert after.finished()
    after.close()


def test_a_trial_that_finished_before_the_restart_stays_finished(open_study):
    before = open_study()
    spec = before.next_trial("w")
    complete(before, spec, 0.3)
    after = reopen(before)
    complete(after, spec, 0.9)  # sent again, since the answer got lost
    assert state_of(after, 0).value == 0.3
    assert after.next_trial("w").number == 1
    after.close()


def test_a_space_without_a_valid_draw_fails_the_study_in_its_own_words(open_study, tmp_path):
    (tmp_path / "picky.py").write_text(
        "from pydantic import BaseModel, model_validator\n"
        "class Config(BaseModel):\n"
        "    x: float\n"
        "    y: float\n"
        "    @model_validator(mode='after')\n"
        "    def check(self):\n"
        "        import picky\n"
        "        if picky.CLOSED:\n"
        "            raise ValueError('closed for today')\n"
        "        return self\n"
        "CLOSED = False\n"
        "def train(config: Config, trial): ...\n"
    )
    axis = {"low": 0.0, "high": 1.0}
    coordinator = open_study(
        trainable="picky:train",
        space={"x": axis, "y": axis},
        search={"sampler": "random", "trials": 2},
    )
    import picky

    picky.CLOSED = True
    assert coordinator.next_trial("w") is None
    failure = coordinator.progress().failure
    assert isinstance(failure, StudyFailed) and "closed for today" in failure.message
    picky.CLOSED = False
    again = reopen(coordinator)
    assert again.next_trial("w").number == 0
    again.close()


def test_a_grid_ends_by_itself(open_study):
    axis = {"choices": [0.0, 0.5]}
    coordinator = open_study(space={"x": axis, "nap": axis}, search={"sampler": "grid"})
    seen = []
    while spec := coordinator.next_trial("w"):
        seen.append((spec.config["x"], spec.config["nap"]))
        complete(coordinator, spec, 0.1)
    assert seen == [(0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5)]
    assert coordinator.progress().total == 4 and coordinator.finished()


def test_more_trials_go_on_where_fewer_ended(open_study):
    few = open_study(search={"sampler": "random", "trials": 2})
    for _ in range(2):
        complete(few, few.next_trial("w"), 0.1)
    assert few.next_trial("w") is None
    few.close()
    more = open_study(search={"sampler": "random", "trials": 3})
    assert more.next_trial("w").number == 2
    assert more.progress().finished_here == 0
    assert json.loads(more.folder.spec.read_text())["file"]["search"]["trials"] == 3


def test_a_traceback_is_kept(open_study):
    coordinator = open_study()
    spec = coordinator.next_trial("w")
    coordinator.finish(0, spec.lease, Outcome(State.FAILED, {}, "boom", "Traceback: boom"))
    assert coordinator.folder.traceback(0).read_text() == "Traceback: boom"
    assert state_of(coordinator, 0).reason == "boom"
