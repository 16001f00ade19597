"""Accuracy per model as a plot: ours with their intervals beside the documents' figures. Pure."""

from collections.abc import Sequence
from typing import Any

from search.report.comparison import (
    SPLITS,
    ComparisonRow,
    data_sets,
    interval_of,
    obstacle,
    on,
    ours_text,
    verdict_text,
)
from search.report.plots import Panel, Plot
from search.report.style import BEST, STATES, figure, literal
from search.report.words import percent

# A row is 30 pixels high; title, axis and legend take the rest.
_ROW, _FRAME = 30, 170
_SYMBOLS = {"test": "diamond-open", "validation": "diamond-open-dot", "train": "diamond-cross-open"}
_OTHER_SPLIT = "diamond-wide-open"


def accuracy_per_model(rows: Sequence[ComparisonRow]) -> Plot:
    """Ours and the document's figure per model: a panel per data set, with a close-up where a few values squash it."""
    panels = [panel for data in data_sets(rows) for panel in _panels(data, [r for r in rows if r.data == data])]
    caption = (
        "Dots are the means of our replicates, their whiskers the 95 % intervals, the small marks below them single "
        "replicates. Diamonds are the documents’ figures; their inside says which split was measured. "
        "An open dot was not trained for the document’s number of epochs. "
        "Models are sorted by our accuracy; each data set has an axis of its own, which need not start at zero."
    )
    if len(panels) > len(data_sets(rows)):
        caption += (
            " Where a few low values would squeeze the others together, the data set is drawn twice: over the whole "
            "range, and as a close-up, where an arrow gives what lies left of the axis."
        )
    return Plot("accuracy-per-model", "Accuracy per model", caption, tuple(panels))


def _panels(data: str, rows: Sequence[ComparisonRow]) -> list[Panel]:
    means = {id(r): found.mean if (found := interval_of(r)) else -1.0 for r in rows}
    ordered = sorted(rows, key=lambda r: (-means[id(r)], -(r.published or 0.0)))
    drawn = sorted((m for r in rows if (m := _extent(r))), key=lambda m: m[0])
    cut = _n_squashing(drawn)
    title = f"{data}, the whole range" if cut else data
    panels = [_panel(title, data, ordered, drawn)]
    return [*panels, _panel(f"{data}, close-up", data, ordered, drawn[cut:])] if cut else panels


def _n_squashing(drawn: Sequence[tuple[float, float]]) -> int:
    """How many of the lowest rows, a third at most, to leave out so that the axis of the others halves, or more."""
    spans = [max(high for _, high in drawn[k:]) - drawn[k][0] for k in range(len(drawn) // 3 + 1) if drawn]
    cut = 0
    for k, span in enumerate(spans):
        if k and 2 * span <= spans[cut]:
            cut = k
    return cut


def _panel(title: str, data: str, rows: Sequence[ComparisonRow], drawn: Sequence[tuple[float, float]]) -> Panel:
    low, high = min((m[0] for m in drawn), default=0.0), max((m[1] for m in drawn), default=100.0)
    pad = max(0.06 * (high - low), 0.1)
    fig = figure(
        _traces(rows),
        height=_FRAME + _ROW * len(rows),
        title={"text": f"<b>{literal(title)}</b>", "x": 0, "font": {"size": 14}},
        margin={"t": 36},
        showlegend=True,
        annotations=[a for i, r in enumerate(rows) for a in _words(i, r, low - pad, (low + high) / 2)],
        xaxis={"title": {"text": "accuracy (%)"}, "range": [low - pad, high + pad]},
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": [literal(r.model) for r in rows],
            "range": [len(rows) - 0.4, -0.6],
        },
    )
    text = [f"{r.model} {ours_text(r)}, document {percent(r.published)}" for r in rows]
    return Panel(f"Accuracy per model on {data}, ours and the document’s, best first: {'; '.join(text)}.", fig)


def _words(place: int, row: ComparisonRow, edge: float, middle: float) -> list[dict[str, Any]]:
    """What a row says where marks can't: that nothing was run, or what lies left of the axis."""
    found, extent = interval_of(row), _extent(row)
    if extent and extent[0] < edge:
        means = (("ours", found.mean if found else None), ("document", row.published))
        off = [f"{name} {percent(v)}" for name, v in means if v is not None and 100 * v < edge]
        words = [*(off or [f"down to {extent[0]:.2f}\u00a0%"]), *([] if row.values else [obstacle(row)])]
        return [_note(place, f"◂ {', '.join(words)}", x=0, xref="paper", xanchor="left")]
    if row.values:
        return []
    if row.published is None:
        return [_note(place, obstacle(row), x=0.5, xref="paper", xanchor="center")]
    right = 100 * row.published > middle
    return [
        _note(
            place,
            obstacle(row),
            x=100 * row.published,
            xanchor="right" if right else "left",
            xshift=-10 if right else 10,
        )
    ]


def _note(place: int, text: str, **where: Any) -> dict[str, Any]:
    return {"y": place, "text": f"<i>{text}</i>", "showarrow": False, "font": {"size": 12}, **where}


def _traces(rows: Sequence[ComparisonRow]) -> list[dict[str, Any]]:
    done = [(i, r) for i, r in enumerate(rows) if r.values]
    sure = [(i, r) for i, r in done if len(r.values) > 1]
    single = [(i + 0.3, r, v) for i, r in done for v in r.values]
    ours = STATES["COMPLETE"].color
    traces = [
        _means([(i, r) for i, r in sure if not _other_epochs(r)], "ours, mean and 95 % interval"),
        _means([(i, r) for i, r in sure if _other_epochs(r)], "ours, other number of epochs"),
        _means([(i, r) for i, r in done if len(r.values) == 1], "ours, one replicate, no interval"),
        _points(
            [(y, 100 * v, f"{literal(r.model)}, one replicate: {percent(v)}") for y, r, v in single],
            "one replicate",
            {"color": ours, "symbol": "circle", "size": 5, "opacity": 0.6},
        ),
    ]
    for split in dict.fromkeys([*SPLITS, *(r.published_split or "" for r in rows)]):
        figures = [(i, r) for i, r in enumerate(rows) if r.published is not None and (r.published_split or "") == split]
        look = {"color": BEST, "symbol": _SYMBOLS.get(split, _OTHER_SPLIT), "size": 12, "line": {"width": 1.8}}
        spots = [(i, 100 * (r.published or 0.0), _hover(r)) for i, r in figures]
        traces.append(_points(spots, f"document, {literal(on(split).removeprefix('the '))}", look))
    return [t for t in traces if t["x"]]


def _points(spots: Sequence[tuple[float, float, str]], name: str, marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [x for _, x, _ in spots],
        "y": [y for y, _, _ in spots],
        "text": [text for _, _, text in spots],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
    }


def _means(rows: Sequence[tuple[int, ComparisonRow]], name: str) -> dict[str, Any]:
    """Our means as dots, open where another number of epochs was trained, with whiskers where there is an interval."""
    color = STATES["COMPLETE"].color
    found = [(i, r, interval) for i, r in rows if (interval := interval_of(r))]
    ends = [
        (100 * (v.high - v.mean), 100 * (v.mean - v.low))
        for _, _, v in found
        if v.low is not None and v.high is not None
    ]
    symbols = ["circle-open" if _other_epochs(r) else "circle" for _, r in rows]
    marker = {"color": color, "symbol": symbols, "size": 10, "line": {"width": 1.8, "color": color}}
    trace = _points([(i, 100 * v.mean, _hover(r)) for i, r, v in found], name, marker)
    # No whiskers at all without an interval: of no length, they would look like a sure value.
    if ends:
        trace["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": [up for up, _ in ends],
            "arrayminus": [down for _, down in ends],
            "color": color,
            "thickness": 1.8,
            "width": 4,
        }
    return trace


def _other_epochs(row: ComparisonRow) -> bool:
    return None not in (row.epochs, row.published_epochs) and row.epochs != row.published_epochs


def _hover(row: ComparisonRow) -> str:
    lines = [
        f"<b>{literal(row.model)}</b> on {literal(row.data)}",
        f"ours: {ours_text(row)}" + (f", {literal(on(row.split))}, n = {len(row.values)}" if row.values else ""),
        f"document: {percent(row.published)}, {literal(on(row.published_split))}" if row.published is not None else "",
        f"{verdict_text(row)}",
        literal(row.note),
    ]
    return "<br>".join(line for line in lines if line)


def _extent(row: ComparisonRow) -> tuple[float, float] | None:
    """The smallest and the largest value drawn for `row`, in percent."""
    found = interval_of(row)
    marks = [*row.values, row.published, found and found.low, found and found.high]
    shown = [100 * m for m in marks if m is not None]
    return (min(shown), max(shown)) if shown else None
