"""The command that starts a Ray head, or a node that joins one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

SLOT = "study_slot"
"""A study's driver needs one; how many the head has is how many studies run side by side."""

LOCAL = ("127.0.0.1", "localhost")

LONG = str(10**8)
"""Seconds: a study may wait for a slot as long as it takes, and so may its checkpoints when it is
stopped."""


def environment(token: Path) -> dict[str, str]:
    """For the head, for nodes, and for whoever talks to them."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_JOB_START_TIMEOUT_SECONDS": LONG,
        # To stop a job is to press Ctrl-C in `hpo run`: trials pause at their next report.
        "RAY_JOB_STOP_SIGNAL": "SIGINT",
        "RAY_JOB_STOP_WAIT_TIME_S": LONG,
        # Workers watch the memory themselves; see hpo.execute.memory.
        "RAY_memory_monitor_refresh_ms": "0",
    }


def listens_on(host: str) -> str:
    """Where the head listens: its own server does so on all addresses, but for this one."""
    return host if host in LOCAL else "0.0.0.0"


def network(host: str) -> dict[str, str]:
    """For processes that listen on an address. On Linux Ray takes the machine's outward address in
    place of 127.0.0.1, but for this switch, with which on the other hand no node may join. What
    hpo.execute sets for itself is inherited, so it is set either way."""
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0" if host in LOCAL else "1"}


def head(host: str, port: int, dashboard_port: int, client_port: int, slots: int) -> list[str]:
    """The command line of a head; it blocks, and ends all of its processes when it is ended.

    Args:
        client_port: of a server that nobody uses and that cannot be left out.
    """
    return [
        *_start(host),
        "--head",
        f"--port={port}",
        f"--dashboard-host={host}",
        f"--dashboard-port={dashboard_port}",
        f"--ray-client-server-port={client_port}",
        f"--resources={json.dumps({SLOT: slots})}",
    ]


def node(host: str, address: str) -> list[str]:
    """The command line of a node that joins a head."""
    return [*_start(host), f"--address={address}"]


def _start(host: str) -> list[str]:
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
        f"--node-ip-address={host}",
        # Any free port: several nodes may share a machine.
        *("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"),
        *("--disable-usage-stats", "--include-log-monitor=false"),
    ]
