"""The UI as people see it, in a real browser."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected

from hpo.errors import InputError
from hpo.home import Home
from hpo.records import State
from hpo.report.markdown import markdown
from hpo.report.pages import study_page, write_report
from hpo.report.summary import summarize
from hpo.track import Ending, MlflowTracker, TrialPage
from hpo.track.server import free_port as find_port
from hpo.track.ui import serve


def screenshots() -> Any:
    """The script that takes the pictures in the docs: they show what is tested here."""
    path = Path(__file__).parents[2] / "docs" / "screenshots.py"
    spec = importlib.util.spec_from_file_location("screenshots", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["screenshots"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def visitor() -> Iterator[Any]:
    tools = screenshots()
    if not tools.CHROMIUM.exists():
        pytest.skip(f"{tools.CHROMIUM} is not installed")
    with tools.browser("1500,1000") as driver:
        yield tools.Visitor(driver)


STATES = [State.COMPLETE, State.PRUNED, State.DIVERGED, State.COMPLETE, State.FAILED]
BEST = "digits-000003 0.25"


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory, make_home: Callable[[Path], Home], made: Any
) -> Iterator[str]:
    """The address of an MLflow in which there is a study with its final stage and its report."""
    home = make_home(tmp_path_factory.mktemp("ui"))
    card = dataclasses.replace(made.card, data={"train": "0123456789abcdef"})
    tracker = MlflowTracker(home.tracking_uri, "digits", home.artifacts)
    tracker.start(card)
    trials = [made.trial(number, state) for number, state in enumerate(STATES)]
    for trial in trials:
        tracker.publish(TrialPage(trial, made.reports(trial.number)))
    final = MlflowTracker(home.tracking_uri, "digits", home.artifacts)
    final.start(dataclasses.replace(card, stage="final"))
    for number in range(4):
        labels = {"candidate": f"{3 * (number % 2):06d}", "repeat": str(number // 2)}
        final.publish(TrialPage(made.trial(number), made.reports(number), labels=labels))
    report = home.study("digits").report
    summary = summarize(trials, card.objectives)
    text = markdown(summary, name="digits", total=5, over=True)
    write_report(trials, summary, text, None, {}, report)
    tracker.study_page(dataclasses.replace(study_page(summary, text, report), final=True))
    tracker.finish(Ending.DONE)
    with serve(home, port=find_port()) as ui:
        yield ui.page


def test_people_get_from_the_experiments_to_the_best_trial_and_its_curve(
    visitor: Any, page: str
) -> None:
    visitor.enter(page, "digits")
    columns = visitor.table(BEST)
    assert {"hpo.outcome", "hpo.steps", "val_error", "optimizer.lr"} <= set(columns)
    rows = [line for line in visitor.text().splitlines() if line.startswith("digits-0")]
    assert rows == [
        BEST,
        "digits-000000 0.28",
        "digits-000004 failed",
        "digits-000002 diverged",
        "digits-000001 pruned",
    ], "the best first, the final stage not among them, and how each ended is seen"
    assert visitor.curves("val_error") == rows
    text = visitor.study("5 of 5 trials")
    assert "Best: trial 3" in text and "hpo promote digits" in text
    at = visitor.driver.current_url
    visitor.follow("final stage")
    visitor.see("Group: 000003")
    visitor.see("digits-final-000003")
    visitor.driver.get(at)
    visitor.unfold()
    visitor.follow("Trials, best first")
    assert visitor.trial(BEST, "val_error") == [BEST]
    assert visitor.errors() == []


def test_a_studys_report_is_among_what_its_page_leads_to(visitor: Any, page: str) -> None:
    visitor.enter(page, "digits")
    visitor.study("5 of 5 trials")
    visitor.follow("report")
    visitor.click(By.XPATH, "//*[text()='optimization_history.html']")
    frame = (By.TAG_NAME, "iframe")
    visitor.wait.until(expected.frame_to_be_available_and_switch_to_it(frame))
    visitor.see("best so far")


def test_stopping_ends_the_server_and_its_children(home: Home, free_port: int) -> None:
    ui = serve(home, port=free_port)
    ui.stop()
    assert ui.wait() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(ui.process.pid, 0)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", free_port))


def test_a_taken_port_is_refused_and_a_free_one_named(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(InputError, match=r"(?s)cannot be listened on.*port \d+ is free"):
            serve(home, port=taken.getsockname()[1])


def test_a_home_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run a study first"):
        serve(Home(tmp_path))


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::1"])
def test_others_are_not_let_in(home: Home, host: str) -> None:
    with pytest.raises(InputError, match="hpo up --host"):
        serve(home, host)
