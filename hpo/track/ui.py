"""The MLflow UI on a home folder, as a child process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from hpo.errors import HpoError, InputError
from hpo.home import Home
from hpo.track.mlflow import TRAINING_VIEW

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 10.0

# The UI shows runs; the server's job queue would be several more processes.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


@dataclass(frozen=True)
class Ui:
    """A running MLflow UI; leaving its `with` block stops it.

    Args:
        url: of the server: a tracking URI.
        log: what the server says.
    """

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def page(self) -> str:
        """The address for people: the list of experiments, in MLflow's view for training."""
        return f"{self.url}/#/experiments?{TRAINING_VIEW}"

    def wait(self) -> int:
        """Blocks until the server ends; its exit code."""
        return self.process.wait()

    def stop(self) -> None:
        """Ends the server and the processes it started, and no others."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT_S)

    def __enter__(self) -> Ui:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def serve(home: Home, host: str = "127.0.0.1", port: int = 5000) -> Ui:
    """Starts the MLflow UI on `home` and waits until it answers.

    Args:
        host: the address to listen on. MLflow has no login: anyone who reaches it can delete runs.
        port: 1 to 65535.

    Raises:
        InputError: nothing has been tracked in this home yet, or the port is taken.
        HpoError: the server did not start.
    """
    database = home.root / "mlflow.db"
    if not database.exists():
        raise InputError(
            f"there is no MLflow store at {database}",
            "run a study first, or set HPO_HOME to the home folder of one",
        )
    _check_port(host, port)
    log = home.root / "ui.log"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--backend-store-uri", home.tracking_uri]
    command += ["--artifacts-destination", str(home.artifacts)]
    command += ["--host", host, "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ui = Ui(f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}", log, process)
    try:
        _wait_until_it_answers(ui)
    except BaseException:
        ui.stop()
        raise
    return ui


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            free = _free_port()
            raise InputError(
                f"{host}:{port} cannot be listened on: {error.strerror or error}",
                f"port {free} is free: hpo ui --port {free}",
            ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(ui: Ui) -> None:
    # A proxy in the environment must not be asked for an address on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and ui.process.poll() is None:
        try:
            with opener.open(f"{ui.url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    last_words = "\n".join(ui.log.read_text(errors="replace").splitlines()[-5:])
    raise HpoError(f"the MLflow UI did not start:\n{last_words}", f"all it said is in {ui.log}")
