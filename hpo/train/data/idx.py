from __future__ import annotations

import gzip
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar, Literal

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

# By the third byte of a file; all are big-endian.
DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_BYTES = 1 << 33


class Idx(OwnTest):
    """Files in the format of MNIST, as they are or compressed with gzip, for inputs and targets.

    Inputs are [N, features], or images: [N, height, width] or [N, channels, height, width].
    """

    reference: ClassVar[str] = "LeCun, Cortes & Burges 1998, yann.lecun.com/exdb/mnist"

    kind: Literal["idx"] = "idx"
    x: str = Field(min_length=1, description="inputs; relative to the study file's folder")
    y: Names = Field(
        description="targets, one row for each of the inputs; or a list of files, the main one "
        "first"
    )

    def version(self, folder: Path) -> tuple[int, ...] | None:
        versions: tuple[int, ...] = ()
        tests = [] if self.x_test is None else [self.x_test, *listed(self.y_test or ())]
        for path in (self.x, *listed(self.y), *tests):
            version = file_version(path, folder)
            if version is None:
                return None
            versions += version
        return versions

    def read(self, folder: Path) -> Examples:
        examples = self._examples(folder, self.x, self.y)
        if self.x_test is None or self.y_test is None:
            return examples
        return replace(examples, test=self._examples(folder, self.x_test, self.y_test))

    def _examples(self, folder: Path, x_path: str, y_paths: Names) -> Examples:
        x, *ys = (find_file(path, folder) for path in (x_path, *listed(y_paths)))
        columns = dict(zip(listed(self.y), map(read_idx, ys), strict=True))
        return Examples(
            read_idx(x),
            combined(columns, self, str(x)),
            self.task,
            str(x),
            target=", ".join(map(str, ys)),
            classes=self.classes,
            series=self.series,
        )


def read_idx(file: Path) -> np.ndarray:
    """The array of an IDX file.

    Raises:
        DataError: it is none, or is damaged.
    """
    try:
        with file.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            if packed:
                with gzip.open(plain) as unpacked:
                    return _parse(unpacked)
            return _parse(plain)
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise DataError(
            f"{file}: it cannot be read as an IDX file: {error}",
            "check that it is one, whole, as it is or compressed with gzip",
        ) from error


def _parse(source: IO[bytes] | gzip.GzipFile) -> np.ndarray:
    zero, kind, dimensions = struct.unpack(">HBB", source.read(4))
    if zero or kind not in DTYPES or not dimensions:
        raise ValueError("it does not begin as one")
    shape = struct.unpack(f">{dimensions}I", source.read(4 * dimensions))
    dtype = np.dtype(DTYPES[kind])
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise ValueError(f"at most {MAX_BYTES} bytes are read, it says it has {size}")
    data = source.read(size + 1)
    if len(data) != size:
        more = "more" if len(data) > size else f"{len(data)}"
        raise ValueError(f"it must have {size} bytes for shape {shape}, it has {more}")
    array: np.ndarray = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))
