"""Finds what a model for KerasTuner can vary, by building it with many settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.records import Task
from search.space.from_kerastuner import space_from
from search.space.hyper_choices import FOUND, Hyper, fits
from search.space.space import Space
from search.space.values import show
from search.training.exploration import MAX_BUILDS
from search.training.model_process import ask
from search.words import count


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
            f"{count(len(names), 'hyperparameter')} of {model} found by building it"
            f" {count(answer['n_builds'], 'time')}; {compiling}"
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
