"""A small space over the digits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.datasets import load
from search.datasets.split import prepare
from search.lab.peers.task import Task
from search.space.space import Space

SPACE = Space.from_dict(
    {
        "model": "mlp",
        "document": {
            "depth": 1,
            "units": 16,
            "optimizer": "sgd",
            "lr": 0.1,
            "momentum": 0.5,
            "batch_size": 10,
        },
        "params": {
            "depth": {"type": "constant", "value": 1},
            "units": {"type": "int", "low": 8, "high": 32, "log": True},
            "optimizer": {"type": "choice", "choices": ["sgd", "adam"]},
            "lr": {"type": "float", "low": 0.01, "high": 0.1, "log": True},
            "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
            "batch_size": {"type": "choice", "choices": [10, 25]},
        },
    }
)


@pytest.fixture
def make_task(tmp_path: Path) -> Callable[..., Task]:
    """Makes a task of three trainings of two epochs each; keyword arguments replace parts of it."""
    digits = load("digits")
    images = tmp_path / "some.npz"
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(images, **{name: getattr(digits, name)[:300] for name in names})

    def make(**parts: Any) -> Task:
        split = prepare(
            load(str(images)),
            seed=parts.get("seed", 0),
            validation_fraction=1 / 6,
            cache=tmp_path / "cache",
        )
        given: dict[str, Any] = {
            "name": "mlp-some",
            "space": SPACE.as_dict(),
            "images": str(images),
            "prepared": str(split.folder),
            "input_shape": split.input_shape,
            "n_classes": split.n_classes,
            "epochs": 2,
            "budget": 3.0,
            "seed": 0,
            "threads": 1,
        }
        return Task(**given | parts)

    return make
