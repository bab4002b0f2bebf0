"""Ends a worker before the machine's memory does: the kernel would not say whose fault it was.

Ray has a monitor of its own, but Tune does not survive when that kills a worker.
"""

from __future__ import annotations

from pathlib import Path

import psutil

LOOK_SECONDS = 0.1
"""Between two looks; memory fills by gigabytes a second."""

CGROUP = Path("/sys/fs/cgroup")


def share_in_use() -> float:
    """The share of the memory, of the machine or of the container, that is in use."""
    machine = psutil.virtual_memory()
    return max(1 - machine.available / machine.total, _share_of_container())


def is_largest() -> bool:
    """Whether no other process of the same parent holds more memory: the other workers here."""
    me = psutil.Process()
    parent = me.parent()
    siblings = parent.children() if parent else [me]
    return _resident(me) >= max((_resident(process) for process in siblings), default=0)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # ended meanwhile, or another user's
        return 0


def _share_of_container() -> float:
    """0 where there is no container, or none with a limit (control groups, version 2)."""
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        cached = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 0.0
    return (used - int(cached["inactive_file"])) / limit
