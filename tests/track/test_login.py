"""A server's user and password: asked with there, and told to nobody else."""

from __future__ import annotations

import os
import threading
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hpo.home import Home
from hpo.process import Process
from hpo.track import home_server, rest
from hpo.track.home_server import HomeServer
from hpo.track.login import PASSWORD, USER, Address, Login, logged_in
from hpo.track.settings import TrackingSettings, address_of

ADMIN = Login("admin", "correct-horse-battery")


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(USER, raising=False)
    monkeypatch.delenv(PASSWORD, raising=False)


class Answers(ThreadingHTTPServer):
    """Answers every question alike, and keeps who asked."""

    def __init__(self, said: bytes = b"{}", onward: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.said, self.onward = said, onward
        self.asked_by: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Answers:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.asked_by.append(self.headers["Authorization"])
        self.send_response(302 if self.server.onward else 200)
        if self.server.onward:
            self.send_header("Location", self.server.onward)
        self.end_headers()
        self.wfile.write(self.server.said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Answers]:
    with Answers() as answers:
        yield answers


def secured(root: Path, password: str) -> Home:
    """A home whose server asks for a password."""
    home = Home(root)
    home.service.mkdir(parents=True)
    home_server.write(
        home, HomeServer(url=f"http://{root.name}", process=Process.of(), secured=True)
    )
    home_server.write_password(home, password)
    return home


def test_each_home_has_its_own_password_and_the_environment_none(tmp_path: Path) -> None:
    for name in ("one", "two"):
        home = secured(tmp_path / name, f"password of {name}")
        found = address_of(TrackingSettings(), home)
        assert found == Address(f"http://{name}", Login("admin", f"password of {name}"))
        assert "password of" not in repr(found)
    assert USER not in os.environ and PASSWORD not in os.environ


def test_a_user_whom_the_environment_names_asks(
    tmp_path: Path, server: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = secured(tmp_path / "home", "password of admin")
    monkeypatch.setenv(USER, "ada")
    monkeypatch.setenv(PASSWORD, "lovelace")
    assert address_of(TrackingSettings(), home) == Address("http://home")
    rest.ask(server.url)
    assert server.asked_by == [Login("ada", "lovelace").authorization]


def test_nobody_is_told_the_password_on_the_way(server: Answers) -> None:
    with (
        Answers(onward=server.url) as redirects,
        pytest.raises(urllib.error.HTTPError, match="302"),
    ):
        rest.ask(redirects.url, login=ADMIN)
    assert redirects.asked_by == [ADMIN.authorization]
    assert server.asked_by == []


def test_an_endless_answer_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MAX_BYTES", 10)
    with Answers(b"[" + b"1," * 10 + b"1]") as long, pytest.raises(ValueError, match="10 bytes"):
        rest.ask(long.url)


def test_the_environment_names_the_user_during_the_calls_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSWORD, "of another")
    with logged_in(ADMIN):
        with logged_in(ADMIN):
            pass
        assert (os.environ[USER], os.environ[PASSWORD]) == (ADMIN.user, ADMIN.password)
    assert USER not in os.environ and os.environ[PASSWORD] == "of another"


def test_threads_with_other_users_wait() -> None:
    seen: list[str | None] = []

    def ask(login: Login | None) -> None:
        for _ in range(200):
            with logged_in(login):
                seen.append(None if os.environ.get(USER) == (login and login.user) else "wrong")

    logins = [ADMIN, Login("ada", "lovelace"), None, ADMIN]
    threads = [threading.Thread(target=ask, args=(login,)) for login in logins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [None] * 800
    assert USER not in os.environ
