"""Figures as the page draws them, by Plotly."""

from typing import Any

import plotly.graph_objects as go

from search.report.charts.chart import Chart, Panel, scatter
from search.report.charts.drawing import (
    Axis,
    Drawing,
    Marks,
    Note,
    Picture,
    Steps,
    log_ticks,
    named,
    tick_text,
)
from search.report.charts.style import REFERENCE, figure, literal

_ON_SCREENS = ((265.0, 290.0), (1120.0, 330.0))
"""Pixels that a phone and a wide window leave a chart of 440 pixels height."""


def as_chart(picture: Picture) -> Chart:
    """`picture` as the page shows it."""
    panels = tuple(Panel(drawing.alt, _plotly(drawing)) for drawing in picture.drawings)
    return Chart(picture.key, picture.title, picture.caption, panels)


def _plotly(drawing: Drawing) -> go.Figure:
    traces = [
        *(_line(line) for line in drawing.lines),
        *(_points(marks) for marks in drawing.marks),
    ]
    layout: dict[str, Any] = {
        "height": drawing.height,
        "showlegend": True,
        "annotations": [*(_note(note, drawing) for note in drawing.notes), *_names(drawing)],
        "xaxis": _axis(drawing.x),
        "yaxis": _axis(drawing.y),
    }
    if drawing.title:
        layout["title"] = {"text": f"<b>{literal(drawing.title)}</b>", "x": 0, "font": {"size": 14}}
        layout["margin"] = {"t": 36}
    return figure(traces, **layout)


def _axis(axis: Axis) -> dict[str, Any]:
    layout: dict[str, Any] = {"range": [axis.at(axis.low), axis.at(axis.high)]}
    if axis.title:
        layout["title"] = {"text": axis.title}
    if axis.is_log:
        layout |= {"type": "log"} | _log_ticks(axis)
    if axis.names:
        layout |= {
            "tickvals": list(range(len(axis.names))),
            "ticktext": [literal(n) for n in axis.names],
        }
    return layout


def _log_ticks(axis: Axis) -> dict[str, Any]:
    ticks = log_ticks(axis)
    return {"tickvals": ticks, "ticktext": [tick_text(t) for t in ticks]}


def _points(marks: Marks) -> dict[str, Any]:
    symbol = list(marks.symbol) if isinstance(marks.symbol, tuple) else marks.symbol
    trace: dict[str, Any] = scatter(
        "markers",
        [x for x, _ in marks.points],
        [y for _, y in marks.points],
        name=literal(marks.name),
        hover_text=list(marks.hover),
        marker={
            "color": marks.color,
            "symbol": symbol,
            "size": marks.size,
            "opacity": marks.opacity,
            "line": {"width": 1.8 if "open" in str(symbol) else 0, "color": marks.color},
        },
    )
    # No whiskers at all without an interval: of no length, they would look like a sure value.
    if marks.ends:
        at = [point["xy".index(marks.along)] for point in marks.points]
        trace[f"error_{marks.along}"] = {
            "type": "data",
            "symmetric": False,
            "array": [high - v for v, (_, high) in zip(at, marks.ends, strict=True)],
            "arrayminus": [v - low for v, (low, _) in zip(at, marks.ends, strict=True)],
            "color": marks.color,
            "thickness": 1.8,
            "width": 4,
        }
    return trace


def _line(line: Steps) -> dict[str, Any]:
    return scatter(
        "lines",
        [x for x, _ in line.points],
        [y for _, y in line.points],
        name=line.name,
        line={"color": line.color, "width": 1.8, "shape": "hv"},
        hoverinfo="skip",
    )


def _note(note: Note, drawing: Drawing) -> dict[str, Any]:
    place = {"x": 0, "xref": "paper"} if note.x is None else {"x": drawing.x.at(note.x)}
    return {
        "y": drawing.y.at(note.y),
        "text": f"<i>{literal(note.text)}</i>",
        "font": {"size": 12},
        "xanchor": note.align,
        "xshift": note.dx,
        "showarrow": False,
        **place,
    }


def _names(drawing: Drawing) -> list[dict[str, Any]]:
    annotations = []
    for name, x, y, label in named(drawing, _ON_SCREENS):
        place = (
            {"ax": label.dx, "ay": label.dy}
            if label.is_led
            else {"xshift": label.dx, "yshift": -label.dy}
        )
        line = {"arrowhead": 0, "arrowwidth": 1, "arrowcolor": REFERENCE, "showarrow": label.is_led}
        where = {"x": drawing.x.at(x), "y": drawing.y.at(y), "xanchor": label.align}
        annotations.append({"text": literal(name), "font": {"size": 12}} | where | place | line)
    return annotations
