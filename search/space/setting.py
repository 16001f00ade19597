"""Settings (a value for every active parameter) of a set of parameters: pure functions over names
and values.

They expect parameters that `search.space.problems` finds no fault with; conditions without cycles
above all.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from search.registry import nearest
from search.space.params import (
    ChoiceParam,
    ConstantParam,
    IntParam,
    Param,
    as_written,
    ends,
    n_points,
    problem_of,
)
from search.space.values import Value, is_in

Params: TypeAlias = Mapping[str, Param]


def order(params: Params) -> list[str]:
    """Names in their own order, except that parents come before what depends on them."""
    ordered: dict[str, None] = {}

    def visit(name: str) -> None:
        for parent in params[name].when or {}:
            if parent not in ordered:
                visit(parent)
        ordered[name] = None

    for name in params:
        if name not in ordered:
            visit(name)
    return list(ordered)


def active(params: Params, setting: Mapping[str, Any]) -> list[str]:
    """Names that `setting` makes active, parents first."""
    on: dict[str, Any] = {}
    names = []
    for name in order(params):
        if _is_on(params[name], on):
            names.append(name)
            on |= {name: setting[name]} if name in setting else {}
    return names


def _is_on(param: Param, on: Mapping[str, Any]) -> bool:
    return all(p in on and is_in(on[p], allowed) for p, allowed in (param.when or {}).items())


def needs(params: Params, name: str) -> dict[str, tuple[Value, ...]]:
    """For each ancestor of `name` the values that let it be active; an empty tuple: it never is."""
    conditions: dict[str, tuple[Value, ...]] = {}
    for parent, allowed in (params[name].when or {}).items():
        possible = tuple(
            as_written(params[parent], v) for v in allowed if problem_of(params[parent], v) is None
        )
        for ancestor, values in [(parent, possible), *needs(params, parent).items()]:
            conditions[ancestor] = tuple(
                v for v in conditions.get(ancestor, values) if is_in(v, values)
            )
    return conditions


def reachable(params: Params) -> dict[str, Param]:
    """Keep parameters that some setting makes active, conditions cut to values that can occur."""
    kept: dict[str, Param] = {}
    for name in order(params):
        when = params[name].when or {}
        if not all(parent in kept for parent in when):
            continue
        cut = {
            p: tuple(v for v in allowed if problem_of(kept[p], v) is None)
            for p, allowed in when.items()
        }
        trial = {**kept, name: params[name].model_copy(update={"when": cut or None})}
        if all(needs(trial, name).values()):
            kept = trial
    return {name: kept[name] for name in params if name in kept}


def condition(param: Param) -> str:
    """Put the condition of a parameter in words."""
    return " and ".join(f"{p} is {' or '.join(map(str, v))}" for p, v in (param.when or {}).items())


def problems(params: Params, setting: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Check a complete `setting`: pairs of a name and a sentence, which does not repeat it."""
    bad = {n: p for n, v in setting.items() if n in params and (p := problem_of(params[n], v))}
    on = active(params, setting)
    unsettled = {*bad, *(n for n in on if n not in setting)}
    mistakes = [
        (n, f"is not a parameter; {nearest(str(n), params)}") for n in setting if n not in params
    ]
    mistakes += bad.items()
    mistakes += [(n, "is missing; give it a value") for n in on if n not in setting]
    for name in setting:
        if name in params and name not in on and not unsettled & needs(params, name).keys():
            mistakes.append((name, f"is used only when {condition(params[name])}; leave it out"))
    return mistakes


def fill(params: Params, base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Value]:
    """Give each active parameter the wanted value, else the base's, else its lowest or first.

    Values of the base that the parameters no longer allow are passed over; wanted ones must be
    valid.
    """
    setting: dict[str, Value] = {}
    for name in order(params):
        param = params[name]
        if not _is_on(param, setting):
            continue
        if name in values:
            value = values[name]
        elif name in base and problem_of(param, base[name]) is None:
            value = base[name]
        else:
            value = ends(param)[0]
        setting[name] = as_written(param, value)
    return setting


def middle(params: Params) -> dict[str, Value]:
    """The middle of each range, by its logarithm where that is searched; the first of choices."""
    return fill(params, {name: _middle(param) for name, param in params.items()}, {})


def _middle(param: Param) -> Value:
    if isinstance(param, ChoiceParam | ConstantParam):
        return ends(param)[0]
    low, high = param.low, param.high
    value = math.sqrt(low * high) if param.log else (low + high) / 2
    if isinstance(param, IntParam):
        step = param.step or 1
        return low + int((value - low) / step) * step
    return low + int((value - low) / param.step) * param.step if param.step else value


def complete(
    params: Params, base: Mapping[str, Any], partial: Mapping[str, Any]
) -> tuple[dict[str, Value], list[str]]:
    """A partial setting made complete, and what is wrong with it (then it is of no use)."""
    usable = {n: v for n, v in partial.items() if n in params and problem_of(params[n], v) is None}
    setting = fill(params, base, usable)
    mistakes = problems(params, {**setting, **partial})
    return setting, [f"{name}: {text}" for name, text in mistakes if name in partial]


def corners(params: Params, document: Mapping[str, Any]) -> list[dict[str, Value]]:
    """The document's setting, with each parameter at each end, all lows, all highs."""
    settings = [fill(params, document, {})]
    for name in order(params):
        for value in ends(params[name]):
            # A parameter that the document leaves inactive is made active first.
            on = {p: _kept(document, p, allowed) for p, allowed in needs(params, name).items()}
            settings.append(fill(params, document, {**on, name: value}))
    settings += [fill(params, {}, {n: ends(p)[end] for n, p in params.items()}) for end in (0, -1)]
    return list({json.dumps(s, sort_keys=True): s for s in settings}.values())


def _kept(document: Mapping[str, Any], name: str, allowed: tuple[Value, ...]) -> Value:
    keep = name in document and is_in(document[name], allowed)
    return document[name] if keep else allowed[0]


def totals(params: Params, max_epochs: float) -> list[int]:
    """How long a full grid's settings train: each value of `epochs`, cut to `max_epochs`."""
    param = params.get("epochs")
    values: Iterable[Any] = ends(param) if param else (max_epochs,)
    if isinstance(param, IntParam):
        values = range(param.low, param.high + 1, param.step or 1)
    return sorted({int(min(v, max_epochs)) for v in values if isinstance(v, int | float)})


def n_trained(params: Params, max_epochs: float) -> int:
    """The size of a full grid as trained: `epochs` above `max_epochs` make no difference."""
    fixed = (
        {"epochs": ConstantParam(value=1, when=params["epochs"].when)} if "epochs" in params else {}
    )
    return n_combinations({**params, **fixed}) * len(totals(params, max_epochs))


def n_combinations(params: Params) -> int:
    """Count a full grid; parameters that a combination leaves inactive do not multiply it."""
    named = _conditions_on(params)

    def count(names: list[str], on: Mapping[str, Value]) -> int:
        if not names:
            return 1
        name, rest = names[0], names[1:]
        if not _is_on(params[name], on):
            return count(rest, on)
        values = named.get(name, ())
        others = max(0, n_points(params[name]) - len(values))
        # All values that no condition names lead to the same rest of the grid.
        return sum(count(rest, {**on, name: v}) for v in values) + (
            others * count(rest, on) if others else 0
        )

    return count(order(params), {})


def _conditions_on(params: Params) -> dict[str, tuple[Value, ...]]:
    conditions: dict[str, tuple[Value, ...]] = {}
    for param in params.values():
        for parent, allowed in (param.when or {}).items():
            values = conditions.get(parent, ())
            conditions[parent] = (*values, *(v for v in allowed if not is_in(v, values)))
    return conditions
