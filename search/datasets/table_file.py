"""The table in a file, as it stands there."""

import logging
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from search.datasets.examples import some
from search.errors import InputError
from search.untrusted import check_memory, opened

log = logging.getLogger(__name__)

_UTF_8 = "utf-8-sig"
_SEPARATORS = ",;\t|"
_GROWTH = {".csv": 4, ".tsv": 4, ".parquet": 10}
"""How many times its size a file takes once it is read."""


def read(path: Path) -> pd.DataFrame:
    """The table in a file, its columns' names without blanks around them. Raises InputError."""
    kind = path.suffix.lower()
    check_memory(_GROWTH[kind] * path.stat().st_size, f"{path}: read as a table, it")
    try:
        with opened(path) as file:
            if kind == ".parquet":
                frame = pd.read_parquet(file)
            else:
                header = _first_line(file)
                file.seek(0)
                separator = max(_SEPARATORS, key=header.count)
                frame = _read_csv(file, separator)
    except Exception as error:  # pandas and pyarrow have an error of their own for each fault
        reason = str(error).strip().splitlines() or [type(error).__name__]
        remedy = "write it with pandas.DataFrame.to_csv or to_parquet"
        if isinstance(error, UnicodeDecodeError):
            remedy = "save it as UTF-8"
        raise InputError(f"{path}: not a readable table ({reason[0]}); {remedy}") from error
    names = [str(column).strip() for column in frame.columns]
    is_named = np.array([bool(name) and not name.startswith("Unnamed: ") for name in names], bool)
    if not is_named.all():
        log.warning("%s: %d columns without a name are left out", path, (~is_named).sum())
    frame.columns = names
    return frame.loc[:, is_named]


def _first_line(file: IO[bytes]) -> str:
    """The first line that is not blank: pandas takes the columns' names from it."""
    lines = (line.decode(_UTF_8, errors="replace") for line in file)
    return next((line for line in lines if line.strip(" \r\n")), "")


def _read_csv(file: IO[bytes], separator: str) -> pd.DataFrame:
    """The table with the names of its first row, of which pandas would make a second `a` `a.1`."""
    first = pd.read_csv(
        file, sep=separator, encoding=_UTF_8, header=None, nrows=1, dtype=str, keep_default_na=False
    )
    file.seek(0)
    frame = pd.read_csv(file, sep=separator, encoding=_UTF_8, low_memory=False)
    if len(frame.columns) == first.shape[1]:
        frame.columns = first.iloc[0].tolist()
    return frame


def undoubled(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The first column of each name, and what is wrong with others of that name, as a sentence."""
    again = frame.columns.duplicated()
    if not again.any():
        return frame, []
    names = sorted(set(frame.columns[again]))
    problem = f"columns must have names of their own, but several are {some(names)}"
    return frame.loc[:, ~again], [problem]
