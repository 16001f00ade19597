"""The table that people see of a comparison, on its page, in Markdown and in LaTeX."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from search.analysis.statistics import Interval
from search.records import ACCURACY, Objective
from search.report.tables import markdown, to_markdown
from search.words import number_text, value_text

R = TypeVar("R")


@dataclass(frozen=True)
class Layout(Generic[R]):
    """The columns of a comparison's table."""

    cells: Mapping[str, Callable[[R], str]]
    """What stands in a row, by heading."""
    left: Collection[str]
    """Headings of text; the other columns are aligned to the right."""
    keys: Mapping[str, Callable[[R], float | None]]
    """What a column sorts by where that is not its text."""

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Each heading with `text` or `number`."""
        return [(name, self._kind(name)) for name in self.cells]

    def texts(self, rows: Sequence[R], names: Collection[str] | None = None) -> list[list[str]]:
        """The cells of `rows` under the headings `names`, all by default."""
        shown = self.cells if names is None else names
        return [[self.cells[name](row) for name in shown] for row in rows]

    def html(self, row: R, *, is_empty: bool, standing: str = "") -> dict[str, Any]:
        """A row for the page: cells as (text, what to sort by, class), and how it stands."""
        cells = []
        for name, cell in self.cells.items():
            text = cell(row)
            key = self.keys[name](row) if name in self.keys else text
            cells.append((text, "" if key is None else key, self._kind(name)))
        return {"cells": cells, "standing": standing, "empty": is_empty}

    def markdown(self, rows: Sequence[R]) -> list[str]:
        """The lines of the table in Markdown, with an empty one at the end."""
        return [*to_markdown(list(self.cells), self.texts(rows), self.left), ""]

    def _kind(self, name: str) -> str:
        return "text" if name in self.left else "number"


def markdown_page(heading: str, lines: Sequence[str], facts: Mapping[str, str]) -> str:
    """A comparison in Markdown: `lines` under a heading, hardware and versions as a list."""
    items = [f"- {markdown(name)}: {markdown(value)}" for name, value in facts.items()]
    return "\n".join([f"# {heading}", "", *lines, *items]).rstrip() + "\n"


def paragraphs(sentences: Sequence[str]) -> list[str]:
    """Each sentence as a paragraph in Markdown."""
    return [f"{markdown(sentence)}\n" for sentence in sentences]


def interval_text(interval: Interval, objective: Objective = ACCURACY) -> str:
    """A mean with its interval, if it has one: `91.30 % [90.80, 91.80]`, `0.213 [0.2, 0.226]`."""
    mean = value_text(objective, interval.mean)
    if interval.low is None or interval.high is None:
        return mean
    low, high = (number_text(objective, end) for end in (interval.low, interval.high))
    return f"{mean} [{ends(objective, low, high)}]"


def ends(objective: Objective, low: str, high: str) -> str:
    """The ends of an interval as texts, which have commas themselves where they may be large."""
    return f"{low},\u00a0{high}" if objective.is_fraction else f"{low} to {high}"


def counts_text(n: int, n_wanted: int, n_failed: int) -> str:
    """Finished replicates, of how many where some are missing: `3`, `2 of 3, 1 failed`."""
    text = str(n) if n == n_wanted else f"{n}\u00a0of\u00a0{n_wanted}"
    return f"{text}, {n_failed}\u00a0failed" if n_failed else text
