"""A process that is told apart from a later one of the same id."""

from __future__ import annotations

import psutil

from hpo.settings import Settings


class Process(Settings):
    """A process on this machine.

    Args:
        created: when it began: Unix time in seconds, as the kernel has it.
    """

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int | None = None) -> Process:
        """A living process; by default this one."""
        found = psutil.Process(pid)
        return cls(pid=found.pid, created=found.create_time())

    def find(self) -> psutil.Process | None:
        """The living process; `None` if it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 0.1
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None
