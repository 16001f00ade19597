"""The space of a study, from a file or found by building its model; and settings as people type."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from search.datasets.dataset import Dataset
from search.errors import InputError
from search.registry import pickled_digest
from search.space.hyper_choices import FOUND
from search.space.load import find_space, load_space
from search.space.space import Space
from search.space.yaml_file import typed
from search.training.discovery import FoundSpace, find

DEFAULT_EPOCHS = 10
"""The most that a trial trains of a model for KerasTuner, which says nothing of it."""


def space_for(
    model: str, given: Path | Space | None, data: Dataset | None, say: Callable[[str], None]
) -> FoundSpace:
    """The space that is `given`, as it is or as a file, or of `model`'s own file, else what a model
    for KerasTuner can vary.

    Raises InputError when there is neither, with every mistake.
    """
    if isinstance(given, Space):
        return FoundSpace(given.model_copy(update={"model": model}), ())
    try:
        if given is None and pickled_digest(model):  # no file is its own, whatever it is called
            raise InputError("space: this builder needs one, such as space={'lr': {'type': …}}")
        path = find_space(model, given)
    except InputError:
        if ":" not in model:
            raise
        if data is None:
            raise InputError([]) from None  # what is wrong with the data is told already
        say("building the model to find its hyperparameters …")
        discovery = find(
            model, input_shape=data.input_shape, n_classes=data.n_classes, task=data.task
        )
        if discovery is None:
            raise
        return discovery
    space = load_space(path)
    # A user's own function may share the space of another model. Copied from a study whose space
    # was found by building, a file has ranges of its own all the same: values stay in these.
    source = None if space.source == FOUND else space.source
    return FoundSpace(space.model_copy(update={"model": model, "source": source}), ())


def differs_in_conditions(stored: Space, now: Space) -> bool:
    """Whether two discovered spaces have the same parameters under other conditions."""
    bare = (
        {n: p.model_copy(update={"when": None}) for n, p in s.params.items()} for s in (stored, now)
    )
    return stored.digest != now.digest and next(bare) == next(bare)


def check_settings(space: Space, tries: Sequence[str], fixes: Sequence[str]) -> None:
    """Raise InputError with every "name=value,name=value" text that `space` does not take."""
    problems = []
    for texts, accept in ((tries, space.complete), (fixes, space.fix)):
        for text in texts:
            try:
                accept(typed_pairs(space, [text]))
            except InputError as error:
                problems += [f"{text!r}: {p}" for p in error.problems]
    if problems:
        raise InputError(problems)


def typed_pairs(space: Space, texts: Sequence[str]) -> dict[str, Any]:
    """The values of "name=value,…" texts, as YAML reads them; text where choices are text."""
    values: dict[str, Any] = {}
    for text in texts:
        for pair in text.split(","):
            name, equals, value = (p.strip() for p in pair.partition("="))
            if not equals or not name or not value:
                raise InputError(
                    f"{pair!r} is not name=value; write it like lr=0.01,optimizer=adam"
                )
            values[name] = _typed(space, name, value)
    return values


def _typed(space: Space, name: str, text: str) -> Any:
    choices = getattr(space.params.get(name), "choices", ())
    return text if text in choices else typed(text)
