"""A comparison of studies as pictures: accuracy per model, and against cost. Pure."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Literal

from search.analysis.comparison import Comparison, Contender, Row
from search.records import ACCURACY, Objective
from search.report.charts.drawing import Axis, Drawing, Marks, Note, Picture, Steps
from search.report.charts.style import BEST, REFERENCE, literal
from search.report.comparison.marks import FRAME, Mean, mean_marks, replicate_marks
from search.report.comparison.table import (
    gain_text,
    hours_text,
    result_text,
    standing,
    standing_text,
    worse,
)
from search.words import duration, per_cent, plotted, sentence_case, value_text

_ROW = 34
"""Pixels of a row."""


def _groups(objective: Objective) -> tuple[tuple[tuple[str, str], tuple[str, ...]], ...]:
    """Names and marks of how studies stand to the best, and those standings."""
    lower = worse(objective)
    return (
        (("best, or tied with it", "circle"), ("best", "tied")),
        ((f"{lower} than the best", "circle-open"), (lower,)),
        (("can’t be told from the best", "square-open"), ("",)),
    )


def comparison_pictures(comparison: Comparison) -> tuple[Picture, ...]:
    """Every picture of the comparison, in the order of the page."""
    return (
        accuracy_per_study(comparison),
        accuracy_by_training(comparison),
        accuracy_by_search(comparison),
    )


def accuracy_per_study(comparison: Comparison) -> Picture:
    """Means with intervals, best first, beside the document's setting, by data set."""
    objective = comparison.objective
    values = "accuracies" if objective == ACCURACY else f"values of {objective.title}"
    caption = (
        f"Dots are mean test {values} of the settings that the searches chose, their whiskers 95 %"
        " intervals over seeds, the small marks below them single replicates; filled dots are the"
        " best or tied with it. "
    )
    if any(row.contender.document for row in comparison.rows):
        caption += "Diamonds are the documents’ own settings, trained again in the same way. "
    caption += "The axis need not start at zero."
    drawings = [_per_study(data, comparison.on(data), objective) for data in comparison.data]
    title = f"{sentence_case(objective)} per model"
    return Picture("accuracy-per-model", title, caption, tuple(drawings))


def accuracy_by_training(comparison: Comparison) -> Picture:
    """Means against the seconds of one training, with the Pareto front."""
    fronts = [
        _front(data, comparison.on(data), "training time", "s", lambda c: c.train_s)
        for data in comparison.data
    ]
    drawings = [drawing for drawing in fronts if drawing]
    caption = (
        "Seconds that one replicate of the chosen setting trains, the median. On the stepped line,"
        " the Pareto front, lie the models that no other beats in both; whiskers are 95 % intervals"
        " over seeds. The axis of seconds is logarithmic. Times from different devices are not"
        " comparable."
    )
    return Picture(
        "accuracy-by-training",
        f"{sentence_case(comparison.objective)} against training time",
        caption,
        tuple(drawings),
    )


def accuracy_by_search(comparison: Comparison) -> Picture:
    """Means against the search's compute, core- or GPU-hours, with the Pareto front."""
    drawings = []
    for data in comparison.data:
        for unit, kind in (("core-hours", 0), ("GPU-hours", 1)):
            rows = [row for row in comparison.on(data) if _kind(row.contender) == kind]
            drawing = _front(data, rows, "compute of the search", unit, _spent)
            drawings += [drawing] if drawing else []
    caption = (
        "Compute of the whole search, without the replicates of its finalists: what finding the"
        " setting has cost. The stepped line is the Pareto front; the axis of hours is logarithmic."
    )
    return Picture(
        "accuracy-by-search",
        f"{sentence_case(comparison.objective)} against the search’s cost",
        caption,
        tuple(drawings),
    )


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which of `points` (cost, gain) no other beats in both, by cost; of equals the first."""
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front


def _kind(contender: Contender) -> int | None:
    """0 for a search on CPUs, 1 for one that used GPUs; None for none."""
    spent = contender.search
    if spent is None or not sum(spent):
        return None
    return 1 if spent.gpu else 0


def _spent(contender: Contender) -> float | None:
    return contender.search and (contender.search.gpu or contender.search.core)


def _per_study(data: str, rows: Sequence[Row], objective: Objective) -> Drawing:
    places = list(enumerate(rows))
    done = [(i, row) for i, row in places if row.contender.values]
    values = chain.from_iterable(_drawn(row) for _, row in done)
    extent = [plotted(objective, value) for value in values] or [0.0, plotted(objective, 1.0)]
    low = min(extent)
    high = max(extent)
    marks = [
        _means([(i, r) for i, r in done if standing(r) in words], *look)
        for look, words in _groups(objective)
    ]
    replicates = [(i, row.contender.model, row.contender.values) for i, row in done]
    marks.append(replicate_marks(replicates, objective))
    marks.append(_documents(done))
    text = [f"{r.contender.model} {result_text(r)} ({standing_text(r)})" for r in rows]
    return Drawing(
        alt=f"Test {objective.title} per model on {data}, best first: {'; '.join(text)}.",
        x=_value_axis(objective, extent, part=0.06, least=0.1),
        y=Axis("", len(rows) - 0.4, -0.6, names=tuple(row.contender.model for row in rows)),
        marks=tuple(m for m in marks if m.points),
        notes=tuple(
            Note(row.contender.missing.split(";")[0], i, (low + high) / 2)
            for i, row in places
            if not row.contender.values
        ),
        title=data,
        height=FRAME + _ROW * len(rows),
    )


def _drawn(row: Row) -> list[float]:
    """All values that are drawn of a row."""
    contender = row.contender
    values = [*contender.values, *_ends(row)]
    if contender.document and contender.document.interval:
        values.append(contender.document.interval.mean)
    return values


def _value_axis(
    objective: Objective, extent: Sequence[float], *, part: float, least: float
) -> Axis:
    """An axis around plotted values, with room of a part of their extent on both sides."""
    title = f"test {objective.title}{per_cent(objective)}"
    low, high = min(extent), max(extent)
    if objective.is_fraction:
        pad = max(part * (high - low), least)
        return Axis(title, max(low - pad, -1.0), min(high + pad, 101.0))
    pad = part * (high - low) or part * (abs(high) or 1.0)
    return Axis(title, low - pad, high + pad)


def _means(
    rows: Sequence[tuple[float, Row]], name: str, symbol: str, along: Literal["x", "y"] = "x"
) -> Marks:
    """Means of `rows` at these places on the other axis."""
    means = []
    for at, row in rows:
        if interval := row.contender.interval:
            means.append(Mean(at, interval, _hover(row), symbol, row.contender.objective))
    return mean_marks(name, means, along)


def _documents(rows: Sequence[tuple[int, Row]]) -> Marks:
    documents = [(i, row, row.contender.document) for i, row in rows]
    means = [(i, row, d.interval.mean) for i, row, d in documents if d and d.interval]
    points = tuple((plotted(r.contender.objective, mean), i - 0.2) for i, r, mean in means)
    hover = tuple(
        f"{literal(r.contender.model)}, the document’s setting:"
        f" {value_text(r.contender.objective, mean)}"
        for _, r, mean in means
    )
    return Marks("the document’s setting, mean", points, hover, BEST, "diamond-open", size=9)


def _front(
    data: str,
    rows: Sequence[Row],
    title: str,
    unit: str,
    cost_of: Callable[[Contender], float | None],
) -> Drawing | None:
    """Means against a cost on a logarithmic axis; None with fewer than two models."""
    costs = [(cost_of(row.contender), row) for row in rows if row.contender.values]
    priced = [(cost, row) for cost, row in costs if cost]
    if len(priced) < 2:
        return None
    objective = priced[0][1].contender.objective
    points = [(cost, plotted(objective, row.contender.mean)) for cost, row in priced]
    best = pareto([(cost, objective.score(value)) for cost, value in points])
    axes = _axes(f"{title} ({unit})", priced)
    line = (*(points[i] for i in best), (axes[0].high, points[best[-1]][1]))
    groups = (
        ("on the Pareto front", "circle", [priced[i] for i in best]),
        (
            "another is better and cheaper",
            "circle-open",
            [pair for i, pair in enumerate(priced) if i not in best],
        ),
    )
    text = [
        f"{row.contender.model} {result_text(row)} for {cost:.3g} {unit}" for cost, row in priced
    ]
    return Drawing(
        alt=(
            f"Test {objective.title} on {data} against {title}: {'; '.join(text)}. "
            f"On the Pareto front: {', '.join(priced[i][1].contender.model for i in best)}."
        ),
        x=axes[0],
        y=axes[1],
        marks=tuple(_means(pairs, name, symbol, "y") for name, symbol, pairs in groups if pairs),
        lines=(Steps("Pareto front", line, REFERENCE),),
        # The front's first: where there is no room for all, theirs are wanted most.
        names=tuple(
            (priced[i][1].contender.model, *points[i])
            for i in sorted(range(len(points)), key=lambda i: i not in best)
        ),
        title=data,
    )


def _axes(title: str, priced: Sequence[tuple[float, Row]]) -> tuple[Axis, Axis]:
    """Axes around all points and whiskers, with room for names."""
    costs = [cost for cost, _ in priced]
    extent = []
    for _, row in priced:
        objective = row.contender.objective
        extent += [plotted(objective, v) for v in (row.contender.mean, *_ends(row))]
    spread = max((max(costs) / min(costs)) ** 0.15, 1.4)
    across = Axis(title, min(costs) / spread, max(costs) * spread, is_log=True)
    return across, _value_axis(objective, extent, part=0.12, least=0.2)


def _ends(row: Row) -> tuple[float, ...]:
    interval = row.contender.interval
    return (
        (interval.low, interval.high)
        if interval and interval.low is not None and interval.high is not None
        else ()
    )


def _hover(row: Row) -> str:
    contender = row.contender
    lines = [
        f"<b>{literal(contender.model)}</b> on {literal(contender.data)}",
        f"{result_text(row)}, n = {len(contender.values)}",
        f"against the best: {standing_text(row)}",
        f"over the document’s setting: {literal(gain_text(row))}" if contender.gain else "",
        f"training once: {duration(contender.train_s)}" if contender.train_s is not None else "",
        f"search: {hours_text(contender.search)}" if contender.search else "",
    ]
    return "<br>".join(line for line in lines if line)
