"""One hyperparameter of KerasTuner's as a parameter of ours, and its values. Pure."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from search.errors import InputError
from search.space.params import PARAM_TYPES, Param, ends, n_points, problem_of
from search.space.values import is_in, number_problem

Raw: TypeAlias = dict[str, Any]
"""A parameter as a space file writes it."""

FOUND = "found by building the model"
"""The source of a space whose ranges are the builder's own; one from a file may say otherwise."""
_IN_RANGE = "hp:in_range"
"""Among params: a builder of KerasTuner's takes values into the range that it asks with."""
MAX_LISTED = 100
"""Ranges of up to so many values may become lists of choices, and conditions on them."""


class Hyper(NamedTuple):
    """One hyperparameter in one of the ways in which it is defined."""

    name: str
    """KerasTuner's."""
    raw: Raw
    default: Any
    when: Mapping[str, tuple[Any, ...]] = {}
    """The values of other hyperparameters that it is asked for with."""
    loose: bool = False
    """Whether `raw` spans several ranges, one per build: a value is taken to the nearest in it."""


def hyper_of(entry: Mapping[str, Any]) -> Hyper:
    """A hyperparameter as KerasTuner's files hold it, {class_name, config}.

    A default that lies between the steps of a range is one of its values, too. Raises InputError
    for other kinds.
    """
    config = entry["config"]
    raw, default = _raw(entry), _default(config)
    if problem_of(parsed(raw), default) and (values := values_of(raw)):
        raw = {"type": "choice", "choices": sorted({*values, default})}
    return Hyper(config["name"], raw, default, _conditions(entry))


def fits(raw: Raw, value: Any) -> bool:
    """Whether the parameter `raw` can have `value`."""
    return problem_of(parsed(raw), value) is None


def overlap(a: Raw, b: Raw) -> bool:
    """Whether two parameters can have the same value."""
    first, second = parsed(a), parsed(b)
    if "low" in a and "low" in b:
        return bool(a["low"] <= b["high"] and b["low"] <= a["high"])
    if "low" in a:
        first, second = second, first
    return any(problem_of(second, v) is None for v in ends(first))


def nearest_value(raw: Raw, value: Any, otherwise: Any) -> Any:
    """The value of `raw` nearest to `value`; `otherwise` where only numbers could be near."""
    if fits(raw, value):
        return value
    listed = ends(parsed(raw))
    if number_problem(value) or any(number_problem(v) for v in listed):
        return otherwise
    if "low" not in raw:
        return min(listed, key=lambda v: abs(v - value))
    low, high, step = raw["low"], raw["high"], _step(raw)
    inside = min(max(value, low), high)
    return inside if step is None else low + round((inside - low) / step) * step


def for_builder(setting: Mapping[str, Any], source: str | None) -> dict[str, Any]:
    """A setting as its builder gets it; if `source` is FOUND, values keep to its ranges."""
    return {**setting, _IN_RANGE: True} if source == FOUND else dict(setting)


def keeps_to_ranges(params: Mapping[str, Any]) -> bool:
    """Whether values are to be taken into the ranges that a builder asks with."""
    return bool(params.get(_IN_RANGE))


def values_of(raw: Raw) -> tuple[Any, ...]:
    """Every value of `raw` in order; none if there are more than MAX_LISTED, or no steps."""
    param = parsed(raw)
    if "low" not in raw:
        return ends(param) if len(ends(param)) <= MAX_LISTED else ()
    step = _step(raw)
    if step is None or n_points(param) > MAX_LISTED:
        return ()
    return tuple(raw["low"] + i * step for i in range(n_points(param)))


def _step(raw: Raw) -> float | None:
    return raw.get("step") or (1 if raw["type"] == "int" else None)


def parsed(raw: Raw) -> Param:
    """`raw` as an object."""
    return PARAM_TYPES[raw["type"]].model_validate(raw)


def _conditions(entry: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    conditions: dict[str, tuple[Any, ...]] = {}
    for condition in entry["config"].get("conditions") or ():
        parent, values = condition["config"]["name"], tuple(condition["config"]["values"])
        conditions[parent] = tuple(v for v in conditions.get(parent, values) if is_in(v, values))
    return conditions


def _default(config: Mapping[str, Any]) -> Any:
    default = config.get("default")
    if default is not None:
        return default
    first = config.get("values") or [config.get("value", config.get("min_value"))]
    return first[0]


def _raw(entry: Mapping[str, Any]) -> Raw:
    config = entry["config"]
    match entry["class_name"]:
        case "Fixed":
            return {"type": "constant", "value": config["value"]}
        case "Boolean":
            return {"type": "choice", "choices": [False, True]}
        case "Choice":
            return {"type": "choice", "choices": list(dict.fromkeys(config["values"]))}
        case "Int" | "Float":
            return _number(config, whole=entry["class_name"] == "Int")
        case other:
            raise InputError(
                f"hyperparameter {config['name']!r} is of a kind that is not known: {other}"
            )


def _number(config: Mapping[str, Any], *, whole: bool) -> Raw:
    low, high, step = config["min_value"], config["max_value"], config.get("step")
    sampling = config.get("sampling") or "linear"
    number = round if whole else float
    if low == high:
        return {"type": "constant", "value": number(low)}
    if (
        step is not None
        and sampling != "linear"
        and (values := [number(v) for v in _multiples(low, high, step)])
    ):
        mirrored = [number(high + low - v) for v in values]
        return {
            "type": "choice",
            "choices": list(dict.fromkeys(values if sampling == "log" else mirrored)),
        }
    raw: Raw = {"type": "int" if whole else "float", "low": number(low), "high": number(high)}
    if sampling == "log":
        return raw | {"log": True}
    if step is None or sampling != "linear" or (whole and step == 1):
        return raw  # reverse_log, too: where to look more densely is the sampler's to find
    n_steps = int((high - low) / step + 1e-9)
    if n_steps == 0:
        return {"type": "constant", "value": number(low)}
    return raw | {"high": number(low + n_steps * step), "step": number(step)}


def _multiples(low: float, high: float, factor: float) -> list[float]:
    """The values of steps that multiply; none if there are more than MAX_LISTED."""
    n_values = int(math.log(high / low, factor) + 1e-8) + 1
    return [low * math.pow(factor, i) for i in range(n_values)] if n_values <= MAX_LISTED else []
