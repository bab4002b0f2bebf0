"""What is set beforehand of the UI, and the ways to it. That it works there, a browser tests."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.utils.validation import _validate_experiment_tag

from hpo.home import Home
from hpo.records import Objective, State
from hpo.studyfile import load
from hpo.track import Ending, MlflowTracker, StudyPage, TrialPage
from hpo.track.addresses import MAX_NOTED, Addresses, note
from hpo.track.listing import shown
from hpo.track.login import Address
from hpo.track.ui import Ui
from hpo.track.views import VIEW_TAG, searched, view


def tags_of(home: Home) -> dict[str, str]:
    experiment = MlflowClient(home.tracking_uri).get_experiment_by_name("digits")
    assert experiment is not None
    return dict(experiment.tags)


def start(home: Home, card: Any) -> MlflowTracker:
    tracker = MlflowTracker(home.tracking_uri, "digits", home.artifacts)
    tracker.start(card)
    return tracker


def views_of(home: Home) -> dict[str, Any]:
    """The state of each view in the experiment, by name."""
    found = [json.loads(v) for k, v in tags_of(home).items() if k.startswith(VIEW_TAG)]
    return {view["name"]: json.loads(view["state"]) for view in found}


def test_a_view_has_columns_order_and_charts(home: Home, made: Any) -> None:
    start(home, dataclasses.replace(made.card, objectives=(Objective("acc", "maximize"),)))
    state = views_of(home)["digits: trials, best first"]
    assert state["selectedColumns"] == [
        "tags.`hpo.outcome`",
        "tags.`hpo.steps`",
        "metrics.`acc`",
        "metrics.`hpo.seconds`",
        "params.`optimizer.lr`",
        "tags.`hpo.reason`",
        "attributes.`Dataset`",
    ]
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`hpo.value`", False)
    assert [c["metricKey"] for c in state["compareRunCharts"] if not c["deleted"]] == ["acc"]


def test_its_filter_and_order_are_ones_that_mlflow_takes(home: Home, made: Any, read: Any) -> None:
    tracker = start(home, made.card)
    for number in (0, 3, 5):
        tracker.publish(TrialPage(made.trial(number), made.reports(number)))
    state = views_of(home)["digits: trials, best first"]
    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    found = client.search_runs(
        [experiment.experiment_id], state["searchFilter"], order_by=[f"{state['orderByKey']} ASC"]
    )
    assert [run.data.tags["hpo.trial"] for run in found] == ["000003", "000005", "000000"]


def test_the_final_stage_has_a_view_of_its_own_grouped_by_candidate(
    home: Home, made: Any, read: Any
) -> None:
    start(home, made.card).publish(TrialPage(made.trial(0), made.reports(0)))
    final = start(home, dataclasses.replace(made.card, stage="final"))
    labels = {"candidate": "000000", "repeat": "0"}
    final.publish(TrialPage(made.trial(0), made.reports(0), labels=labels))
    found = views_of(home)
    assert sorted(found) == ["digits: final stage", "digits: trials, best first"]
    state = found["digits: final stage"]
    (key,) = state["groupBy"]["groupByKeys"]
    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], state["searchFilter"])
    assert (run.info.run_name, run.data.tags[key["groupByData"]]) == (
        "digits-final-000000 0.28",
        "000000",
    )


def test_publishing_again_changes_no_view(home: Home, made: Any) -> None:
    start(home, made.card).finish(Ending.DONE)
    before = tags_of(home)
    start(home, made.card)
    assert tags_of(home) == before


def test_the_experiment_leads_to_its_studies_and_forgets_deleted_ones(
    home: Home, made: Any, read: Any
) -> None:
    start(home, made.card)
    start(home, dataclasses.replace(made.card, name="other", id="other"))
    assert sorted(views_of(home)) == ["digits: trials, best first", "other: trials, best first"]
    lines = tags_of(home)["mlflow.note.content"].split("\n\n")
    assert sorted(line.partition(":")[0] for line in lines) == ["**digits**", "**other**"]
    parents, _ = read(home.tracking_uri)
    (gone,) = (run for run in parents if run.tags["hpo.study"] == "digits")
    MlflowClient(home.tracking_uri).delete_run(gone.run_id)
    start(home, dataclasses.replace(made.card, name="third", id="third"))
    assert sorted(views_of(home)) == ["other: trials, best first", "third: trials, best first"]
    assert "**digits**" not in tags_of(home)["mlflow.note.content"]


def test_what_leads_to_a_study_goes_with_it(home: Home, made: Any) -> None:
    tracker = start(home, made.card)
    tracker.publish(TrialPage(made.trial(0), made.reports(0)))
    assert tracker.forget(made.card.id) == 2
    assert views_of(home) == {} and tags_of(home)["mlflow.note.content"] == ""


def test_a_note_that_somebody_wrote_stays(home: Home, made: Any) -> None:
    start(home, made.card)
    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "Do not touch.")
    start(home, made.card)
    assert tags_of(home)["mlflow.note.content"] == "Do not touch."


def test_the_studys_description_leads_on_below_its_first_paragraph(
    home: Home, made: Any, read: Any
) -> None:
    tracker = start(home, made.card)
    tracker.study_page(StudyPage("3 of 9 trials.\n\n## Best", final=True))
    text = read(home.tracking_uri)[0][0].tags["mlflow.note.content"]
    first, links, rest = text.split("\n\n")
    assert (first, rest) == ("3 of 9 trials.", "## Best")
    assert [link.partition("]")[0] for link in links.split("[")[1:]] == [
        "Trials, best first",
        "curves of the best",
        "final stage",
    ]


def test_data_sets_are_inputs_of_the_study_and_of_trials_with_a_value(
    home: Home, made: Any, read: Any
) -> None:
    digests = {"train": "a" * 64, "validation": "b" * 64}
    card = dataclasses.replace(made.card, data=digests)
    for _ in range(2):
        tracker = start(home, card)
        tracker.publish(TrialPage(made.trial(0), made.reports(0)))
        tracker.publish(TrialPage(made.trial(1, State.PRUNED), made.reports(1)))
    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`hpo.trial` != '000001'")
    (pruned,) = client.search_runs([experiment.experiment_id], "tags.`hpo.trial` = '000001'")
    assert pruned.inputs is not None and not pruned.inputs.dataset_inputs
    for run in (*runs, client.get_run(read(home.tracking_uri)[0][0].run_id)):
        assert run.inputs is not None
        found = {i.dataset.name: i.dataset.digest for i in run.inputs.dataset_inputs}
        assert found == {"train": "a" * 36, "validation": "b" * 36}


@pytest.mark.parametrize("objectives", [1, 2])
def test_the_largest_view_and_note_fit_into_a_tag(made: Any, objectives: int) -> None:
    space = {f"{'x' * 100}.{n}": {"low": 0, "high": 1} for n in range(500)}
    metrics = tuple(Objective("m" * 250) for _ in range(objectives))
    card = dataclasses.replace(made.card, name="n" * 64, space=space, objectives=metrics)
    large = view(card, "f" * 32)
    _validate_experiment_tag(large.tag, large.text(10**13))
    places = [("n" * 64, Addresses("9" * 18, "f" * 32))] * (MAX_NOTED + 1)
    _validate_experiment_tag("mlflow.note.content", note(places))


def test_columns_are_what_the_shipped_study_searches() -> None:
    found = searched(load("digits").file.space)
    assert {"batch_lr.base_lr", "dropout.hidden", "initialization.kind"} <= set(found)
    assert "epochs" not in found and "data.name" not in found


def test_a_server_lists_its_studies_the_newest_first(
    server: tuple[Ui, Home], made: Any, read: Any
) -> None:
    ui, home = server
    for name in ("older", "newer"):
        start(home, dataclasses.replace(made.card, name=name, id=name))
    ids = {run.tags["hpo.study"]: run.run_id for run in read(home.tracking_uri)[0]}
    listed = shown(Address(ui.url))
    assert [name for name, _ in listed][:2] == [
        "newer: trials, best first",
        "older: trials, best first",
    ]
    assert f"viewStateShareKey=hpo-{ids['newer']}-search" in listed[0][1]
