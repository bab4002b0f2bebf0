from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hpo.errors import DataError, TrainableError
from hpo.lazy import lazy
from hpo.train.data.base import Examples, UserData
from hpo.train.data.several import combined
from hpo.trainable.loading import find

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")


class Function(UserData):
    """A function of no arguments that returns (x, y); shapes and constant columns as for npz.

    Several targets that may be of different kinds are a dict of arrays [N] by name, the main one
    first.
    """

    reference: ClassVar[str] = "a Python function of yours"

    kind: Literal["function"] = "function"
    function: str = Field(
        pattern=r"^[\w.]+:[\w.]+$",
        description="package.module:name, looked up in the study file's folder first",
    )

    def read(self, folder: Path) -> Examples:
        try:
            function = find(self.function, folder)
        except TrainableError as error:
            raise DataError(f"data.function: {error.message}", error.hint) from error
        if not callable(function):
            raise DataError(
                f"data.function {self.function!r} must be a function, "
                f"got {type(function).__name__}",
                "write: def load(): return x, y",
            )
        try:
            pair = function()
        except Exception as error:
            raise DataError(
                f"data.function {self.function!r} failed: {type(error).__name__}: {error}",
                "it is called without arguments and must return (x, y)",
            ) from error
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
            raise DataError(
                f"data.function {self.function!r} must return (x, y), got {_describe(pair)}",
                "x: [N, features] or images, y: [N]",
            )
        named = isinstance(pair[1], Mapping) and len(pair[1]) > 0
        try:
            x = np.atleast_1d(np.asarray(pair[0]))
            targets = pair[1] if named else {"y": pair[1]}
            columns = {str(n): np.atleast_1d(np.asarray(v)) for n, v in targets.items()}
        except Exception as error:
            raise DataError(
                f"data.function {self.function!r} must return two arrays, got "
                f"({_describe(pair[0])}, {_describe(pair[1])}): {error}",
                "x: [N, features] or images, y: [N]",
            ) from error
        return Examples(
            x,
            combined(columns, self, self.function),
            self.task,
            self.function,
            target=", ".join(columns),
            classes=self.classes,
            series=self.series,
        )


def _describe(value: object) -> str:
    size = f" of {len(value)}" if hasattr(value, "__len__") else ""
    return type(value).__name__ + size
