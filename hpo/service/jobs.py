"""The service's jobs, through Ray's job API.

Ray's own client would load Ray, which takes most of a second, for one request.
"""

from __future__ import annotations

import math
import shlex
import sys
import uuid
from typing import Any

from hpo.errors import HpoError
from hpo.home import Home
from hpo.service import ray_head
from hpo.service.state import Service, ServiceFolder
from hpo.track import rest

ANSWER_S = 30.0


class Jobs:
    """Ray's job table of a service."""

    def __init__(self, service: Service, home: Home) -> None:
        self._service = service
        self._home = home

    def hand_in_driver(self) -> None:
        """One more driver, for the queue of those that wait for a slot.

        One too many does no harm: it finds nothing waiting, and ends.

        Raises:
            HpoError: Ray does not take it.
        """
        job = f"hpo-{uuid.uuid4().hex[:12]}"
        command = [sys.executable, "-m", "hpo.service.driver", str(self._home.root), job]
        try:
            self._ask(
                "/api/jobs/",
                {
                    "entrypoint": shlex.join(command),
                    "submission_id": job,
                    "entrypoint_resources": {ray_head.SLOT: 1},
                },
            )
        except (OSError, ValueError) as error:
            raise HpoError(
                f"Ray at {self._service.jobs} does not take the study: {error}",
                "it waits in the queue and has its turn after the next hpo up",
            ) from error

    def is_answering(self) -> bool:
        try:
            self._ask("/api/jobs/")
        except (OSError, ValueError):
            return False
        return True

    def resource(self, name: str) -> float:
        """How much of a resource the nodes have that are alive; 0 while that is not known.

        Raises:
            HpoError: Ray does not say.
        """
        try:
            nodes = self._ask("/api/v0/nodes?detail=1")["data"]["result"]["result"]
            alive = [node["resources_total"] for node in nodes if node["state"] == "ALIVE"]
        except (OSError, ValueError, KeyError) as error:
            raise HpoError(
                f"Ray at {self._service.jobs} does not tell its nodes: {error}"
            ) from error
        return math.fsum(total.get(name, 0.0) for total in alive)

    def _ask(self, path: str, body: object = None) -> Any:
        token = ServiceFolder.of(self._home).token.read_text().strip()
        # A proxy in the environment must not be asked for an address on this machine.
        return rest.exchange(
            f"{self._service.jobs}{path}", body, f"Bearer {token}", ANSWER_S, proxied=False
        )
