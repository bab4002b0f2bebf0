"""Data sets. To add a kind: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.data.base import DataPart
from hpo.train.data.bundled import Sklearn
from hpo.train.data.function import Function
from hpo.train.data.idx import Idx
from hpo.train.data.load import Arrays, Splits, fingerprint, load
from hpo.train.data.npz import Npz
from hpo.train.data.split import Split
from hpo.train.data.table import Csv, Parquet
from hpo.train.data.text import Text

__all__ = [
    "Arrays",
    "Csv",
    "Data",
    "DataPart",
    "Function",
    "Idx",
    "Npz",
    "Parquet",
    "Sklearn",
    "Split",
    "Splits",
    "Text",
    "fingerprint",
    "load",
]

Data = Annotated[Sklearn | Npz | Csv | Parquet | Idx | Function | Text, Field(discriminator="kind")]
