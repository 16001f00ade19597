"""Finished trials that other programs left: read as plain values, whatever wrote them, and nothing
is judged yet.

Never a pickle, which runs whatever code it holds while it is read.
"""

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from search.actions.importing.optuna_db import is_optuna, read_optuna
from search.actions.importing.rows import Past, PastTrial
from search.errors import InputError
from search.records import State
from search.untrusted import check_memory, opened, read_json

_PICKLES = (".pkl", ".pickle", ".joblib")
_HOW = (
    "give a project folder of KerasTuner (with oracle.json), GridSearchCV's cv_results_ as .csv or"
    " .json, optuna:URL#study or a .db file with --study, or a .csv with val_accuracy and param.*"
    " columns"
)
_REMEDY = "pandas.DataFrame(search.cv_results_).to_csv('results.csv') writes what is read here"
_SCORE, _ACCURACY = "mean_test_score", "mean_test_accuracy"
"""Where cv_results_ has the score, and where it has the accuracy, one of several metrics."""
_GROWTH = 10
"""How many times its size a table takes once it is read."""
_TUNER = "tuner/"
"""The beginning of names under which KerasTuner's Hyperband keeps its own account."""


def read_past(source: str, study: str | None) -> Past:
    """What `source` holds: a folder, a file, or `optuna:URL#study`; `study` names one in a
    database.

    Raises InputError when it can't be read, or is nothing that is known here.
    """
    if is_optuna(source):
        return read_optuna(source, study)
    path = Path(source).expanduser()
    if study is not None:
        raise InputError(f"--study: {source} holds no studies by name; leave it out")
    if not path.exists():
        raise InputError(f"{source}: there is no such file or folder; {_HOW}")
    try:
        if path.is_dir():
            return _keras_tuner(path)
        if path.suffix in _PICKLES:
            raise InputError(
                f"{path}: a pickle runs whatever code it holds while it is read, so none is;"
                f" {_REMEDY}"
            )
        if path.suffix == ".json":
            return _grid_search(path, _columns(read_json(path), path))
        return _table(path)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: can't be read ({error}); {_HOW}") from error


def _keras_tuner(folder: Path) -> Past:
    if not (folder / "oracle.json").is_file():
        inside = sorted(p.parent.name for p in folder.glob("*/oracle.json"))
        hint = f"give the project inside it: {', '.join(inside)}" if inside else _HOW
        raise InputError(f"{folder}: there is no oracle.json in it; {hint}")
    try:
        space = read_json(folder / "oracle.json")["hyperparameters"]["space"]
        hyperparameters = [e for e in space if not e["config"]["name"].startswith(_TUNER)]
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder}/oracle.json: is not KerasTuner's ({error} is missing); {_HOW}"
        ) from error
    files = sorted(folder.glob("trial_*/trial.json"))
    return Past(
        "keras-tuner",
        str(folder.resolve()),
        tuple(_keras_tuner_trial(file) for file in files),
        tuple(hyperparameters),
    )


def _keras_tuner_trial(file: Path) -> PastTrial:
    row = file.parent.name.removeprefix("trial_")
    try:
        raw = read_json(file)
        values = dict(raw["hyperparameters"]["values"])
        # An observation holds a value for each execution of the same trial.
        seen = {
            name: [sum(o["value"]) / len(o["value"]) for o in metric["observations"] if o["value"]]
            for name, metric in raw["metrics"]["metrics"].items()
        }
        status = raw["status"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return PastTrial(
            row, {}, None, f"{file.name} can't be read ({type(error).__name__}: {error})"
        )
    params = {name: value for name, value in values.items() if not name.startswith(_TUNER)}
    if status != "COMPLETED":
        lines = str(raw.get("message") or "").strip().splitlines()
        return PastTrial(
            row,
            params,
            None,
            f"it is {status}, not COMPLETED" + (f": {lines[-1]}" if lines else ""),
        )
    name = next((n for n in seen if n.startswith("val_") and n.endswith(("accuracy", "acc"))), None)
    if name is None:
        return PastTrial(
            row,
            params,
            None,
            f"it has no validation accuracy, only {', '.join(seen) or 'no metrics'}",
        )
    return PastTrial(row, params, max(seen[name], default=None))


def _columns(content: Any, path: Path) -> dict[str, Sequence[Any]]:
    """The columns of a JSON table: of lists, of mappings by row, or a list of rows."""
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        keys = dict.fromkeys(chain.from_iterable(content))
        return {key: [row.get(key) for row in content] for key in keys}
    if isinstance(content, dict) and content:
        columns = {
            key: list(c.values()) if isinstance(c, dict) else c for key, c in content.items()
        }
        if (
            all(isinstance(c, list) for c in columns.values())
            and len({len(c) for c in columns.values()}) == 1
        ):
            return columns
    raise InputError(f"{path}: is no table of cv_results_; {_REMEDY}")


def _table(path: Path) -> Past:
    with opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
        check_memory(os.fstat(raw.fileno()).st_size * _GROWTH, f"{path}: its table")
        reader = csv.DictReader(file, strict=True)
        rows = list(reader)
        names = list(reader.fieldnames or ())
    if not {_SCORE, _ACCURACY}.isdisjoint(names):
        return _grid_search(
            path, {name: [cell(row[name] or "") for row in rows] for name in names if name}
        )
    if "val_accuracy" not in names or not any(n.startswith("param.") for n in names):
        raise InputError(f"{path}: has the columns {', '.join(names) or 'none'}; {_HOW}")
    return Past(
        "csv", str(path.resolve()), tuple(_csv_trial(i, row) for i, row in enumerate(rows, 1))
    )


def _row_id(number: int, row: Mapping[str, str]) -> str:
    """A leaderboard's trial, by study too if several are joined. Elsewhere the row's own."""
    trial = row.get("trial")
    return "/".join(filter(None, (row.get("study"), trial))) if trial else str(number)


def _csv_trial(number: int, row: Mapping[str, str]) -> PastTrial:
    values = {
        n.removeprefix("param."): cell(v)
        for n, v in row.items()
        if n and n.startswith("param.") and v
    }
    value = cell(row["val_accuracy"] or "")
    state = row.get("state") or State.COMPLETE
    problem = None if state in {State.COMPLETE, State.PRUNED} else f"its state is {state}"
    seconds = cell(row.get("train_s") or "")
    return PastTrial(
        _row_id(number, row),
        values,
        value,
        problem,
        seconds=seconds if _is_number(seconds) else None,
    )


def _grid_search(path: Path, columns: Mapping[str, Sequence[Any]]) -> Past:
    score = _SCORE if _SCORE in columns else _ACCURACY
    if score not in columns or not any(c.startswith("param_") or c == "params" for c in columns):
        rule = f"{path}: cv_results_ has the columns {_SCORE} or {_ACCURACY}, and param_…"
        raise InputError(f"{rule}; this has {', '.join(columns)}; {_REMEDY}")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Past(
        "cv_results_",
        str(path.resolve()),
        tuple(_grid_trial(i, row, score) for i, row in enumerate(rows)),
    )


def _grid_trial(number: int, row: Mapping[str, Any], score: str) -> PastTrial:
    given = {n.removeprefix("param_"): v for n, v in row.items() if n.startswith("param_")}
    params = row.get("params")
    values = {**given, **(params if isinstance(params, dict) else {})}
    valued = {n: v for n, v in values.items() if v is not None and not _is_nan(v)}
    seconds = row.get("mean_fit_time")
    took = seconds if _is_number(seconds) else None
    return PastTrial(str(number), valued, row[score], seconds=took, shown_as=str(number + 1))


def cell(text: str) -> Any:
    """What a cell of a CSV file holds: a number, true, false, null or text."""
    plain = text.strip()
    words = {"true": True, "false": False, "none": None, "null": None, "": None}
    if plain.lower() in words:
        return words[plain.lower()]
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    # Spreadsheets are kept from reading some texts as formulas by an apostrophe before them.
    return plain[1:] if plain[:1] == "'" and plain[1:2] in "=+-@" else plain


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )
