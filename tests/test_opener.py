"""A server that redirects, and a proxy that nobody listens on."""

from __future__ import annotations

import threading
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hpo.opener import opener


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/elsewhere" else 200)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_no_redirect_is_followed(url):
    with pytest.raises(urllib.error.HTTPError, match="302") as refused:
        opener().open(f"{url}/elsewhere", timeout=10)
    refused.value.close()


def test_the_proxy_of_the_environment_is_asked_only_on_request(url, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with opener().open(url, timeout=10) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.URLError, match="refused"):
        opener(proxied=True).open(url, timeout=10)
