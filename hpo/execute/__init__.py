"""Runs trials: in this process, or on Ray."""

import os

# Ray reads these when it is imported.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# A call that comes after the end of a cluster must fail. Ray would otherwise join whatever cluster
# it finds on the machine, somebody else's too, or start one.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the old output can be switched off, the new one cannot
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
# On Linux Ray takes the machine's outward address even when told 127.0.0.1, and then every server
# of its own listens on all interfaces. This is the switch by which it stays on loopback elsewhere.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
# Workers watch the memory themselves: Tune ends with an exception when Ray kills one of them.
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
