"""The service's MLflow server: who gets in, and what its command line must not show."""

from __future__ import annotations

import base64
import os
import urllib.error
import urllib.request
from pathlib import Path

from hpo.errors import InputError
from hpo.home import Home
from hpo.service.options import is_loopback
from hpo.service.state import ServiceFolder
from hpo.track import server
from hpo.track.home_server import ADMIN


def command(
    home: Home, host: str, port: int, artifacts: str | None, password: str | None
) -> list[str]:
    """The command line of the server."""
    asked = ["--app-name", "basic-auth"] if password else []
    return [*server.command(host, port, artifacts or str(home.artifacts)), *asked]


def environment(
    home: Home,
    folder: ServiceFolder,
    host: str,
    port: int,
    store: str | None,
    password: str | None,
) -> dict[str, str]:
    """What the server is told beside its command line."""
    told = {
        **server.ENVIRONMENT,
        **server.store(_with_driver(store) if store else home.tracking_uri),
        # Exact: another name that leads here is a page in somebody's browser asking on its behalf.
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(_names(host, port)),
    }
    if password:
        told |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(_write_config(folder)),
            "MLFLOW_AUTH_ADMIN_PASSWORD": password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": folder.token.read_text(),
        }
    return told


def check_password(url: str, password: str, folder: ServiceFolder) -> None:
    """MLflow takes the password only when it makes the user; later it has one.

    Raises:
        InputError: it has another one.
    """
    pair = base64.b64encode(f"{ADMIN}:{password}".encode()).decode()
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/users/get?username={ADMIN}",
        headers={"Authorization": f"Basic {pair}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30):
            return
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):
            raise
    raise InputError(
        f"MLflow's user {ADMIN!r} has another password, that of the first hpo up",
        f"give that one; or remove {_users(folder)}, and with it all of MLflow's users",
    )


def _names(host: str, port: int) -> list[str]:
    names = [host, "localhost"] if is_loopback(host) else [host]
    return [f"{name}:{port}" for name in dict.fromkeys(names)]


def _with_driver(store: str) -> str:
    """Named with the driver that this project installs."""
    scheme, _, rest = store.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else store


def _write_config(folder: ServiceFolder) -> Path:
    """Whoever has no permission sees nothing."""
    path = folder.root / "mlflow-auth.ini"
    text = (
        "[mlflow]\n"
        "default_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{_users(folder)}\n"
        f"admin_username = {ADMIN}\n"
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path


def _users(folder: ServiceFolder) -> Path:
    return folder.root / "mlflow-users.db"
