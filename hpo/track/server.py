"""The command that starts an MLflow server, and waiting until it answers."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hpo.errors import HpoError, InputError
from hpo.files import read_end
from hpo.opener import opener
from hpo.track.silence import NO_TELEMETRY
from hpo.urls import is_loopback

START_TIMEOUT_S = 180.0

LAST_WORDS_BYTES = 16 << 10

# The UI shows runs; the server's job queue would be several more processes.
ENVIRONMENT = {
    **NO_TELEMETRY,
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def command(host: str, port: int, artifacts: str) -> list[str]:
    """The command line of a server; its store is named in its `environment`.

    Args:
        artifacts: a folder, or any URI that MLflow takes.
    """
    return [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--artifacts-destination", artifacts),
        *("--host", host, "--port", str(port)),
    ]


def environment(host: str, port: int, store: str) -> dict[str, str]:
    """What a server is told beside its command line, which is public.

    Args:
        store: the URI of its store; it may have a password in it.
    """
    names = [host, "localhost"] if is_loopback(host) else [host]
    return {
        **ENVIRONMENT,
        "MLFLOW_BACKEND_STORE_URI": store,
        # Exact: another name that leads here is a page in somebody's browser asking on its behalf.
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(f"{name}:{port}" for name in dict.fromkeys(names)),
    }


def check_port(host: str, port: int, remedy: str) -> None:
    """Whether an address can be listened on.

    Args:
        remedy: with {port} for a port that is free.

    Raises:
        InputError: it cannot.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"{host}:{port} cannot be listened on: {error.strerror or error}",
                remedy.format(port=free_port()),
            ) from error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_answers(
    url: str, alive: Callable[[], bool], log: Path, what: str = "the MLflow UI"
) -> None:
    """Returns when the server at `url` answers.

    Args:
        alive: whether its process still is.
        log: where it says what is wrong.

    Raises:
        HpoError: it has ended, or does not answer in time.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and alive():
        try:
            with opener().open(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise HpoError(f"{what} did not start:\n{last_words(log)}", f"all it said is in {log}")


def last_words(log: Path, lines: int = 5) -> str:
    said = read_end(log, LAST_WORDS_BYTES).splitlines()
    return "\n".join(said[-lines:])
