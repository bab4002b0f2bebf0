"""What a tracker missed while it was away is shown later, once."""

from __future__ import annotations

from collections import Counter

import pytest

from hpo import frozen, studyfile, track
from hpo.coordinator import Coordinator
from hpo.errors import StudyConflict
from hpo.lock import FileLock
from hpo.publishing import Shown, sync
from hpo.records import Outcome, State
from hpo.result import load_study
from hpo.stage import Search
from hpo.study import run


def published(uri):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(ids, "tags.hpo.trial != ''")
    assert all(run.data.metrics["loss"] >= 0 for run in runs)
    return Counter(int(run.data.tags["hpo.trial"]) for run in runs)


def test_sync_publishes_what_was_missed_once(write_study, home, tmp_path):
    in_the_way = tmp_path / "store"
    in_the_way.touch()
    uri = f"sqlite:///{in_the_way}/mlflow.db"
    result = run(write_study(tracking={"uri": uri}), inline=True, home=home)
    assert result.done and len(result.trials) == 8 and result.trouble
    in_the_way.unlink()
    for _ in range(2):
        assert sync("toy", home) == (8, None)
        assert published(uri) == Counter(range(8))


def test_a_study_that_runs_is_not_for_sync(write_study, home):
    run(write_study(tracking={"uri": "default"}), inline=True, home=home)
    lock = FileLock(home.study("toy").root / "run.lock")
    with pytest.raises(StudyConflict, match="is running the study 'toy'"):
        sync("toy", home)
    lock.release()


class Ending:
    """A coordinator whose Ray cluster ends at some moment."""

    def __init__(self, coordinator):
        self._coordinator = coordinator
        self.gone = False
        self.asked_too_late = []

    def __getattr__(self, name):
        if self.gone:
            self.asked_too_late.append(name)
        return getattr(self._coordinator, name)


def test_a_coordinator_that_has_ended_is_not_asked_again(write_study, home):
    loaded = studyfile.load(write_study(tracking={"uri": "default"}))
    run(loaded, inline=True, home=home)
    folder = home.study("toy")
    coordinator = Ending(Coordinator(Search(folder)))
    card = frozen.card(loaded, frozen.study_id(folder))
    with Shown(loaded, card, folder, home) as shown:
        shown.follow("search", coordinator)
        shown.leave("search")
        coordinator.gone = True
        shown.refresh()
        shown.ending = track.Ending.DONE
    coordinator.close()
    assert shown.trouble is None
    assert coordinator.asked_too_late == ["close"]
    assert published(home.tracking_uri) == Counter(range(8))


def test_what_a_study_has_spent_and_why_it_ended_is_read_from_its_record(write_study, home):
    study = write_study(budget={"target": 10.0})
    result = run(study, inline=True, home=home)
    assert len(result.trials) == 1 and result.ended_by.startswith("budget.target")
    read = load_study("toy", home)
    assert (read.done, read.ended_by, read.front) == (True, result.ended_by, result.front)
    assert read.spent.worker_seconds >= result.spent.worker_seconds > 0
    assert read.spent.busy_seconds == result.spent.busy_seconds


def test_more_trials_than_before_are_run_after_the_study_was_done(write_study, home):
    run(write_study(), inline=True, home=home)
    coordinator = Coordinator(Search(home.study("toy")))
    assert coordinator.progress().done
    coordinator.close()
    more = run(write_study(search={"sampler": "tpe", "trials": 10}), inline=True, home=home)
    assert [t.number for t in more.trials] == list(range(10))
    coordinator = Coordinator(Search(home.study("toy")))
    assert coordinator.next_trial("w") is None
    coordinator.finish(3, "w/x", Outcome(State.FAILED))
    assert {t.state for t in coordinator.changes(0)[1]} == {State.COMPLETE}
    coordinator.close()
