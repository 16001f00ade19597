"""Whether any network of a space keeps a study's bounds, as far as some builds can tell."""

from collections.abc import Iterator, Mapping
from typing import Any

from search.bounds import broken_text, early_facts
from search.datasets.split import Prepared
from search.errors import InputError
from search.space.params import ConstantParam, ends
from search.space.space import Space
from search.space.training_params import TRAINING
from search.training.probe import build_all
from search.training.question import Question


def check_bounds(space: Space, limits: Mapping[str, float], data: Prepared) -> None:
    """Raise InputError when each network that is tried breaks one of `limits`, which are known once
    a network is built.

    The baseline is varied in one parameter at a time; then the values with the smallest networks
    are taken together.
    """
    if not limits:
        return
    settings = list(_varied(space))
    sizes = _sizes(space, [setting for _, setting in settings], data)
    if not _broken(limits, sizes):
        return
    smallest: dict[str, tuple[int, Any]] = {}
    for (name, setting), size in zip(settings, sizes, strict=True):
        if name not in setting or size is None:
            continue
        if name not in smallest or size < smallest[name][0]:
            smallest[name] = size, setting[name]
    values = {name: value for name, (_, value) in smallest.items()}
    together = space.setting(lambda name: values.get(name, space.complete({})[name]))
    sizes += _sizes(space, [together], data)
    if broken := _broken(limits, sizes):
        n_built = sum(size is not None for size in sizes)
        rule = f"at_most: no network of the space keeps the bound: of the smallest of {n_built}"
        raise InputError(f"{rule} that were built, {broken}; raise the bound, or widen the space")


def _broken(limits: Mapping[str, float], sizes: list[int | None]) -> str:
    """Which of `limits` the smallest network breaks, in words; empty where none is built."""
    built = [size for size in sizes if size is not None]
    return broken_text(limits, early_facts(min(built))) if built else ""


def _varied(space: Space) -> Iterator[tuple[str, dict[str, Any]]]:
    """The baseline, and settings that differ from it in the parameter that is named."""
    yield "", dict(space.document)
    for name, param in space.params.items():
        if name in TRAINING or name not in space.document:
            continue
        for value in () if isinstance(param, ConstantParam) else ends(param):
            yield name, space.complete({name: value})


def _sizes(space: Space, settings: list[dict[str, Any]], data: Prepared) -> list[int | None]:
    """The parameters of each network; None for one that can't be built."""
    facts = data.input_shape, data.n_classes, data.task
    questions = [Question.of(space, setting, *facts) for setting in settings]
    return [answer.n_params for answer in build_all(questions)]
