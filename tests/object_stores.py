"""Real servers of object stores for tests, each in a process of its own: moto's of S3, and an
emulator of Google's."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest

START_SECONDS = 60.0


class ObjectStore(ABC):
    """What it stores lives as long as its process. `environment` is what clients need."""

    scheme: ClassVar[str]
    ready: ClassVar[str]
    """What is asked for until it answers."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, *self.command(str(port))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]: ...

    @staticmethod
    @abstractmethod
    def command(port: str) -> list[str]:
        """What Python is called with."""

    @abstractmethod
    def make(self, bucket: str) -> urllib.request.Request: ...

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.url}{self.ready}", timeout=5).close()
                return
            except (OSError, urllib.error.URLError):
                assert self._process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)

    def bucket(self) -> str:
        """The URI of a new, empty bucket."""
        name = f"bucket-{uuid.uuid4().hex[:8]}"
        urllib.request.urlopen(self.make(name), timeout=10).close()
        return f"{self.scheme}://{name}/hpo"

    def away(self) -> None:
        """It answers nobody until it is `back`."""
        self._process.send_signal(signal.SIGSTOP)

    def back(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.back()
        self._process.kill()
        self._process.wait()


class S3Server(ObjectStore):
    scheme = "s3"
    ready = "/"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @staticmethod
    def command(port: str) -> list[str]:
        code = "import sys; from moto.server import main; main(sys.argv[1:])"
        return ["-c", code, "-H", "127.0.0.1", "-p", port]

    def make(self, bucket: str) -> urllib.request.Request:
        return urllib.request.Request(f"{self.url}/{bucket}", method="PUT")


class GcsServer(ObjectStore):
    scheme = "gs"
    ready = "/storage/v1/b?project=test"

    @property
    def environment(self) -> dict[str, str]:
        # gcsfs would ask Google, with credentials that nobody has here, what kind a bucket is.
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }

    @staticmethod
    def command(port: str) -> list[str]:
        options = ["--in-memory", "--quiet", "--host", "127.0.0.1", "--port", port]
        return ["-m", "gcp_storage_emulator", "start", *options]

    def make(self, bucket: str) -> urllib.request.Request:
        return urllib.request.Request(
            f"{self.url}{self.ready}",
            json.dumps({"name": bucket}).encode(),
            {"Content-Type": "application/json"},
        )


@contextmanager
def serving(kind: type[ObjectStore]) -> Iterator[ObjectStore]:
    server = kind()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@contextmanager
def for_everybody(kind: type[ObjectStore]) -> Iterator[ObjectStore]:
    """A server of which this process and those that it starts are clients."""
    with serving(kind) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[ObjectStore]:
    with for_everybody(S3Server) as server:
        yield server


@pytest.fixture(scope="session")
def gcs() -> Iterator[ObjectStore]:
    with for_everybody(GcsServer) as server:
        yield server
