"""The service's MLflow server: who gets in, and what its command line must not show."""

from __future__ import annotations

import secrets
import urllib.error
from pathlib import Path

from hpo.errors import InputError
from hpo.files import write_private
from hpo.home import Home
from hpo.service.state import ServiceFolder
from hpo.track import rest, server
from hpo.track.home_server import ADMIN
from hpo.track.login import Login


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
    told = server.environment(host, port, _with_driver(store) if store else home.tracking_uri)
    if password:
        told |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(_write_config(folder)),
            "MLFLOW_AUTH_ADMIN_PASSWORD": password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        }
    return told


def check_password(url: str, password: str, folder: ServiceFolder) -> None:
    """MLflow takes the password only when it makes the user; later it has one.

    Raises:
        InputError: it has another one.
    """
    question = f"{url}/api/2.0/mlflow/users/get?username={ADMIN}"
    try:
        rest.exchange(question, None, Login(ADMIN, password).authorization, 30, proxied=False)
        return
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):
            raise
    raise InputError(
        f"MLflow's user {ADMIN!r} has another password, that of the first hpo up",
        f"give that one; or remove {_users(folder)}, and with it all of MLflow's users",
    )


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
    write_private(path, text)
    return path


def _users(folder: ServiceFolder) -> Path:
    return folder.root / "mlflow-users.db"
