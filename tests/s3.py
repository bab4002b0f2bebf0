"""A real S3 server for tests: moto's, in a process of its own, which can be stopped for a while."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

START_SECONDS = 60.0


class S3Server:
    """What it stores lives as long as its process. `environment` is what clients need."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        command = "import sys; from moto.server import main; main(sys.argv[1:])"
        self._process = subprocess.Popen(
            [sys.executable, "-c", command, "-H", "127.0.0.1", "-p", self.url.rpartition(":")[2]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except (OSError, urllib.error.URLError):
                assert self._process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)

    def bucket(self) -> str:
        """The URI of a new, empty bucket."""
        name = f"bucket-{uuid.uuid4().hex[:8]}"
        urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/{name}", method="PUT"), timeout=10
        ).close()
        return f"s3://{name}/hpo"

    def away(self) -> None:
        """It answers nobody until it is `back`."""
        self._process.send_signal(signal.SIGSTOP)

    def back(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.back()
        self._process.kill()
        self._process.wait()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A server for the whole session; this process and those it starts are its clients."""
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
