"""A gate in front of an MLflow server, through which it can be seen in a bad mood."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SLOW_S = 5.0
FORGETS_EVERY = 11


class Mood(Enum):
    WELL = auto()
    BROKEN = auto()  # answers 500 and does nothing
    FORGETFUL = auto()  # does what it is asked, and now and then answers 500 all the same
    SLOW = auto()


class Gate:
    """Listens on a free loopback port and passes on to another. Use as a context manager.

    Args:
        port: of the server behind it, on loopback.

    Attributes:
        asked: how many requests came; lost: how many were done and yet answered by 500.
        path: of the last request.
    """

    def __init__(self, port: int) -> None:
        self.mood = Mood.WELL
        self.asked = self.lost = 0
        self.path = ""
        count = itertools.count(1)
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                gate.asked, mood = next(count), gate.mood
                gate.path = self.path
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if mood is Mood.BROKEN:
                    return self.answer(500, b"{}", "application/json")
                if mood is Mood.SLOW:
                    time.sleep(SLOW_S)
                inner = http.client.HTTPConnection("127.0.0.1", port)
                headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                inner.request(self.command, self.path, body, headers)
                answer = inner.getresponse()
                content = answer.read()
                inner.close()
                if mood is Mood.FORGETFUL and gate.asked % FORGETS_EVERY == 0:
                    gate.lost += 1
                    return self.answer(500, b"{}", "application/json")
                self.answer(answer.status, content, answer.getheader("Content-Type") or "")

            def answer(self, status: int, content: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Gate:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
