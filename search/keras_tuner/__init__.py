"""KerasTuner's door: `import search.keras_tuner as kt` in place of `import keras_tuner as kt`.

Tuners have KerasTuner's names, arguments and methods, and search as `search.optimize` does. All
else that is here is KerasTuner's own.
"""

from typing import Any

from keras_tuner import HyperModel, HyperParameters, Objective, __version__, applications, errors

from search.errors import InputError
from search.keras_tuner import tuners
from search.keras_tuner.tuners import (
    BayesianOptimization,
    GridSearch,
    Hyperband,
    RandomSearch,
    Tuner,
)

__all__ = [
    "BayesianOptimization",
    "GridSearch",
    "HyperModel",
    "HyperParameters",
    "Hyperband",
    "Objective",
    "RandomSearch",
    "Tuner",
    "__version__",
    "applications",
    "errors",
    "tuners",
]

_CHOOSES = "settings are chosen here: take RandomSearch, GridSearch, …"
_REFUSED = {
    "Oracle": _CHOOSES,
    "oracles": _CHOOSES,
    "synchronized": _CHOOSES,
    "engine": "import from keras_tuner what is no tuner, and no oracle",
    "SklearnTuner": "it trains no network: search.optimize(train=…) takes any loop",
}


def __getattr__(name: str) -> Any:
    if name in _REFUSED:
        raise InputError(f"search.keras_tuner has no {name}: {_REFUSED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
