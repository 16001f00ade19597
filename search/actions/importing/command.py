"""Past trials of other programs → a study: their space, which of them fit, and why others don't."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search import registry
from search.actions.importing.rows import Past, names_in
from search.actions.importing.sources import read_past
from search.actions.importing.store import Imported, imported_spec, new_spec, take_in
from search.actions.space_source import space_for
from search.datasets import data_name, load
from search.errors import InputError
from search.files import unwritable, whole_file
from search.paths import check_home, home, storage_url
from search.registry import nearest
from search.space.from_kerastuner import space_of
from search.space.load import find_space, load_space
from search.space.space import Space
from search.study.spec import StudySpec
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import check_name
from search.text import csv_safe

REJECTED = "import-rejected.csv"
NO_SPACE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What `space_of` raises of hyperparameters that are none of KerasTuner's."""


@dataclass(frozen=True)
class ImportRequest:
    """What a person asked for."""

    source: str
    into: str
    model: str | None = None
    data: str | None = None
    space_file: Path | None = None
    study: str | None = None
    """Which of the studies in a database of Optuna's."""
    renames: Sequence[str] = ()
    """What parameters are called here, each "theirs=ours"."""


def import_past(request: ImportRequest, say: Callable[[str], None]) -> tuple[Past, Imported]:
    """Take the trials of a source into a study: what the source is, and what came of it.

    Those that do not fit are listed in the study's folder, with reasons. Raises InputError with
    every problem when the source can't be read, or the study is a search or lacks a model, data set
    or space.
    """
    check_name(request.into)
    if problem := check_home():
        raise InputError(problem)
    past = read_past(request.source, request.study)
    storage = LedgerStorage(storage_url())
    spec = _spec(storage, request, past, say)
    imported = take_in(storage, spec, past, _renamed(request.renames, spec.search_space, past))
    try:
        _write_rejected(home() / request.into / REJECTED, past, imported)
    except OSError as error:
        raise InputError(unwritable(home() / request.into, error)) from error
    return past, imported


def _spec(
    storage: LedgerStorage, request: ImportRequest, past: Past, say: Callable[[str], None]
) -> StudySpec:
    called = data_name(request.data) if request.data else None
    stored = imported_spec(storage, request.into, model=request.model, data=called)
    if stored is not None:
        if request.space_file is not None:
            raise InputError(f"--space: study {request.into!r} has its space already; leave it out")
        return stored
    missing = [f"--{name}" for name in ("model", "data") if not getattr(request, name)]
    if missing or request.model is None or request.data is None:
        raise InputError(
            [
                f"{flag}: study {request.into!r} is new; say what its trials are of"
                for flag in missing
            ]
        )
    if problem := registry.check_name(registry.MODELS, request.model):
        raise InputError(problem)
    space = _space(request.model, request.data, request.space_file, past, say)
    return new_spec(request.into, space, data=str(called), data_source=request.data)


def _space(
    model: str, data: str, file: Path | None, past: Past, say: Callable[[str], None]
) -> Space:
    """The space of a file, else of KerasTuner's project, else what building the model shows."""
    try:
        return load_space(find_space(model, file)).model_copy(update={"model": model})
    except InputError:
        if file is not None or ":" not in model:
            raise
    if past.hyperparameters:
        try:
            return space_of(model, past.hyperparameters, compiles=True)
        except NO_SPACE as error:
            rule = (
                f"{past.place}: its hyperparameters can't be read ({type(error).__name__}: {error})"
            )
            raise InputError(f"{rule}; give a space file by --space") from error
    return space_for(model, None, load(data), say).space


def _renamed(texts: Sequence[str], space: Space, past: Past) -> dict[str, str]:
    renamed, problems = {}, []
    names = names_in(past)
    for text in texts:
        theirs, _, ours = (part.strip() for part in text.partition("="))
        if not theirs or ours not in space.params:
            problems.append(
                f"--rename: {text!r} must be THEIRS=OURS with a parameter of the space; "
                f"{nearest(ours, space.params)}"
            )
        elif theirs not in names:
            problems.append(
                f"--rename: {text!r}: no trial of {past.place} has {theirs!r};"
                f" {nearest(theirs, names)}"
            )
        renamed[theirs] = ours
    if problems:
        raise InputError(problems)
    return renamed


def _write_rejected(file: Path, past: Past, imported: Imported) -> None:
    """Keep what did not fit, beside other sources' rows; no file where there is nothing."""
    kept: list[list[str]] = []
    if file.is_file():
        with file.open(encoding="utf-8", newline="") as old:
            kept = [row for row in list(csv.reader(old))[1:] if row[:1] != [past.place]]
    rows = [*kept, *([past.place, csv_safe(r.row), csv_safe(r.reason)] for r in imported.rejected)]
    if not rows and not file.is_file():
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["source", "row", "reason"], *rows])
    with whole_file(file) as target:
        target.write(text.getvalue().encode(errors="backslashreplace"))
