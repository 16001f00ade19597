"""Figures as files for papers and slides: PNG and SVG by Matplotlib, without a screen."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.ticker import NullFormatter, NullLocator

from search.files import whole_file
from search.report.charts.drawing import Drawing, Marks, Picture, log_ticks, named, tick_text
from search.report.charts.style import REFERENCE

_WIDTH_IN = 7.2
_DPI = 200
# The page's pixels are 1/96 inch, Matplotlib's points 1/72.
_PT = 72 / 96
_ON_PAPER = ((560.0, 320.0),)
"""What axes, title and legend leave of a drawing of 440 pixels height."""
_TEXT = "#2b3138"
_GRID = "#e6e8ec"
_EDGE = "#b4bac3"
# The page's symbols: marker, what fills it (nothing: its colour), and what is drawn into it.
_SYMBOLS = {
    "circle": ("o", "", ""),
    "circle-open": ("o", "white", ""),
    "square-open": ("s", "white", ""),
    "diamond-open": ("D", "none", ""),
    "diamond-open-dot": ("D", "none", "."),
    "diamond-cross-open": ("D", "none", "+"),
    "diamond-wide-open": ("d", "none", ""),
}
_LOOK: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": _EDGE,
    "axes.labelcolor": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "text.color": _TEXT,
    "axes.grid": True,
    "grid.color": _GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "gridless",
    "text.parse_math": False,
}


def write_pictures(pictures: Iterable[Picture], folder: Path) -> None:
    """Write `key`.png (200 dots per inch) and `key`.svg of each picture with a drawing.

    They are 7.2 inches wide, on white, and the same for the same picture. Raises OSError when
    `folder` can't be written.
    """
    for picture in pictures:
        paths = {ending: folder / f"{picture.key}.{ending}" for ending in ("png", "svg")}
        if not picture.drawings:
            for path in paths.values():
                path.unlink(missing_ok=True)
            continue
        with mpl.rc_context(_LOOK):
            figure = _figure(picture)
            for ending, path in paths.items():
                # Without the date, so that the same picture is the same file.
                metadata: dict[str, Any] = {"Date": None} if ending == "svg" else {}
                with whole_file(path) as file:
                    figure.savefig(file, format=ending, dpi=_DPI, metadata=metadata)


def _figure(picture: Picture) -> Figure:
    heights = [d.height * _PT / 72 for d in picture.drawings]
    figure = Figure(figsize=(_WIDTH_IN, sum(heights)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, drawing in zip(grid[:, 0], picture.drawings, strict=True):
        _draw(axes, drawing)
    return figure


def _draw(axes: Axes, drawing: Drawing) -> None:
    _scale(axes, drawing)
    keys: dict[str, Any] = {}
    for line in drawing.lines:
        x, y = zip(*line.points, strict=True)
        keys[line.name] = axes.step(x, y, where="post", color=line.color, linewidth=1.4)[0]
    for marks in drawing.marks:
        keys[marks.name] = _draw_marks(axes, marks)
    _draw_notes(axes, drawing)
    if drawing.title:
        axes.set_title(drawing.title, loc="left", fontweight="bold", fontsize=10)
    if keys:
        axes.legend(
            keys.values(),
            keys,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16 * 440 / drawing.height),
            ncols=2,
            fontsize=8,
            handler_map={tuple: HandlerTuple(ndivide=1)},
        )


def _scale(axes: Axes, drawing: Drawing) -> None:
    axes.set_xscale("log" if drawing.x.is_log else "linear")
    axes.set_yscale("log" if drawing.y.is_log else "linear")
    for side, axis in ((axes.xaxis, drawing.x), (axes.yaxis, drawing.y)):
        side.set_label_text(axis.title)
        if axis.is_log:
            side.set_minor_formatter(NullFormatter())
            side.set_minor_locator(NullLocator())
            side.set_ticks(log_ticks(axis), [tick_text(t) for t in log_ticks(axis)])
        if axis.names:
            side.set_ticks(range(len(axis.names)), axis.names)
    axes.set_xlim(drawing.x.low, drawing.x.high)
    axes.set_ylim(drawing.y.low, drawing.y.high)


def _draw_marks(axes: Axes, marks: Marks) -> tuple[Any, ...]:
    """Draw them; what stands for them in the legend."""
    symbols = (
        marks.symbol if isinstance(marks.symbol, tuple) else (marks.symbol,) * len(marks.points)
    )
    if marks.ends:
        _draw_whiskers(axes, marks)
    first: tuple[Any, ...] = ()
    for symbol in dict.fromkeys(symbols):
        x, y = zip(
            *(p for p, s in zip(marks.points, symbols, strict=True) if s == symbol), strict=True
        )
        shape, fill, inside = _SYMBOLS[symbol]
        size = marks.size * _PT * (0.75 if shape in "Dd" else 1)
        look: dict[str, Any] = {
            "color": marks.color,
            "alpha": marks.opacity,
            "linestyle": "none",
            "zorder": 3,
        }
        fill = fill or marks.color
        drawn = axes.plot(
            x, y, marker=shape, markersize=size, markeredgewidth=1.3, markerfacecolor=fill, **look
        )
        drawn += axes.plot(x, y, marker=inside, markersize=size / 2, **look) if inside else []
        first = first or tuple(drawn)
    return first


def _draw_whiskers(axes: Axes, marks: Marks) -> None:
    x, y = zip(*marks.points, strict=True)
    at = x if marks.along == "x" else y
    reach = [
        [v - low for v, (low, _) in zip(at, marks.ends, strict=True)],
        [high - v for v, (_, high) in zip(at, marks.ends, strict=True)],
    ]
    across, up = (reach, None) if marks.along == "x" else (None, reach)
    axes.errorbar(
        x, y, xerr=across, yerr=up, capsize=2.5, elinewidth=1.4, color=marks.color, linestyle="none"
    )


def _draw_notes(axes: Axes, drawing: Drawing) -> None:
    for note in drawing.notes:
        at = drawing.x.low if note.x is None else note.x
        axes.annotate(
            note.text,
            (at, note.y),
            xytext=(note.dx * _PT, 0),
            textcoords="offset points",
            ha=note.align,
            va="center",
            fontsize=8.5,
            fontstyle="italic",
        )
    for name, x, y, label in named(drawing, _ON_PAPER):
        line = {"arrowstyle": "-", "color": REFERENCE, "linewidth": 0.8} if label.is_led else None
        axes.annotate(
            name,
            (x, y),
            xytext=(label.dx * _PT, -label.dy * _PT),
            textcoords="offset points",
            ha=label.align,
            va="center",
            fontsize=8.5,
            arrowprops=line,
            zorder=4,
        )
