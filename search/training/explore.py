"""Builds a model for KerasTuner to learn what it can vary, where the framework is loaded."""

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from search.records import Task
from search.space.conditions import learned
from search.training.exploration import Exploration

_KINDS = ("Boolean", "Choice", "Fixed", "Float", "Int")


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
