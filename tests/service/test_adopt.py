"""A cluster and an MLflow server that others run, as on Kubernetes, taken for a home's service.

The others are a service of another home: what `hpo up` starts and what KubeRay starts is the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from service_site import Site, until

from hpo.service.state import ServiceFolder
from hpo.track import home_server

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def others(site: Site) -> Iterator[Site]:
    site.hpo("up", "--studies", 2, HPO_ADMIN_PASSWORD=PASSWORD)
    yield site
    site.hpo("down")


@pytest.fixture(scope="module")
def ours(others: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A home that knows the two secrets, as a pod's environment has them."""
    ours = Site(tmp_path_factory.mktemp("ours"))
    ours.environment = {
        "RAY_ADDRESS": others.service.address,
        "RAY_AUTH_TOKEN": ServiceFolder.of(others.home).token.read_text(),
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }
    return ours


def addresses(others: Site) -> tuple[str, str, str, str]:
    server = home_server.running(others.home)
    assert server is not None
    return "--ray", others.service.jobs, "--tracking", server.url


def test_it_is_refused_without_the_address_and_the_secrets(others, ours):
    for variable in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_PASSWORD"):
        said = ours.hpo("up", *addresses(others), code=2, **{variable: ""})
        assert f"{variable} is not set" in said


def test_the_rest_is_not_ours_to_decide(others, ours):
    said = ours.hpo("up", *addresses(others), "--studies", 3, code=2)
    assert "go together" in said
    assert "go together" in ours.hpo("up", *addresses(others)[:2], code=2)


def test_a_home_with_a_service_of_its_own_keeps_it(others, ours):
    said = others.hpo("up", *addresses(others), code=2, **ours.environment)
    assert "hpo down comes first" in said


def test_studies_run_there_and_its_end_is_not_ours(others, ours):
    said = ours.hpo("up", *addresses(others))
    assert "the service is up" in said and "side by side: 2" in said
    ours.open("there")
    ours.hpo("submit", ours.write("there"))
    until(lambda: ours.state("there") == "finished", "the study is finished")
    assert "the service is down" in ours.hpo("down")
    assert others.service.is_up
    assert home_server.running(others.home)


def test_a_server_that_lets_anybody_in_is_refused(others, ours):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Open(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Open)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        said = ours.hpo("up", "--ray", others.service.jobs, "--tracking", url, code=2)
    finally:
        server.shutdown()
        server.server_close()
    assert "MLflow" in said and "does not ask who is there" in said
