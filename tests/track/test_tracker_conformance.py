"""What every tracker promises, asked of each: in memory, on SQLite, through a server."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo.budget import Spending
from hpo.bundle import Contents, Provenance, write_bundle
from hpo.home import Home
from hpo.records import Objective, Report, State
from hpo.track import (
    CurvePoint,
    Ending,
    MemoryTracker,
    MlflowTracker,
    NoTracker,
    StudyPage,
    Tracker,
    TrialPage,
)


@dataclasses.dataclass
class Place:
    """A tracker that can be opened again on the same store, and what its readers see."""

    reopen: Callable[[], Tracker]
    look: Callable[[], tuple[list[Any], dict[int, Any]]]
    wipe: Callable[[], None]


def empty(home: Home) -> None:
    """Makes the store under a tracker or a server that of a fresh installation."""
    with contextlib.closing(sqlite3.connect(home.root / "mlflow.db")) as database:
        for table in (
            *("latest_metrics", "metrics", "params", "tags", "runs"),
            *("experiment_tags", "experiments"),
        ):
            database.execute(f"DELETE FROM {table}")
        database.commit()


@pytest.fixture(params=["memory", "sqlite", "http"])
def place(request: pytest.FixtureRequest, read: Any) -> Place:
    if request.param == "memory":
        tracker = MemoryTracker()
        return Place(lambda: tracker, lambda: look_into(tracker), tracker.wipe)
    name = request.node.name
    if request.param == "sqlite":
        home: Home = request.getfixturevalue("home")
        return Place(
            lambda: MlflowTracker(home.tracking_uri, name, home.artifacts),
            lambda: read(home.tracking_uri, name),
            lambda: empty(home),
        )
    ui, behind = request.getfixturevalue("server")
    return Place(
        lambda: MlflowTracker(ui.url, name),
        lambda: read(ui.url, name),
        lambda: empty(behind),
    )


@dataclasses.dataclass
class Seen:
    params: dict[str, str]
    history: dict[str, list[tuple[int, float]]]
    tags: dict[str, str]
    ended: bool


def look_into(tracker: MemoryTracker) -> tuple[list[Any], dict[int, Any]]:
    def seen(run: Any) -> Seen:
        history = {
            k: sorted((p.step, p.value) for p in points) for k, points in run.history.items()
        }
        return Seen(run.params, history, run.tags, run.ended is not None)

    parents = [seen(tracker.parent)] if tracker.parent else []
    return parents, {number: seen(run) for number, run in tracker.children.items()}


def test_a_trial_is_shown_with_its_config_reports_and_outcome(place: Place, made: Any) -> None:
    tracker = place.reopen()
    assert tracker.start(made.card) == frozenset()
    tracker.publish(TrialPage(made.trial(0), made.reports(0), {"learning_rate": 0.25}))
    _, children = place.look()
    run = children[0]
    assert run.params == {
        "epochs": "3",
        "model.kind": "mlp",
        "model.widths": "[8, 8]",
        "optimizer.lr": "0.01",
        "learning_rate": "0.25",
    }
    assert run.history == {
        "val_error": [(step, made.val_error(0, step)) for step in (1, 2, 3)],
        "train_loss": [(1, 2.0), (2, 1.0), (3, 2 / 3)],
        "hpo.value": [(0, made.val_error(0, 3))],
    }
    assert run.tags["hpo.outcome"] == "complete"
    assert run.tags["hpo.trial"] == "000000"
    assert (run.tags["hpo.stage"], run.tags["hpo.steps"]) == ("search", "3")
    assert run.ended


def test_publishing_twice_changes_nothing(place: Place, made: Any) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    pages = [TrialPage(made.trial(0), made.reports(0)), TrialPage(made.trial(1, State.RUNNING))]
    point = CurvePoint(0, 0.5, 1003.0)
    study = StudyPage("text", {"val_error": [point]}, [made.trial(0)], 1)
    for _ in range(2):
        for page in pages:
            tracker.publish(page)
        tracker.study_page(study)
    before = place.look()
    again = place.reopen()
    assert again.start(made.card) == {0}
    for page in pages:
        again.publish(page)
    again.study_page(study)
    assert place.look() == before


def test_a_running_trial_grows_and_is_continued_by_another_process(place: Place, made: Any) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    tracker.publish(TrialPage(made.trial(0, State.RUNNING, 1), made.reports(0, 1)))
    assert place.look()[1][0].ended is False
    tracker.publish(TrialPage(made.trial(0, State.RUNNING, 2), made.reports(0, 2)))
    again = place.reopen()
    assert again.start(made.card) == frozenset()
    again.publish(TrialPage(made.trial(0), made.reports(0)))
    _, children = place.look()
    assert children[0].history["val_error"] == [(s, made.val_error(0, s)) for s in (1, 2, 3)]
    assert children[0].ended


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (State.RUNNING, "digits-000001"),
        (State.COMPLETE, "digits-000001 0.27"),
        (State.PRUNED, "digits-000001 pruned"),
        (State.DIVERGED, "digits-000001 diverged"),
        (State.OUT_OF_MEMORY, "digits-000001 out of memory"),
        (State.FAILED, "digits-000001 failed"),
    ],
)
@pytest.mark.parametrize("seen_running", [False, True], ids=["at its end", "from its start"])
def test_how_a_trial_ended_stands_in_its_name(
    place: Place, made: Any, state: State, name: str, seen_running: bool
) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    if seen_running:
        tracker.publish(TrialPage(made.trial(1, State.RUNNING, 1), made.reports(1, 1)))
        assert place.look()[1][1].tags["mlflow.runName"] == "digits-000001"
    tracker.publish(TrialPage(made.trial(1, state), made.reports(1)))
    assert place.look()[1][1].tags["mlflow.runName"] == name


def test_only_a_complete_trial_has_a_value_to_be_ranked_by(place: Place, made: Any) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    for number, state in enumerate((State.COMPLETE, State.PRUNED, State.DIVERGED)):
        tracker.publish(TrialPage(made.trial(number, state), made.reports(number)))
    _, children = place.look()
    assert [("hpo.value" in children[n].history) for n in range(3)] == [True, False, False]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_left_out(place: Place, made: Any, bad: float) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    trial = dataclasses.replace(made.trial(0, State.DIVERGED), metrics={"val_error": bad})
    tracker.publish(TrialPage(trial, [Report(1, {"val_error": 0.5, "loss": bad}, 1001.0)]))
    tracker.study_page(StudyPage("", {"val_error": [CurvePoint(0, bad, 1001.0)]}))
    parents, children = place.look()
    assert children[0].history == {"val_error": [(1, 0.5)]}
    assert parents[0].history == {}
    assert children[0].tags["hpo.reason"] == "it was diverged"


def test_a_final_metric_that_differs_from_the_last_report_stands_after_it(
    place: Place, made: Any
) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    trial = dataclasses.replace(
        made.trial(0), values=(0.1,), metrics={"val_error": 0.1, "test_error": 0.2}
    )
    tracker.publish(TrialPage(trial, made.reports(0, 2)))
    _, children = place.look()
    assert children[0].history["val_error"][-1] == (3, 0.1)
    assert children[0].history["test_error"] == [(2, 0.2)]


def test_names_and_sizes_beyond_the_store_are_made_to_fit(place: Place, made: Any) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    config = {f"p{i}": i for i in range(230)} | {"text": "x" * 7000, "a@b": 1, "../up": 2, "": 3}
    reports = [
        Report(s, {f"m@{i}": s + i / 10 for i in range(5)}, 1000.0 + s) for s in range(1, 501)
    ]
    tracker.publish(TrialPage(dataclasses.replace(made.trial(0), config=config), reports))
    _, children = place.look()
    assert len(children[0].params) == 234
    assert len(children[0].params["text"]) == 6000
    assert children[0].params["a_b"] == "1"
    assert [len(children[0].history[f"m_{i}"]) for i in range(5)] == [500] * 5


def test_the_study_shows_progress_best_and_end(place: Place, made: Any, tmp_path: Path) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "best.yaml").write_text("lr: 0.01\n")
    curve = [CurvePoint(0, 0.5, 1001.0), CurvePoint(1, 0.4, 1002.0)]
    tracker.study_page(StudyPage("# So far", {"val_error": curve[:1]}, [made.trial(0)], 1))
    branch = dataclasses.replace(made.trial(1), params={"optimizer.beta": 0.9})
    tracker.study_page(
        StudyPage("# Now", {"val_error": curve}, [branch], 2, artifacts=tmp_path / "report")
    )
    tracker.finish(Ending.STOPPED)
    parents, _ = place.look()
    tags = parents[0].tags
    assert (tags["mlflow.note.content"].split()[:2], tags["hpo.finished"]) == (["#", "Now"], "2")
    assert tags["hpo.best.optimizer.beta"] == "0.9"
    assert "hpo.best.optimizer.lr" not in tags, "the best before had other parameters"
    assert parents[0].history == {"best_val_error": [(0, 0.5), (1, 0.4)]}
    assert parents[0].ended
    again = place.reopen()
    again.start(made.card)
    assert not place.look()[0][0].ended, "a study that is continued runs again"
    assert again.present()


TWO = (Objective("val_error"), Objective("speed", "maximize"))


def test_every_objective_is_a_final_metric_and_has_a_curve(place: Place, made: Any) -> None:
    tracker = place.reopen()
    tracker.start(dataclasses.replace(made.card, objectives=TWO))
    trial = dataclasses.replace(made.trial(0), values=(0.1, 40.0), metrics={"val_error": 0.1})
    tracker.publish(TrialPage(trial, made.reports(0, 2)))
    front = [trial, dataclasses.replace(made.trial(7), values=(0.2, 50.0))]
    curves = {
        "val_error": [CurvePoint(0, 0.1, 1003.0), CurvePoint(7, 0.1, 1010.0)],
        "speed": [CurvePoint(0, 40.0, 1003.0), CurvePoint(7, 50.0, 1010.0)],
    }
    tracker.study_page(StudyPage("", curves, front, 2))
    parents, children = place.look()
    assert children[0].history["speed"] == [(2, 40.0)]
    assert children[0].history["val_error"][-1] == (3, 0.1)
    assert parents[0].history == {
        "best_val_error": [(0, 0.1), (7, 0.1)],
        "best_speed": [(0, 40.0), (7, 50.0)],
    }
    tags = parents[0].tags
    assert (tags["hpo.objective"], tags["hpo.direction"]) == (
        "val_error,speed",
        "minimize,maximize",
    )
    assert tags["hpo.front"] == "000000,000007"
    assert not [name for name in tags if name.startswith("hpo.best.")]


def test_what_a_trial_took_and_whose_result_it_was_given(place: Place, made: Any) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    tracker.publish(TrialPage(dataclasses.replace(made.trial(0), seconds=2.5), made.reports(0)))
    tracker.publish(TrialPage(dataclasses.replace(made.trial(4), same_as=0)))
    _, children = place.look()
    assert children[0].history["hpo.seconds"] == [(0, 2.5)]
    assert "hpo.same_as" not in children[0].tags
    assert "hpo.seconds" not in children[4].history
    assert children[4].tags["hpo.same_as"] == "000000"


def test_what_was_spent_grows_with_the_study(place: Place, made: Any) -> None:
    early = Spending(3600.0, 7200.0, {State.COMPLETE: 1800.0, State.RUNNING: 3600.0}, 7200.0, 0.0)
    late = Spending(7200.0, 14400.0, {State.COMPLETE: 9000.0, State.PRUNED: 5400.0}, 14400.0, 0.0)
    tracker = place.reopen()
    tracker.start(made.card)
    tracker.study_page(StudyPage("", spent=early, time=1001.0))
    # The clock is set back meanwhile; the page is published again by another process.
    for again in (tracker, place.reopen()):
        again.start(made.card)
        again.study_page(StudyPage("", spent=late, time=900.0))
    history = place.look()[0][0].history
    assert history == {
        "spent_wall_hours": [(3600, 1.0), (7200, 2.0)],
        "spent_cpu_hours": [(3600, 2.0), (7200, 4.0)],
        "spent_complete_hours": [(3600, 0.5), (7200, 2.5)],
        "spent_pruned_hours": [(7200, 1.5)],
        "spent_running_hours": [(3600, 1.0), (7200, 0.0)],
        "spent_idle_hours": [(3600, 0.5), (7200, 0.0)],
    }


def test_a_study_made_anew_under_the_same_name_is_another(place: Place, made: Any) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    tracker.publish(TrialPage(made.trial(0), made.reports(0)))
    assert place.reopen().start(dataclasses.replace(made.card, id="other")) == frozenset()


def test_a_study_that_is_forgotten_is_gone_and_others_stay(place: Place, made: Any) -> None:
    assert place.reopen().forget(made.card.id) == 0
    tracker = place.reopen()
    tracker.start(made.card)
    for number in (0, 1):
        tracker.publish(TrialPage(made.trial(number), made.reports(number)))
    assert place.reopen().forget("other") == 0
    assert place.reopen().forget(made.card.id) == 3
    assert place.reopen().forget(made.card.id) == 0
    assert place.reopen().start(made.card) == frozenset()


def test_a_wiped_store_is_noticed_and_filled_again(place: Place, made: Any) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    page = TrialPage(made.trial(0), made.reports(0))
    tracker.publish(page)
    before = place.look()[1][0].history
    assert tracker.present()
    place.wipe()
    assert not tracker.present()
    assert tracker.start(made.card) == frozenset()
    tracker.publish(page)
    parents, children = place.look()
    assert len(parents) == 1
    assert children[0].history == before


def test_a_step_reported_again_after_a_crash_is_shown_once(place: Place, made: Any) -> None:
    tracker = place.reopen()
    tracker.start(made.card)
    reports = made.reports(0)
    tracker.publish(TrialPage(made.trial(0, State.RUNNING), reports[:2]))
    again = [dataclasses.replace(report, time=report.time + 60) for report in reports]
    other = place.reopen()
    other.start(made.card)
    other.publish(TrialPage(made.trial(0), again))
    history = place.look()[1][0].history
    assert [step for step, _ in history["val_error"]] == [1, 2, 3]


def test_switched_off_it_takes_everything_and_shows_nothing(made: Any) -> None:
    tracker = NoTracker()
    assert tracker.start(made.card) == frozenset()
    tracker.publish(TrialPage(made.trial(0)))
    tracker.study_page(StudyPage(""))
    tracker.finish(Ending.DONE)
    assert tracker.present()
    assert tracker.url() is None


def test_a_bundle_is_shown_once(place, made, tmp_path):
    contents = Contents(
        study="digits",
        study_id=made.card.id,
        trainable="builtin",
        trial=0,
        config={},
        space={},
        objectives=made.card.objectives,
        seeds=(1,),
        validation={"val_error": (0.1,)},
        provenance=Provenance(python="3", platform="", packages={}),
    )
    bundle = write_bundle(tmp_path / "bundles" / "0001", contents, "name: digits\n", None)
    for _ in range(2):
        tracker = place.reopen()
        tracker.start(made.card)
        tracker.study_page(StudyPage("", bundle=bundle.folder))
        (parent,), _ = place.look()
        assert parent.tags["hpo.bundle"] == bundle.identity


@pytest.mark.parametrize("request_place", ["memory", "sqlite"])
def test_the_final_stage_stands_beside_the_search_and_touches_nothing_of_it(
    request_place: str, request: pytest.FixtureRequest, made: Any
) -> None:
    """It finds the study's run or waits for it, and has children of its own under it."""
    card = made.card
    final_card = dataclasses.replace(card, stage="final")
    search: Tracker
    final: Tracker
    if request_place == "memory":
        search = MemoryTracker()
        final = MemoryTracker(search)
    else:
        home: Home = request.getfixturevalue("home")
        search, final = (MlflowTracker(home.tracking_uri, "two", home.artifacts) for _ in range(2))
    with pytest.raises(LookupError, match="not there yet"):
        final.start(final_card)
    search.start(card)
    search.publish(TrialPage(made.trial(0), made.reports(0)))
    assert final.start(final_card) == frozenset()
    labels = {"repeat": "0", "candidate": "000007"}
    final.publish(TrialPage(made.trial(0), made.reports(0), labels=labels))
    final.finish(Ending.DONE)
    assert search.start(card) == frozenset({0}) == final.start(final_card)
    if isinstance(search, MemoryTracker):
        assert isinstance(final, MemoryTracker) and search.parent is final.parent
        assert search.parent is not None and search.parent.ended is None
        assert final.children[0].tags["hpo.candidate"] == "000007"
        assert search.children[0].tags["hpo.stage"] == "search"
