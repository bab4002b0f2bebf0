"""Modules that load at first use, so that settings and formulas can share a file.

`importlib.util.LazyLoader` would put a half-made module into `sys.modules`, where other libraries
take it for a loaded one; this stands outside.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by inspection, not by use
            raise AttributeError(name)
        module = importlib.import_module(self.__name__)
        # From here on an attribute is a plain dictionary look-up, as in the module itself.
        self.__dict__.update(vars(module))
        return getattr(module, name)


def lazy(name: str) -> Any:
    """A stand-in for the module `name` that imports it when an attribute is first used."""
    return _Lazy(name)
