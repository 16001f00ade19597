"""Where the names of points go so that they hide neither each other nor a point. Pure."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

_CHARACTER = 6.8
_LINE = 15.0
"""Pixels that a letter of 12 pixels is wide and a line of them is high, generously."""
_GAP = 8.0
"""Pixels from a point to a name beside it."""
_MARK = 6.0
"""Half a mark's size in pixels."""


class Box(NamedTuple):
    """A rectangle from its left and upper to its right and lower end."""

    left: float
    top: float
    right: float
    bottom: float


Sizes = Sequence[tuple[float, float]]
"""(width, height) in pixels of a drawing's smallest and largest area; one if it has one."""


class Label(NamedTuple):
    """Where a name stands: `dx` pixels right of its point and `dy` below it."""

    align: Literal["left", "center", "right"]
    """Which part of the name is there."""
    dx: float
    dy: float
    is_led: bool
    """It is so far away that a line should lead to its point."""


def place(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    sizes: Sizes,
    lines: Sequence[Box] = (),
) -> list[Label | None]:
    """A place for the name of each of `points`, clear of points and names at all `sizes`.

    Points and `lines`, which are left free as well if that is possible, are given in parts of the
    area, 0…1 from the left and from the top. Two names are clear of each other in all areas between
    two sizes, since one lies left of the other, or above it, in both. The earlier points choose
    first, the nearest place; None where there is none.
    """
    marks = [[_mark(x, y, size) for size in sizes] for x, y in points]
    drawn = [[_scaled(line, size) for size in sizes] for line in lines]
    taken = list(marks)
    labels: list[Label | None] = []
    for point, name in zip(points, names, strict=True):
        tried = [(label, [_box(point, label, name, size) for size in sizes]) for label in _labels()]
        inside = [(label, boxes) for label, boxes in tried if all(map(_fits, boxes, sizes))]
        free = [
            (label, boxes)
            for label, boxes in inside
            if all(_apart(boxes, other) for other in taken)
        ]
        clear = (pair for pair in free if all(_apart(pair[1], other) for other in drawn))
        label, boxes = next(clear, free[0] if free else (None, None))
        labels.append(label)
        taken += [boxes] if boxes else []
    return labels


def _labels() -> Iterator[Label]:
    """All places worth trying, the nearest first."""
    for dy in (0.0, -_GAP - 2, _GAP + 2):
        yield Label("left", _GAP, dy, is_led=False)
        yield Label("right", -_GAP, dy, is_led=False)
    yield Label("center", 0.0, -_GAP - _LINE / 2, is_led=False)
    yield Label("center", 0.0, _GAP + _LINE / 2, is_led=False)
    for reach in range(20, 160, 8):
        for degrees in (30, -30, 150, -150, 60, -60, 120, -120, 0, 180, 90, -90):
            dx = reach * math.cos(math.radians(degrees))
            dy = reach * math.sin(math.radians(degrees))
            align: Literal["left", "center", "right"]
            align = "left" if abs(degrees) < 90 else "right"
            if abs(degrees) == 90:
                align = "center"
            yield Label(align, round(dx, 1), round(dy, 1), is_led=True)


def _apart(boxes: Sequence[Box], others: Sequence[Box]) -> bool:
    """Whether two things lie beside each other in the same order at all sizes."""
    pairs = list(zip(boxes, others, strict=True))
    return (
        all(a.right <= b.left for a, b in pairs)
        or all(b.right <= a.left for a, b in pairs)
        or all(a.bottom <= b.top for a, b in pairs)
        or all(b.bottom <= a.top for a, b in pairs)
    )


def _fits(box: Box, size: tuple[float, float]) -> bool:
    return box.left >= 0 and box.top >= 0 and box.right <= size[0] and box.bottom <= size[1]


def _mark(x: float, y: float, size: tuple[float, float]) -> Box:
    return Box(x * size[0] - _MARK, y * size[1] - _MARK, x * size[0] + _MARK, y * size[1] + _MARK)


def _scaled(line: Box, size: tuple[float, float]) -> Box:
    """The place of a line, which is at least three pixels thick."""
    return Box(
        line.left * size[0] - 2,
        line.top * size[1] - 2,
        line.right * size[0] + 2,
        line.bottom * size[1] + 2,
    )


def _box(point: tuple[float, float], label: Label, name: str, size: tuple[float, float]) -> Box:
    x = point[0] * size[0] + label.dx
    y = point[1] * size[1] + label.dy
    width = _CHARACTER * len(name)
    left = {"left": x, "center": x - width / 2, "right": x - width}[label.align]
    return Box(left, y - _LINE / 2, left + width, y + _LINE / 2)
