"""Compare studies, or the systems of a suite that was run, by the names of either."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from search.analysis.comparison import compare_studies
from search.errors import InputError
from search.paths import home, storage_url
from search.report.comparison.contenders import contenders
from search.report.comparison.entrants import Entrant, facts, stored_entrants, suite_entrants
from search.report.comparison.files import ComparisonPaths
from search.report.comparison.page import write_studies
from search.report.comparison.suite import comparison_frame
from search.report.comparison.suite_page import write_comparison
from search.report.comparison.suite_rows import comparison_facts, comparison_rows
from search.report.comparison.table import studies_frame
from search.report.tables import to_rows
from search.study.settings import name_problem
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import open_library
from search.study.suite import Suite, stored_suite
from search.study.suite_file import suite_name

_LONGEST = 100
"""Characters of a folder's name."""


class Compared(NamedTuple):
    """A comparison that was written."""

    paths: ComparisonPaths
    rows: list[dict[str, Any]]
    """As the CSV file has them."""
    has_values: bool
    """Whether anything was measured."""


def compare_names(names: Sequence[str], out: Path | None) -> Compared:
    """Compare what `names` are: one suite that was run, or studies and suites, and write it into
    `out`.

    By default a suite's goes into its own folder, any other into runs/comparisons/<the names>.
    Raises InputError with every problem.
    """
    if len(names) == 1 and (suite := _suite(names[0])):
        folder = home() / suite.name
        storage = open_library(storage_url())
        if all(system.search is None for system in suite.systems):
            return _fixed(suite, storage, out or folder)
        return _studies(suite.name, suite_entrants(storage, suite.systems), out or folder)
    _check_names(names)
    storage = open_library(storage_url())
    entrants = _entrants(names, storage)
    title = folder_name([e.study for e in entrants])
    return _studies(title, entrants, out or home() / "comparisons" / title)


def folder_name(studies: Sequence[str]) -> str:
    """A name for the comparison of `studies` in any order: all of them, or a count and a digest."""
    ordered = sorted(studies)
    joined = "+".join(ordered)
    digest = hashlib.sha256(joined.encode()).hexdigest()[:8]
    return joined if len(joined) <= _LONGEST else f"{len(ordered)}-studies-{digest}"


def _suite(name: str) -> Suite | None:
    """The suite that was run under `name`, or None. Raises InputError for a damaged one."""
    if name_problem(name) and not name.endswith((".yaml", ".yml")) and "/" not in name:
        return None
    folder = home() / suite_name(name)
    return stored_suite(folder) if (folder / "suite.yaml").is_file() else None


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) > 1:
        return
    name = names[0]
    suites = ", ".join(sorted(p.parent.name for p in home().glob("*/suite.yaml"))) or "none"
    rule = (
        f"{name!r} alone can't be compared: give two studies or more, or a suite that was run here"
    )
    raise InputError(f"{rule}; known: {suites}; `gridless bench` runs one")


def _entrants(names: Sequence[str], storage: LedgerStorage) -> list[Entrant]:
    """The studies and the systems of the suites `names`, each once."""
    entrants: dict[str, Entrant] = {}
    problems: list[str] = []
    for name in dict.fromkeys(names):
        try:
            suite = _suite(name)
            added = (
                suite_entrants(storage, suite.systems)
                if suite
                else stored_entrants(storage, [name])
            )
        except InputError as error:
            problems += error.problems
            continue
        entrants |= {e.study: e for e in added}
    if problems:
        raise InputError(problems)
    return list(entrants.values())


def _fixed(suite: Suite, storage: LedgerStorage, folder: Path) -> Compared:
    rows = comparison_rows(suite, storage)
    paths = write_comparison(suite.name, rows, folder, facts=comparison_facts(suite, storage))
    return Compared(
        paths, to_rows(comparison_frame(suite.name, rows)), any(row.values for row in rows)
    )


def _studies(title: str, entrants: Sequence[Entrant], folder: Path) -> Compared:
    comparison = compare_studies(contenders(entrants))
    paths = write_studies(
        title, comparison, folder, facts=facts(e.record for e in entrants if e.record)
    )
    return Compared(paths, to_rows(studies_frame(title, comparison)), has_values=True)
