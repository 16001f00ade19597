"""What stands in for training: something that knows the learning curve of any setting."""

from collections.abc import Mapping
from typing import Any, Protocol

from search.records import Epoch
from search.space.space import Space
from search.strategies import Strategy

Curve = tuple[Epoch, ...]
"""Epochs 1, 2, … of one setting; `at` means nothing."""


class Surrogate(Protocol):
    """Learning curves of every setting, for one task or several. It can be pickled."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks."""
        ...

    @property
    def space(self) -> Space:
        """What can vary, the same for all tasks."""
        ...

    @property
    def max_epochs(self) -> int:
        """The epochs of one full training, by which compute is counted."""
        ...

    @property
    def n_settings(self) -> int | None:
        """How many settings have a curve; None where all have."""
        ...

    @property
    def first(self) -> tuple[Mapping[str, Any], ...]:
        """Settings that a study begins with, whatever its strategy."""
        ...

    def curve(self, task: str, params: Mapping[str, Any]) -> Curve:
        """What training `params` shows per epoch, up to `max_epochs`. Always the same."""
        ...

    def adapted(self, strategy: Strategy) -> Strategy:
        """`strategy`, asking for no settings but those that have a curve."""
        ...

    def best(self, task: str, n_samples: int) -> float | None:
        """The best validation accuracy known on `task`, a fraction, from `n_samples` settings."""
        ...
