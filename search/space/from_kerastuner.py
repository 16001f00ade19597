"""KerasTuner's hyperparameters, plain data as its files and `get_config()` hold them, as a space of
ours. Pure.

The same rules of names lead back: from a setting of the space to what a builder asks its `hp` for.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from search.errors import InputError
from search.space.hyper_choices import Hyper, Raw, fits, hyper_of, nearest_value, parsed
from search.space.setting import fill, reachable
from search.space.space import Space
from search.space.training_params import EVERYWHERE, problems_of
from search.space.values import is_in

COMPILED = (
    "optimizer",
    "lr",
    "momentum",
    "nesterov",
    "weight_decay",
    "label_smoothing",
    "max_norm",
    "decay",
)
"""Names that only compiling reads: a model that compiles itself may use them as it likes."""
_KEPT = {*COMPILED, "batch_size", "epochs", "dropout"}
_MAX_TWINS = 20
LOOSE = "__any"
TRAINED: Mapping[str, Raw] = {"batch_size": {"type": "choice", "choices": [32, 64, 128, 256]}}
"""Searched beside the hyperparameters of a model that compiles itself; `fit` takes 32."""
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
    default: Any


def space_of(model: str, entries: Sequence[Mapping[str, Any]], *, compiles: bool) -> Space:
    """The space of KerasTuner's {class_name, config} entries, as `space_from` makes it."""
    return space_from(model, [hyper_of(e) for e in entries], compiles=compiles)


def space_from(
    model: str, hypers: Sequence[Hyper], *, compiles: bool, trains: bool = False
) -> Space:
    """The space of `hypers` for `model`.

    KerasTuner's defaults are the document's setting. A name that means something else here gets the
    prefix `hp_`, characters that a name can't have become `_`, and a hyperparameter that is defined
    differently in several scopes becomes as many, `units`, `units__2`, …; one whose ranges no
    condition tells apart is `units__any`. What training needs beside them is added: batch_size, and
    unless the model `compiles` itself, optimizer and lr; nothing to a program that `trains` by
    itself. How long to train is none of them.

    Raises InputError with every hyperparameter that has no counterpart.
    """
    params = _params(hypers)
    added = {} if trains else {**TRAINED, **({} if compiles else UNCOMPILED)}
    raw = {n: p.raw | ({"when": p.when} if p.when else {}) for n, p in params.items()}
    raw |= {name: param for name, param in added.items() if name not in raw}
    usable = reachable({n: parsed(r) for n, r in raw.items()})
    first = _first_values(hypers)
    defaults = {}
    for name, param in params.items():
        value = first.get(param.hp, param.default)
        defaults[name] = (
            value
            if fits(param.raw, value)
            else nearest_value(param.raw, param.default, param.default)
        )
    document = fill(usable, {**_START, **defaults}, {})
    kept = {n: r for n, r in raw.items() if n in usable}
    return Space.from_dict({"model": model, "params": kept, "document": document})


def _first_values(hypers: Sequence[Hyper]) -> dict[str, Any]:
    """KerasTuner's first build: a name has the default of its first active definition."""
    values: dict[str, Any] = {}
    for hyper in hypers:
        if all(
            parent in values and is_in(values[parent], allowed)
            for parent, allowed in hyper.when.items()
        ):
            values.setdefault(hyper.name, hyper.default)
    return values


def names_of(hp: str) -> Iterator[str]:
    """Names that parameters for the hyperparameter `hp` may have here, the likeliest first."""
    base = _identifier(hp)
    for name in (
        [f"hp_{base}"] if base in EVERYWHERE and base not in _KEPT else [base, f"hp_{base}"]
    ):
        yield name
        yield from (f"{name}__{k}" for k in range(2, _MAX_TWINS + 1))
    for name in (base, f"hp_{base}"):
        yield name + LOOSE


def _params(hypers: Sequence[Hyper]) -> dict[str, _Param]:
    """Our parameters by name. Raises InputError."""
    params: dict[str, _Param] = {}
    problems: list[str] = []
    loose = {h.name for h in hypers if h.loose}
    defaults = {(h.name, repr(h.raw)): h.default for h in reversed(hypers)}
    for hp, raw, conditions in _merged([(h.name, h.raw, dict(h.when)) for h in hypers]):
        for when in _whens(conditions, params):
            name = _name_here(hp, raw) + (LOOSE if hp in loose else "")
            twin, k = name, 1
            while twin in params and params[twin].hp == hp:
                k += 1
                twin = f"{name}__{k}"
            if twin in params:
                both = f"hyperparameters {params[twin].hp!r} and {hp!r}"
                problems.append(f"{both} would both be called {twin}; rename one")
            elif k > _MAX_TWINS:
                rule = f"hyperparameter {hp!r} is defined in more than {_MAX_TWINS} ways"
                problems.append(f"{rule}; give them names")
            params[twin] = _Param(hp, raw, when, defaults[hp, repr(raw)])
    if problems:
        raise InputError(sorted(set(problems)))
    return params


def _merged(
    entries: list[tuple[str, Raw, dict[str, tuple[Any, ...]]]],
) -> list[tuple[str, Raw, dict[str, Any]]]:
    """One entry of those that are the same but for the values of one condition."""
    kept: list[tuple[str, Raw, dict[str, Any]]] = []
    for hp, raw, conditions in entries:
        # Text tells 1 from true.
        same = (i for i, e in enumerate(kept) if repr(e[:2]) == repr((hp, raw)))
        twin = next((i for i in same if _joined(kept[i][2], conditions) is not None), None)
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
    return a | {
        name: (*a[name], *(v for v in b[name] if not is_in(v, a[name]))) for name in differing
    }


def _whens(
    conditions: Mapping[str, Any], params: Mapping[str, _Param]
) -> Iterator[dict[str, tuple[Any, ...]]]:
    """Conditions on our parameters, one for each way in which the hyperparameters are defined."""
    options = []
    for hp, values in conditions.items():
        parents = []
        for name, parent in params.items():
            if parent.hp == hp and (fitting := tuple(v for v in values if fits(parent.raw, v))):
                parents.append((name, fitting))
        options.append(parents)
    yield from (dict(combination) for combination in product(*options))


def _name_here(hp: str, raw: Raw) -> str:
    name = _identifier(hp)
    if name not in EVERYWHERE or (name in _KEPT and not problems_of(name, raw)):
        return name
    return f"hp_{name}"


def _identifier(hp: str) -> str:
    name = re.sub(r"\W", "_", hp)
    return name if name.isidentifier() else f"_{name}"
