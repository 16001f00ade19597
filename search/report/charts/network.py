"""A network → its diagram's layout and the words about it. Pure.

Layers on the longest path stand in the first column, one per row. A branch stands in a column
further right, in rows between the layer that it leaves and the one that it joins; a shortcut
without layers is a line beside its column. Where one layer alone is read by what stands below it,
the drawing may go on in another strip beside the first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from search.report.evidence import Layer, Network
from search.words import count

BOX_WIDTH = 216
BOX_HEIGHT = 40
_ROW = 58
_MARGIN = 12
_LANE = 12
_CORNER = 6
_N_LETTERS = 28
_N_ROWS = 4
"""A strip begins anew after so many rows, as soon as it can."""


@dataclass(frozen=True)
class Box:
    """A layer and the upper left corner of its box, in pixels."""

    layer: Layer
    title: str
    facts: str
    x: float
    y: float
    frozen: bool


@dataclass(frozen=True)
class Strip:
    """What is drawn, in pixels: boxes of `BOX_WIDTH` × `BOX_HEIGHT`, and arrows as SVG paths."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Diagram:
    """A network from top to bottom, strip by strip."""

    strips: tuple[Strip, ...]
    branched: bool
    """Some layer reads another one than that before it."""

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Those of all strips."""
        return tuple(chain.from_iterable(strip.boxes for strip in self.strips))


@dataclass(frozen=True)
class _Grid:
    """Where each layer stands, by its index, and the layers that it reads."""

    inputs: tuple[tuple[int, ...], ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]


def shape_text(layer: Layer) -> str:
    """`26 × 26 × 32`; `?` where any size goes, a dash for a single number per image."""
    return " × ".join("?" if n is None else str(n) for n in layer.output_shape) or "–"


def is_frozen(layer: Layer) -> bool:
    """Whether `layer` has weights that training leaves as they are."""
    return layer.n_params > 0 and not layer.trainable


def network_words(network: Network) -> str:
    """One sentence on layers and weights."""
    n = network.n_params
    trainable = network.n_trainable
    part = "all trainable" if trainable == n else f"{trainable:,} of them trainable"
    return f"{count(len(network.layers), 'layer')} with {count(n, 'weight')}, {part}."


def diagram(network: Network) -> Diagram:
    """Lay out `network` from top to bottom."""
    grid = _grid(network.layers)
    branched = any(sources != ((j - 1,) if j else ()) for j, sources in enumerate(grid.inputs))
    starts = _starts(grid)
    ends = [*starts[1:], max(grid.rows, default=-1) + 1]
    return Diagram(
        tuple(
            _strip(network.layers, grid, rows)
            for rows in map(range, starts, ends)
            if len(network.layers)
        ),
        branched,
    )


def _starts(grid: _Grid) -> list[int]:
    """The first row of each strip: where all lines from above come from one layer."""
    crossing: list[set[int]] = [set() for _ in range(max(grid.rows, default=0) + 1)]
    for j, sources in enumerate(grid.inputs):
        for i in sources:
            for row in range(grid.rows[i] + 1, grid.rows[j] + 1):
                crossing[row].add(i)
    # Strips of about the same length: no last one with a single layer.
    least = math.ceil(len(crossing) / math.ceil(len(crossing) / _N_ROWS))
    starts = [0]
    for row, sources_above in enumerate(crossing):
        if len(sources_above) == 1 and row - starts[-1] >= least:
            starts.append(row)
    return starts


def _strip(layers: Sequence[Layer], whole: _Grid, rows: range) -> Strip:
    """The layers in `rows` with their lines; one that leads to a later strip ends at the edge."""
    inside = [i for i in range(len(layers)) if whole.rows[i] in rows]
    sources_inside = chain.from_iterable(whole.inputs[i] for i in inside)
    above = sorted(set(sources_inside) - set(inside))
    place = {i: k for k, i in enumerate([*above, *inside])}
    grid = _Grid(
        tuple(tuple(place[s] for s in whole.inputs[i]) if i in inside else () for i in place),
        tuple(whole.rows[i] - rows.start if i in inside else -1 for i in place),
        tuple(whole.columns[i] for i in place),
    )
    lanes, widths = _lanes(grid)
    lefts = [_MARGIN]
    for width in widths:
        lefts.append(lefts[-1] + BOX_WIDTH + width)
    top = _ROW - BOX_HEIGHT if above else _MARGIN  # what stands above ends where the strip begins
    boxes = [
        _box(layers[i], lefts[whole.columns[i]], top + _ROW * grid.rows[k])
        for i, k in place.items()
    ]
    lines = []
    for j, sources in enumerate(grid.inputs):
        lines += [_line(boxes[i], boxes[j], lanes.get((i, j))) for i in sources]
    height: float = top + _ROW * (len(rows) - 1) + BOX_HEIGHT + _MARGIN
    later: set[int] = set()
    for j, sources in enumerate(whole.inputs):
        if whole.rows[j] >= rows.stop:
            later |= set(sources)
    for box in (boxes[place[i]] for i in inside if i in later):
        height = max(height, box.y + _ROW)
        lines.append(f"M{box.x + BOX_WIDTH / 2:g} {box.y + BOX_HEIGHT:g}V{height:g}")
    return Strip(lefts[-1] + _MARGIN, height, tuple(boxes[len(above) :]), tuple(lines))


def _box(layer: Layer, x: float, y: float) -> Box:
    title = layer.type if len(layer.type) <= _N_LETTERS else f"{layer.type[: _N_LETTERS - 1]}…"
    facts = f"{shape_text(layer)}{f' · {layer.n_params:,}' if layer.n_params else ''}"
    return Box(layer, title, facts, x, y, is_frozen(layer))


def _grid(layers: tuple[Layer, ...]) -> _Grid:
    columns: dict[str, int] = {}
    inputs = []
    for j, layer in enumerate(layers):
        # A name that no earlier layer has can't be drawn, and reading oneself would be a circle.
        inputs.append(
            tuple(dict.fromkeys(columns[name] for name in layer.inputs if name in columns))
        )
        columns[layer.name] = j
    rows: list[int] = []
    for sources in inputs:
        rows.append(1 + max((rows[i] for i in sources), default=-1))
    ends = [
        max((rows[j] for j, sources in enumerate(inputs) if i in sources), default=rows[i])
        for i in range(len(rows))
    ]
    return _Grid(tuple(inputs), tuple(rows), _columns(inputs, rows, ends))


def _columns(inputs: list[tuple[int, ...]], rows: list[int], ends: list[int]) -> tuple[int, ...]:
    """Column 0 for the longest path; for others the first that is free down to where they join."""
    main = set()
    at = max(range(len(rows)), key=rows.__getitem__, default=-1)
    while at >= 0:
        main.add(at)
        at = next((i for i in inputs[at] if rows[i] == rows[at] - 1), -1)
    free_from = [len(rows) + 1]
    from_above = sorted(range(len(rows)), key=rows.__getitem__)
    columns = {i: 0 if i in main else _first_free(free_from, rows[i], ends[i]) for i in from_above}
    return tuple(columns[i] for i in range(len(rows)))


def _first_free(free_from: list[int], row: int, end: int) -> int:
    column = next((c for c, free in enumerate(free_from) if c and free <= row), len(free_from))
    if column == len(free_from):
        free_from.append(0)
    free_from[column] = max(end, row + 1)
    return column


def _lanes(grid: _Grid) -> tuple[dict[tuple[int, int], int], list[int]]:
    """A lane for every line that passes over layers of its column; and the columns' gaps."""
    n_columns = max(grid.columns, default=0) + 1
    used: list[list[int]] = [[] for _ in range(n_columns)]
    lanes = {}
    spans = []
    for j, sources in enumerate(grid.inputs):
        spans += [(grid.rows[i], grid.rows[j], i, j) for i in sources]
    for start, end, i, j in sorted(spans):
        if grid.columns[i] != grid.columns[j] or end == start + 1:
            continue
        free = used[grid.columns[i]]
        lane = next((k for k, until in enumerate(free) if until <= start), len(free))
        free[lane : lane + 1] = [end]
        lanes[i, j] = lane
    gaps = [2 * _LANE + _LANE * len(free) for free in used]
    return lanes, [*gaps[:-1], _LANE * (len(used[-1]) + 1) if used[-1] else 0]


def _line(source: Box, target: Box, lane: int | None) -> str:
    """The path from `source` to `target`, with round corners."""
    middle = target.x + BOX_WIDTH / 2
    top = target.y
    # Apart, so that what joins a layer and what leaves it are not one line.
    start_y = source.y + 0.7 * BOX_HEIGHT
    end_y = target.y + 0.3 * BOX_HEIGHT
    right = source.x + BOX_WIDTH
    c = _CORNER
    if lane is not None:
        x = right + _LANE * (lane + 1)
        turn = (
            f"Q{x:g} {start_y:g} {x:g} {start_y + c:g}V{end_y - c:g}Q{x:g} {end_y:g} {x - c:g}"
            f" {end_y:g}"
        )
        return f"M{right:g} {start_y:g}H{x - c:g}{turn}H{right:g}"
    if source.x == target.x:
        return f"M{middle:g} {source.y + BOX_HEIGHT:g}V{top:g}"
    if source.x < target.x:
        return (
            f"M{right:g} {start_y:g}H{middle - c:g}Q{middle:g} {start_y:g} {middle:g}"
            f" {start_y + c:g}V{top:g}"
        )
    x = source.x + BOX_WIDTH / 2
    turn = f"V{end_y - c:g}Q{x:g} {end_y:g} {x - c:g} {end_y:g}"
    return f"M{x:g} {source.y + BOX_HEIGHT:g}{turn}H{target.x + BOX_WIDTH:g}"
