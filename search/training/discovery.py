"""Finds what a model for KerasTuner can vary, by building it with many settings."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.records import Task
from search.space.conditions import learned
from search.space.from_kerastuner import space_from
from search.space.hyper_choices import FOUND, Hyper, fits
from search.space.space import Space
from search.space.values import show
from search.training.exploration import MAX_BUILDS, Exploration
from search.training.model_process import ask

_KINDS = ("Boolean", "Choice", "Fixed", "Float", "Int")


@dataclass(frozen=True)
class FoundSpace:
    """A space, and what to tell of it."""

    space: Space
    notices: tuple[str, ...]


def find(
    model: str,
    *,
    input_shape: tuple[int, ...],
    n_classes: int,
    task: Task = Task.CLASSIFICATION,
) -> FoundSpace | None:
    """The space of a model for KerasTuner, built in a fresh process; None for a model that is none.

    Raises InputError when it can't be loaded or built, or asks for what a space can't hold, and
    StudyError when the process breaks.
    """
    facts = {"input_shape": input_shape, "n_classes": n_classes, "task": task}
    answer = ask({"discover": {"model": model, **facts}})
    if answer["hyperparameters"] is None:
        return None
    hypers = hypers_of(answer)
    names = {h.name for h in hypers}
    compiling = (
        "its own optimizer and loss are kept" if answer["compiles"] else "it is compiled here"
    )
    notices = [
        (
            f"{len(names)} hyperparameters of {model} found by building it {answer['n_builds']}"
            f" times; {compiling}"
        ),
        *answer["notices"],
        *_range_notices(hypers),
    ]
    if answer["cut"]:
        notices.append(
            f"after {MAX_BUILDS} builds there were more ways to try: what was not found keeps its"
            " default"
        )
    space = space_from(model, hypers, compiles=answer["compiles"])
    return FoundSpace(space.model_copy(update={"source": FOUND}), tuple(notices))


def hypers_of(answer: Mapping[str, Any]) -> list[Hyper]:
    """The hyperparameters of an answer of `explore`, which may have been JSON."""
    whens = [{n: tuple(v) for n, v in h["when"].items()} for h in answer["hyperparameters"]]
    return [
        Hyper(**{**h, "when": w}) for h, w in zip(answer["hyperparameters"], whens, strict=True)
    ]


def explore(question: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to `find`'s question, in the process that builds."""
    import keras  # noqa: PLC0415  only the probe's own process loads it

    from search.training.hypermodel import (  # noqa: PLC0415
        HyperBuilder,
        asking_hp,
        builder_of,
    )
    from search.training.shaping import fitted  # noqa: PLC0415

    builder = builder_of(question["model"])
    if not isinstance(builder, HyperBuilder):
        return {"hyperparameters": None}
    shape, n_classes = tuple(question["input_shape"]), question["n_classes"]
    task = Task(question["task"])

    def build(hp: Any) -> bool:
        try:
            model = builder.build(hp, shape, n_classes)
            return bool(fitted(model, shape, n_classes, task).compiled)
        finally:
            keras.backend.clear_session()

    exploration = Exploration(build, asking_hp, shape[:2])
    exploration.run()
    hypers = learned(exploration.hypers, exploration.builds)
    return {
        "hyperparameters": [h._asdict() for h in hypers],
        "compiles": exploration.compiles,
        "n_builds": len(exploration.builds),
        "cut": exploration.cut,
        "notices": [
            *exploration.notices,
            *([_fit_notice(builder.fit_of_users)] if builder.fit_of_users else []),
            *([_default_notice(builder.unsearched)] if builder.unsearched else []),
        ],
    }


def _range_notices(hypers: Sequence[Hyper]) -> Iterator[str]:
    for name in dict.fromkeys(h.name for h in hypers):
        twins = [h for h in hypers if h.name == name]
        if twins[0].loose:
            yield (
                f"the range of {name} depends on other hyperparameters: all of its ranges are"
                " searched at once, and each build takes the nearest value in its own"
            )
        elif len(twins) > 1:
            yield (
                f"{name} is asked for with {len(twins)} different ranges: each is searched as a"
                " parameter of its own"
            )
        if not fits(twins[0].raw, twins[0].default):
            yield (
                f"trial 0 has the nearest {name} in its range: its default,"
                f" {show(twins[0].default)}, is beyond it"
            )


def _default_notice(names: Sequence[str]) -> str:
    keep = "keeps its default" if len(names) == 1 else "keep their defaults"
    return f"{', '.join(names)} {keep}: what is to be searched is asked of an argument hp"


def _fit_notice(fit: Any) -> str:
    rule = "its own fit() is not called: batch_size and epochs are chosen here"
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fit)))
    except (OSError, TypeError, SyntaxError):
        return rule
    calls = [
        (n.func.attr, n)
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    ]
    unused: dict[str, None] = {}
    for name, call in calls:
        if name == "fit":
            unused |= dict.fromkeys(keyword.arg for keyword in call.keywords if keyword.arg)
    for name, call in calls:
        if name in _KINDS and call.args:
            unused[f"hyperparameter {ast.unparse(call.args[0])}"] = None
    return f"{rule}; what it has beside is not used: {', '.join(unused)}" if unused else rule
