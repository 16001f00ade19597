"""Values as people read them: percent, points, durations and parameter values."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from search.records import Objective
from search.text import cut, visible

_MAX_VALUE = 200


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with two decimals, `91.30 %`; a dash for None and NaN."""
    return "–" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.2f}\u00a0%"


def points(difference: float) -> str:
    """The size of a difference of two fractions in percentage points, `1.25 points`."""
    shown = f"{abs(100 * difference):.2f}"
    return f"{shown} {'point' if shown == '1.00' else 'points'}"


def value_text(objective: Objective, value: float | None) -> str:
    """A value of `objective`: fractions in percent, `91.30 %`, others to four digits, `0.2134`."""
    if objective.is_fraction:
        return percent(value)
    return "–" if value is None or math.isnan(value) else _digits(value, 4)


def _digits(value: float, n: int, sign: str = "") -> str:
    """A number to `n` digits, from 1,000 to a billion in full; `sign` as formats have it."""
    return f"{value:{sign},.0f}" if 1000 <= abs(value) < 1e9 else f"{value:{sign}.{n}g}"


def difference_text(objective: Objective, difference: float) -> str:
    """The size of a difference of two values: `1.25 points` of fractions, else `0.0213`."""
    return points(difference) if objective.is_fraction else _digits(abs(difference), 3)


def signed_text(objective: Objective, difference: float) -> str:
    """A difference with its sign, without a unit: `+1.25` points of fractions, else `-0.0213`."""
    return f"{100 * difference:+z.2f}" if objective.is_fraction else _digits(difference, 3, "+z")


def difference_number(objective: Objective, difference: float) -> str:
    """A difference with a minus where it has one: `1.25` of fractions, else `-0.0213`."""
    return signed_text(objective, difference).removeprefix("+")


def unit(objective: Objective) -> str:
    """What a `signed_text` is followed by: ` points` of fractions, else nothing."""
    return " points" if objective.is_fraction else ""


def ends_text(objective: Objective, low: float, high: float) -> str:
    """The ends of an interval: `88.52 to 93.48 %` of fractions, else `0.21 to 0.2315`."""
    if objective.is_fraction:
        return f"{100 * low:.2f} to {100 * high:.2f}\u00a0%"
    return f"{_digits(low, 4)} to {_digits(high, 4)}"


def extreme(objective: Objective) -> str:
    """What the best of several values is: the largest, or the smallest."""
    return "largest" if objective.is_maximized else "smallest"


def side(objective: Objective, gain: float) -> str:
    """How a value lies that is better by `gain`: above, below; of losses better, worse than."""
    words = ("above", "below") if objective.is_maximized else ("better than", "worse than")
    return words[gain <= 0]


def plotted(objective: Objective, value: float | None) -> float:
    """A value as charts have it: fractions in percent; NaN for None."""
    if value is None:
        return math.nan
    return 100 * value if objective.is_fraction else value


def titles(first: Objective, others: Iterable[Objective]) -> str:
    """What is searched for at once: `accuracy, log loss and parameters`."""
    return listing([first.title, *(other.title for other in others)])


def sentence_case(objective: Objective) -> str:
    """Its title at the start of a sentence: `Log loss`."""
    return objective.title[:1].upper() + objective.title[1:]


def axis_title(objective: Objective, split: str = "validation") -> str:
    """The title of an axis, `validation macro F1 (%)`."""
    return f"{split} {objective.title}{per_cent(objective)}"


def per_cent(objective: Objective) -> str:
    """What the name of a charted objective is followed by: ` (%)` of fractions, else nothing."""
    return " (%)" if objective.is_fraction else ""


def number_text(objective: Objective, value: float) -> str:
    """A value without its unit, as tables have it: `91.30` of fractions, else `0.2134`."""
    return f"{100 * value:.2f}" if objective.is_fraction else _digits(value, 4)


def hover_format(objective: Objective, axis: str = "y") -> str:
    """How Plotly shows what is under the pointer: `%{y:.2f} %` of fractions, else `%{y:.4g}`."""
    return f"%{{{axis}:.2f}} %" if objective.is_fraction else f"%{{{axis}:,.4~g}}"


def duration(seconds: float) -> str:
    """Seconds in the two largest units: `48.3 s`, `12 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, part, part_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part
            return (
                f"{whole // size} {name} {rest} {part_name}" if rest else f"{whole // size} {name}"
            )
    return f"{whole} s"


def count(n: int, noun: str) -> str:
    """A number and its noun: `1 trial`, `1,200 trials`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def show(value: object) -> str:
    """One parameter's value, floats to four significant digits."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
    return cut(visible(str(value)), _MAX_VALUE)


def settings(params: Mapping[str, Any], separator: str = ", ") -> str:
    """All of `params` on one line: `lr=0.001, units=128`."""
    return separator.join(f"{visible(name)}={show(value)}" for name, value in params.items())


def megabytes(n_bytes: int) -> str:
    """A size for people, in units of 2^20 bytes."""
    return f"{n_bytes / 2**20:.1f} MB"


def listing(parts: list[str]) -> str:
    """Parts joined as in a sentence: `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
