"""The systems, by name."""

import importlib.util
from collections.abc import Mapping
from typing import NamedTuple

OURS = "gridless"
GRID = "GridSearchCV"


class System(NamedTuple):
    """Where a system's search is: module, function, and distributions that it needs."""

    module: str
    function: str
    needs: tuple[str, ...] = ()


SYSTEMS: Mapping[str, System] = {
    OURS: System("gridless", "search"),
    GRID: System("grid", "search", ("scikeras",)),
    "KerasTuner-Hyperband": System("keras_tuner_search", "hyperband", ("tensorboard",)),
    "KerasTuner-Bayesian": System("keras_tuner_search", "bayesian", ("tensorboard",)),
    "Optuna": System("plain_optuna", "search"),
    "Ray-ASHA": System("ray_tune", "search", ("ray",)),
}


def missing(name: str) -> list[str]:
    """The distributions that system `name` needs and that are not installed."""
    return [need for need in SYSTEMS[name].needs if importlib.util.find_spec(need) is None]
