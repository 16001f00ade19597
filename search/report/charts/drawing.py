"""Figures as data, which `screen` draws by Plotly and `paper` by Matplotlib."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Literal

from search.report.charts.label_places import Box, Label, Sizes, place

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

    lines = []
    for marks in drawing.marks:
        for (left, y), (right, z) in _whiskers(marks, part):
            lines.append(Box(left, min(y, z), right, max(y, z)))
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


def log_ticks(axis: Axis) -> list[float]:
    """Round numbers on a logarithmic axis: the fewest digits per power of ten that give three."""
    exponents = range(math.floor(axis.at(axis.low)), math.ceil(axis.at(axis.high)) + 1)
    ticks: list[float] = []
    for digits in _DIGITS:
        candidates = [round(d * 10.0**e, 12) for e, d in product(exponents, digits)]
        ticks = [tick for tick in candidates if axis.low <= tick <= axis.high]
        if len(ticks) >= 3:
            break
    return ticks


def tick_text(value: float) -> str:
    """A number of an axis without needless digits: `0.05`, `2`, `2,000`."""
    return f"{value:,.10f}".rstrip("0").rstrip(".")
