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
    """Whether no other worker on this machine holds more memory.

    Ray names its processes by what they run; workers have the same parent and the same name.
    """
    me = psutil.Process()
    parent, mine = me.parent(), _title(me)
    siblings = [p for p in parent.children() if _title(p) == mine] if parent else []
    return _resident(me) >= max(map(_resident, siblings), default=0)


def _title(process: psutil.Process) -> str:
    try:
        return next(iter(process.cmdline()), "")
    except psutil.Error:  # ended meanwhile, or another user's
        return ""


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _share_of_container() -> float:
    """0 where there is no container, or none with a limit (control groups, version 2)."""
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        cached = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return (used - int(cached["inactive_file"])) / limit
    except (OSError, ValueError, KeyError):
        return 0.0
