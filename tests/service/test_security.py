"""Nobody gets in, and no secret gets out.

The service here asks for a password, though it stays on loopback, and its database's URL holds one.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import urllib.error
import urllib.request

import psutil
import pytest
from postgres import PostgresServer
from service_site import Site

from hpo.result import load_study
from hpo.service.state import ServiceFolder
from hpo.track import home_server

PASSWORD = "correct-horse-battery"
DATABASE_PASSWORD = "staple-of-the-database"


@pytest.fixture(scope="module")
def secured(site: Site, postgres: PostgresServer) -> Site:
    postgres.create("tracked")
    # The server trusts everybody; what matters is where the password turns up.
    url = postgres.url_of("tracked").replace("postgres@", f"postgres:{DATABASE_PASSWORD}@")
    site.hpo("up", "--studies", 1, HPO_ADMIN_PASSWORD=PASSWORD, HPO_STORE=url)
    return site


def status_of(url: str, **headers: str) -> int:
    request = urllib.request.Request(
        url, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()


def test_the_job_api_wants_the_token(secured: Site) -> None:
    url = f"{secured.service.jobs}/api/jobs/"
    token = ServiceFolder.of(secured.home).token
    assert status_of(url) == 401
    assert status_of(url, Authorization=f"Bearer {'0' * 64}") in (401, 403)
    assert status_of(url, Authorization=f"Bearer {token.read_text()}") == 200


def test_mlflow_wants_the_password_and_its_own_name(secured: Site) -> None:
    server = home_server.running(secured.home)
    assert server is not None and server.secured
    url = f"{server.url}/api/2.0/mlflow/experiments/search?max_results=1"
    assert status_of(url) == 401
    assert status_of(url, Authorization=basic("password1234")) == 401
    assert status_of(url, Authorization=basic(PASSWORD)) == 200
    assert status_of(url, Authorization=basic(PASSWORD), Host="evil.example") == 403
    assert status_of(url, Authorization=basic(PASSWORD), Host="localhost:1") == 403


def test_everything_listens_on_loopback(secured: Site) -> None:
    server = home_server.running(secured.home)
    assert server is not None
    roots = [server.process.find(), secured.service.ray.find()]
    family = [each for root in roots for each in (root, *root.children(recursive=True))]
    listening = [
        connection.laddr.ip.removeprefix("::ffff:")
        for process in family
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 5
    assert set(listening) <= {"127.0.0.1", "::1"}


def test_nobody_is_told_what_happens_here(secured: Site) -> None:
    server = home_server.running(secured.home)
    assert server is not None
    mlflow, ray = server.process.find(), secured.service.ray.find()
    assert mlflow is not None and ray is not None
    assert mlflow.environ()["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert ray.environ()["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_study_is_tracked_and_no_secret_is_left_anywhere(secured: Site) -> None:
    secured.open("quiet")
    secured.hpo("submit", secured.write("quiet", trials=2))
    said = secured.hpo("watch", "quiet") + secured.hpo("status", "quiet") + secured.hpo("list")
    result = load_study("quiet", secured.home)
    assert result.done
    assert "tracker is behind" not in said
    token = ServiceFolder.of(secured.home).token.read_text()
    secrets = {PASSWORD, DATABASE_PASSWORD, token}
    lines = subprocess.run(["ps", "-eo", "args", "-ww"], capture_output=True, text=True, check=True)
    for secret in secrets:
        assert secret not in said
        assert secret not in lines.stdout
    allowed = {ServiceFolder.of(secured.home).token, secured.home.root / "service/admin-password"}
    for path in sorted(secured.home.root.rglob("*")):
        if path in allowed:
            assert path.stat().st_mode & 0o777 == 0o600
        elif path.is_file():
            text = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in text], path
    assert (secured.home.root / "service").stat().st_mode & 0o777 == 0o700


def test_another_password_is_refused(secured: Site) -> None:
    secured.hpo("down")
    said = secured.hpo("up", code=2, HPO_ADMIN_PASSWORD="another-long-password")
    assert "has another password" in said
    assert secured.processes() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "192.0.2.1"), "HPO_ADMIN_PASSWORD"),
        (("--host", "0.0.0.0"), "must be one address of this machine"),
        (("--store", "postgresql://me:pw@host/db"), "must not hold a password"),
        (("--store", "postgresql://host/db?password=pw"), "HPO_STORE"),
        (("--join", "127.0.0.1:1"), "without its token"),
    ],
)
def test_what_up_refuses(tmp_path, options, said) -> None:
    (tmp_path / "there").mkdir()
    site = Site(tmp_path / "there")
    told = site.hpo("up", *options, code=2)
    assert said in told and "pw" not in told.replace("--store must not hold a password", "")
    assert site.processes() == []


def test_a_short_password_is_refused(tmp_path) -> None:
    assert "at least 12" in Site(tmp_path).hpo("up", code=2, HPO_ADMIN_PASSWORD="short")


@pytest.mark.parametrize("command", ["status", "watch", "logs", "stop", "resume", "remove"])
@pytest.mark.parametrize("name", ["../x", "/etc", "a/b"])
def test_a_name_cannot_leave_the_home(tmp_path, command, name) -> None:
    assert "1 to 64 of a-z 0-9 - _" in in_process(tmp_path, command, name)


@pytest.mark.parametrize("command", [("list",), ("status", "study")])
def test_what_is_asked_often_loads_neither_ray_nor_mlflow_nor_torch(tmp_path, command) -> None:
    site = Site(tmp_path)
    site.open("study")
    path = site.write("study", trials=1, tracking={"uri": "none"})
    site.hpo("run", path, "--inline")
    code = (
        f"import sys; sys.argv = {['hpo', *command]}\n"
        "from hpo.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('ray', 'mlflow', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **site.variables()},
        cwd=site.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def in_process(folder, *args: str) -> str:
    """What a command refuses to do."""
    from typer.testing import CliRunner

    from hpo.cli import app
    from hpo.errors import InputError

    done = CliRunner().invoke(app, list(args), env={"HPO_HOME": str(folder)})
    assert isinstance(done.exception, InputError), done.output
    return str(done.exception)


@pytest.mark.parametrize(
    "uri",
    ["http://me:s3cret@host:5000", "postgresql://me:s3cret@h/db", "mysql://h/d?password=s3cret"],
)
def test_a_tracking_uri_with_a_password_is_refused_and_not_repeated(tmp_path, uri) -> None:
    path = Site(tmp_path).write("study", tracking={"uri": uri})
    said = in_process(tmp_path, "validate", str(path))
    assert "must not hold a password" in said and "MLFLOW_TRACKING_PASSWORD" in said
    assert "s3cret" not in said


def test_a_study_file_beyond_its_limit_is_refused(tmp_path) -> None:
    path = Site(tmp_path).write("study")
    path.write_text(path.read_text() + "#" * 2**20)
    assert "at most 1048576 bytes" in in_process(tmp_path, "validate", str(path))
