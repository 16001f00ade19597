"""Everything that is wrong with a space's plain data, in one go, each with its place."""

import graphlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from pydantic import BaseModel, ValidationError

from search.registry import nearest
from search.space.params import PARAM_TYPES, Head, Param, Published, divides, problem_of
from search.space.setting import needs, problems
from search.space.training_params import problems_of
from search.space.values import show, values_by_parent, when_problem

Where: TypeAlias = tuple[str | int, ...]
"""Keys and list positions that lead to a place in the data, outermost first."""

TOP_KEYS = ("extends", "model", "data", "source", "document", "baseline", "published", "params")
_MAPPINGS = {"params": "name: {type: float, low: 0, high: 1}", "document": "name: value"}


class Problem(NamedTuple):
    """One mistake: where it is, and a sentence with the rule, the value and the remedy."""

    where: Where
    text: str


def place(where: Where) -> str:
    """Write a place as `params.lr.low`; the number after a list's name counts from 1."""
    return ".".join(str(key + 1) if isinstance(key, int) else key for key in where)


def lint(raw: Mapping[str, Any]) -> list[Problem]:
    """All mistakes of a space's plain data; without any, a `Space` can be made of it."""
    head = {k: v for k, v in raw.items() if k not in {*_MAPPINGS, "published"}}
    problems = _shape(Head, head, (), TOP_KEYS) + _published(raw.get("published"))
    for key, example in _MAPPINGS.items():
        if key == "document" and key not in raw:
            continue  # the middle of the ranges
        if key not in raw:
            problems.append(
                Problem((), f"key {key!r} is missing; add `{key}:` with lines like `{example}`")
            )
        elif not isinstance(raw[key], Mapping) or (key == "params" and not raw[key]):
            problems.append(
                Problem((key,), f"must hold lines like `{example}`, not {show(raw[key])}")
            )
    params = raw.get("params")
    if isinstance(params, Mapping):
        good, param_problems = _params(params)
        document = raw.get("document")
        problems += param_problems
        problems += _document(document, good, params) if isinstance(document, Mapping) else []
    return problems


def _shape(
    cls: type[BaseModel], raw: Mapping[str, Any], where: Where, keys: Iterable[str]
) -> list[Problem]:
    """Missing keys, keys other than `keys`, and wrong types, in our words instead of pydantic's."""
    try:
        cls.model_validate(dict(raw))
    except ValidationError as error:
        return [_translated(dict(e), where, keys) for e in error.errors()]
    return []


def _translated(error: Mapping[str, Any], where: Where, keys: Iterable[str]) -> Problem:
    loc, key = error["loc"], error["loc"][-1]
    match error["type"]:
        case "missing":
            return Problem(where, f"key {key!r} is missing; add `{key}: …`")
        case "extra_forbidden":
            return Problem((*where, *loc), f"unknown key {key!r}; {nearest(str(key), keys)}")
        case "tuple_type":
            return Problem(
                (*where, *loc), f"must be a list such as [16, 32], not {show(error['input'])}"
            )
        case _:  # the field types' own, whose messages are written for users
            return Problem((*where, *loc), error["msg"])


def _published(raw: Any) -> list[Problem]:
    if raw is None:
        return []
    if not isinstance(raw, Mapping):
        return [
            Problem(
                ("published",),
                f"must hold the keys {', '.join(Published.model_fields)}, not {show(raw)}",
            )
        ]
    return _shape(Published, raw, ("published",), Published.model_fields)


def _params(params: Mapping[str, Any]) -> tuple[dict[str, Param], list[Problem]]:
    """Return the parameters that are right, and what is wrong with the others."""
    parsed: dict[str, Param] = {}
    problems: list[Problem] = []
    for name, raw in params.items():
        wrong = [Problem(("params", name, *where), text) for where, text in _param(name, raw)]
        problems += wrong
        if not wrong:
            parsed[name] = PARAM_TYPES[raw["type"]].model_validate(dict(raw))
    wrong = _conditions(params, parsed)
    problems += wrong
    bad = {str(p.where[1]) for p in wrong} | (params.keys() - parsed.keys())
    good = {n: p for n, p in parsed.items() if not _leads_to(n, parsed, bad)}
    for name in good:
        if not all(needs(good, name).values()):
            problems.append(
                Problem(
                    ("params", name, "when"),
                    "can never hold; its parents' own conditions exclude it",
                )
            )
    return good, problems


def _leads_to(name: str, params: Mapping[str, Param], bad: set[str]) -> bool:
    """Whether `name` or an ancestor is in `bad`. Cycles end there, since their members are."""
    return name in bad or any(_leads_to(p, params, bad) for p in params[name].when or {})


def _param(name: str, raw: Any) -> Iterator[tuple[Where, str]]:
    if not name.isidentifier():
        yield (), f"the name {name!r} must be letters, digits and _, as in batch_size"
    if not isinstance(raw, Mapping):
        yield (), f"must be a mapping such as {{type: float, low: 0, high: 1}}, not {show(raw)}"
        return
    if "type" not in raw:
        yield (), f"key 'type' is missing; add one of {', '.join(PARAM_TYPES)}"
        return
    kind = raw["type"]
    if not isinstance(kind, str) or kind not in PARAM_TYPES:
        yield ("type",), f"unknown type {show(kind)}; {nearest(str(kind), PARAM_TYPES)}"
        return
    shape = _shape(PARAM_TYPES[kind], raw, (), PARAM_TYPES[kind].model_fields)
    yield from shape
    faulty = {p.where[0] for p in shape if p.where}
    sound = {k: v for k, v in raw.items() if k not in faulty}
    if kind == "choice" and isinstance(raw.get("choices"), list | tuple):
        yield from _choices(raw["choices"], {p.where[1] for p in shape if len(p.where) > 1})
    yield from _range(sound) if kind in {"float", "int"} else ()
    places = {p.where for p in shape}
    yield from (problem for problem in problems_of(name, raw) if problem[0] not in places)


def _range(raw: Mapping[str, Any]) -> Iterator[tuple[Where, str]]:
    low, high, step, log = (raw.get(k) for k in ("low", "high", "step", "log"))
    if low is not None and high is not None and low >= high:
        remedy = "use type constant" if low == high else "swap them"
        yield (
            ("low",),
            f"low must be below high, but {show(low)} is not below {show(high)}; {remedy}",
        )
    if log and low is not None and low <= 0:
        yield (
            ("low",),
            f"low must be above 0 where log is true, not {show(low)}; raise it or take log away",
        )
    if step is None:
        return
    if step <= 0:
        yield ("step",), f"step must be above 0, not {show(step)}"
    elif log:
        yield ("step",), f"step can't go with log, but is {show(step)}; take one of them away"
    elif low is not None and high is not None and low < high and not divides(step, high - low):
        yield (
            ("step",),
            (
                f"step must divide high − low, {show(high - low)}, but {show(step)} does not;"
                " change one"
            ),
        )


def _choices(choices: Sequence[Any], faulty: Container[str | int]) -> Iterator[tuple[Where, str]]:
    if not choices:
        yield ("choices",), "choices must not be empty, but are []; list at least one"
    for i, choice in enumerate(choices):
        # 1 and true are equal for Python and hence for every sampler.
        if i not in faulty and choice in choices[:i]:
            twin = choices[list(choices).index(choice)]
            text = (
                "is listed twice"
                if show(twin) == show(choice)
                else f"can't be told apart from {show(twin)}"
            )
            yield ("choices", i), f"the choice {show(choice)} {text}; remove one"


def _conditions(params: Mapping[str, Any], parsed: Mapping[str, Param]) -> list[Problem]:
    """Conditions on unknown parameters, on values these never take, and in circles."""
    whens = {
        name: values_by_parent(raw["when"])
        for name, raw in params.items()
        if isinstance(raw, Mapping) and when_problem(raw.get("when")) is None
    }
    problems = []
    for name, when in whens.items():
        for parent, values in when.items():
            where: Where = ("params", name, "when", parent)
            if parent not in params:
                problems.append(
                    Problem(where, f"{parent!r} is not a parameter; {nearest(parent, params)}")
                )
            elif parent in parsed:
                impossible = [p for v in values if (p := problem_of(parsed[parent], v))]
                problems += [
                    Problem(where, f"can't hold, since of {parent} {p}") for p in impossible
                ]
    graph = {name: list(when) for name, when in whens.items()}
    while cycle := _cycle(graph):
        around = " → ".join(reversed(cycle))
        where = ("params", cycle[1], "when")
        problems.append(Problem(where, f"conditions go round in a circle, {around}; take one away"))
        graph[cycle[1]] = []
    return problems


def _cycle(graph: Mapping[str, list[str]]) -> list[str] | None:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return None


def _document(
    document: Mapping[str, Any], good: Mapping[str, Param], params: Mapping[str, Any]
) -> list[Problem]:
    """Check the document's setting, but for parameters that are themselves wrong."""
    mistakes = [
        Problem(("document", n), f"is not a parameter; {nearest(n, params)}")
        for n in document
        if n not in params
    ]
    for name, text in problems(good, {n: v for n, v in document.items() if n in good}):
        missing = name not in document
        mistakes.append(
            Problem(("document",), f"{name!r} {text}")
            if missing
            else Problem(("document", name), text)
        )
    return mistakes
