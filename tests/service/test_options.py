"""What `hpo up` is told: places that can be used, and nobody let in without a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.errors import InputError
from hpo.home import Home
from hpo.service import ray_head
from hpo.service.adopt import adopt
from hpo.service.options import Given, Options, admin_password

PASSWORD = "correct-horse-battery"


@pytest.mark.parametrize(
    ("artifacts", "says"),
    [
        ("file:///srv/artifacts", "got file://"),
        ("hdfs://name/path", "got hdfs://"),
        ("s3://bucket/x?secret_access_key=hunter2", "must hold no password and no options"),
        ("s3://user:hunter2@bucket/x", "must hold no password and no options"),
    ],
)
def test_artifacts_are_where_checkpoints_can_be_kept(
    artifacts: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says) as error:
        Given(artifacts=artifacts).over(None)
    assert "hunter2" not in str(error.value)
    with pytest.raises(InputError, match=says):
        adopt(Home(tmp_path), "http://ray", "http://mlflow", artifacts)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_artifacts_may_be_relative() -> None:
    options = Given(artifacts="here").over(None)
    assert options.artifacts is not None and options.artifacts.startswith("/")


@pytest.mark.parametrize("host", ["127.0.0.2", "10.1.2.3", "head.example"])
def test_where_ray_listens_on_all_addresses_a_password_is_needed(host: str) -> None:
    assert ray_head.listens_on(host) == "0.0.0.0"
    with pytest.raises(InputError, match="HPO_ADMIN_PASSWORD"):
        Given(host=host).over(None)
    assert Given(host=host, password=PASSWORD).over(None).secured
    assert admin_password(host, lambda: "asked for") == "asked for"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_on_loopback_none_is_needed(host: str) -> None:
    assert Given(host=host).over(None) == Options(host=host)
    assert admin_password(host, lambda: pytest.fail("nobody is to be asked")) is None


@pytest.mark.parametrize("host", ["::1", "fe80::1"])
def test_ipv6_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="IPv4 address"):
        Given(host=host, password=PASSWORD).over(None)
