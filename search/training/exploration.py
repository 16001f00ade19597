"""Builds a model for KerasTuner with many settings, to see what it asks for and what can be built.

As KerasTuner does: with the defaults, and again until every conditional scope was active. Beyond
that, with every choice and both ends of every range, one at a time; where two neighbours differ in
what they ask for or in whether they can be built, with the values between; and with a few settings
drawn at random.
"""

import itertools
import json
import math
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from search.errors import InputError
from search.failure_reason import reason_of
from search.space.conditions import MAX_RANGES, Build
from search.space.hyper_choices import Hyper, Raw, fits, nearest_value, parsed, values_of
from search.space.params import ends
from search.space.values import is_in, show, shown

MAX_BUILDS = 100
"""A space that is not known after so many has more ways than one can build."""
_MAX_ON_LINE = {"int": 24, "float": 8}
"""The most values of one hyperparameter that are tried to find where a network changes."""
_N_DRAWS = 6


class Exploration:
    """Builds until nothing new is asked for."""

    def __init__(
        self,
        build: Callable[[Any], bool],
        asking: Callable[[Callable[[Hyper], Any]], Any],
        sizes: tuple[int, ...],
    ) -> None:
        """`build` says whether the model for an `hp` compiles itself; `asking` makes an `hp` of
        what chooses values.

        `sizes` are whole numbers that may be the only ones that fit: the images' height and width.
        """
        self.hypers: dict[str, Hyper] = {}
        """Every definition that a build asked for: a name with a range."""
        self.builds: list[Build] = []
        self.base: Mapping[str, Any] = {}
        """What must differ from the defaults for anything to be built."""
        self.compiles = False
        self.cut = False
        self.notices: list[str] = []
        self._build, self._asking, self._sizes = build, asking, sizes
        self._ahead: deque[dict[str, Any]] = deque()
        self._builds: dict[str, tuple[Build, Any]] = {}
        self._contexts: dict[str, dict[str, Any]] = {}
        """What else was chosen where a definition was first asked for."""
        self._planned: list[tuple[str, Any]] = []
        """Values between others that are being tried, each once."""
        self._n_ranges: Counter[str] = Counter()
        self._clipped: set[str] = set()

    def run(self) -> None:
        """Raises InputError when nothing can be built."""
        self._spread({})
        if self.builds[0].reason is not None:
            sound = next((b for b in self.builds if b.reason is None), None)
            if sound is None:
                raise InputError(f"the model can't be built on this data: {self.builds[0].reason}")
            self.base = sound.chosen
            self._spread(self.base)
        self._narrow()
        self._draw()
        rule = (
            "is asked for again in one build with another range: it is one value there, taken to"
            " the nearest in each"
        )
        self.notices += [f"{name} {rule}" for name in sorted(self._clipped)]

    def _spread(self, base: Mapping[str, Any]) -> None:
        """Build from `base` on, until no build asks for anything new."""
        self._contexts, self._planned = {}, []
        self._ahead = deque([dict(base)])
        scopes: set[str] = set()
        while self._refine() or self._ahead:
            if len(self.builds) >= MAX_BUILDS:
                self.cut = True
                return
            chosen = self._ahead.popleft()
            build, hp = self._try(chosen)
            if self.builds[0].reason is not None and build.reason is None and not base:
                return  # what can be built is where to begin from
            for key in build.values:
                if key not in self._contexts:
                    self._contexts[key] = {k: v for k, v in build.chosen.items() if k != key}
                    self._ahead += ({**chosen, key: value} for value in self._ends(key))
            keys = {self.hypers[k].name: k for k in reversed(list(build.values))}
            for scope in hp.inactive_scopes:
                held = {keys[c.name]: c.values[0] for c in scope if c.name in keys}
                if (place := json.dumps(held, default=str)) not in scopes:
                    scopes.add(place)
                    self._ahead.append({**chosen, **held})

    def _try(self, values: Mapping[str, Any]) -> tuple[Build, Any]:
        chosen = {k: v for k, v in values.items() if not is_in(v, (self.hypers[k].default,))}
        place = json.dumps(chosen, sort_keys=True, default=str)
        if place not in self._builds:
            self._builds[place] = self._record(
                chosen, lambda hyper: chosen.get(_key(hyper), hyper.default)
            )
        return self._builds[place]

    def _record(
        self, chosen: Mapping[str, Any], choose: Callable[[Hyper], Any]
    ) -> tuple[Build, Any]:
        hp = self._asking(choose)
        reason = None
        try:
            self.compiles |= self._build(hp)
        except (
            BaseException
        ) as error:  # whatever a builder raises says that this setting can't be built
            reason = reason_of(error)
        values = {}
        for hyper, value in hp.asks:
            values[_key(hyper)] = value
            self._n_ranges[hyper.name] += _key(hyper) not in self.hypers
            before = self.hypers.setdefault(_key(hyper), hyper)
            if before.when != hyper.when:
                self.hypers[_key(hyper)] = before._replace(when={})
        self._clipped |= hp.clipped
        self.builds.append(Build(chosen, values, reason))
        return self.builds[-1], hp

    def _ends(self, key: str) -> list[Any]:
        """The values to try of a definition: every choice, or both ends and the images' sizes."""
        hyper = self.hypers[key]
        if self._n_ranges[hyper.name] > MAX_RANGES:
            return []
        sizes = [s for s in self._sizes if hyper.raw["type"] == "int" and fits(hyper.raw, s)]
        return list(dict.fromkeys([*ends(parsed(hyper.raw)), *sizes]))

    def _line(self, key: str) -> dict[Any, Build]:
        """The builds that differ only in this definition from its first one, by its value."""
        context = self._contexts.get(key)
        return {
            b.values[key]: b
            for b in self.builds
            if key in b.values and {k: v for k, v in b.chosen.items() if k != key} == context
        }

    def _refine(self) -> bool:
        """Plan builds halfway between neighbours that differ; whether there are any."""
        plans: list[tuple[str, Any]] = []
        for key in self._contexts:
            raw = self.hypers[key].raw
            line = sorted(self._line(key).items()) if "low" in raw else []
            if len(line) >= _MAX_ON_LINE.get(raw["type"], 0):
                continue
            for (low, build), (high, next_build) in itertools.pairwise(line):
                middle = _between(raw, low, high)
                if low < middle < high and self._looks(build, raw) != self._looks(next_build, raw):
                    plans.append((key, middle))
        new = [plan for plan in plans if plan not in self._planned]
        self._planned += new
        self._ahead.extendleft({**self._contexts[key], key: value} for key, value in new)
        return bool(new)

    def _looks(self, build: Build, raw: Raw) -> Any:
        """What tells a network from another: whether it can be built, and what it asks for."""
        if build.reason is not None or raw["type"] == "float":
            return build.reason is None
        names = ((k, self.hypers[k].name) for k in build.values)
        return frozenset(k if self._n_ranges[name] <= MAX_RANGES else name for k, name in names)

    def _narrow(self) -> None:
        """Drop values that could never be built, and let defaults that can't be built give way."""
        for key, hyper in self.hypers.items():
            good = [b.values[key] for b in self.builds if b.reason is None and key in b.values]
            failed = {
                v: b.reason
                for v, b in self._line(key).items()
                if b.reason is not None and not is_in(v, good)
            }
            if not good or not failed:
                continue
            raw = _without(hyper.raw, list(failed), good)
            default = nearest_value(raw, hyper.default, good[0])
            self.hypers[key] = hyper._replace(raw=raw, default=default)
            left = (
                f"{hyper.name} is searched in {_range(raw)}, without"
                f" {shown(sorted(failed, key=str)[:10])}"
            )
            self.notices.append(f"{left}: {next(iter(failed.values()))}")
        for key, value in self.base.items():
            hyper = self.hypers[key]
            self.notices.append(
                f"trial 0 has {hyper.name} = {show(value)}: the default can't be built"
            )
            self.hypers[key] = hyper._replace(default=value)

    def _draw(self) -> None:
        """Build a few settings at random, to tell of those that can't be built together."""
        failed = []
        for seed in range(
            min(_N_DRAWS, MAX_BUILDS - len(self.builds)) if len(self.hypers) > 1 else 0
        ):
            build, _ = self._record({}, _drawing(dict(self.hypers), random.Random(seed)))  # noqa: S311
            failed += [] if build.reason is None else [build.reason]
        if failed:
            rule = (
                f"{len(failed)} of {_N_DRAWS} settings drawn at random can't be built, and trials"
                " with such fail"
            )
            self.notices.append(f"{rule}: {failed[0]}")


def _key(hyper: Hyper) -> str:
    return json.dumps([hyper.name, hyper.raw])


def _range(raw: Raw) -> str:
    return f"{show(raw['low'])} … {show(raw['high'])}" if "low" in raw else shown(ends(parsed(raw)))


def _between(raw: Raw, low: float, high: float) -> Any:
    """The value of `raw` halfway between two others; one of them if there is none."""
    return nearest_value(raw, math.sqrt(low * high) if raw.get("log") else (low + high) / 2, low)


def _without(raw: Raw, failed: list[Any], good: list[Any]) -> Raw:
    if "low" not in raw:
        return {"type": "choice", "choices": [v for v in ends(parsed(raw)) if not is_in(v, failed)]}
    low = min(good) if raw["low"] in failed else raw["low"]
    high = max(good) if raw["high"] in failed else raw["high"]
    return {"type": "constant", "value": low} if low == high else raw | {"low": low, "high": high}


def _drawing(hypers: Mapping[str, Hyper], chance: random.Random) -> Callable[[Hyper], Any]:
    def draw(hyper: Hyper) -> Any:
        raw = hypers.get(_key(hyper), hyper).raw
        if "low" not in raw or values_of(raw):
            return chance.choice(values_of(raw) or ends(parsed(raw)))
        value = chance.uniform(raw["low"], raw["high"])
        return nearest_value(raw, round(value) if raw["type"] == "int" else value, hyper.default)

    return draw
