"""Figures as data: the page draws them by Plotly, files by Matplotlib."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import plotly.graph_objects as go

from search.report.charts.chart import Chart, Panel, scatter
from search.report.charts.label_places import Box, Label, Sizes, place
from search.report.charts.style import REFERENCE, figure, literal

_ON_SCREENS = ((265.0, 290.0), (1120.0, 330.0))
"""Pixels that a phone and a wide window leave a chart of 440 pixels height."""

_DIGITS = (
    (1,),
    (1, 2, 5),
    (1, 1.5, 2, 3, 4, 5, 7),
    (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9),
)


@dataclass(frozen=True)
class Axis:
    """One axis, from `low` to `high` in the units of its title."""

    title: str
    low: float
    high: float
    is_log: bool = False
    names: tuple[str, ...] = ()
    """What stands at 0, 1, …, of an axis without numbers."""

    def at(self, value: float) -> float:
        """`value` as a place on the axis: its common logarithm where that is what is linear."""
        return math.log10(value) if self.is_log else value

    def part(self, value: float) -> float:
        """How far from `low` (0) to `high` (1) `value` stands."""
        return (self.at(value) - self.at(self.low)) / (self.at(self.high) - self.at(self.low))


@dataclass(frozen=True)
class Marks:
    """Points under one name in the legend."""

    name: str
    points: tuple[tuple[float, float], ...]
    """(x, y) of each."""
    hover: tuple[str, ...]
    """What is shown over each, with Plotly's tags; whatever comes from outside is escaped."""
    color: str
    symbol: str | tuple[str, ...] = "circle"
    """Of all or of each, by Plotly's names."""
    size: float = 10
    """Pixels."""
    opacity: float = 1.0
    ends: tuple[tuple[float, float], ...] = ()
    """(low, high) of each point's whisker; empty for none."""
    along: Literal["x", "y"] = "x"
    """The whiskers' axis."""


@dataclass(frozen=True)
class Steps:
    """A line that goes level to the next point, then up to it."""

    name: str
    points: tuple[tuple[float, float], ...]
    color: str


@dataclass(frozen=True)
class Note:
    """Words in a drawing."""

    text: str
    y: float
    x: float | None
    """None for the left edge."""
    align: Literal["left", "center", "right"] = "center"
    """Where in the text its place is."""
    dx: float = 0.0
    """Pixels to the right of its place."""


@dataclass(frozen=True)
class Drawing:
    """One panel."""

    alt: str
    """In words what it shows."""
    x: Axis
    y: Axis
    marks: tuple[Marks, ...]
    lines: tuple[Steps, ...] = ()
    notes: tuple[Note, ...] = ()
    names: tuple[tuple[str, float, float], ...] = ()
    """(name, x, y) of points that have their name beside them, those first that need it most."""
    title: str = ""
    height: int = 440
    """Pixels, with everything around."""


@dataclass(frozen=True)
class Picture:
    """A titled set of drawings with one caption."""

    key: str
    title: str
    caption: str
    drawings: tuple[Drawing, ...]


def named(drawing: Drawing, sizes: Sizes) -> list[tuple[str, float, float, Label]]:
    """(name, x, y, where it stands) of `drawing.names`, clear of each other in any area of `sizes`.

    Those for which there is no room are left out.
    """

    def part(x: float, y: float) -> tuple[float, float]:
        return drawing.x.part(x), 1 - drawing.y.part(y)

    lines = [
        Box(left, min(y, z), right, max(y, z))
        for m in drawing.marks
        for (left, y), (right, z) in _whiskers(m, part)
    ]
    for line in drawing.lines:
        for (left, bottom), (right, top) in pairwise(part(*point) for point in line.points):
            lines += [Box(left, bottom, right, bottom), Box(right, top, right, bottom)]
    labels = place(
        [part(x, y) for _, x, y in drawing.names],
        [name for name, _, _ in drawing.names],
        sizes,
        lines,
    )
    names = zip(drawing.names, labels, strict=True)
    return [(name, x, y, label) for (name, x, y), label in names if label]


def _whiskers(marks: Marks, part: Callable[[float, float], tuple[float, float]]) -> Iterator[Any]:
    for (x, y), (low, high) in zip(marks.points, marks.ends, strict=False):
        yield (part(low, y), part(high, y)) if marks.along == "x" else (part(x, high), part(x, low))


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


def log_ticks(axis: Axis) -> list[float]:
    """Round numbers on a logarithmic axis: the fewest digits per power of ten that give three."""
    exponents = range(math.floor(axis.at(axis.low)), math.ceil(axis.at(axis.high)) + 1)
    ticks: list[float] = []
    for digits in _DIGITS:
        candidates = [round(d * 10.0**e, 12) for e in exponents for d in digits]
        ticks = [tick for tick in candidates if axis.low <= tick <= axis.high]
        if len(ticks) >= 3:
            break
    return ticks


def tick_text(value: float) -> str:
    """A number of an axis without needless digits: `0.05`, `2`, `2,000`."""
    return f"{value:,.10f}".rstrip("0").rstrip(".")


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
