"""The leaderboard as CSV, Parquet or JSON, with the same rows, columns and types.

Its columns, their types and units are in docs/leaderboard.md.
"""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from search.analysis.finalists import Judgement
from search.errors import InputError
from search.files import unwritable, whole_file, write_text
from search.records import StudyRecord
from search.registry import nearest
from search.report.leaderboard.frame import leaderboard, write_leaderboard

SCHEMA = "gridless.leaderboard/1"
"""Of columns and their meaning; a new column leaves it, any other change raises it."""
FORMATS = ("csv", "parquet", "json")


def write_export(
    study: StudyRecord,
    judgement: Judgement | None,
    folder: Path,
    format: str,  # noqa: A002  # --format
) -> Path:
    """Write the leaderboard to `folder`/leaderboard.<format>, in one step, and return that path.

    JSON is {"schema", "study", "columns": {name: type}, "rows"}; a Parquet file has schema and
    study in the attributes that pandas keeps in its metadata. Only the CSV's text is escaped for
    spreadsheets.

    Raises InputError for another format, or when it can't be written.
    """
    if format not in FORMATS:
        raise InputError(f"FORMAT: {format!r} is not known; {nearest(format, FORMATS)}")
    path = folder / f"leaderboard.{format}"
    try:
        if format == "csv":
            write_leaderboard(study, path, judgement)
        elif format == "parquet":
            with whole_file(path) as file:
                table = typed_leaderboard(study, judgement)
                table.attrs = {"schema": SCHEMA, "study": study.name}
                table.to_parquet(file, engine="pyarrow", index=False)
        else:
            write_text(path, _as_json(typed_leaderboard(study, judgement), study.name))
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error
    return path


def typed_leaderboard(study: StudyRecord, judgement: Judgement | None) -> pd.DataFrame:
    """The leaderboard with one type per column: Int64, Float64, boolean or string.

    A param whose values are of several kinds is text, as in the CSV.
    """
    table = leaderboard(study, judgement)
    return pd.DataFrame({name: _typed(table[name]) for name in table.columns})


def _typed(column: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_float_dtype(column.dtype):
        return pd.Series([None if pd.isna(v) else v for v in column], dtype="Float64")
    if column.dtype != object:
        return column
    kinds = {type(v) for v in column if v is not None}
    if kinds == {bool}:
        return pd.Series(list(column), dtype="boolean")
    if kinds == {int, float}:
        return pd.Series(list(column), dtype="Float64")
    return pd.Series([None if v is None else str(v) for v in column], dtype="string")


def _as_json(table: pd.DataFrame, study: str) -> str:
    rows = [
        {name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")
    ]
    columns = {str(name): _NAMES[str(dtype)] for name, dtype in table.dtypes.items()}
    content = {"schema": SCHEMA, "study": study, "columns": columns, "rows": rows}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


_NAMES = {"Int64": "integer", "Float64": "number", "boolean": "boolean", "string": "string"}
"""What JSON calls pandas' types."""


def _plain(value: Any) -> Any:
    """JSON has neither missing values of pandas nor infinities."""
    if pd.isna(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if hasattr(value, "item") else value
