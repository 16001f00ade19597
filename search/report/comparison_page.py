"""The comparison for people: what was found in words, accuracy per model as a plot, the page and its files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.errors import InputError
from search.files import write_text
from search.report.comparison import (
    CELLS,
    LEFT,
    READING,
    ComparisonRow,
    comparison_frame,
    data_sets,
    difference,
    interval_of,
    label,
    measured_on,
    obstacle,
    sources,
    standing,
    to_csv,
    to_markdown,
)
from search.report.comparison_plot import accuracy_per_model
from search.report.page import jinja
from search.report.plots import Plot
from search.report.statistics import single_run_interval
from search.report.words import count, listing, points

# What a column sorts by where that is not its text.
_KEYS: Mapping[str, Callable[[ComparisonRow], float | None]] = {
    "document": lambda r: r.published,
    "ours, mean [95 % interval]": lambda r: found.mean if (found := interval_of(r)) else None,
    "n": lambda r: len(r.values),
    "difference (points)": difference,
    "parameters": lambda r: r.n_params,
    "epochs": lambda r: r.epochs,
    "s per epoch": lambda r: r.seconds_per_epoch,
}


class ComparisonPaths(NamedTuple):
    """Where a comparison was written."""

    csv: Path
    markdown: Path
    page: Path
    figures: Path
    """The folder of the figures."""


def write_comparison(
    suite_name: str, rows: Sequence[ComparisonRow], folder: Path, *, facts: Mapping[str, str]
) -> ComparisonPaths:
    """Writes comparison.csv, comparison.md, comparison.html and figures/accuracy-per-model.html into `folder`.

    Older files of these names are replaced, each in one step. `facts` are hardware and versions, by name. The page is
    one file of about 5 MB that needs no network. Raises InputError when the folder can't be written, ValueError for
    an accuracy outside 0…1.
    """
    paths = ComparisonPaths(
        folder / "comparison.csv", folder / "comparison.md", folder / "comparison.html", folder / "figures"
    )
    plot = accuracy_per_model(rows)
    suite = {"name": suite_name, "model": count(len(rows), "system"), "data": listing(data_sets(rows)) or "no data"}
    try:
        write_text(paths.csv, to_csv(comparison_frame(suite_name, rows)))
        write_text(paths.markdown, to_markdown(suite_name, rows, facts))
        write_text(paths.page, page(suite_name, rows, plot, facts))
        write_text(paths.figures / "plotly.min.js", get_plotlyjs())
        text = jinja().get_template("figure.html.j2").render(study=suite, plot=plot)
        write_text(paths.figures / f"{plot.key}.html", text)
    except OSError as error:
        reason = f"{error.filename or folder} can't be written: {error.strerror or error}"
        raise InputError(f"{reason}; make room, allow writing, or set GRIDLESS_HOME to another folder") from error
    return paths


def page(suite_name: str, rows: Sequence[ComparisonRow], plot: Plot, facts: Mapping[str, str]) -> str:
    """The comparison as HTML. Every word that comes from rows or facts is escaped."""
    return (
        jinja()
        .get_template("comparison.html.j2")
        .render(
            suite=suite_name,
            rows=[_table_row(row) for row in rows],
            columns=[(name, "text" if name in LEFT else "number") for name in CELLS],
            tiles=_tiles(rows),
            summary=summary(rows),
            reading=READING,
            notes=[*measured_on(rows), *sources(rows)],
            data=listing(data_sets(rows)),
            plot=plot,
            facts=facts,
            plotly=Markup(get_plotlyjs()),  # noqa: S704 (the library's own file)
        )
    )


def _table_row(row: ComparisonRow) -> dict[str, Any]:
    """A row's cells as (text, what to sort by, class), and whether nothing was measured."""
    keys = {name: _KEYS[name](row) if name in _KEYS else cell(row) for name, cell in CELLS.items()}
    cells = [
        (cell(row), "" if keys[name] is None else keys[name], "text" if name in LEFT else "number")
        for name, cell in CELLS.items()
    ]
    return {"cells": cells, "empty": not row.values}


def _tiles(rows: Sequence[ComparisonRow]) -> list[tuple[str, str]]:
    standings = [standing(r) for r in rows]
    return [
        ("figure within our interval", f"{standings.count('within')} of {len(rows)}"),
        ("ours above it", f"{standings.count('above')}"),
        ("ours below it", f"{standings.count('below')}"),
        ("not comparable", f"{standings.count('')}"),
    ]


def summary(rows: Sequence[ComparisonRow]) -> list[str]:
    """What the comparison found, in sentences, the most important first."""
    if not rows:
        return ["The suite has no systems."]
    by = {s: [r for r in rows if standing(r) == s] for s in ("within", "above", "below")}
    barred = [r for r in rows if obstacle(r)]
    lead = (
        f"The document’s figure lies within the 95 % interval of our mean for {len(by['within'])} of "
        f"{count(len(rows), 'system')}; ours is above it for {len(by['above'])} and below it for {len(by['below'])}; "
        f"{len(barred)} can’t be compared."
    )
    apart = [
        f"Ours {side} the document’s figure: "
        + listing([f"{label(r, rows)} by {points(difference(r) or 0.0)}" for r in by[side]])
        + "."
        for side in ("above", "below")
        if by[side]
    ]
    reasons = dict.fromkeys(obstacle(r) for r in barred)
    groups = [f"{listing([label(r, rows) for r in barred if obstacle(r) == why])} ({why})" for why in reasons]
    return [lead, *apart, *_beyond_one_run(rows, by["above"] + by["below"])] + (
        [f"Not comparable: {'; '.join(groups)}."] if groups else []
    )


def _beyond_one_run(rows: Sequence[ComparisonRow], outside: Sequence[ComparisonRow]) -> list[str]:
    if not outside:
        return []
    far = []
    for row in outside:
        run = single_run_interval(row.values)
        if row.published is not None and not (run.low or 0.0) <= row.published <= (run.high or 1.0):
            far.append(label(row, rows))
    found = f"{listing(far)} {'lies' if len(far) == 1 else 'lie'}" if far else "none of them lies"
    return [
        "A document’s figure is one run, and single runs vary more than a mean: "
        f"{found} beyond where 95 % of further runs of ours would fall."
    ]
