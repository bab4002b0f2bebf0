"""The service's MLflow server: who gets in, and what its command line must not show."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from hpo.errors import InputError
from hpo.home import Home
from hpo.service.state import ServiceFolder
from hpo.track import server

LOOPBACK = "127.0.0.1"
ADMIN = "admin"


def check(host: str, password: str | None) -> None:
    """Refuses to listen where others are without asking who they are.

    Raises:
        InputError: `host` is no loopback address and there is no password.
    """
    if is_loopback(host) or password:
        return
    raise InputError(
        f"to listen on {host} is to let others in, and MLflow would not ask who they are",
        f"set HPO_ADMIN_PASSWORD, the password of its user {ADMIN!r}, or stay on {LOOPBACK}",
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
        f"database_uri = sqlite:///{folder.root / 'mlflow-users.db'}\n"
        f"admin_username = {ADMIN}\n"
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path
