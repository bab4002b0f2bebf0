"""The MLflow UI on a home folder, as a child process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hpo.errors import InputError
from hpo.home import Home
from hpo.track import server
from hpo.track.addresses import TRAINING_VIEW
from hpo.urls import is_loopback

STOP_TIMEOUT_S = 10.0


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
        host: the address to listen on, of this machine alone: there is no login here.
        port: 1 to 65535.

    Raises:
        InputError: nothing has been tracked in this home yet, others could reach the address, or
            the port is taken.
        HpoError: the server did not start.
    """
    if not is_loopback(host) or ":" in host:
        raise InputError(
            f"--host must be an IPv4 address of this machine alone, got {host!r}: anyone who"
            " reaches this MLflow can delete runs",
            f"hpo up --host {host} starts one that asks for a password",
        )
    database = home.root / "mlflow.db"
    if not database.exists():
        raise InputError(
            f"there is no MLflow store at {database}",
            "run a study first, or set HPO_HOME to the home folder of one",
        )
    server.check_port(host, port, "port {port} is free: hpo ui --port {port}")
    log = home.root / "ui.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.command(host, port, str(home.artifacts)),
            env={**os.environ, **server.environment(host, port, home.tracking_uri)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ui = Ui(f"http://{host}:{port}", log, process)
    try:
        server.wait_until_it_answers(ui.url, lambda: process.poll() is None, log)
    except BaseException:
        ui.stop()
        raise
    return ui
