"""What every system is given. No framework is loaded to say it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from search.space.space import ConstantParam, Param, Space
from search.space.training_params import TRAINING

_BY_ANY_FIT = {
    "batch_size",
    "optimizer",
    "lr",
    "momentum",
    "nesterov",
    "weight_decay",
    "label_smoothing",
    "max_norm",
}
_NEUTRAL: Mapping[str, Any] = {
    "remainder": "keep",
    "schedule": "constant",
    "early_stopping": 0,
    "weights": "none",
    "class_weight": "none",
    "rotate": 0,
    "shift": 0,
    "zoom": 0,
    "flip": False,
}
"""Pinned to these, parameters of our trainer do nothing."""


@dataclass(frozen=True)
class Task:
    """A space to search and images to train on, with what may be spent."""

    name: str
    """For people: the model, and the data."""
    space: Mapping[str, Any]
    """A space as plain data, without `epochs`: each system has its own way with them."""
    images: str
    """An .npz file, as our own command takes it."""
    prepared: str
    """The folder of the very split that our command makes of `images` with `seed`."""
    input_shape: tuple[int, ...]
    n_classes: int
    epochs: int
    """Those of a full training, the most that any setting gets."""
    budget: float
    """Full trainings that may be spent, 1 or more."""
    seed: int
    threads: int
    """CPU threads."""

    @property
    def search_space(self) -> Space:
        """The space."""
        return Space.from_dict(self.space)

    @property
    def max_epochs(self) -> int:
        """Epochs that may be spent in all."""
        return round(self.budget * self.epochs)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        return cls(**raw | {"input_shape": tuple(raw["input_shape"])})


def unfit(space: Space) -> list[str]:
    """Parameters of `space` that Keras' `fit` lacks: only our trainer could search them."""

    def is_fit(name: str, param: Param) -> bool:
        if name not in TRAINING or name in _BY_ANY_FIT:
            return True
        return isinstance(param, ConstantParam) and (
            name == "scaling" or param.value == _NEUTRAL.get(name, ...)
        )

    return [name for name, param in space.params.items() if not is_fit(name, param)]
