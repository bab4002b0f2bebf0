"""Tables in files, read with pandas."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hpo.errors import DataError
from hpo.lazy import lazy
from hpo.train.data.base import Examples, Names, UserData, listed
from hpo.train.data.files import file_version, find_file
from hpo.train.data.several import combined

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
else:
    np = lazy("numpy")
    pd = lazy("pandas")


class TableData(UserData):
    """One row per example and a column for each feature; one column is the target, or several.

    Columns that never vary are refused: in a table they are nearly always a mistake.
    """

    path: str = Field(min_length=1, description="the file; relative to the study file's folder")
    target: Names = Field(
        description="the column to predict, or a list of columns, the main one first"
    )
    features: tuple[str, ...] | None = Field(
        None, min_length=1, description="the columns to predict from; default: all others"
    )

    @abstractmethod
    def read_table(self, file: Path) -> pd.DataFrame:
        """The whole file. Any exception means that it cannot be read."""

    def version(self, folder: Path) -> tuple[int, ...] | None:
        return file_version(self.path, folder)

    def read(self, folder: Path) -> Examples:
        file = find_file(self.path, folder)
        try:
            table = self.read_table(file)
        except ImportError as error:
            raise DataError(
                f"data kind {getattr(self, 'kind', 'table')} needs a package that is not "
                f"installed: {error}",
                "install both: pip install pandas pyarrow",
            ) from error
        except Exception as error:
            raise DataError(
                f"{file}: it cannot be read: {type(error).__name__}: {error}",
                "check that it opens with pandas and is what data.kind says",
            ) from error
        table.columns = table.columns.map(str)
        _check_columns(list(table.columns), file)
        targets = listed(self.target)
        shown = ", ".join(map(repr, targets))
        features = self.features or tuple(c for c in table.columns if c not in targets)
        if len({*targets, *features}) < len(targets) + len(features):
            raise DataError(
                f"{file}: data.features must differ from each other and from the target"
                f" {shown}, got {', '.join(features)}",
                "list each column once, and the target not at all",
            )
        for name in (*targets, *features):
            _check_column(name, table, file)
        if not features:
            raise DataError(
                f"{file}: there must be columns besides the target {shown}",
                "check that the file is the right one",
            )
        for name in features:
            _check_numeric(table[name], file)
        return Examples(
            x=table[list(features)].to_numpy(dtype=np.float64, na_value=np.nan),
            y=combined({name: _target(table[name], file) for name in targets}, self, str(file)),
            task=self.task,
            place=str(file),
            columns=features,
            target=f"column {shown}",
            classes=self.classes,
            constant_columns=False,
            series=self.series,
        )


class Csv(TableData):
    """A comma-separated file with a header line."""

    reference: ClassVar[str] = "https://pandas.pydata.org/docs/reference/api/pandas.read_csv.html"

    kind: Literal["csv"] = "csv"

    def read_table(self, file: Path) -> pd.DataFrame:
        # The header as it stands: pandas would rename repeated columns, and take a first column
        # that has no name for an index.
        header = pd.read_csv(file, header=None, nrows=1, dtype=str, keep_default_na=False)
        try:
            table = pd.read_csv(file, index_col=False, skiprows=1, header=None)
        except pd.errors.EmptyDataError:
            table = pd.DataFrame(columns=header.columns)
        if len(table.columns) != len(header.columns):
            raise ValueError(
                f"the header has {len(header.columns)} columns, the rows have {len(table.columns)}"
            )
        table.columns = pd.Index(header.iloc[0])
        return table


class Parquet(TableData):
    """A Parquet file."""

    reference: ClassVar[str] = "https://parquet.apache.org"

    kind: Literal["parquet"] = "parquet"

    def read_table(self, file: Path) -> pd.DataFrame:
        return pd.read_parquet(file)


def _check_columns(columns: list[str], file: Path) -> None:
    if unnamed := [i for i, name in enumerate(columns) if not name.strip()]:
        raise DataError(
            f"{file}: every column needs a name, column {unnamed[0]} (from 0) has none",
            "an index that was written along? write the file without it: to_csv(path, index=False)",
        )
    if repeated := [name for name in columns if columns.count(name) > 1]:
        raise DataError(
            f"{file}: column names must differ, there are {columns.count(repeated[0])}"
            f" {repeated[0]!r}",
            "rename all but one in the file",
        )


def _check_column(name: str, table: pd.DataFrame, file: Path) -> None:
    columns = list(table.columns)
    if name not in columns:
        nearest = difflib.get_close_matches(name, columns, n=1)
        more = ", ..." if len(columns) > 20 else ""
        raise DataError(
            f"{file}: there is no column {name!r}",
            f"did you mean {nearest[0]!r}?"
            if nearest
            else f"it has: {', '.join(columns[:20])}{more}",
        )


def _check_numeric(column: pd.Series, file: Path) -> None:
    if not pd.api.types.is_numeric_dtype(column):
        row, value = next(
            ((i, v) for i, v in enumerate(column) if not isinstance(v, (int, float))),
            (0, column.iloc[0] if len(column) else None),
        )
        raise DataError(
            f"{file}: columns must be numbers, {column.name!r} has {value!r} in row {row} (from 0)",
            "encode it as numbers in the file, or list the columns to use under data.features",
        )


def _target(column: pd.Series, file: Path) -> np.ndarray:
    if column.isna().any():
        row = int(column.isna().to_numpy().argmax())
        raise DataError(
            f"{file}: every row needs a target, {int(column.isna().sum())} rows of column "
            f"{column.name!r} have none, the first is row {row} (from 0)",
            "drop those rows from the file",
        )
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    return column.astype(str).to_numpy(dtype=np.str_)
