"""Accuracy per model as a picture: ours with intervals beside the documents' figures. Pure."""

from collections.abc import Sequence

from search.report.charts.drawing import Axis, Drawing, Marks, Note, Picture
from search.report.charts.style import BEST, literal
from search.report.comparison.marks import FRAME, Mean, mean_marks, replicate_marks
from search.report.comparison.suite import (
    SPLITS,
    ComparisonRow,
    data_sets,
    interval_of,
    mean_of,
    obstacle,
    on,
    ours_text,
    verdict_text,
)
from search.words import percent

_ROW = 30
"""Pixels of a row."""
_SYMBOLS = {"test": "diamond-open", "validation": "diamond-open-dot", "train": "diamond-cross-open"}
_OTHER_SPLIT = "diamond-wide-open"


def accuracy_per_model(rows: Sequence[ComparisonRow]) -> Picture:
    """Ours and the document's figure per model, by data set; a close-up where values squash it."""
    drawings: list[Drawing] = []
    for data in data_sets(rows):
        drawings += _drawings(data, [row for row in rows if row.data == data])
    caption = (
        "Dots are the means of our replicates, their whiskers the 95 % intervals, the small marks"
        " below them single replicates. Diamonds are the documents’ figures; their inside says"
        " which split was measured. An open dot was not trained for the document’s number of"
        " epochs. Models are sorted by our accuracy; each data set has an axis of its own, which"
        " need not start at zero."
    )
    if len(drawings) > len(data_sets(rows)):
        caption += (
            " Where a few low values would squeeze the others together, the data set is drawn"
            " twice: over the whole range, and as a close-up, where an arrow gives what lies left"
            " of the axis."
        )
    return Picture("accuracy-per-model", "Accuracy per model", caption, tuple(drawings))


def _drawings(data: str, rows: Sequence[ComparisonRow]) -> list[Drawing]:
    ordered = sorted(rows, key=_best_first)
    extents = [_extent(r) for r in rows]
    drawn = sorted((e for e in extents if e), key=lambda e: e[0])
    cut = _n_squashing(drawn)
    title = f"{data}, the whole range" if cut else data
    whole = _drawing(title, data, ordered, drawn)
    return [whole, _drawing(f"{data}, close-up", data, ordered, drawn[cut:])] if cut else [whole]


def _best_first(row: ComparisonRow) -> tuple[float, float]:
    mean = mean_of(row)
    return (1.0 if mean is None else -mean, -(row.published or 0.0))


def _n_squashing(drawn: Sequence[tuple[float, float]]) -> int:
    """How many of the lowest rows, a third at most, to leave out to halve the axis."""
    spans = [
        max(high for _, high in drawn[k:]) - drawn[k][0]
        for k in range(len(drawn) // 3 + 1)
        if drawn
    ]
    cut = 0
    for k, span in enumerate(spans):
        if k and 2 * span <= spans[cut]:
            cut = k
    return cut


def _drawing(
    title: str, data: str, rows: Sequence[ComparisonRow], drawn: Sequence[tuple[float, float]]
) -> Drawing:
    low = min((m[0] for m in drawn), default=0.0)
    high = max((m[1] for m in drawn), default=100.0)
    pad = max(0.06 * (high - low), 0.1)
    notes: list[Note] = []
    for i, row in enumerate(rows):
        notes += _words(i, row, low - pad, (low + high) / 2)
    text = [f"{r.model} {ours_text(r)}, document {percent(r.published)}" for r in rows]
    return Drawing(
        alt=(
            f"Accuracy per model on {data}, ours and the document’s, best first: {'; '.join(text)}."
        ),
        x=Axis("accuracy (%)", low - pad, high + pad),
        # The best on top.
        y=Axis("", len(rows) - 0.4, -0.6, names=tuple(r.model for r in rows)),
        marks=tuple(_marks(rows)),
        notes=tuple(notes),
        title=title,
        height=FRAME + _ROW * len(rows),
    )


def _words(place: int, row: ComparisonRow, edge: float, middle: float) -> list[Note]:
    """What a row says where marks can't: that nothing was run, or what lies left of the axis."""
    interval = interval_of(row)
    extent = _extent(row)
    if extent and extent[0] < edge:
        means = (("ours", interval.mean if interval else None), ("document", row.published))
        off = [f"{name} {percent(v)}" for name, v in means if v is not None and 100 * v < edge]
        words = [
            *(off or [f"down to {extent[0]:.2f}\u00a0%"]),
            *([] if row.values else [obstacle(row)]),
        ]
        return [Note(f"◂ {', '.join(words)}", place, None, "left")]
    if row.values:
        return []
    if row.published is None:
        return [Note(obstacle(row), place, middle)]
    right = 100 * row.published > middle
    return [
        Note(
            obstacle(row),
            place,
            100 * row.published,
            "right" if right else "left",
            dx=-10 if right else 10,
        )
    ]


def _marks(rows: Sequence[ComparisonRow]) -> list[Marks]:
    done = [(i, r) for i, r in enumerate(rows) if r.values]
    sure = [(i, r) for i, r in done if _has_ends(r)]
    unsure = [(i, r) for i, r in done if not _has_ends(r)]
    drawn = [
        _means([(i, r) for i, r in sure if not _other_epochs(r)], "ours, mean and 95 % interval"),
        _means([(i, r) for i, r in sure if _other_epochs(r)], "ours, other number of epochs"),
        _means(unsure, "ours, too few replicates for an interval"),
        replicate_marks([(i, r.model, r.values) for i, r in done]),
    ]
    for split in dict.fromkeys([*SPLITS, *(r.published_split or "" for r in rows)]):
        published = [
            (i, r)
            for i, r in enumerate(rows)
            if r.published is not None and (r.published_split or "") == split
        ]
        points = tuple((100 * (r.published or 0.0), float(i)) for i, r in published)
        name = f"document, {on(split).removeprefix('the ')}"
        symbol = _SYMBOLS.get(split, _OTHER_SPLIT)
        drawn.append(
            Marks(name, points, tuple(_hover(r) for _, r in published), BEST, symbol, size=12)
        )
    return [marks for marks in drawn if marks.points]


def _has_ends(row: ComparisonRow) -> bool:
    interval = interval_of(row)
    return interval is not None and interval.low is not None


def _means(rows: Sequence[tuple[int, ComparisonRow]], name: str) -> Marks:
    """Our means with their intervals, open dots where another number of epochs was trained."""
    means = []
    for i, row in rows:
        symbol = "circle-open" if _other_epochs(row) else "circle"
        if interval := interval_of(row):
            means.append(Mean(i, interval, _hover(row), symbol))
    return mean_marks(name, means)


def _other_epochs(row: ComparisonRow) -> bool:
    return None not in (row.epochs, row.published_epochs) and row.epochs != row.published_epochs


def _hover(row: ComparisonRow) -> str:
    lines = [
        f"<b>{literal(row.model)}</b> on {literal(row.data)}",
        f"ours: {ours_text(row)}"
        + (f", {literal(on(row.split))}, n = {len(row.values)}" if row.values else ""),
        (
            f"document: {percent(row.published)}, {literal(on(row.published_split))}"
            if row.published is not None
            else ""
        ),
        f"{verdict_text(row)}",
        literal(row.note),
    ]
    return "<br>".join(line for line in lines if line)


def _extent(row: ComparisonRow) -> tuple[float, float] | None:
    """The smallest and the largest value drawn for `row`, in percent."""
    interval = interval_of(row)
    marks = [*row.values, row.published, interval and interval.low, interval and interval.high]
    shown = [100 * m for m in marks if m is not None]
    return (min(shown), max(shown)) if shown else None
