"""What hyperparameters depend on, learned from builds: which of them each build asked for, and with
which ranges. Pure.

A builder asks for some hyperparameters only for certain values of others, in no scope that says so.
A condition is learned only where builds show it: values that were never tried keep a hyperparameter
active.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from search.space.hyper_choices import MAX_LISTED, Hyper, Raw, values_of
from search.space.values import number_problem

MAX_RANGES = 4
"""A hyperparameter asked for with more ranges is searched in one that spans them all."""


class Build(NamedTuple):
    """One build: what it asked for, and what became of it."""

    chosen: Mapping[str, Any]
    """The values that were chosen for it, by definition; all others were defaults."""
    values: Mapping[str, Any]
    """The value of each definition that it asked for, in that order."""
    reason: str | None = None
    """Why it can't be built; None if it can."""


Conditions = dict[str, tuple[Any, ...]]


def learned(hypers: Mapping[str, Hyper], builds: Sequence[Build]) -> list[Hyper]:
    """`hypers`, by definition, with the conditions that `builds` show; without those that no whole
    build asked for.

    A name whose ranges no conditions tell apart, or that has more than MAX_RANGES, becomes one
    loose hyperparameter.
    """
    lessons = _Lessons(hypers, [b for b in builds if b.reason is None])
    keys = [k for k in hypers if lessons.asking({k})]
    result: dict[str, list[Hyper]] = {}
    for name in dict.fromkeys(hypers[k].name for k in keys):
        twins = [k for k in keys if hypers[k].name == name]
        conditions = [lessons.conditions({k}, hypers[k].when) for k in twins]
        spanning = _spanning([hypers[k].raw for k in twins])
        apart = len(twins) <= MAX_RANGES and all(exact for _, exact in conditions)
        if len(twins) > 1 and not apart and spanning is not None:
            when, _ = lessons.conditions(set(twins), {})
            result[name] = [hypers[twins[0]]._replace(raw=spanning, when=when, loose=True)]
        else:
            result[name] = [
                hypers[k]._replace(when=when)
                for k, (when, _) in zip(twins, conditions, strict=True)
            ]
    return _parents_first(list(chain.from_iterable(result.values())))


def _parents_first(hypers: list[Hyper]) -> list[Hyper]:
    placed: list[Hyper] = []
    while hypers:
        waiting = {h.name for h in hypers}
        hyper = next((h for h in hypers if not waiting & h.when.keys()), hypers[0])
        hypers = [h for h in hypers if h is not hyper]
        placed.append(hyper)
    return placed


class _Lessons:
    """What whole builds tell."""

    def __init__(self, hypers: Mapping[str, Hyper], builds: Sequence[Build]) -> None:
        self._builds = builds
        self._named = [
            {hypers[k].name: b.values[k] for k in reversed(list(b.values))} for b in builds
        ]
        """The value of each name that a build asked for; the first, where it asked twice."""
        self._before = [[hypers[k].name for k in b.values] for b in builds]
        self._grids: dict[str, list[Any]] = {}
        """Every value of each name that conditions can list."""
        self._ordered: set[str] = set()
        """Names of numbers."""
        self._hypers = hypers
        for name in dict.fromkeys(h.name for h in hypers.values()):
            grids = [values_of(h.raw) for h in hypers.values() if h.name == name]
            values = list(dict.fromkeys(chain.from_iterable(grids)))
            if not any(number_problem(v) for v in values):
                self._ordered.add(name)
            if all(grids) and len(values) <= MAX_LISTED:
                self._grids[name] = sorted(values) if name in self._ordered else values

    def asking(self, keys: set[str]) -> list[int]:
        """The builds that asked for any of `keys`."""
        return [i for i, b in enumerate(self._builds) if keys & b.values.keys()]

    def conditions(self, keys: set[str], declared: Mapping[str, Any]) -> tuple[Conditions, bool]:
        """The conditions under which `keys` are asked for, and whether they explain every build."""
        asking = self.asking(keys)
        others = [i for i in range(len(self._builds)) if i not in asking]
        parents = self._parents(keys, asking)
        chosen: Conditions = dict(declared)
        while left := [i for i in others if self._holds(chosen, i)]:
            options = {p: self._allowed(p, asking, left) for p in parents if p not in chosen}
            scores = {p: self._score(p, allowed, left) for p, allowed in options.items()}
            best = max(scores, key=lambda p: scores[p], default=None)
            if best is None or not scores[best][0]:
                break
            chosen[best] = options[best]
        for parent in list(chosen):
            rest = {p: v for p, v in chosen.items() if p != parent}
            if parent not in declared and [i for i in others if self._holds(rest, i)] == left:
                chosen = rest
        return chosen, not left

    def _parents(self, keys: set[str], asking: Sequence[int]) -> list[str]:
        """The names with listed values that every build asked for before `keys`."""
        before = []
        for i in asking:
            first = next(n for n, k in enumerate(self._builds[i].values) if k in keys)
            before.append(set(self._before[i][:first]))
        shared = set.intersection(*before) & self._grids.keys() - {
            self._hypers[k].name for k in keys
        }
        return [name for name in self._before[asking[0]] if name in shared]

    def _holds(self, conditions: Conditions, build: int) -> bool:
        values = self._named[build]
        return all(p in values and values[p] in allowed for p, allowed in conditions.items())

    def _allowed(self, parent: str, asking: Sequence[int], left: Sequence[int]) -> tuple[Any, ...]:
        """`parent`'s values but those that only builds without it have, and those between them."""
        good = {self._named[i][parent] for i in asking}
        bad = {self._named[i][parent] for i in left if parent in self._named[i]} - good
        values = [v for v in self._grids[parent] if v in good or v in bad]

        def excluded(value: Any) -> bool:
            if value in values or parent not in self._ordered:
                return value in bad
            below = [v for v in values if v < value][-1:]
            above = [v for v in values if v > value][:1]
            return all(v in bad for v in (*below, *above))

        return tuple(v for v in self._grids[parent] if not excluded(v))

    def _score(self, parent: str, allowed: tuple[Any, ...], left: Sequence[int]) -> tuple[int, int]:
        """How many of the builds `left` a condition explains, how many by another parent value."""
        by_value = sum(self._named[i].get(parent, allowed[0]) not in allowed for i in left)
        return by_value + sum(parent not in self._named[i] for i in left), by_value


def _spanning(raws: Sequence[Raw]) -> Raw | None:
    """The parameter that has all values of `raws`; None where some are numbers and some are not."""
    listed: list[Any] = []
    for raw in raws:
        if "low" not in raw:
            listed += raw.get("choices", (raw.get("value"),))
    ranges = [r for r in raws if "low" in r]
    if not ranges:
        return {"type": "choice", "choices": list(dict.fromkeys(listed))}
    if any(number_problem(v) for v in listed):
        return None
    low, high = (
        min([*listed, *(r["low"] for r in ranges)]),
        max([*listed, *(r["high"] for r in ranges)]),
    )
    whole = all(isinstance(v, int) for v in (low, high)) and all(r["type"] == "int" for r in ranges)
    number = int if whole else float
    span: Raw = {"type": "int" if whole else "float", "low": number(low), "high": number(high)}
    steps = {r.get("step") for r in ranges}
    step = steps.pop() if len(steps) == 1 else None
    if all(r.get("log") for r in ranges):
        return span | {"log": True}
    on_steps = step is not None and all(
        (v - low) % step == 0 for v in (*listed, *(r["low"] for r in ranges), high)
    )
    return span | {"step": step} if on_steps else span
