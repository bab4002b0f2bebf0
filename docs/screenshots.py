"""Takes the pictures of MLflow's UI that the docs show, from a home in which digits has run.

python docs/screenshots.py [HOME]      needs Debian's chromium and chromium-driver
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait

from hpo.home import Home
from hpo.result import load_study
from hpo.track.server import free_port
from hpo.track.ui import serve

CHROMIUM = Path("/usr/bin/chromium")
DRIVER = Path("/usr/bin/chromedriver")
IMAGES = Path(__file__).parent / "images"

ASSISTANT = "[data-component-id='mlflow.assistant.chat_panel.close']"
HARMLESS = (
    "/users/current",  # asked for on every page; there are no users without a login
    "ResizeObserver loop",  # a chart was laid out again in the next frame, as on a slow machine
)


@contextmanager
def browser(size: str = "1400,900") -> Iterator[webdriver.Chrome]:
    """A Chromium without a window, of this size in pixels, that has never been used before."""
    with tempfile.TemporaryDirectory() as profile:
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
            f"window-size={size}",
            f"user-data-dir={profile}",
        ):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
        try:
            yield driver
        finally:
            driver.quit()


class Visitor:
    """Somebody who looks at one study, and goes on by what the pages offer."""

    def __init__(self, driver: webdriver.Chrome, seconds: float = 60) -> None:
        self.driver = driver
        self.wait = WebDriverWait(driver, seconds)

    def enter(self, page: str, study: str) -> None:
        """From the list of experiments to the study's, in the part of the UI for training."""
        self.driver.get("about:blank")  # another address of one page would not be loaded
        self.driver.get(page)
        self.link(study)
        for button in self.driver.find_elements(By.CSS_SELECTOR, ASSISTANT):
            button.click()
        self.follow(study)
        self.see("progress and result")
        self.click(By.XPATH, "//*[text()='Model training']")
        self.wait.until(lambda d: "/runs" in d.current_url)

    def table(self, best: str) -> list[str]:
        """By the experiment's note to the trials, best first; what the columns are called."""
        self.follow("trials, best first")
        self.link(best)
        cells = self.driver.find_elements(
            By.CSS_SELECTOR, ".ag-header-cell-text, [role=columnheader]"
        )
        return [cell.text for cell in cells if cell.text]

    def curves(self, metric: str) -> list[str]:
        """By the note to the curves of the best; whose curves of a metric there are."""
        self.follow("curves of the best")
        return self._drawn(metric)

    def study(self, says: str) -> str:
        """By the note to the study's own page; its whole description."""
        self.follow("progress and result")
        self.see(says)
        return self.unfold()

    def unfold(self) -> str:
        """Of a study's page, the part of the description that is folded away; all of its text."""
        self.click(By.XPATH, "//*[text()='Show more']")
        self.see("Show less")
        return self.text()

    def trial(self, name: str, metric: str) -> list[str]:
        """From the table to a trial, and to the curve of a metric; whose that is."""
        self.follow(name)
        self.wait.until(lambda d: "/runs/" in d.current_url)
        self.click(By.XPATH, "//*[text()='Model metrics']")
        search = (By.CSS_SELECTOR, "input[placeholder='Search metric charts']")
        self.wait.until(expected.element_to_be_clickable(search)).send_keys(metric)
        self.wait.until(lambda d: "hpo.seconds" not in self.text())  # every trial has that one
        return self._drawn(metric)

    def follow(self, text: str) -> None:
        """Clicks on a link, and goes where it leads, be it into another tab."""
        before = self.driver.window_handles
        self.click(By.LINK_TEXT, text)
        if new := [tab for tab in self.driver.window_handles if tab not in before]:
            self.driver.switch_to.window(new[0])

    def click(self, how: str, what: str) -> None:
        self.wait.until(lambda d: self._clicks(how, what))

    def _clicks(self, how: str, what: str) -> bool:
        try:
            self.wait.until(expected.element_to_be_clickable((how, what))).click()
        except (ElementClickInterceptedException, StaleElementReferenceException):
            # The page is still moving, or tells a newcomer what is new.
            for button in self.driver.find_elements(By.XPATH, "//button[.='Got it']"):
                button.click()
            return False
        return True

    def link(self, text: str) -> Any:
        return self.wait.until(expected.element_to_be_clickable((By.LINK_TEXT, text)))

    def see(self, text: str) -> None:
        self.wait.until(lambda d: text in self.text())

    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def errors(self) -> list[str]:
        """What the pages complained of since the last look."""
        log: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        said = [entry["message"] for entry in log if entry["level"] == "SEVERE"]
        return [message for message in said if not any(known in message for known in HARMLESS)]

    def picture(self, path: Path) -> None:
        self.driver.execute_script("document.activeElement.blur()")  # type: ignore[no-untyped-call]
        self.driver.save_screenshot(str(path))

    def _drawn(self, metric: str) -> list[str]:
        drawn = (By.CSS_SELECTOR, ".js-plotly-plot path.js-line")
        self.wait.until(expected.presence_of_element_located(drawn))
        legend, of_it = self.text().splitlines(), f" ({metric})"
        return [line.removesuffix(of_it) for line in legend if line.endswith(of_it)]


def main() -> None:
    home = Home(Path(sys.argv[1]).absolute()) if len(sys.argv) > 1 else Home.default()
    study = load_study("digits", home)
    assert study.best is not None, "digits has not run here"
    best = f"digits-{study.best.number:06d} {study.best.values[0]:.4g}"
    IMAGES.mkdir(exist_ok=True)
    with serve(home, port=free_port()) as ui, browser() as driver:
        visitor = Visitor(driver)
        visitor.enter(ui.page, "digits")
        visitor.table(best)
        visitor.picture(IMAGES / "runs.png")
        visitor.curves(study.objectives[0].metric)
        visitor.picture(IMAGES / "curves.png")
        visitor.study(f"{len(study.trials)} of {study.total} trials")
        visitor.picture(IMAGES / "study.png")
        visitor.enter(ui.page, "digits")
        visitor.table(best)
        visitor.trial(best, study.objectives[0].metric)
        visitor.picture(IMAGES / "trial.png")


if __name__ == "__main__":
    main()
