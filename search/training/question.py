"""A network to build, asked of a process that has the framework loaded."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from search.records import Task
from search.space.hyper_choices import for_builder
from search.space.space import Space


class Question(NamedTuple):
    """A network to build."""

    model: str
    setting: Mapping[str, Any]
    input_shape: tuple[int, ...]
    n_classes: int
    task: Task = Task.CLASSIFICATION

    @classmethod
    def of(
        cls,
        space: Space,
        setting: Mapping[str, Any],
        input_shape: tuple[int, ...],
        n_classes: int,
        task: Task = Task.CLASSIFICATION,
    ) -> Self:
        """The network of a setting of `space`, built as training builds it."""
        return cls(space.model, for_builder(setting, space.source), input_shape, n_classes, task)
