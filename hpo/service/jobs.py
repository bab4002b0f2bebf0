"""The service's jobs, through Ray's own client."""

from __future__ import annotations

import os
import shlex
import sys
import uuid

from hpo.home import Home
from hpo.service import ray_head
from hpo.service.state import Service, ServiceFolder


class Jobs:
    """Ray's job table of a service. Making one loads Ray, which takes most of a second."""

    def __init__(self, service: Service, home: Home) -> None:
        os.environ.update(ray_head.environment(ServiceFolder.of(home).token))
        from ray.job_submission import JobSubmissionClient

        self._client = JobSubmissionClient(service.jobs)

    def hand_in_driver(self, home: Home) -> str:
        """One more driver, for the queue of those that wait for a slot; returns its job."""
        job = f"hpo-{uuid.uuid4().hex[:12]}"
        command = [sys.executable, "-m", "hpo.service.driver", str(home.root), job]
        self._client.submit_job(
            entrypoint=shlex.join(command),
            submission_id=job,
            entrypoint_resources={ray_head.SLOT: 1},
        )
        return job

    def stop(self, job: str) -> None:
        self._client.stop_job(job)

    def is_alive(self, job: str) -> bool:
        """Whether the job waits or runs; false for one that Ray does not know."""
        try:
            return not self._client.get_job_status(job).is_terminal()
        except RuntimeError:
            return False

    def log(self, job: str) -> str:
        return self._client.get_job_logs(job)
