from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hpo.errors import DataError
from hpo.lazy import lazy
from hpo.train.data.base import Examples, Names, OwnTest, listed
from hpo.train.data.files import file_version, find_file
from hpo.train.data.several import combined

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")


class Npz(OwnTest):
    """Two arrays of a NumPy .npz file, or four.

    x is [N, features], or images: [N, height, width] or [N, channels, height, width]; or, with
    `series`, [N, length] or [N, channels, length]. Several targets that may be of different kinds
    are arrays [N] of their own. Columns that never vary are accepted, since images are often stored
    flat and have constant borders.
    """

    reference: ClassVar[str] = "https://numpy.org/doc/stable/reference/generated/numpy.savez.html"

    kind: Literal["npz"] = "npz"
    path: str = Field(min_length=1, description="the file; relative to the study file's folder")
    x: str = Field("x", description="name of the inputs in the file")
    y: Names = Field(
        "y", description="name of the targets in the file, or a list of names, the main one first"
    )

    def version(self, folder: Path) -> tuple[int, ...] | None:
        return file_version(self.path, folder)

    def read(self, folder: Path) -> Examples:
        file = find_file(self.path, folder)
        try:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise DataError(
                    f"{file}: an .npz file of several arrays is needed, this is a single array",
                    "write it with numpy.savez(path, x=x, y=y)",
                )
            with loaded as arrays:
                examples = self._examples(arrays, str(file), self.x, self.y)
                if self.x_test is None or self.y_test is None:
                    return examples
                place = f"{file}, test split"
                test = self._examples(arrays, place, self.x_test, self.y_test)
                return replace(examples, test=test)
        except DataError:
            raise
        except Exception as error:  # damaged archives fail in many ways: zlib.error, MemoryError...
            raise DataError(
                f"{file}: it cannot be read as .npz: {error}",
                "write it with numpy.savez(path, x=x, y=y), without object arrays",
            ) from error

    def _examples(
        self, arrays: np.lib.npyio.NpzFile, place: str, x_name: str, y_names: Names
    ) -> Examples:
        x = _array(arrays, x_name, place)
        if self.targets == "inputs":
            y = x
        else:
            named = zip(listed(self.y), listed(y_names), strict=True)
            y = combined({name: _array(arrays, own, place) for name, own in named}, self, place)
        target = ", ".join(listed(y_names))
        return Examples(
            x, y, self.task, place, target=target, classes=self.classes, series=self.series
        )


def _array(arrays: np.lib.npyio.NpzFile, name: str, place: str) -> np.ndarray:
    if name not in arrays.files:
        nearest = difflib.get_close_matches(name, arrays.files, n=1)
        meant = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise DataError(
            f"{place}: there is no array {name!r}",
            f"{meant}it has: {', '.join(sorted(arrays.files))}",
        )
    array: np.ndarray = np.atleast_1d(arrays[name])
    return array
