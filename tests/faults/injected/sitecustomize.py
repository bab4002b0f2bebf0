"""Faults from inside a process. Python imports this at its start where it finds it on its path.

HPO_FAULT_SAMPLER   DRAW:FILE: the DRAW-th draw of a sampler raises, once; FILE is written then
HPO_FAULT_CLOCK     WHEN:SECONDS: from WHEN on, on the monotonic clock, the time of day is earlier
"""

import datetime
import os
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path


class After(MetaPathFinder):
    """Calls a function with a module once that is imported."""

    def __init__(self, name, then):
        self.name, self.then = name, then

    def find_spec(self, name, path, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            self.then(module)

        spec.loader.exec_module = exec_module
        return spec


def raise_once(sampler, at, marker):
    draws = 0

    def wrap(draw):
        def guarded(*args, **kwargs):
            nonlocal draws
            draws += 1
            if draws >= at and not marker.exists():
                marker.write_text("")
                raise RuntimeError("a fault inside the sampler")
            return draw(*args, **kwargs)

        return guarded

    sampler.sample_independent = wrap(sampler.sample_independent)
    sampler.sample_relative = wrap(sampler.sample_relative)


def set_back(when, seconds):
    real_time, real_ns, real = time.time, time.time_ns, datetime.datetime

    def offset():
        return seconds if time.monotonic() >= when else 0.0

    class Datetime(real):
        @classmethod
        def now(cls, tz=None):
            return real.fromtimestamp(time.time(), tz)

    time.time = lambda: real_time() - offset()
    time.time_ns = lambda: real_ns() - int(offset() * 1e9)
    # Optuna's trials begin and end by this one.
    name = "optuna.storages.journal._storage"
    sys.meta_path.insert(0, After(name, lambda module: setattr(module, "datetime", Datetime)))


if "HPO_FAULT_SAMPLER" in os.environ:
    draw, _, file = os.environ["HPO_FAULT_SAMPLER"].partition(":")
    sys.meta_path.insert(
        0,
        After(
            "optuna.samplers._tpe.sampler",
            lambda module: raise_once(module.TPESampler, int(draw), Path(file)),
        ),
    )
if "HPO_FAULT_CLOCK" in os.environ:
    set_back(*map(float, os.environ["HPO_FAULT_CLOCK"].split(":")))
