"""What holds in every space: the values that training parameters can take, whichever model they
belong to.

Parameters that are not listed belong to the builders, and are left alone.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from search.registry import meant, nearest
from search.space.optimizers import OPTIMIZERS
from search.space.values import is_in, number_problem, show, whole_problem

_DISCRETE = ("choice", "constant")
_EPOCHS = re.compile(r" *[0-9]+ *(, *[0-9]+ *)*")


@dataclass(frozen=True)
class OneOf:
    """One of a few texts."""

    values: tuple[str, ...]
    kinds = _DISCRETE

    def problem_of(self, value: object) -> str | None:
        """Why `value` is none of them, with the remedy; None if it is one."""
        if is_in(value, self.values):
            return None
        shown = repr(value) if isinstance(value, str) else show(value)
        return f"{shown} is not known; {nearest(str(value), self.values)}"

    def __str__(self) -> str:
        return f"one of {', '.join(self.values)}"


@dataclass(frozen=True)
class Flag:
    """True or false."""

    kinds = _DISCRETE

    def problem_of(self, value: object) -> str | None:
        """Why `value` is neither, with the remedy; None if it is one."""
        return (
            None
            if isinstance(value, bool)
            else f"must be true or false, not {show(value)}; write it without quotes"
        )

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Real:
    """A number from `low` to `high`; an open end is not itself included."""

    low: float
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    or_null: bool = False
    """Whether null is allowed, as the choice to do without."""
    kinds = ("float", "int", *_DISCRETE)

    def problem_of(self, value: Any) -> str | None:
        """Why `value` is out of range, with the remedy; None if it is inside."""
        if value is None and self.or_null:
            return None
        return number_problem(value) or self._out_of_range(value)

    def _out_of_range(self, value: float) -> str | None:
        if value < self.low or (self.open_low and value == self.low):
            rule = f"{'above' if self.open_low else 'at least'} {show(self.low)}"
        elif self.high is not None and (
            value > self.high or (self.open_high and value == self.high)
        ):
            rule = f"{'below' if self.open_high else 'at most'} {show(self.high)}"
        else:
            return None
        return f"must be {rule}, not {show(value)}; give {self}"

    def __str__(self) -> str:
        text = f"a number {'above' if self.open_low else 'from'} {show(self.low)}"
        if self.high is None:
            return text
        return f"{text} {'and below' if self.open_high else 'to'} {show(self.high)}"


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` on."""

    low: int
    kinds = ("int", *_DISCRETE)

    def problem_of(self, value: Any) -> str | None:
        """Why `value` is not whole or too low, with the remedy; None if it is neither."""
        if problem := whole_problem(value):
            return f"{problem}; give {self}"
        return (
            f"must be at least {self.low}, not {value}; give {self}" if value < self.low else None
        )

    def __str__(self) -> str:
        return f"a whole number from {self.low}"


@dataclass(frozen=True)
class Epochs:
    """Every so many epochs (a whole number), or at the epochs of a list (text)."""

    kinds = ("int", *_DISCRETE)

    def problem_of(self, value: Any) -> str | None:
        """Why `value` names no epochs, with the remedy; None if it does."""
        if not isinstance(value, str):
            return (
                None
                if whole_problem(value) is None and value >= 1
                else f"must be {self}, not {show(value)}"
            )
        if not _EPOCHS.fullmatch(value):
            return f"must be {self}, not {show(value)}; write whole numbers with commas between"
        epochs = [int(e) for e in value.split(",")]
        if epochs[0] < 1 or any(b <= a for a, b in itertools.pairwise(epochs)):
            return f"must be {self}, not {show(value)}; let the epochs increase, from 1 on"
        return None

    def __str__(self) -> str:
        return (
            'a whole number from 1 (every so many epochs) or a text such as "11,20" (at those'
            " epochs)"
        )


Rule = OneOf | Flag | Real | Whole | Epochs
_FRACTION = Real(0, 1)
_BELOW_1 = Real(0, 1, open_high=True)
_INSIDE_1 = Real(0, 1, open_low=True, open_high=True)
_FROM_0 = Real(0)

TRAINING: Mapping[str, Rule] = {
    "batch_size": Whole(1),
    "epochs": Whole(1),
    "remainder": OneOf(("keep", "drop")),
    "optimizer": OneOf(tuple(OPTIMIZERS)),
    "lr": Real(0, open_low=True),
    "momentum": _BELOW_1,
    "nesterov": Flag(),
    "weight_decay": _FROM_0,
    "schedule": OneOf(("constant", "step", "time_decay", "cosine", "plateau")),
    "step_epochs": Epochs(),
    "step_factor": _INSIDE_1,
    "decay": _FROM_0,
    "plateau_factor": _INSIDE_1,
    "plateau_patience": Whole(1),
    "plateau_cooldown": Whole(0),
    "plateau_metric": OneOf(("val_loss", "val_accuracy")),
    "lr_min": _FROM_0,
    "early_stopping": Whole(0),
    "label_smoothing": _BELOW_1,
    "class_weight": OneOf(("none", "balanced")),
    "max_norm": Real(0, open_low=True, or_null=True),
    "rotate": Real(0, 180),
    "shift": _FRACTION,
    "zoom": _FRACTION,
    "flip": Flag(),
    "scaling": OneOf(("unit", "standardise", "standard")),
    "weights": OneOf(("none", "imagenet")),
}
"""The parameters that training reads, and what each may be."""

EVERYWHERE: Mapping[str, Rule] = {**TRAINING, "dropout": _BELOW_1}
"""The same with those that builders read, but that mean one thing in all of them."""


def problems_of(name: str, raw: object) -> list[tuple[tuple[str | int, ...], str]]:
    """What makes `raw`, a value or a parameter as a space file writes it, impossible for the
    name.

    Pairs of keys that lead to the place inside `raw`, and a sentence with rule, value and remedy.
    Empty for names that are not known here; mistakes of form (missing keys, an unknown type) are
    not looked for.
    """
    rule = EVERYWHERE.get(name)
    if rule is None:
        return []
    if not isinstance(raw, Mapping):
        return [((), text)] if (text := rule.problem_of(raw)) else []
    kind = raw.get("type")
    if kind not in Real.kinds:
        return []
    if kind not in rule.kinds:
        return [(("type",), f"must be {_listed(rule.kinds)}, not {kind}; {name} is {rule}")]
    return [(where, text) for where, value in _values(raw) if (text := rule.problem_of(value))]


def _values(raw: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    keys = {"choice": (), "constant": ("value",)}.get(raw["type"], ("low", "high"))
    yield from (((key,), raw[key]) for key in keys if key in raw)
    if raw["type"] == "choice" and isinstance(raw.get("choices"), list | tuple):
        yield from ((("choices", i), choice) for i, choice in enumerate(raw["choices"]))


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def hint(name: str) -> str:
    """For a parameter that nothing reads: one that training reads and that may have been meant."""
    phrase = meant(name, TRAINING)
    return f"; {phrase}" if phrase else ""
