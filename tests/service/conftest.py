from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from service_site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A folder for a service; whatever a failed test leaves of it is ended."""
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    for process in site.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
