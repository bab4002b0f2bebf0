"""Takes the pictures of the MLflow UI in the README, from a home in which digits has run.

python docs/screenshots.py [HOME]      needs Debian's chromium and chromium-driver
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait

from hpo.home import Home
from hpo.track.ui import serve

IMAGES = Path(__file__).parent / "images"
PORT = 5123


def browser(profile: str) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1400,900",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{flag}")
    return webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))


def main() -> None:
    home = Home(Path(sys.argv[1]).absolute()) if len(sys.argv) > 1 else Home.default()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, serve(home, port=PORT) as ui:
        driver = browser(profile)
        wait = WebDriverWait(driver, 30)

        def link(text: str) -> Any:
            return wait.until(expected.element_to_be_clickable((By.LINK_TEXT, text)))

        try:
            driver.get(ui.page)
            close = (By.CSS_SELECTOR, "[data-component-id='mlflow.assistant.chat_panel.close']")
            wait.until(expected.element_to_be_clickable(close)).click()
            link("digits").click()
            wait.until(lambda d: "/experiments/" in d.current_url)
            experiment = driver.current_url.partition("/experiments/")[2].split("/")[0]
            experiment = experiment.split("?")[0]
            driver.get(f"{ui.url}/#/experiments/{experiment}/runs?workflowType=machine_learning")
            link("digits")
            expander = (By.CSS_SELECTOR, "[data-component-id*='runnamecellrenderer']")
            wait.until(expected.element_to_be_clickable(expander)).click()
            link("digits-000059")
            time.sleep(1)  # for the table to settle
            driver.save_screenshot(str(IMAGES / "runs.png"))
            driver.find_elements(By.LINK_TEXT, "digits")[-1].click()
            wait.until(lambda d: "/runs/" in d.current_url)
            wait.until(lambda d: "60 of 60 trials" in d.find_element(By.TAG_NAME, "body").text)
            time.sleep(1)
            driver.save_screenshot(str(IMAGES / "study.png"))
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
