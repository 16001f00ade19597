"""Every engine by its name."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.worker.engines.protocol import Engine

ENGINES = {
    "local": "search.worker.engines.local",
    "ray": "search.worker.engines.ray.engine",
    "slurm": "search.worker.engines.slurm",
}
"""The module that has each as ENGINE."""


def engine(name: str) -> "Engine":
    """The engine called `name`, one of ENGINES."""
    made: Engine = importlib.import_module(ENGINES[name]).ENGINE
    return made
