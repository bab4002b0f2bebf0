"""The address of a study's page, told before the study has begun."""

from __future__ import annotations

import urllib.request

from hpo.home import Home
from hpo.process import Process
from hpo.track import home_server
from hpo.track.home_server import HomeServer
from hpo.track.page import page_of
from hpo.track.settings import TrackingSettings
from hpo.track.ui import Ui


def test_it_is_there_before_the_study_is(home: Home, server: tuple[Ui, Home]) -> None:
    ui, _ = server
    at = TrackingSettings(uri=ui.url)
    page = page_of(at, home, "new")
    assert page is not None and page.trouble is None
    assert page == page_of(at, home, "new"), "the experiment is made once"
    with urllib.request.urlopen(page.url) as answer:
        assert answer.status == 200


def test_a_server_that_does_not_answer_is_told(home: Home, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    page = page_of(TrackingSettings(uri=url), home, "new")
    assert page is not None and page.url.startswith(f"{url}/#/experiments?")
    assert page.trouble is not None and "refused" in page.trouble


def test_a_server_of_the_service_that_died_is_told(home: Home, free_port: int) -> None:
    assert page_of(TrackingSettings(), home, "new") is None, "no server was ever up"
    here = Process.of()
    gone = here.model_copy(update={"created": here.created - 60})
    assert here.find() is not None and gone.find() is None
    url = f"http://127.0.0.1:{free_port}"
    home.service.mkdir()
    home_server.write(home, HomeServer(url=url, process=gone, secured=False))
    page = page_of(TrackingSettings(), home, "new")
    assert page is not None and page.trouble == "hpo up starts it again"
