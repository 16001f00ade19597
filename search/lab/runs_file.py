"""The CSV file of runs, a row per improvement, and the JSON file of what is known beside it."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from search.files import write_text

COLUMNS = ("strategy", "task", "seed", "n_workers", "spent", "value")
"""`spent` in full trainings, `value` as a fraction; real runs have `seconds` behind them."""
SECONDS = "seconds"

Row = tuple[str, ...]
Key = tuple[str, str, int]
"""Strategy, task and seed: they tell a run from the others of a file."""


def best_file(path: Path) -> Path:
    """Where the best values known of the tasks of the runs in `path` are, and the budget."""
    return path.with_suffix(".best.json")


def key_of(row: Row) -> Key:
    """The run that `row` is of."""
    return row[0], row[1], int(row[2])


def row_of(key: Key, n_workers: int, spent: float, value: float) -> Row:
    """An improvement of the run `key`, in the order of COLUMNS."""
    strategy, task, seed = key
    return strategy, task, str(seed), str(n_workers), f"{spent:.6f}", f"{value:.6f}"


def write_runs(
    path: Path, columns: Sequence[str], rows: Iterable[Row], beside: Mapping[str, Any]
) -> None:
    """Write `rows` to `path` and `beside` to its `best_file`, each in one step. Raises OSError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    # The CSV file last, since it says which runs there are.
    write_text(best_file(path), json.dumps(beside, indent=1) + "\n")
    write_text(path, text.getvalue())
