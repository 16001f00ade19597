"""One look for all figures: states, colours, light and dark templates."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go

from search.records import Objective, State


@dataclass(frozen=True)
class StateStyle:
    """How one state is drawn. Shape and pattern tell states apart without colour."""

    color: str
    symbol: str
    sign: str
    pattern: str


# After Okabe and Ito's palette, in luminances that stand out 3:1 on white and on near-black alike.
STATES = {
    State.COMPLETE: StateStyle("#2f7fc1", "circle", "●", ""),
    State.RUNNING: StateStyle("#0b9a72", "triangle-up", "▲", "."),
    State.WAITING: StateStyle("#bf8300", "square", "■", "-"),
    State.PRUNED: StateStyle("#858b95", "diamond", "◆", "/"),
    State.FAIL: StateStyle("#d55e00", "x", "✕", "x"),
}
BEST = "#c4539a"
REFERENCE = "#858b95"
_LETTER = 12.0
"""Pixels along the vertical axis for each letter of its title."""
_SLACK = 4
CARDS = ("#ffffff", "#1a1e24")
"""What figures are drawn on, light and dark: `--card` of style.css."""
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif'


def template(dark: bool) -> go.layout.Template:
    """Axes, fonts and grid for a light or a dark page, whose background shines through."""
    text, grid, line = (
        ("#d6dae0", "#2b3038", "#4a515c") if dark else ("#2b3138", "#e6e8ec", "#b4bac3")
    )
    axis = {
        "gridcolor": grid,
        "linecolor": line,
        "tickcolor": line,
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 14}},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "hovermode": "closest",
            "hoverlabel": {
                "align": "left",
                "bgcolor": "#22262d" if dark else "#ffffff",
                "bordercolor": line,
                "font": {"family": FONT, "size": 13, "color": text},
            },
            "legend": {
                "orientation": "h",
                "xref": "container",
                "yref": "container",
                "x": 0,
                "y": 0,
                "yanchor": "bottom",
            },
            "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
            # Words within a chart stay readable where lines pass behind them.
            "annotationdefaults": {
                "showarrow": False,
                "bgcolor": CARDS[1] if dark else CARDS[0],
                "opacity": 0.85,
            },
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": line, "activecolor": text},
        }
    )


def figure(traces: list[dict[str, Any]], *, height: int = 440, **layout: Any) -> go.Figure:
    """A figure in the light template, `height` pixels tall and as wide as its place.

    The title of its vertical axis is broken in two where it is too long for that.
    """
    title = layout.get("yaxis", {}).get("title", {})
    if len(title.get("text", "")) > height / _LETTER:
        title["text"] = "<br>".join(wrap(title["text"], len(title["text"]) // 2 + _SLACK))
    return go.Figure(
        traces,
        {
            "template": template(dark=False),
            "height": height,
            "legend": {"itemsizing": "constant"},
            **layout,
        },
    )


def literal(text: object) -> str:
    """`text` as Plotly shows it letter by letter: its labels would otherwise read HTML tags."""
    return escape(str(text), quote=False)


def short(text: str, letters: int = 18) -> str:
    """`text` as a label: its first `letters`, and as Plotly shows it letter by letter."""
    return literal(text if len(text) <= letters else f"{text[: letters - 1]}…")


def narrow(text: str, letters: int = 8) -> str:
    """A label of about `letters` at most: broken at a joint of the name, cut without one."""
    parts = (
        [text]
        if len(text) <= letters
        else re.sub(r"([_\-\s./:])", r"\1\n", text, count=2).split("\n")
    )
    return "<br>".join(short(part, letters) for part in parts if part)


@dataclass(frozen=True)
class Window:
    """The part of an axis shown at first, and how many worse values lie off it."""

    low: float
    high: float
    n_worse: int


def value_window(
    objective: Objective, values: Iterable[float], also: Iterable[float] = (), reach: float = 1.5
) -> Window:
    """A window over plotted `values` that tells the good ones apart, `also` inside.

    Where few poor values would squeeze the rest into a line, the axis starts nearer the rest, and
    they are counted: those further from the worse quartile than `reach` times the way from there
    to the best.
    """
    if objective.is_fraction:
        window = _window(values, also, reach, least_pad=0.1)
        return replace(window, low=max(window.low, -1.0), high=min(window.high, 101.0))
    scores = [objective.score(value) for value in values]
    window = _window(scores, [objective.score(value) for value in also], reach)
    if objective.is_maximized:
        return window
    return Window(-window.high, -window.low, window.n_worse)


def _window(
    scores: Iterable[float], also: Iterable[float], reach: float, least_pad: float = 0.0
) -> Window:
    """`value_window` of numbers of which more is better."""
    kept = np.sort([v for v in scores if np.isfinite(v)])
    if not len(kept):
        return Window(0.0, 100.0, 0)
    marks = [v for v in also if np.isfinite(v)]
    low = float(kept[0])
    high = float(kept[-1])
    if len(kept) >= 8:
        quarter = float(np.quantile(kept, 0.25))
        low = float(kept[kept >= quarter - reach * (high - quarter)][0])
    low = min([low, *marks])
    high = max([high, *marks])
    spread = high - low or abs(high) or 1.0
    pad = max(0.06 * (high - low), least_pad) or 0.06 * spread
    return Window(low - pad, high + pad, int(np.sum(kept < low - pad)))
