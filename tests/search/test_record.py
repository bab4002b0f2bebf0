"""The record: what Optuna is told, what a crash leaves, and that a study goes on as if unbroken."""

from __future__ import annotations

import json
import math
import resource
import signal

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from spaces import GRID, TREE, Search, make_space

from hpo.errors import InputError
from hpo.records import Objective, Outcome, State
from hpo.search import draws
from hpo.search.journal import open_journal
from hpo.search.journal.file import FileJournal
from hpo.search.pruners import Asha, Median
from hpo.search.record import Origin, Record
from hpo.search.settings import SamplerName

CREATE_TRIAL = 4  # one of the operations in an Optuna journal

KINDS: list[SamplerName] = ["grid", "random", "qmc", "tpe", "gp", "cmaes", "nsga2", "auto"]
PRUNED: list[SamplerName] = ["grid", "random", "qmc", "tpe", "auto"]


def tree(kind):
    return GRID if kind == "grid" else TREE


LOSS = (Objective("loss"),)
PARAMETERS = {here.parameter.name: here.parameter for here in make_space(TREE).parameters}


def reading(journal):
    return Record(FileJournal(journal, writable=False), LOSS)


def seen_by_optuna(journal):
    """The study as Optuna itself reads it from the file."""
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.load_study(study_name="study", storage=storage)


@pytest.mark.parametrize(
    ("kind", "prune"), [(kind, False) for kind in KINDS] + [(kind, True) for kind in PRUNED]
)
def test_a_half_and_another_equal_the_whole(tmp_path, kind, prune, storage):
    half = 13 if kind == "gp" else 25  # which fits a model anew for every draw after the eleventh

    def search(name):
        store = open_journal(storage, tmp_path / name, f"{tmp_path}/{name}", writable=True)
        return Search(store, kind, tree(kind), prune=prune)

    whole = search("whole")
    whole.run(2 * half)
    parts = search("parts")
    parts.run(half)
    parts.record.close()
    parts = search("parts")
    parts.run(2 * half)
    assert parts.story() == whole.story()
    assert len(parts.story()) == 2 * half
    states = {t.state for t in parts.record.trials()}
    assert states >= {State.COMPLETE, State.DIVERGED, State.FAILED}
    assert (State.PRUNED in states) is prune
    for each in (whole, parts):
        each.record.close()


@pytest.mark.parametrize("kind", ["random", "qmc", "tpe", "cmaes", "nsga2"])
@pytest.mark.parametrize("asked_for", [25, None])
def test_25_and_25_equal_50_where_draws_are_made_ahead(tmp_path, monkeypatch, kind, asked_for):
    monkeypatch.setattr(draws, "AHEAD_FROM", 15)
    whole = Search(tmp_path / "whole", kind)
    whole.run(50)
    Search(tmp_path / "parts", kind, trials=asked_for).run(25)
    parts = Search(tmp_path / "parts", kind)
    parts.run(50)
    assert parts.story() == whole.story()
    assert [parts.record.origin(n).unknown for n in (14, 15, 25, 49)] == [(), (14,), (24,), (48,)]


@pytest.mark.parametrize("kind", ["random", "qmc", "tpe"])
def test_another_seed_is_another_study(tmp_path, kind):
    stories = []
    for seed in (0, 1):
        search = Search(tmp_path / str(seed), kind, seed=seed)
        search.run(12)
        stories.append([t.config for t in search.record.trials()])
    assert not any(a == b for a, b in zip(*stories, strict=True))


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_what_optuna_is_told(tmp_path, direction):
    search = Search(tmp_path / "journal", direction=direction)
    record = search.record
    worst = 9.0 if direction == "minimize" else -4.0
    endings = [
        (State.COMPLETE, 2.0, []),
        (State.COMPLETE, 3.0, [-4.0, 9.0]),
        (State.PRUNED, 5.0, [6.0, 5.0]),
        (State.DIVERGED, None, [math.nan]),
        (State.OUT_OF_MEMORY, None, []),
        (State.FAILED, None, [1.0]),
    ]
    for state, value, reports in endings:
        number = search.ask().number
        for step, reported in enumerate(reports, start=1):
            record.report(number, step, reported)
        record.finish(number, Outcome(state, reason="why"), [] if value is None else [value])
    told = seen_by_optuna(tmp_path / "journal").trials
    assert [(t.state, t.values) for t in told] == [
        (TrialState.COMPLETE, [2.0]),
        (TrialState.COMPLETE, [3.0]),
        (TrialState.PRUNED, [5.0]),
        (TrialState.COMPLETE, [worst]),
        (TrialState.COMPLETE, [worst]),
        (TrialState.FAIL, None),
    ]
    assert [t.constraints for t in told] == [
        {},
        {},
        {},
        {"diverged": 1.0},
        {"out_of_memory": 1.0},
        {},
    ]
    assert told[2].intermediate_values == {1: 6.0, 2: 5.0}
    # What people are shown is what happened, and no value that was made up.
    assert [(t.state, t.value) for t in record.trials()] == [(s, v) for s, v, _ in endings]


@pytest.mark.parametrize(("direction", "worst"), [("minimize", math.inf), ("maximize", -math.inf)])
@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_diverged_before_there_is_any_value_is_infinitely_bad(tmp_path, kind, direction, worst):
    search = Search(tmp_path / "journal", kind, direction=direction)
    first = search.ask()
    search.record.report(first.number, 1, math.nan)
    search.record.finish(first.number, Outcome(State.DIVERGED), [])
    assert seen_by_optuna(tmp_path / "journal").trials[0].values == [worst]
    search = Search(tmp_path / "journal", kind, direction=direction)
    search.run(20)  # and the sampler can live with it
    assert len(search.record.trials()) == 20


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_reports_that_are_not_finite_survive_and_are_not_for_the_pruner(tmp_path, value):
    search = Search(tmp_path / "journal", prune=True)
    for _ in range(4):
        search.finish(search.ask())
    number = search.ask().number
    assert search.record.report(number, 1, value) is False
    again = Search(tmp_path / "journal", prune=True)
    assert again.record.trial(number).state is State.RUNNING
    assert again.record.trial(number).steps == 1
    (reported,) = seen_by_optuna(tmp_path / "journal").trials[number].intermediate_values.values()
    assert repr(reported) == repr(value)


def test_finishing_twice_changes_nothing(tmp_path):
    search = Search(tmp_path / "journal")
    number = search.ask().number
    first = search.record.finish(number, Outcome(State.COMPLETE, {"loss": 1.0}), [1.0])
    size = (tmp_path / "journal").stat().st_size
    second = search.record.finish(number, Outcome(State.FAILED, {}, "late"), [])
    assert second == first == search.record.trial(number)
    assert (tmp_path / "journal").stat().st_size == size


def test_metrics_that_are_not_finite_are_left_out(tmp_path):
    search = Search(tmp_path / "journal")
    metrics = {"loss": 1.0, "gap": math.inf, "ratio": math.nan}
    number = search.ask().number
    assert search.record.finish(number, Outcome(State.COMPLETE, metrics), [1.0]).metrics == {
        "loss": 1.0
    }


@pytest.mark.parametrize("kind", PRUNED)
def test_optuna_opens_the_journal_and_sees_the_same_trials(tmp_path, kind):
    search = Search(tmp_path / "journal", kind, tree(kind), prune=True)
    search.run(15)
    told = seen_by_optuna(tmp_path / "journal").trials
    ours = search.record.trials()
    assert [t.number for t in told] == [t.number for t in ours]
    assert [t.params for t in told] == [t.params for t in ours]
    for theirs, trial in zip(told, ours, strict=True):
        assert theirs.last_step == (trial.steps or None)
        if trial.state is State.COMPLETE:
            assert theirs.value == trial.value


def test_readers_see_the_record_while_it_is_written(tmp_path):
    search = Search(tmp_path / "journal")
    search.run(5)
    before = (tmp_path / "journal").read_bytes()
    reader = reading(tmp_path / "journal")
    assert reader.trials() == search.record.trials()
    assert (tmp_path / "journal").read_bytes() == before
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'{"half a li')
    assert reading(tmp_path / "journal").trials() == reader.trials()


@pytest.mark.parametrize("torn", [b'{"op', b"\x00\x00", b'{"op_code":4,"worker_id":"x"}'])
def test_a_torn_last_line_is_cut_off(tmp_path, torn):
    whole = Search(tmp_path / "whole", "tpe")
    whole.run(14)
    Search(tmp_path / "journal", "tpe").run(12)
    before = (tmp_path / "journal").read_bytes()
    (tmp_path / "journal").write_bytes(before + torn)
    search = Search(tmp_path / "journal", "tpe")
    assert (tmp_path / "journal").read_bytes().startswith(before)
    for line in (tmp_path / "journal").read_bytes()[len(before) :].splitlines():
        json.loads(line)
    search.run(14)
    assert search.story() == whole.story()


def cut_everywhere(whole, tmp_path, first=0):
    """The journal as crashes leave it: after each of its lines, with a part of the next."""
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    begun = [i for i, line in enumerate(lines) if json.loads(line)["op_code"] == CREATE_TRIAL]
    for cut in range(begun[first], len(lines)):
        journal = tmp_path / f"cut{cut}"
        journal.write_bytes(b"".join(lines[:cut]) + lines[cut][: cut % len(lines[cut])])
        yield journal


# Ten trials in, the tree-structured Parzen estimator begins to learn.
@pytest.mark.parametrize(
    ("kind", "first", "trials"), [("grid", 0, 4), ("random", 0, 6), ("tpe", 9, 13)]
)
def test_a_crash_after_any_line_loses_and_repeats_nothing(tmp_path, kind, first, trials):
    whole = Search(tmp_path / "whole", kind, tree(kind))
    whole.run(trials)
    for journal in cut_everywhere(whole, tmp_path, first):
        search = Search(journal, kind, tree(kind))
        for found, expected in zip(search.story(), whole.story(), strict=False):
            assert found[0] == expected[0]
            assert found[2:4] == expected[2:4], "a trial that is there has its whole config"
            assert found == expected or found[1] is State.RUNNING, "and its whole outcome"
        search.run(trials)
        assert search.story() == whole.story(), journal.name


@pytest.mark.parametrize("kind", ["grid", "random"])
def test_a_crash_while_pruning_repeats_nothing(tmp_path, kind):
    """A decision to prune that was not carried out may come again at a later step: only that."""
    whole = Search(tmp_path / "whole", kind, tree(kind), prune=True)
    whole.run(4)
    for journal in cut_everywhere(whole, tmp_path):
        search = Search(journal, kind, tree(kind), prune=True)
        search.run(4)
        assert [t[0::2][:2] for t in search.story()] == [t[0::2][:2] for t in whole.story()]
        assert not any(t.state is State.RUNNING for t in search.record.trials())


def test_diverged_trials_set_no_bar_for_others(tmp_path):
    """They may have been the best until they were not."""
    objectives = LOSS
    journal = FileJournal(tmp_path / "journal", writable=True)
    search = Search(tmp_path / "other")
    record = Record(journal, objectives, Median(startup_trials=3).make())
    for _ in range(5):
        number = record.open(search.draws.next().result(), Origin(), PARAMETERS).number
        record.report(number, 1, 0.1)
        record.finish(number, Outcome(State.DIVERGED, {}, "nan"), [])
    number = record.open(search.draws.next().result(), Origin(), PARAMETERS).number
    assert not record.report(number, 1, 0.9)


def test_a_decision_to_prune_survives_a_crash(tmp_path):
    def reopened():
        journal = FileJournal(tmp_path / "journal", writable=True)
        return Record(journal, LOSS, Asha().make())

    search = Search(tmp_path / "journal")
    good, bad = search.ask().number, search.ask().number
    first = reopened()
    assert not first.report(good, 1, 0.0)
    assert first.report(bad, 1, 5.0)
    assert reopened().report(bad, 1, 5.0)


def test_a_full_disk_leaves_whole_lines_and_stops_this_process(tmp_path):
    search = Search(tmp_path / "journal")
    search.run(3)
    before = (tmp_path / "journal").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, hard))
    try:
        for _ in range(2):  # the second must not write either, although it could now
            with pytest.raises(OSError, match="File too large"):
                search.ask()
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "journal").read_bytes() == before
    again = Search(tmp_path / "journal")
    again.run(6)
    whole = Search(tmp_path / "whole")
    whole.run(6)
    assert again.story() == whole.story()


@pytest.mark.parametrize("kind", PRUNED)
def test_every_line_of_the_journal_is_an_operation_of_optuna(tmp_path, kind):
    Search(tmp_path / "journal", kind, tree(kind), prune=True).run(5)
    for line in (tmp_path / "journal").read_text().splitlines():
        assert {"op_code", "worker_id"} <= json.loads(line).keys()


def opening(journal, text):
    journal.write_bytes(text)
    with pytest.raises(InputError, match="the record is damaged") as refused:
        Search(journal)
    assert journal.read_bytes() == text
    with pytest.raises(InputError, match="the record is damaged"):
        reading(journal).trials()
    return refused.value.message


@pytest.mark.parametrize("line", ['{"op_code": 99, "worker_id": "x"}', '{"op_code": 5}'])
def test_operations_that_make_no_study(tmp_path, line):
    Search(tmp_path / "journal").run(3)
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    opening(tmp_path / "journal", b"".join([*lines[:4], f"{line}\n".encode(), *lines[4:]]))


def test_a_record_without_its_beginning(tmp_path):
    Search(tmp_path / "journal").run(3)
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    opening(tmp_path / "journal", b"".join(lines[1:]))


@pytest.mark.parametrize("times", [0, 2])
def test_a_trial_that_is_missing_or_there_twice_is_noticed(tmp_path, times):
    Search(tmp_path / "journal").run(4)
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    at = [i for i, line in enumerate(lines) if json.loads(line)["op_code"] == CREATE_TRIAL][1]
    text = b"".join([*lines[:at], *[lines[at]] * times, *lines[at + 1 :]])
    assert "is missing, or stands at another place" in opening(tmp_path / "journal", text)


def test_a_file_that_vanishes_stops_this_process(tmp_path):
    search = Search(tmp_path / "journal")
    search.run(2)
    (tmp_path / "journal").unlink()
    with pytest.raises(FileNotFoundError):
        search.ask()
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize("kind", ["tpe", "gp", "auto"])
def test_samplers_turn_away_from_where_trials_fail(tmp_path, kind):
    """Beside a region that diverges, one that fails must not look like the best place left."""
    square = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}}
    search = Search(tmp_path / "journal", kind, square)
    failed = 0
    for _ in range(30):
        trial = search.ask()
        x, y = trial.config["x"], trial.config["y"]
        state = State.FAILED if x > 0.8 else State.DIVERGED if x < 0.2 else State.COMPLETE
        failed += state is State.FAILED
        values = [(x - 0.3) ** 2 + (y - 0.5) ** 2] if state is State.COMPLETE else []
        search.record.finish(trial.number, Outcome(state), values)
        search.draws.ended(trial.number)
    assert failed <= 8
