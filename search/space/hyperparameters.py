"""KerasTuner's hyperparameters, plain data as its files and `get_config()` hold them, as a space of ours. Pure.

The same rules of names lead back: from a setting of the space to what a builder asks its `hp` for.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from search.errors import InputError
from search.space.fields import PARAM_TYPES, problem_of
from search.space.known import EVERYWHERE, problems_of
from search.space.settings import fill, reachable
from search.space.types import Space
from search.space.values import is_in

Raw: TypeAlias = dict[str, Any]
"""A parameter as a space file writes it."""

COMPILED = ("optimizer", "lr", "momentum", "nesterov", "weight_decay", "label_smoothing", "max_norm", "decay")
"""Names that only compiling reads: a model that compiles itself may use them as it likes."""
_KEPT = {*COMPILED, "batch_size", "epochs", "dropout"}
_MAX_TWINS = 20
TRAINED: Mapping[str, Raw] = {"batch_size": {"type": "choice", "choices": [32, 64, 128, 256]}}
"""What is searched beside the hyperparameters of a model that compiles itself; 32 is what Keras' `fit` takes."""
UNCOMPILED: Mapping[str, Raw] = {
    "optimizer": {"type": "choice", "choices": ["adam", "sgd", "rmsprop"]},
    "lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
}
"""What is searched, too, where the model leaves compiling to us."""
_START = {"batch_size": 32, "optimizer": "adam", "lr": 1e-3}


class _Param(NamedTuple):
    """One parameter of ours, and the hyperparameter that it stands for."""

    hp: str
    raw: Raw
    when: dict[str, tuple[Any, ...]]


def space_of(model: str, found: Sequence[Mapping[str, Any]], *, compiles: bool) -> Space:
    """The space of KerasTuner's hyperparameters `found`, a list of {class_name, config}, for `model`.

    Conditional scopes become conditions; the defaults are the document's setting. A name that means something else
    here gets the prefix `hp_`, characters that a name can't have become `_`, and a hyperparameter that is defined
    differently in several scopes becomes as many, `units`, `units__2`, …. What training needs beside them is added:
    batch_size, and unless the model `compiles` itself, optimizer and lr. How long to train is none of them.

    Raises InputError with every hyperparameter that has no counterpart.
    """
    params, defaults = _params(found)
    added = {**TRAINED, **({} if compiles else UNCOMPILED)}
    raw = {**{n: p.raw | ({"when": p.when} if p.when else {}) for n, p in params.items()}}
    raw |= {name: param for name, param in added.items() if name not in raw}
    defaults = {name: defaults[p.hp] for name, p in params.items()}
    parsed = reachable({n: PARAM_TYPES[r["type"]].model_validate(r) for n, r in raw.items()})
    document = fill(parsed, {**_START, **defaults}, {})
    kept = {n: r for n, r in raw.items() if n in parsed}
    return Space.from_dict({"model": model, "params": kept, "document": document})


def value_of(params: Mapping[str, Any], hp: str) -> tuple[Any] | None:
    """The value that a setting of ours has for the hyperparameter `hp`, in a tuple; None if it has none."""
    return next(((params[name],) for name in names_of(hp) if name in params), None)


def names_of(hp: str) -> Iterator[str]:
    """The names that parameters of ours may have that stand for the hyperparameter `hp`, the likeliest first."""
    base = _identifier(hp)
    for name in [f"hp_{base}"] if base in EVERYWHERE and base not in _KEPT else [base, f"hp_{base}"]:
        yield name
        yield from (f"{name}__{k}" for k in range(2, _MAX_TWINS + 1))


def _params(found: Sequence[Mapping[str, Any]]) -> tuple[dict[str, _Param], dict[str, Any]]:
    """Our parameters by name, and the default of each hyperparameter. Raises InputError."""
    params: dict[str, _Param] = {}
    defaults: dict[str, Any] = {}
    problems: list[str] = []
    merged = _merged([(e["config"]["name"], _raw(e), _conditions(e)) for e in found])
    for hp, raw, conditions in merged:
        defaults.setdefault(hp, _nearest(raw, _default(found, hp)))
        for when in _whens(conditions, params):
            name = _own_name(hp, raw)
            k = 1
            while (own := name if k == 1 else f"{name}__{k}") in params and params[own].hp == hp:
                k += 1
            if own in params:
                problems.append(f"hyperparameters {params[own].hp!r} and {hp!r} would both be called {own}; rename one")
            elif k > _MAX_TWINS:
                problems.append(f"hyperparameter {hp!r} is defined in more than {_MAX_TWINS} ways; give them names")
            params[own] = _Param(hp, raw, when)
    if problems:
        raise InputError(sorted(set(problems)))
    return params, defaults


def _merged(entries: list[tuple[str, Raw, dict[str, tuple[Any, ...]]]]) -> list[tuple[str, Raw, dict[str, Any]]]:
    """One entry of those that are the same but for the values of one condition."""
    kept: list[tuple[str, Raw, dict[str, Any]]] = []
    for hp, raw, conditions in entries:
        twin = next(
            (i for i, e in enumerate(kept) if e[:2] == (hp, raw) and _joined(e[2], conditions) is not None), None
        )
        if twin is None:
            kept.append((hp, raw, conditions))
        else:
            kept[twin] = (hp, raw, _joined(kept[twin][2], conditions) or {})
    return kept if len(kept) == len(entries) else _merged(kept)


def _joined(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any] | None:
    """The condition that holds where `a` or `b` does, if one can say it; {} for always."""
    if not a or not b:
        return {}
    differing = [name for name in {**a, **b} if a.get(name) != b.get(name)]
    if a.keys() != b.keys() or len(differing) > 1:
        return None
    return a | {name: (*a[name], *(v for v in b[name] if not is_in(v, a[name]))) for name in differing}


def _whens(conditions: Mapping[str, Any], params: Mapping[str, _Param]) -> Iterator[dict[str, tuple[Any, ...]]]:
    """The conditions on hyperparameters as conditions on ours, one for each way in which these are defined."""
    options = []
    for hp, values in conditions.items():
        parents = []
        for name, parent in params.items():
            if parent.hp == hp:
                param = PARAM_TYPES[parent.raw["type"]].model_validate(parent.raw)
                if fitting := tuple(v for v in values if problem_of(param, v) is None):
                    parents.append((name, fitting))
        options.append(parents)
    yield from (dict(combination) for combination in product(*options))


def _conditions(entry: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for condition in entry["config"].get("conditions") or ():
        parent, values = condition["config"]["name"], tuple(condition["config"]["values"])
        found[parent] = tuple(v for v in found.get(parent, values) if is_in(v, values))
    return found


def _default(found: Sequence[Mapping[str, Any]], hp: str) -> Any:
    config = next(e["config"] for e in found if e["config"]["name"] == hp)
    default = config.get("default")
    if default is not None:
        return default
    first = config.get("values") or [config.get("value", config.get("min_value"))]
    return first[0]


def _nearest(raw: Raw, default: Any) -> Any:
    """The nearest value that a trial may have: KerasTuner lets a default lie between steps or beyond the ends."""
    if raw["type"] not in {"int", "float"}:
        return default
    low, high, step = raw["low"], raw["high"], raw.get("step")
    value = min(max(default, low), high)
    return value if step is None else low + min(round((value - low) / step), int((high - low) / step + 1e-9)) * step


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
            raise InputError(f"hyperparameter {config['name']!r} is of a kind that is not known: {other}")


def _number(config: Mapping[str, Any], *, whole: bool) -> Raw:
    low, high, step = config["min_value"], config["max_value"], config.get("step")
    sampling = config.get("sampling") or "linear"
    number = round if whole else float
    if low == high:
        return {"type": "constant", "value": number(low)}
    if step is not None and sampling != "linear":
        values = [number(v) for v in _multiples(low, high, step)]
        mirrored = [number(high + low - v) for v in values]
        return {"type": "choice", "choices": list(dict.fromkeys(values if sampling == "log" else mirrored))}
    found: Raw = {"type": "int" if whole else "float", "low": number(low), "high": number(high)}
    if sampling == "log":
        return found | {"log": True}
    if step is None or (whole and step == 1):
        return found  # reverse_log, too: which part of a range is searched more densely is the sampler's to find
    n_steps = int((high - low) / step + 1e-9)
    if n_steps == 0:
        return {"type": "constant", "value": number(low)}
    return found | {"high": number(low + n_steps * step), "step": number(step)}


def _multiples(low: float, high: float, factor: float) -> Iterator[float]:
    while low <= high * (1 + 1e-9):
        yield low
        low *= factor


def _own_name(hp: str, raw: Raw) -> str:
    name = _identifier(hp)
    if name not in EVERYWHERE or (name in _KEPT and not problems_of(name, raw)):
        return name
    return f"hp_{name}"


def _identifier(hp: str) -> str:
    name = re.sub(r"\W", "_", hp)
    return name if name.isidentifier() else f"_{name}"
