from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hpo.errors import DataError
from hpo.lazy import lazy
from hpo.train.data.base import DataPart, Examples
from hpo.train.data.files import file_version, find_file
from hpo.train.data.split import InOrder
from hpo.train.task import Task

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")

UNKNOWN = "\ufffd"


class Text(DataPart):
    """A text file in UTF-8, of which each next character is to be predicted.

    It is cut into pieces of length + 1 characters that share none: the first `length` of a piece
    are the inputs, the last `length` the targets. The first pieces are for training, those in the
    middle for validation, the last for the test.

    The classes are the characters of the training split, in order. Class 0, U+FFFD, stands for all
    others: it is never a target in training, and costs much in the few places where it is one.
    """

    reference: ClassVar[str] = "Sutskever et al. 2011, Generating text with recurrent networks"

    kind: Literal["text"] = "text"
    path: str = Field(min_length=1, description="the file; relative to the study file's folder")
    length: int = Field(64, ge=1, le=2**16, description="characters of an example")
    split: InOrder = Field(default_factory=InOrder, description="shares of validation and test")
    scaling: Literal["none"] = Field("none", description="characters have no scale")

    def version(self, folder: Path) -> tuple[int, ...] | None:
        return file_version(self.path, folder)

    def known_task(self) -> Task:
        return "next_character"

    def read(self, folder: Path) -> Examples:
        file = find_file(self.path, folder)
        try:
            text = file.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{file}: it cannot be read as UTF-8: {error}",
                "write it in that encoding: iconv -t UTF-8",
            ) from error
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        rows = len(points) // (self.length + 1)
        pieces = points[: rows * (self.length + 1)].reshape(rows, self.length + 1)
        train, *_ = self.split.indices(np.zeros(rows, dtype=np.int64))
        known = np.setdiff1d(pieces[train], [ord(UNKNOWN)])
        if len(known) < 2:
            raise DataError(
                f"{file}: the training split must have at least two different characters, it has "
                f"{len(known)} in {len(train)} pieces of {self.length + 1}",
                "give more text, or a smaller data.length",
            )
        places = np.searchsorted(known, pieces).clip(max=len(known) - 1)
        classes = np.where(known[places] == pieces, places + 1, 0)
        return Examples(
            x=classes[:, :-1],
            y=classes[:, 1:],
            task=self.known_task(),
            place=str(file),
            target="the next characters",
            vocabulary=UNKNOWN + "".join(map(chr, known)),
        )
