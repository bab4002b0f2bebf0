"""The UI as people see it, in a real browser."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait

from hpo.errors import InputError
from hpo.home import Home
from hpo.records import State
from hpo.report.markdown import markdown
from hpo.report.pages import study_page, write_report
from hpo.report.summary import summarize
from hpo.track import Ending, MlflowTracker, TrialPage
from hpo.track.ui import serve

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1500,1000",
        f"user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def test_a_study_is_found_with_its_trials_nested(
    browser: webdriver.Chrome, home: Home, made: Any, free_port: int, tmp_path: Path
) -> None:
    tracker = MlflowTracker(home.tracking_uri, "digits", home.artifacts)
    tracker.start(made.card)
    trials = [made.trial(n, State.PRUNED if n % 3 else State.COMPLETE) for n in range(5)]
    for trial in trials:
        tracker.publish(TrialPage(trial, made.reports(trial.number)))
    report = home.study("digits").report
    summary = summarize(trials, made.card.objectives)
    text = markdown(summary, total=5)
    write_report(trials, summary, text, None, {}, report)
    tracker.study_page(study_page(summary, text, report))
    tracker.finish(Ending.DONE)

    with serve(home, port=free_port) as ui:
        wait = WebDriverWait(browser, 30)

        def link(text: str) -> Any:
            return wait.until(expected.element_to_be_clickable((By.LINK_TEXT, text)))

        browser.get(ui.page)
        link("digits").click()
        wait.until(lambda b: "/experiments/" in b.current_url)
        experiment = browser.current_url.partition("/experiments/")[2].split("/")[0].split("?")[0]
        browser.get(f"{ui.url}/#/experiments/{experiment}/runs?workflowType=machine_learning")
        link("digits")
        assert not browser.find_elements(By.LINK_TEXT, "digits-000004")
        expander = (By.CSS_SELECTOR, "[data-component-id*='runnamecellrenderer']")
        wait.until(expected.element_to_be_clickable(expander)).click()
        for trial in trials:
            link(f"digits-{trial.number:06d}")
        browser.save_screenshot(str(tmp_path / "runs.png"))

        wait.until(expected.element_to_be_clickable((By.LINK_TEXT, "digits-000000")))
        runs = browser.find_elements(By.LINK_TEXT, "digits")
        runs[-1].click()
        wait.until(lambda b: "/runs/" in b.current_url)
        wait.until(lambda b: "5 of 5 trials" in b.find_element(By.TAG_NAME, "body").text)
        browser.save_screenshot(str(tmp_path / "study.png"))
        browser.get(browser.current_url.split("?")[0] + "/artifacts/optimization_history.html")
        wait.until(expected.frame_to_be_available_and_switch_to_it((By.TAG_NAME, "iframe")))
        wait.until(lambda b: "best so far" in b.find_element(By.TAG_NAME, "body").text)
        browser.switch_to.default_content()
        browser.save_screenshot(str(tmp_path / "plot.png"))


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
