"""A suite beside its documents for people: what was found in words, accuracy per model as a chart,
the page.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.analysis.statistics import single_run_interval
from search.report.charts.chart import Chart
from search.report.charts.drawing import as_chart
from search.report.comparison.files import ComparisonPaths, Texts, write_files
from search.report.comparison.suite import (
    CELLS,
    LEFT,
    ComparisonRow,
    comparison_frame,
    data_sets,
    difference,
    interval_of,
    label,
    obstacle,
    standing,
)
from search.report.comparison.suite_chart import accuracy_per_model
from search.report.comparison.suite_notes import READING, measured_on, sources, to_markdown
from search.report.page import jinja
from search.report.tables import to_latex
from search.words import count, listing, points

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


def write_comparison(
    suite_name: str, rows: Sequence[ComparisonRow], folder: Path, *, facts: Mapping[str, str]
) -> ComparisonPaths:
    """Write the comparison of a suite of fixed settings with its documents into `folder`, as
    `write_files` does.

    `facts` are hardware and versions, by name. The page is one file of about 5 MB that needs no
    network. Raises InputError when the folder can't be written, ValueError for an accuracy outside
    0…1.
    """
    picture = accuracy_per_model(rows)
    texts = Texts(
        to_markdown(suite_name, rows, facts),
        latex(suite_name, rows),
        page(suite_name, rows, as_chart(picture), facts),
    )
    about = count(len(rows), "system"), listing(data_sets(rows)) or "no data"
    return write_files(
        folder, comparison_frame(suite_name, rows), texts, [picture], name=suite_name, about=about
    )


def latex(suite_name: str, rows: Sequence[ComparisonRow]) -> str:
    r"""The table with booktabs, for \input in a paper."""
    names = [name for name in CELLS if name not in {"device", "note"}]
    caption = f"{suite_name}: the documents’ figures and ours. {READING}"
    body = [[CELLS[name](row) for name in names] for row in rows]
    return to_latex(names, body, LEFT, caption=caption, label=f"tab:{suite_name}")


def page(
    suite_name: str, rows: Sequence[ComparisonRow], chart: Chart, facts: Mapping[str, str]
) -> str:
    """The comparison as HTML. Every word that comes from rows or facts is escaped."""
    return (
        jinja()
        .get_template("comparison.html.j2")
        .render(
            name=suite_name,
            rows=[_table_row(row) for row in rows],
            columns=[(name, "text" if name in LEFT else "number") for name in CELLS],
            tiles=_tiles(rows),
            summary=summary(rows),
            reading=READING,
            notes=[*measured_on(rows), *sources(rows)],
            data=listing(data_sets(rows)),
            chart=chart,
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
    return {"cells": cells, "standing": "", "empty": not row.values}


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
        f"The document’s figure lies within the 95 % interval of our mean for {len(by['within'])}"
        f" of {count(len(rows), 'system')}; ours is above it for {len(by['above'])} and below it"
        f" for {len(by['below'])}; {len(barred)} can’t be compared."
    )
    apart = [
        f"Ours {side} the document’s figure: "
        + listing([f"{label(r, rows)} by {points(difference(r) or 0.0)}" for r in by[side]])
        + "."
        for side in ("above", "below")
        if by[side]
    ]
    reasons = dict.fromkeys(obstacle(r) for r in barred)
    groups = [
        f"{listing([label(r, rows) for r in barred if obstacle(r) == why])} ({why})"
        for why in reasons
    ]
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
    which = f"{listing(far)} {'lies' if len(far) == 1 else 'lie'}" if far else "none of them lies"
    return [
        "A document’s figure is one run, and single runs vary more than a mean: "
        f"{which} beyond where 95 % of further runs of ours would fall."
    ]
